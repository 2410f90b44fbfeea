/**
 * The instruction tables read as data: mnemonic → opcode bytes, operand types, result types, immediates.
 *
 * A row is a run of opcodes that follow one another: `"opcode prefix parameters:results name name …"`. The opcode, of
 * the first name, is hexadecimal; after `fc`, `fd` or `fe` the rest is one LEB128 number. A name with a dot in it is
 * whole, others come behind the prefix and a dot. `parameters:results` holds for the names that follow it, up to the
 * next: types are letters (`i` i32, `I` i64, `f` f32, `F` f64, `v` v128, `p` an address), and numbers behind slashes
 * are explained beside each table. An instruction is parsed the first time it is used, so a program pays only for
 * those it emits.
 *
 * Control, constants, variables, calls and shuffles have immediates of their own and are methods of
 * `FunctionBuilder`; they are not rows.
 *
 * @module
 */

import { ByteWriter } from "./encoding.ts";
import {
  atomicInstructions,
  bulkMemoryInstructions,
  laneMemoryInstructions,
  loadInstructions,
  storeInstructions,
} from "./memory.ts";
import { numericInstructions } from "./numeric.ts";
import { type AddressType, type FunctionType, ValidationError, type ValueType } from "./types.ts";
import { laneInstructions, relaxedVectorInstructions, vectorInstructions } from "./vector.ts";

/** The mnemonics among the words of a row that stand behind its prefix. */
type NamesAmong<Words extends string, Prefix extends string> = Words extends `${infer Word} ${infer Others}`
  ? NamesAmong<Word, Prefix> | NamesAmong<Others, Prefix>
  : Words extends `${string}:${string}` ? never
  : Words extends `${string}.${string}` ? Words
  : `${Prefix}.${Words}`;

/** The mnemonics of rows. */
export type NamesOf<Row extends string> = Row extends `${string} ${infer Prefix} ${infer Words}`
  ? NamesAmong<Words, Prefix>
  : never;

/** Instructions with no immediates: what `FunctionBuilder.op` takes, besides {@link ParametricName}. */
export type PlainName =
  | NamesOf<typeof numericInstructions[number]>
  | NamesOf<typeof vectorInstructions[number]>
  | NamesOf<typeof relaxedVectorInstructions[number]>
  | NamesOf<typeof bulkMemoryInstructions[number]>;

/** Instructions with no immediates whose types depend on the stack. */
export type ParametricName = "nop" | "drop" | "select" | "return" | "unreachable";

/** What `FunctionBuilder.load` takes. */
export type LoadName = NamesOf<typeof loadInstructions[number]>;

/** What `FunctionBuilder.store` takes. */
export type StoreName = NamesOf<typeof storeInstructions[number]>;

/** What `FunctionBuilder.lane` takes. */
export type LaneName = NamesOf<typeof laneInstructions[number]>;

/** What `FunctionBuilder.laneMemory` takes. */
export type LaneMemoryName = NamesOf<typeof laneMemoryInstructions[number]>;

/** What `FunctionBuilder.atomic` takes. */
export type AtomicName = NamesOf<typeof atomicInstructions[number]>;

/** Every mnemonic that is a row of a table. */
export type InstructionName = PlainName | LoadName | StoreName | LaneName | LaneMemoryName | AtomicName;

/** The form of an instruction, which says which method emits it. */
export type InstructionForm = "plain" | "load" | "store" | "lane" | "laneMemory" | "atomic";

/** The proposal that brought an instruction; `"mvp"` stands for everything that all engines of today have. */
export type Proposal = "mvp" | "simd" | "relaxedSimd" | "threads";

/** One row, parsed. */
export interface Instruction {
  /** The mnemonic of the specification. */
  readonly name: InstructionName;
  /** Which method of `FunctionBuilder` emits it. */
  readonly form: InstructionForm;
  /** Which proposal brought it. */
  readonly proposal: Proposal;
  /** The opcode, encoded, with the zero bytes that follow it where there are any. */
  readonly opcode: readonly number[];
  /** What it takes off the stack, the deepest first, and puts there, where addresses are i32. */
  readonly type: FunctionType;
  /** The same where addresses are i64. */
  readonly type64: FunctionType;
  /** Whether it needs a memory. */
  readonly addressed: boolean;
  /** Base-2 logarithm of the natural alignment in bytes, for instructions with a memory argument; else -1. */
  readonly alignment: number;
  /** Number of lanes, for instructions with a lane; else 0. */
  readonly lanes: number;
}

const tables: readonly (readonly [InstructionForm, readonly string[]])[] = [
  ["plain", numericInstructions],
  ["plain", vectorInstructions],
  ["plain", relaxedVectorInstructions],
  ["plain", bulkMemoryInstructions],
  ["load", loadInstructions],
  ["store", storeInstructions],
  ["lane", laneInstructions],
  ["laneMemory", laneMemoryInstructions],
  ["atomic", atomicInstructions],
];

const letters: Readonly<Record<string, ValueType>> = { i: "i32", I: "i64", f: "f32", F: "f64", v: "v128" };

const parsed = new Map<string, Instruction>();

/** Where an instruction stands: its form, its opcode in hexadecimal, its signature with the numbers behind it. */
type Entry = readonly [form: InstructionForm, opcode: string, signature: string];

const entries = new Map<string, Entry>();

/** All instructions by mnemonic, in the order of the tables. */
function entriesOf(): ReadonlyMap<string, Entry> {
  if (entries.size > 0) return entries;
  for (const [form, rows] of tables) {
    for (const row of rows) {
      const [opcode, prefix, ...words] = row.split(" ");
      let signature = "", number = parseInt(opcode, 16);
      for (const word of words) {
        if (word.includes(":")) signature = word;
        else {
          const name = word.includes(".") ? word : `${prefix}.${word}`;
          entries.set(name, [form, (number++).toString(16), signature]);
        }
      }
    }
  }
  return entries;
}

/**
 * The instruction called `name`.
 *
 * @throws ValidationError when there is none
 */
export function instruction(name: InstructionName): Instruction {
  return parsed.get(name) ?? find(name);
}

/** Every mnemonic of the tables, in the order of the tables. */
export function instructionNames(): InstructionName[] {
  return [...entriesOf().keys()] as InstructionName[];
}

function find(name: InstructionName): Instruction {
  const entry = entriesOf().get(name);
  if (entry !== undefined) {
    const row = parse(name, ...entry);
    parsed.set(name, row);
    return row;
  }
  throw new ValidationError(
    `there is no instruction ${
      JSON.stringify(name)
    }; mnemonics are those of the WebAssembly specification, ` +
      `and control, constants, variables and calls are methods of FunctionBuilder`,
  );
}

function parse(name: InstructionName, form: InstructionForm, opcode: string, row: string): Instruction {
  const [signature, first = "0", second = "0"] = row.split("/");
  const prefix = parseInt(opcode.slice(0, 2), 16);
  const writer = new ByteWriter(8);
  writer.byte(prefix);
  const rest = opcode.slice(2);
  if (rest !== "") writer.unsigned(parseInt(rest, 16));
  const numbers = [Number(first), Number(second)];
  if (form === "plain") { for (let i = 0; i < numbers[0]; i++) writer.byte(0); }
  const proposal = prefix === 0xfe
    ? "threads"
    : prefix !== 0xfd
    ? "mvp"
    : rest.length > 2
    ? "relaxedSimd"
    : "simd";
  const type = parseType(signature, "i32");
  return {
    name,
    form,
    proposal,
    opcode: [...writer.view()],
    type,
    type64: signature.includes("p") ? parseType(signature, "i64") : type,
    addressed: signature.includes("p"),
    alignment: form === "plain" || form === "lane" ? -1 : numbers[0],
    lanes: form === "lane" ? numbers[0] : form === "laneMemory" ? numbers[1] : 0,
  };
}

function parseType(signature: string, address: AddressType): FunctionType {
  const [params, results] = signature.split(":").map((types) =>
    [...types].map((letter) => letter === "p" ? address : letters[letter])
  );
  return { params, results };
}
