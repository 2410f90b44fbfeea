/**
 * Control flow by JavaScript, sequences and optionals.
 *
 * @module
 */
import { normalizeAxis } from "../../core/shape.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import {
  type Call,
  nodeName,
  type NoGradient,
  type Operator,
  type OperatorTable,
  type Result,
  type Results,
} from "../call.ts";
import type { Holders } from "../holders.ts";
import { heldAs, type OnnxType, typeOfCode } from "../types.ts";
import {
  deviceFor,
  elements,
  nothing,
  type SequenceValue,
  tensorOf,
  textsOf,
  type TextValue,
  type Value,
  valueOf,
} from "../values.ts";

async function isTrue(c: Call, value: Value): Promise<boolean> {
  if (value.kind !== "tensor" || value.tensor.size !== 1) throw c.fail("a condition is not one truth value");
  return Boolean((await elements(value.tensor))[0]);
}

async function branch(c: Call): Promise<Results> {
  return await c.around.run(c.graph(await isTrue(c, c.value(0)) ? "then_branch" : "else_branch"), []);
}

/** Values of one kind on a new axis: tensors, or texts. */
function stacked(c: Call, list: readonly Value[], axis: number): Value {
  const first = list[0];
  if (first.kind === "texts") {
    return textsOf([list.length, ...first.shape], list.flatMap((v) => (v as TextValue).data));
  }
  if (first.kind !== "tensor") throw c.fail("what a loop gives each time is no tensor");
  return valueOf(c.around.budget.within(() => f.stack(list.map((v) => tensorIn(c, v)), axis)), first.type);
}

function tensorIn(c: Call, value: Value): Tensor {
  if (value.kind !== "tensor") throw c.fail("a tensor is expected");
  return value.tensor;
}

/** The turns of a body: states that go from one to the next, and lists to which each adds. What a turn leaves is freed behind it. */
class Turns {
  readonly #c: Call;
  readonly #body: ReturnType<Call["graph"]>;
  readonly #held: Holders;
  /** The states as they are now. */
  state: readonly Value[];
  /** What the turns gave so far, by output. */
  readonly lists: readonly Value[][];
  /** Whether the body's first output says if there is another turn. */
  readonly #asks: boolean;

  constructor(c: Call, body: ReturnType<Call["graph"]>, state: readonly Value[], asks: boolean) {
    this.#c = c;
    this.#body = body;
    this.#held = c.around.holders();
    this.#asks = asks;
    this.state = state;
    this.lists = body.outputs.slice(Number(asks) + state.length).map(() => []);
  }

  /** One turn, which alone has `own`; whether there is another. */
  async turn(own: readonly Value[], inputs: readonly Value[]): Promise<boolean> {
    for (const value of own) this.#held.hold(value);
    try {
      const results = await this.#c.around.run(this.#body, inputs), before = this.state;
      for (const value of results) this.#held.hold(value);
      const rest = results.slice(Number(this.#asks));
      this.state = rest.slice(0, before.length);
      this.lists.forEach((list, i) => list.push(rest[before.length + i]));
      for (const value of before) this.#held.drop(value);
      if (!this.#asks) return true;
      const goOn = await isTrue(this.#c, results[0]);
      this.#held.drop(results[0]);
      return goOn;
    } finally {
      for (const value of own) this.#held.drop(value);
    }
  }

  /** The states behind the turns that `run` does, and what it makes of the lists. */
  async through(run: () => Promise<void>, join: (list: Value[], i: number) => Value): Promise<Value[]> {
    let isDone = false;
    try {
      await run();
      const joined = this.lists.map(join);
      isDone = true;
      return [...this.state, ...joined];
    } finally {
      for (const value of this.lists.flat()) this.#held.drop(value);
      if (!isDone) { for (const value of this.state) this.#held.drop(value); }
    }
  }
}

async function loop(c: Call): Promise<Results> {
  const body = c.graph("body"), { device, budget } = c.around;
  const most = c.has(0) ? Number((await elements(c.t(0)))[0]) : Infinity;
  let goOn = c.has(1) ? await isTrue(c, c.value(1)) : true;
  const turns = new Turns(c, body, c.inputs.slice(2).map((v) => v ?? nothing), true);
  const empty = (i: number): Value => {
    const { type } = body.outputs[1 + turns.state.length + i], element = typeOfCode(type.code) ?? "float";
    const inner = (type.shape ?? []).map((n) => typeof n === "number" ? n : 0);
    if (element === "string") return textsOf([0, ...inner], []);
    return valueOf(
      f.zeros([0, ...inner], { dtype: heldAs(element)!, device: deviceFor(element, device) }),
      element,
    );
  };
  return await turns.through(async () => {
    for (let runs = 0; goOn && runs < most; runs++) {
      const counters = budget.within(() => [
        tensorOf([runs], [], "int64", device),
        tensorOf([1], [], "bool", device),
      ]);
      goOn = await turns.turn(counters, [...counters, ...turns.state]);
    }
  }, (list, i) => list.length ? stacked(c, list, 0) : empty(i));
}

async function scan(c: Call): Promise<Results> {
  if (c.opset < 9) return await scanBatches(c);
  const body = c.graph("body"), count = c.int("num_scan_inputs", 1);
  const initial = c.inputs.length - count;
  const inputs = Array.from({ length: count }, (_, i) => c.typed(initial + i));
  return await scanOver(c, body, c.inputs.slice(0, initial) as Value[], inputs);
}

async function scanOver(
  c: Call,
  body: ReturnType<Call["graph"]>,
  initial: readonly Value[],
  inputs: readonly { readonly tensor: Tensor; readonly type: OnnxType }[],
): Promise<Value[]> {
  const axes = inputs.map(({ tensor }, i) =>
    normalizeAxis(c.ints("scan_input_axes")?.[i] ?? 0, tensor.shape.length, nodeName(c.node))
  );
  const backwards = inputs.map((_, i) =>
    (c.ints("scan_input_directions") ?? c.ints("directions"))?.[i] === 1
  );
  const length = inputs[0].tensor.shape[axes[0]], turns = new Turns(c, body, initial, false);
  return await turns.through(async () => {
    for (let t = 0; t < length; t++) {
      const parts = inputs.map(({ tensor, type }, i) =>
        valueOf(f.select(tensor, axes[i], backwards[i] ? length - 1 - t : t), type)
      );
      await turns.turn(parts, [...turns.state, ...parts]);
    }
  }, (list, i) => {
    const placed = c.ints("scan_output_directions")?.[i] === 1 ? [...list].reverse() : list;
    const first = placed[0], rank = first?.kind === "tensor" ? first.tensor.shape.length + 1 : 1;
    return stacked(c, placed, normalizeAxis(c.ints("scan_output_axes")?.[i] ?? 0, rank, nodeName(c.node)));
  });
}

/** Scan of opset 8: a first axis of batches, each with a length of its own. */
async function scanBatches(c: Call): Promise<Results> {
  const body = c.graph("body"), count = c.int("num_scan_inputs", 1), initial = c.inputs.length - 1 - count;
  const states = Array.from({ length: initial }, (_, i) => c.typed(1 + i));
  const inputs = Array.from({ length: count }, (_, i) => c.typed(1 + initial + i));
  const all: Value[][] = [], held = c.around.holders();
  const part = (b: number) => ({ tensor, type }: { tensor: Tensor; type: OnnxType }) => {
    const value = valueOf(f.select(tensor, 0, b), type);
    held.hold(value);
    return value;
  };
  try {
    for (let b = 0; b < inputs[0].tensor.shape[0]; b++) {
      const own = states.map(part(b)), parts = inputs.map(part(b));
      const results = await scanOver(c, body, own, parts);
      for (const value of results) held.hold(value);
      for (const value of [...own, ...parts]) held.drop(value);
      all.push(results);
    }
    return all[0].map((_, i) => stacked(c, all.map((values) => values[i]), 0));
  } finally {
    for (const value of all.flat()) held.drop(value);
  }
}

function sequence(c: Call, i: number): SequenceValue {
  const value = c.value(i);
  if (value.kind !== "sequence") throw c.fail(`input ${i} is no sequence`);
  return value;
}

function placeIn(c: Call, i: number, length: number, missing: number): number {
  const given = c.has(i) ? c.number(i) : missing, at = given < 0 ? given + length : given;
  if (!(at >= 0 && at <= length)) throw c.fail(`position ${given} is outside of ${length}`);
  return at;
}

/** A list is copied with one item more or less: in a loop that is work that grows with its square. */
function copied(c: Call, length: number, copy: () => readonly Value[]): Result | Promise<Result> {
  c.room(length);
  const of = (): SequenceValue => ({ kind: "sequence", items: copy() });
  return length >> 8 ? c.around.budget.step(length >> 8).then(of) : of();
}

function insert(c: Call): Result | Promise<Result> {
  const { items } = sequence(c, 0), at = placeIn(c, 2, items.length, items.length);
  return copied(c, items.length, () => [...items.slice(0, at), c.value(1), ...items.slice(at)]);
}

function erase(c: Call): Result | Promise<Result> {
  const { items } = sequence(c, 0), at = placeIn(c, 1, items.length, items.length - 1);
  return copied(c, items.length, () => items.filter((_, i) => i !== at));
}

function itemAt(c: Call): Result {
  const { items } = sequence(c, 0), at = placeIn(c, 1, items.length, 0), item = items[at];
  if (item === undefined) throw c.fail(`position ${at} is outside of ${items.length}`);
  return item;
}

function joinSequence(c: Call): Result {
  const { items } = sequence(c, 0), list = items.map((item) => tensorIn(c, item));
  if (list.length === 0) throw c.fail("the sequence is empty");
  const type = (items[0] as { type: OnnxType }).type, isNew = c.int("new_axis", 0) !== 0;
  const axis = normalizeAxis(c.int("axis", 0), list[0].shape.length + Number(isNew), nodeName(c.node));
  return valueOf(c.around.budget.within(() => isNew ? f.stack(list, axis) : f.concat(list, axis)), type);
}

function splitToSequence(c: Call): Result {
  const { tensor: x, type } = c.typed(0), axis = c.axis("axis", 0, x.shape.length), n = x.shape[axis];
  const given = c.maybe(1), numbers = c.maybeNumbers(1) ?? [1];
  const isOne = !given || given.shape.length === 0;
  if (isOne && !(numbers[0] > 0)) throw c.fail(`parts of ${numbers[0]}`);
  if (isOne) c.room(Math.ceil(n / numbers[0]));
  const sizes = isOne
    ? Array.from({ length: Math.ceil(n / numbers[0]) }, (_, i) => Math.min(numbers[0], n - i * numbers[0]))
    : numbers;
  let at = 0;
  const items = sizes.map((size) => {
    const part = f.narrow(x, axis, at, size);
    at += size;
    return valueOf(!given && !c.int("keepdims", 1) ? f.squeeze(part, axis) : part, type);
  });
  return { kind: "sequence", items };
}

async function sequenceMap(c: Call): Promise<Results> {
  const body = c.graph("body"), { items } = sequence(c, 0), results: Value[][] = [];
  for (let i = 0; i < items.length; i++) {
    const values = c.inputs.map((value) => value?.kind === "sequence" ? value.items[i] : value as Value);
    results.push(await c.around.run(body, values));
  }
  return body.outputs.map((_, k) => ({ kind: "sequence", items: results.map((list) => list[k]) }));
}

function hasElement(c: Call): Result {
  const held = c.has(0) && c.value(0).kind !== "nothing";
  return tensorOf([Number(held)], [], "bool", c.around.device);
}

function getElement(c: Call): Result {
  const value = c.value(0);
  if (value.kind === "nothing") throw c.fail("the optional holds nothing");
  return value;
}

const waiting = (
  since: readonly number[],
  run: Operator["run"],
  noGradient?: NoGradient,
  host: readonly number[] = [],
): Operator => ({ since, waits: true, host, run, ...noGradient && { noGradient } });

/** The operators. */
export const control: OperatorTable = {
  If: waiting([1, 11, 13, 16, 19, 21, 23, 24], branch),
  Loop: waiting([1, 11, 13, 16, 19, 21, 23, 24], loop),
  Scan: waiting([8, 9, 11, 16, 19, 21, 23, 24], scan),
  SequenceConstruct: waiting([11], (c) => ({ kind: "sequence", items: c.inputs.map((_, i) => c.value(i)) })),
  SequenceEmpty: waiting([11], () => ({ kind: "sequence", items: [] }), "fixed"),
  SequenceInsert: waiting([11], insert, undefined, [2]),
  SequenceErase: waiting([11], erase, undefined, [1]),
  SequenceAt: waiting([11], itemAt, undefined, [1]),
  SequenceLength: waiting(
    [11],
    (c) => tensorOf([sequence(c, 0).items.length], [], "int64", c.around.device),
    "sizes",
  ),
  ConcatFromSequence: waiting([11], joinSequence),
  SplitToSequence: waiting([11, 24], splitToSequence, undefined, [1]),
  SequenceMap: waiting([17], sequenceMap),
  Optional: waiting([15], (c) => c.has(0) ? c.value(0) : nothing),
  OptionalHasElement: waiting([15, 18], hasElement, "truth"),
  OptionalGetElement: waiting([15, 18], getElement),
};
