/**
 * Whatever a public function is given, what it throws is an error of this package: one sentence, and never the first
 * member that something turned out not to have. All exported functions, constructors and static methods are walked, and
 * the methods of what they make: first with nothing and with one wrong value in every place, then with seeded lists of
 * right and wrong values.
 */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ft from "../mod.ts";
import { FerrotypeError, Generator, nn, optim, type Tensor, tensor } from "../mod.ts";
import { after, describe, it } from "./_suite.ts";

type Call = (...args: unknown[]) => unknown;

const folder = mkdtempSync(join(tmpdir(), "ferrotype-arguments-")), nowhere = join(folder, "x");

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
  GPT2: "without sizes is GPT-2 small, which is 500 MB",
  GPT2Model: "without sizes is GPT-2 small, which is 500 MB",
  GPT2Block: "without sizes is of GPT-2 small",
  GPT2MLP: "without sizes is of GPT-2 small",
  "CausalLM.fromConfig": "of {} is GPT-2 small, which is 500 MB",
  gradient: "a landscape's, which a page calls a million times a second and which allocates nothing",
};

/** Names of what takes anything in its first place, and why. */
const takesAnything: readonly RegExp[] = [
  /^new \w*Error$/, // A message is what String makes of it.
  /^(areDeterministicAlgorithmsEnabled|defaultDevice|defaultGenerator|get\w+|initQuantized|initReference|randomState)$/, // No arguments.
  /^new nn\.(Module|ReLU|SiLU|Sigmoid|Tanh)$/, // No arguments.
  /^(nn\.isParameter|throwIfAborted)$/, // A question; nothing to be aborted.
  /^landscapes\.\w+\.value$|^tabular\.(badge|rangePosition|zScore)$/, // Arithmetic on numbers.
  /^Tensor#(data|toArray|detach|toString|t|contiguous|clone|exchangeGrad|watch|dispose)$/, // No arguments.
  /^Tensor#(exp2?|expm1|log(1p|2|10|Sigmoid|icalNot)?|r?sqrt|reciprocal|square|(sin|cos|tan)h?|erf|sigmoid|relu6?|silu|mish)$/,
  /^Tensor#(neg|abs|sign|floor|ceil|round|trunc|isnan|isinf|isfinite)$/, // No arguments.
];

/** Wrong values that are right for some: of those that are not named, all are refused. */
const right: Readonly<Record<string, readonly string[]>> = {
  "new CheckpointManager": ["text"],
  "new SummaryWriter": ["text"],
  "CharTokenizer.from": ["text"],
  "new CharTokenizer": ["text"],
  "BpeTokenizer.train": ["text", "[]"],
  "new Generator": ["5"],
  "new nn.Dropout": ["nothing", "undefined"],
  "new nn.Softmax": ["nothing", "undefined", "5"],
  "new nn.GELU": ["nothing", "undefined", "{}"],
  "new nn.LayerNorm": ["5"],
  "new nn.RMSNorm": ["5"],
  "new nn.Sequential": ["nothing"],
  "optim.gradNorm": ["[]"],
  "optim.schedules.constant": ["5"],
  "tabular.entropy": ["[]"],
  "tabular.sortedResiduals": ["[]"],
  "tabular.thinResiduals": ["[]"],
  arange: ["5"],
  eye: ["5"],
  manualSeed: ["5"],
  tensor: ["5", "[]"],
  memory: ["nothing", "undefined", "{}"],
  gpt2Config: ["nothing", "undefined", "{}"],
  resolveOptions: ["{}"],
  resolveRange: ["[]"],
  loadChatTemplate: ["{}", "[]"], // Files at hand, none of which is a template.
  "Tensor#to": ["{}"],
  "Tensor#requiresGrad_": ["nothing", "undefined"],
  "Tensor#slice": ["nothing", "undefined", "null", "[]"],
  "Tensor#gelu": ["nothing", "undefined", "{}"],
  "Tensor#clamp": ["nothing", "undefined", "null", "5"],
  ...Object.fromEntries(["empty", "full", "ones", "rand", "randn", "zeros"].map((name) => [name, ["[]"]])),
  // All dims, the last, or the main diagonal.
  ...Object.fromEntries(
    ["sum", "mean", "prod", "max", "min", "amax", "amin", "logsumexp", "any", "all", "norm", "var", "std"]
      .map((name) => [`Tensor#${name}`, ["nothing", "undefined", "null", "[]"]]),
  ),
  ...Object.fromEntries(
    ["argmax", "argmin"].map((name) => [`Tensor#${name}`, ["nothing", "undefined", "null"]]),
  ),
  ...Object.fromEntries(
    ["softmax", "logSoftmax", "sort", "argsort", "flatten", "backward"]
      .map((name) => [`Tensor#${name}`, ["nothing", "undefined"]]),
  ),
  ...Object.fromEntries(
    ["tril", "triu", "diagonal"].map((name) => [`Tensor#${name}`, ["nothing", "undefined", "5"]]),
  ),
  ...Object.fromEntries(
    ["hardtanh", "leakyRelu", "elu", "softplus"].map((name) => [`Tensor#${name}`, [
      "nothing",
      "undefined",
      "5",
    ]]),
  ),
  ...Object.fromEntries(
    [
      "add",
      "sub",
      "mul",
      "div",
      "pow",
      "maximum",
      "minimum",
      "remainder",
      "fmod",
      "floorDivide",
      "hypot",
      "eq",
      "ne",
      "lt",
      "le",
      "gt",
      "ge",
      "logicalAnd",
      "logicalOr",
      "logicalXor",
      "split",
      "chunk",
    ].map((name) => [`Tensor#${name}`, ["5"]]),
  ),
  "Tensor#squeeze": ["nothing", "undefined", "[]"],
  "Tensor#flip": ["[]"],
  "Tensor#pad": ["[]"],
};

const wrong: Readonly<Record<string, () => unknown[]>> = {
  nothing: () => [],
  undefined: () => [undefined],
  null: () => [null],
  "5": () => [5],
  text: () => [nowhere],
  "{}": () => [{}],
  "[]": () => [[]],
};

/** What calls are made of besides: right for something, wrong for most. */
const pool: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => 5,
  () => -1.5,
  () => NaN,
  () => true,
  () => "x",
  () => ({}),
  () => [],
  () => [1, 2],
  () => new Date(0),
  () => (x: unknown) => x,
  () => tensor([0, 1], { dtype: "i32" }),
];
const aMatrix = (): Tensor => tensor([[1, 2], [3, 4]]);

const isClass = (f: unknown): boolean => /^class\b/.test(Function.prototype.toString.call(f));

function methodsOf(name: string, make: () => unknown): [string, Call][] {
  const found = new Map<string, Call>(), of = make() as object;
  for (let at = Object.getPrototypeOf(of); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (key === "constructor" || typeof value !== "function" || found.has(`${name}#${key}`)) continue;
      found.set(`${name}#${key}`, (...args) => (make() as Record<string, Call>)[key](...args));
    }
  }
  return [...found];
}

function functionsOf(space: object, prefix = ""): [string, Call][] {
  return Object.entries(space).flatMap(([key, value]): [string, Call][] => {
    const name = prefix + key;
    if (Object.hasOwn(left, key)) return [];
    if (typeof value === "function" && !isClass(value)) return [[name, value as Call]];
    if (typeof value === "function") {
      const statics = Object.getOwnPropertyNames(value).filter((own) =>
        !["length", "name", "prototype"].includes(own) && typeof value[own] === "function" &&
        !Object.hasOwn(left, `${name}.${own}`)
      );
      return [
        [`new ${name}`, (...args) => new value(...args)],
        ...statics.map((own): [string, Call] => [`${name}.${own}`, (...args) => value[own](...args)]),
      ];
    }
    const isSpace = typeof value === "object" && value !== null && !Array.isArray(value);
    return isSpace ? functionsOf(value, `${name}.`) : [];
  });
}

/** What a call comes to: of a generator that it gives, the first step too. */
async function outcome(call: () => unknown): Promise<unknown> {
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

/** What takes any number of arguments, or is not checked, and why. */
const takesMore: readonly RegExp[] = [
  /^new \w*Error$/, // Error's own.
  /^new nn\.Sequential$|^einsum$|^(Tensor#)?slice$|^Tensor#(reshape|view|permute|expand|repeat)$/, // As many as there are.
  /^new (\w+Methods|Tensor)$/, // Made by functions alone.
  /^GPT2#stamp/, // No part of the face.
  /#toJSON$/, // JSON.stringify gives it a name.
  /^(nn\.isParameter|throwIfAborted)$/, // A question; nothing to be aborted.
  /^landscapes\.\w+\.value$|^step2d$|^tabular\.(badge|rangePosition|zScore)$/, // Arithmetic on numbers.
];

/** PyTorch's options that are none here, and calls with too much. */
const surplus: readonly [(x: Tensor) => unknown, RegExp][] = [
  [(x) => (x.matmul as Call)(x, { transposeB: true }), /matmul: \{ transposeB: true \} has no effect/],
  [(x) => (x.exp as Call)(2), /exp: 2 has no effect, as it takes no arguments; leave it out$/],
  [
    (x) => (nn.parameter as Call)(x, { requiresGrad: false }),
    /parameter: .* it takes 1 argument at most; leave/,
  ],
  [
    () => new (nn.ReLU as unknown as new (o: object) => unknown)({ inplace: true }),
    /ReLU: \{ inplace: true \}/,
  ],
  [() => new (nn.SiLU as unknown as new (o: string) => unknown)("x"), /SiLU: "x" has no effect/],
  [(x) => (x.reshape as Call)([2], { copy: true }), /reshape: \{ copy: true \} has no effect behind a list/],
  [() => (ft.arange as Call)(0, 5, 1, { dtype: "f32" }, 1), /arange: 1 has no effect/],
  [() => (ft.arange as Call)(5, { dtype: "f32" }, 1), /arange: 1 has no effect, as it takes 2 arguments/],
  [() => (ft.randint as Call)(5, [2], {}, 1), /randint: 1 has no effect/],
  [() => (ft.eye as Call)(2, {}, 3), /eye: 3 has no effect/],
  [(x) => (ft.mul as Call)(x, x, undefined, 3), /mul: 3 has no effect, as it takes 2 arguments at most/],
];

/** What is said of a file that is there or not, by its own name. */
const ofFile =
  /^Cannot open|neither a folder here nor|merges\.txt|a? ?tokenizer(_config)?\.json should|the folder given holds/;

/** What another is called for, by its own name, and why. */
const toldByOthers: readonly RegExp[] = [
  /^byClass$/, // Says what it is given for a name.
  /^CharTokenizer\.from$|^new (CausalLM|GPT2Cache)$|^gpt2Config$|^resolveOptions$/, // By the class, the options, the call.
  /^new (\w+Methods|Tensor|NetworkModel|TextModel|OnnxModel|GgufFile|(tabular\.)?TabularModelBase)$/, // Made by functions alone.
];

/** Rooms whose functions speak for themselves: no message of theirs begins with another function's name. */
const named =
  /^(tabular\.(accuracy|auc|brier|classReport|confusionMatrix|expectedCalibrationError|logLoss|macroF1|mae|r2|reliability|rmse)|optim\.schedules\.\w+|(Tensor#)?(amax|amin|argsort|clamp|gather|indexSelect|max|mean|min|norm|prod|sort|sum|topk)|any|all|std)$/;

const all = [...functionsOf(ft), ...methodsOf("Tensor", aMatrix)];

describe("arguments of the public face", () => {
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("are refused by an error of this package where they are wrong", async () => {
    const raw: string[] = [], taken: string[] = [];
    for (const [name, call] of all) {
      for (const [label, args] of Object.entries(wrong)) {
        const error = await outcome(() => call(...args()));
        if (error === undefined) {
          const may = takesAnything.some((names) => names.test(name)) || right[name]?.includes(label);
          if (!may) taken.push(`${name}(${label})`);
        } else if (!(error instanceof FerrotypeError)) raw.push(`${name}(${label}): ${error}`);
      }
    }
    assertEquals(raw, []);
    assertEquals(taken, [], "calls that were to be refused");
  });

  it("never lead to an error of the language, whatever they are", async () => {
    const random = new Generator(20), raw: string[] = [];
    const below = (n: number): number => Math.floor(random.uniform() * n);
    for (const [name, call] of all) {
      for (let k = 0; k < 12; k++) {
        const picks = Array.from({ length: 1 + below(4) }, () => below(pool.length));
        const args = picks.map((pick) => pool[pick]());
        // A tensor in front lets what follows be looked at.
        if (below(2)) args[0] = aMatrix();
        const error = await outcome(() => call(...args));
        if (error === undefined || error instanceof FerrotypeError) continue;
        raw.push(`${name}(${args.map(String).join(", ")}): ${error}`);
      }
    }
    assertEquals(raw, []);
  });

  it("are refused beyond those that a function takes, but for what map and reduce add", async () => {
    const model = new ft.GPT2({ vocabSize: 4, nPositions: 8, nEmbd: 4, nLayer: 1, nHead: 1 });
    const linear = (): nn.Linear => new nn.Linear(2, 2), characters = ft.CharTokenizer.from("abc");
    const methods = [
      ...methodsOf("Linear", linear),
      ...methodsOf("SGD", () => new optim.SGD(linear().parameters(), { lr: 1 })),
      ...methodsOf("Generator", () => new Generator(1)),
      ...methodsOf("Sequential", () => new nn.Sequential()),
      ...methodsOf("CharTokenizer", () => characters),
      ...methodsOf("GPT2", () => model),
    ];
    const passed: string[] = [];
    let refused = 0;
    for (const [name, call] of [...all, ...methods]) {
      if (takesMore.some((names) => names.test(name))) continue;
      const error = await outcome(() => call(...new Array(9).fill(undefined), { qqxx: 1 }));
      if (/: \{ qqxx: 1 \} has no effect, as it takes (no|\d) /.test(String(error))) refused++;
      else passed.push(`${name}: ${error}`);
    }
    assertEquals(passed, []);
    assert(refused > 500, `${refused}`);
    const x = tensor([1, -2]), xs = [x, tensor([3, -4]), tensor([5, 6])];
    assertEquals(await Promise.all(xs.map(ft.relu).map((y) => y.toArray())), [[1, 0], [3, 0], [5, 6]]);
    assertEquals(await Promise.all(xs.map(ft.round).map((y) => y.toArray())), [[1, -2], [3, -4], [5, 6]]);
    for (const f of [ft.add, ft.sub, ft.mul, ft.maximum] as ((a: Tensor, b: Tensor) => Tensor)[]) {
      assertEquals(await xs.reduce(f).toArray(), await f(f(xs[0], xs[1]), xs[2]).toArray());
    }
    assertEquals(JSON.parse(JSON.stringify({ of: characters })), {
      of: JSON.parse(JSON.stringify(characters)),
    });
    const isMapped = /; to map a list write \(x\) => softmax\(x\)$/;
    assertMatch(String(await outcome(() => xs.map(ft.softmax))), isMapped);
    for (const [call, message] of surplus) assertMatch(String(await outcome(() => call(x))), message);
  });

  it("are told by the name of what was called", async () => {
    const others: string[] = [];
    let asked = 0;
    for (const [name, call] of all) {
      if (!named.test(name)) continue;
      const own = name.split(/[.#]/).at(-1) as string, head = name.startsWith("Tensor#") ? [] : [aMatrix()];
      const more = [{ min: 1, mx: 2 }, { p: 2 }, { lr: "x" }, "x", 9].map((value) => [...head, value]);
      for (const args of [...Object.values(wrong).map((make) => make()), ...more, [...more[4], aMatrix()]]) {
        const error = await outcome(() => call(...args));
        if (error === undefined) continue;
        asked++;
        if (!String((error as Error).message).startsWith(own)) {
          others.push(`${name}: ${(error as Error).message}`);
        }
      }
    }
    assertEquals(others, []);
    assert(asked > 200, `${asked} errors`);
    const x = aMatrix(), outside = tensor([5], { dtype: "i32" });
    assertMatch(
      String(await outcome(() => x.indexSelect(0, outside).data())),
      /indexSelect: index 5 is outside \[-2, 1\]/,
    );
  });

  it("hold the name of what was called, whichever other function it is made of", async () => {
    const unnamed: string[] = [],
      lists: (() => unknown[])[] = [
        ...Object.values(wrong),
        () => [aMatrix(), "x"],
        () => [[aMatrix()], "x"],
        () => [aMatrix(), null],
        () => [aMatrix(), { qqxx: 1 }],
        () => [aMatrix(), aMatrix(), aMatrix(), "q"],
      ];
    for (const [name, call] of all) {
      if (toldByOthers.some((names) => names.test(name))) continue;
      const own = name.split(/[ .#]/).at(-1) as string;
      for (const list of lists) {
        const error = await outcome(() => call(...list()));
        // The constructor of a class's options, and a file by its name, are told by theirs.
        if (error === undefined || ofFile.test((error as Error).message)) continue;
        if ((error as Error).message.includes(own)) continue;
        unnamed.push(`${name}: ${(error as Error).message}`);
        break;
      }
    }
    assertEquals(unnamed, []);
  });

  it("say who was given what, and what was expected", async () => {
    const x = aMatrix(), linear = new nn.Linear(2, 2), ids = ft.CharTokenizer.from("abc");
    const calls: [Call, RegExp][] = [
      [() => x.matmul(undefined as never), /^matmul: b is undefined, expected a tensor/],
      [() => ft.concat(5 as never), /^concat: 5 is not a list of tensors$/],
      [() => ft.einsum(5 as never), /^einsum: the equation is 5, expected a text$/],
      [() => ft.tidy(5 as never), /^tidy: f is 5, expected a function$/],
      [() => ft.grad(5 as never), /^grad: f is 5, expected a function$/],
      [() => new nn.Sequential(5 as never), /^Sequential: layer 0 is 5, expected a module with forward$/],
      [() => new ft.Batcher(5 as never), /^Batcher: the model is 5, expected a language model/],
      [() => ids.encode(5 as never), /^encode: the text is 5, expected a text$/],
      [() => ids.decode(5 as never), /^decode: ids is 5, expected a list of numbers$/],
      [() => ft.CharTokenizer.from(""), /^CharTokenizer: there is no character/],
      [() => ft.full([2], undefined as never), /^full: the value is undefined, expected a number/],
      [() => ft.setDefaultDevice(undefined as never), /^setDefaultDevice: device undefined is not available/],
      [() => ft.GPT2.load(5 as never), /^load: the place is 5, expected a folder, a URL/],
      [() => ft.openSafetensors(null as never), /^openSafetensors: the file is null, expected a path, a URL/],
      [() => ft.saveSafetensors(nowhere, { a: 5 } as never), /^saveSafetensors: "a" is 5, expected a tensor/],
      [() => linear.loadStateDict(null as never), /^loadStateDict: what is given is null, expected tensors/],
      [() => optim.clipGradNorm(linear as never, 1), /^clipGradNorm: what is given is a Linear, expected/],
    ];
    for (const [call, message] of calls) {
      const error = await outcome(call);
      assertInstanceOf(error, FerrotypeError, String(message));
      assertMatch(error.message, message);
    }
  });

  it("of generation are those of resolveOptions, and of complete those that show in a text", async () => {
    const model = new ft.GPT2({ vocabSize: 4, nPositions: 8, nEmbd: 4, nLayer: 1, nHead: 1 });
    const good = ft.resolveOptions({ maxNewTokens: 1 });
    const first = async (options: object): Promise<unknown> =>
      await outcome(() => ft.generateTokens(model, [1], options as never));
    assertEquals(await first(good), undefined);
    assertMatch(String(await first({ ...good, temprature: 1 })), /no option "temprature".*temperature/);
    assertMatch(String(await first({ ...good, maxNewTokens: NaN })), /maxNewTokens is NaN, expected/);
    assertMatch(String(await first({ maxNewTokens: 1 })), /is missing; pass resolveOptions/);
    for (const name of ["outputScores", "outputLogits", "returnDictInGenerate"]) {
      const error = await assertRejects(() => model.complete([1], { [name]: true } as never), FerrotypeError);
      assertMatch(error.message, new RegExp(`^complete: ${name} has no effect .*use completion$`));
    }
    for (const logprobs of [0, 1000]) {
      await assertRejects(
        () => model.complete([1], { logprobs }),
        FerrotypeError,
        "or hear them with onToken",
      );
      await assertRejects(() => model.chat([], { logprobs }), FerrotypeError);
    }
    for (const [name, value] of [["outputScores", true], ["outputLogits", true], ["logprobs", 2]]) {
      const error = await outcome(() => model.generateIds([1], { [name as string]: value } as never));
      assertMatch(String(error), new RegExp(`generateIds: ${name} has no effect .*use completion or stream`));
    }
    const heard: number[] = [], onToken = (_: number, more?: ft.TokenDetails) => heard.push(more!.top.length);
    await model.complete([1], { maxNewTokens: 2, logprobs: 3, onToken });
    assertEquals(heard, [3, 3]);
    assert((await model.completion([1], { maxNewTokens: 1, outputLogits: true })).logits?.length === 1);
  });
});
