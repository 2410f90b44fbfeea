/**
 * Whatever class of error a public function throws, its comment says so by `@throws`.
 *
 * The functions, constructors, methods, getters and setters that `deno doc` finds are called, with seeded arguments that
 * their types allow and with some that they do not. What one throws must be among the classes that its comment names; but
 * for what all functions throw alike, which docs/errors.md says once.
 */
import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import * as ft from "../mod.ts";
import { allDeclarations, type Callable, callables, thrownBy } from "./_face.ts";
import { type Make, makeInstances } from "./_instances.ts";
import { after, before, describe, it } from "./_suite.ts";
import { Values } from "./_values.ts";

/** What is not called here, and why. */
const left: Readonly<Record<string, string>> = {
  pullModel: "asks the hub",
  removeCached: "removes files of this machine's cache",
  scanCache: "reads this machine's cache",
  benchmark: "works for seconds",
  peakFlops: "measures, and takes nothing",
  diagnose: "starts a device",
  devices: "starts a device",
  initWebGPU: "starts a device",
  chooseDevice: "starts a device",
  setMaxMemory: "would bound every test after it",
  setThreads: "would slow every test after it",
  "TabularModel.fit": "works for seconds",
  "tabular.fitTable": "works for seconds",
};

/** Interfaces that callers implement, and what only the library makes for itself. */
const notMade: readonly RegExp[] = [
  /^(Adaptable|AssistantModel|BatchLanguageModel|Beside|ByteSource|CausalNetwork|Constraint|FileSystem|Layer)#/,
  /^(LanguageModel|LanguageModelCache|LogitsModel|LossModel|NumberedSet|PreferenceModel|Place|Recurrence)#/,
  /^(AdapterSet|ExampleBatch|Follower|GgufPart|PreferenceBatch|StepPrecision|TrainingStep)#/,
  /^optim\.(ByOperations|Rule)#/,
  /^new (CheckpointStore|GgufPart|GgufView|LoraLayer|Module|Optimizer|ReadPlan|SafetensorsFile|StateCache|TabularModelBase)$/,
  /^new (TensorView|TrainingStep)$|^HuggingFaceTokenizer\.load$|^CausalLM\.\[Symbol\.hasInstance\]$/,
];

const sizes = { vocabSize: 8, nPositions: 8, nEmbd: 8, nLayer: 1, nHead: 2 };
const configs: readonly Make[] = [
  () => sizes,
  () => ({ ...sizes, nHead: 3 }),
  () => ({ ...sizes, nEmbd: -1 }),
  () => ({ ...sizes, qqxx: 1 }),
  () => 5,
  () => null,
];

/** What is given in the first place where anything else would be large: without sizes, GPT-2 small is 500 MB. */
const firsts: Readonly<Record<string, readonly Make[]>> = {
  "new GPT2": configs,
  "new GPT2Model": configs,
  "new GPT2Block": configs,
  "new GPT2MLP": configs,
  "CausalLM.fromConfig": [
    () => ({ model_type: "qqxx" }),
    () => 5,
    () => ({ model_type: "gpt2", n_head: -1 }),
  ],
};

type Call = (of: unknown, args: unknown[]) => unknown;
type Named = Record<string | symbol, unknown>;

/** What a name of the face leads to; what mod.ts names as a type is a value of its namespace. */
function named(path: string): unknown {
  const from = (root: unknown): unknown =>
    path.split(".").reduce((at, key) => (at as Named | undefined)?.[key], root);
  return from(ft) ?? from(ft.nn) ?? from(ft.optim);
}

/** How a callable is called, and what makes that on which it is; null where nothing here does. */
function callOf(
  { name, kind }: Callable,
  makers: Readonly<Record<string, readonly Make[]>>,
): [Call, readonly Make[]] | null {
  const nothing = [() => undefined];
  if (kind === "constructor") {
    const made = named(name.slice(4)) as (new (...args: unknown[]) => unknown) | undefined;
    return typeof made === "function" ? [(_, args) => new made(...args), nothing] : null;
  }
  const [owner, method] = name.split("#");
  if (method === undefined) {
    const at = name.lastIndexOf("."), space = (at < 0 ? ft : named(name.slice(0, at))) as Named | undefined;
    const own = space?.[name.slice(at + 1)];
    return typeof own === "function" ? [(_, args) => own.apply(space, args), nothing] : null;
  }
  const makes = makers[owner], symbol = /^\[Symbol\.(\w+)\]$/.exec(method)?.[1];
  if (!makes) return null;
  const key = symbol ? (Symbol as unknown as Record<string, symbol>)[symbol] : method;
  if (kind === "getter") return [(of) => Reflect.get(of as object, key), makes];
  if (kind === "setter") return [(of, [value]) => Reflect.set(of as object, key, value), makes];
  // A method that an interface leaves out is none of what is made.
  return [
    (of, args) => ((of as Named)[key] as ((...args: unknown[]) => unknown) | undefined)?.apply(of, args),
    makes,
  ];
}

/** What every function throws alike: of a tensor that was disposed, of arguments beyond those it takes. */
const usual = / was disposed; | has no effect(, as it takes (no|\d) argument| behind a list)/;

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    const result = await call() as AsyncGenerator | undefined;
    if (typeof result?.next === "function" && typeof result.return === "function") {
      await result.next();
      await result.return(undefined);
    }
    return undefined;
  } catch (error) {
    return error;
  } finally {
    ft.setDefaultDevice("cpu");
    ft.useDeterministicAlgorithms(false);
  }
}

describe("what a public function throws", {
  skip: !("Deno" in globalThis) && "deno doc tells what is public",
}, () => {
  let folder = "";
  const cwd = process.cwd(), seed = Number(process.env.FERROTYPE_SEED ?? 1), calls = 10;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-throws-"));
    // Relative paths among the arguments are those of this folder.
    process.chdir(folder);
  });
  after(() => {
    process.chdir(cwd);
    rmSync(folder, { recursive: true, force: true });
  });

  it("is among what its comment says", async () => {
    const declared = allDeclarations(), all = callables(declared), makers = await makeInstances();
    const values = new Values(declared, new ft.Generator(seed), makers);
    const unsaid = new Map<string, string>(), raw = new Set<string>(), threw = new Set<string>();
    for (const one of all) {
      if (Object.hasOwn(left, one.name) || notMade.some((names) => names.test(one.name))) continue;
      const found = callOf(one, makers);
      assert(found, `nothing here makes what ${one.name} is called on; tests/_instances.ts is the place`);
      const [call, makes] = found;
      // A setter's comment is the getter's.
      const comments = all.filter(({ name, kind }) =>
        name === one.name && (kind === one.kind || one.kind === "setter")
      );
      const said = new Set(comments.flatMap(({ ways }) => ways.flatMap((way) => thrownBy(way.said))));
      for (let k = 0; k < calls; k++) {
        const args = values.arguments(values.pick(one.ways).takes.params, firsts[one.name]),
          of = values.pick(makes)();
        const error = await errorOf(() => call(of, args));
        if (error === undefined || usual.test((error as Error).message)) continue;
        threw.add(one.name);
        if (!(error instanceof ft.FerrotypeError)) raw.add(`${one.name}: ${error}`);
        else if (!said.has(error.name)) unsaid.set(`${one.name} {${error.name}}`, error.message);
      }
    }
    assertEquals([...unsaid].map((parts) => parts.join(" ")), [], "errors that no @throws names");
    assert(threw.size > 350, `${threw.size} functions threw`);
  });
});
