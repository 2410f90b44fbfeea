/**
 * The instruction tables read as data: mnemonic → opcode bytes, operand types, result types, immediates.
 *
 * A row reads `"opcode parameters:results numbers"`. The opcode is hexadecimal; after a prefix `fc`, `fd` or `fe`
 * the rest is one LEB128 number. Types are letters: `i` i32, `I` i64, `f` f32, `F` f64, `v` v128, `p` an address.
 * The numbers are explained beside each table. A row is parsed the first time it is used, so a program pays only
 * for the instructions it emits.
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

/** Instructions with no immediates: what `FunctionBuilder.op` takes, besides {@link ParametricName}. */
export type PlainName =
  | keyof typeof numericInstructions
  | keyof typeof vectorInstructions
  | keyof typeof relaxedVectorInstructions
  | keyof typeof bulkMemoryInstructions;

/** Instructions with no immediates whose types depend on the stack. */
export type ParametricName = "nop" | "drop" | "select" | "return" | "unreachable";

/** What `FunctionBuilder.load` takes. */
export type LoadName = keyof typeof loadInstructions;

/** What `FunctionBuilder.store` takes. */
export type StoreName = keyof typeof storeInstructions;

/** What `FunctionBuilder.lane` takes. */
export type LaneName = keyof typeof laneInstructions;

/** What `FunctionBuilder.laneMemory` takes. */
export type LaneMemoryName = keyof typeof laneMemoryInstructions;

/** What `FunctionBuilder.atomic` takes. */
export type AtomicName = keyof typeof atomicInstructions;

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

type Row = string;

const tables: readonly (readonly [InstructionForm, Readonly<Record<string, Row>>])[] = [
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
  return tables.flatMap(([, rows]) => Object.keys(rows) as InstructionName[]);
}

function find(name: InstructionName): Instruction {
  for (const [form, rows] of tables) {
    if (!Object.hasOwn(rows, name)) continue;
    const row = parse(name, form, rows[name]);
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

function parse(name: InstructionName, form: InstructionForm, row: Row): Instruction {
  const [opcode, signature, first = "0", second = "0"] = row.split(" ");
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
