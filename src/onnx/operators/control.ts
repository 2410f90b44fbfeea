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
  type Operator,
  type OperatorTable,
  type Result,
  type Results,
} from "../call.ts";
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

/** The most runs of a loop's body: what goes on longer is taken for endless. */
const mostRuns = 2 ** 24;

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
  return valueOf(f.stack(list.map((v) => tensorIn(c, v)), axis), first.type);
}

function tensorIn(c: Call, value: Value): Tensor {
  if (value.kind !== "tensor") throw c.fail("a tensor is expected");
  return value.tensor;
}

async function loop(c: Call): Promise<Results> {
  const body = c.graph("body"), { device } = c.around;
  const most = c.has(0) ? Math.min(Number((await elements(c.t(0)))[0]), mostRuns + 1) : mostRuns + 1;
  let state: Value[] = c.inputs.slice(2).map((v) => v ?? nothing), runs = 0;
  let goOn = c.has(1) ? await isTrue(c, c.value(1)) : true;
  const scans: Value[][] = body.outputs.slice(1 + state.length).map(() => []);
  for (; goOn && runs < most; runs++) {
    if (runs >= mostRuns) throw c.fail(`its body has run ${mostRuns} times and goes on`);
    const results = await c.around.run(body, [
      tensorOf([runs], [], "int64", device),
      tensorOf([1], [], "bool", device),
      ...state,
    ]);
    goOn = await isTrue(c, results[0]);
    scans.forEach((list, i) => list.push(results[1 + state.length + i]));
    state = results.slice(1, 1 + state.length);
  }
  const empty = (i: number): Value => {
    const { type } = body.outputs[1 + state.length + i], element = typeOfCode(type.code) ?? "float";
    const inner = (type.shape ?? []).map((n) => typeof n === "number" ? n : 0);
    if (element === "string") return textsOf([0, ...inner], []);
    return valueOf(
      f.zeros([0, ...inner], { dtype: heldAs(element)!, device: deviceFor(element, device) }),
      element,
    );
  };
  return [...state, ...scans.map((list, i) => list.length ? stacked(c, list, 0) : empty(i))];
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
  const length = inputs[0].tensor.shape[axes[0]], outputs = body.outputs.length - initial.length;
  let state = [...initial];
  const scans: Value[][] = Array.from({ length: outputs }, () => []);
  for (let t = 0; t < length; t++) {
    const parts = inputs.map(({ tensor, type }, i) =>
      valueOf(f.select(tensor, axes[i], backwards[i] ? length - 1 - t : t), type)
    );
    const results = await c.around.run(body, [...state, ...parts]);
    state = results.slice(0, initial.length);
    scans.forEach((list, i) => list.push(results[initial.length + i]));
  }
  return [
    ...state,
    ...scans.map((list, i) => {
      if (c.ints("scan_output_directions")?.[i] === 1) list.reverse();
      const first = list[0], rank = first?.kind === "tensor" ? first.tensor.shape.length + 1 : 1;
      return stacked(c, list, normalizeAxis(c.ints("scan_output_axes")?.[i] ?? 0, rank, nodeName(c.node)));
    }),
  ];
}

/** Scan of opset 8: a first axis of batches, each with a length of its own. */
async function scanBatches(c: Call): Promise<Results> {
  const body = c.graph("body"), count = c.int("num_scan_inputs", 1), initial = c.inputs.length - 1 - count;
  const states = Array.from({ length: initial }, (_, i) => c.typed(1 + i));
  const inputs = Array.from({ length: count }, (_, i) => c.typed(1 + initial + i));
  const all: Value[][] = [];
  for (let b = 0; b < inputs[0].tensor.shape[0]; b++) {
    const part = ({ tensor, type }: { tensor: Tensor; type: OnnxType }) =>
      valueOf(f.select(tensor, 0, b), type);
    all.push(await scanOver(c, body, states.map(part), inputs.map(part)));
  }
  return all[0].map((_, i) => stacked(c, all.map((values) => values[i]), 0));
}

function sequence(c: Call, i: number): SequenceValue {
  const value = c.value(i);
  if (value.kind !== "sequence") throw c.fail(`input ${i} is no sequence`);
  return value;
}

async function placeIn(c: Call, i: number, length: number, missing: number): Promise<number> {
  const given = c.has(i) ? Number((await elements(c.t(i)))[0]) : missing,
    at = given < 0 ? given + length : given;
  if (!(at >= 0 && at <= length)) throw c.fail(`position ${given} is outside of ${length}`);
  return at;
}

async function insert(c: Call): Promise<Result> {
  const { items } = sequence(c, 0), at = await placeIn(c, 2, items.length, items.length);
  return { kind: "sequence", items: [...items.slice(0, at), c.value(1), ...items.slice(at)] };
}

async function erase(c: Call): Promise<Result> {
  const { items } = sequence(c, 0), at = await placeIn(c, 1, items.length, items.length - 1);
  return { kind: "sequence", items: items.filter((_, i) => i !== at) };
}

async function itemAt(c: Call): Promise<Result> {
  const { items } = sequence(c, 0), at = await placeIn(c, 1, items.length, 0), item = items[at];
  if (item === undefined) throw c.fail(`position ${at} is outside of ${items.length}`);
  return item;
}

function joinSequence(c: Call): Result {
  const { items } = sequence(c, 0), list = items.map((item) => tensorIn(c, item));
  if (list.length === 0) throw c.fail("the sequence is empty");
  const type = (items[0] as { type: OnnxType }).type, isNew = c.int("new_axis", 0) !== 0;
  const axis = normalizeAxis(c.int("axis", 0), list[0].shape.length + Number(isNew), nodeName(c.node));
  return valueOf(isNew ? f.stack(list, axis) : f.concat(list, axis), type);
}

async function splitToSequence(c: Call): Promise<Result> {
  const { tensor: x, type } = c.typed(0), axis = c.axis("axis", 0, x.shape.length), n = x.shape[axis];
  const given = c.maybe(1),
    numbers = given ? Array.from(await elements(given) as ArrayLike<number>, Number) : [1];
  const isOne = !given || given.shape.length === 0;
  if (isOne && !(numbers[0] > 0)) throw c.fail(`parts of ${numbers[0]}`);
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

const waiting = (since: readonly number[], run: Operator["run"]): Operator => ({ since, waits: true, run });

/** The operators. */
export const control: OperatorTable = {
  If: waiting([1, 11, 13, 16, 19, 21, 23, 24], branch),
  Loop: waiting([1, 11, 13, 16, 19, 21, 23, 24], loop),
  Scan: waiting([8, 9, 11, 16, 19, 21, 23, 24], scan),
  SequenceConstruct: waiting([11], (c) => ({ kind: "sequence", items: c.inputs.map((_, i) => c.value(i)) })),
  SequenceEmpty: waiting([11], () => ({ kind: "sequence", items: [] })),
  SequenceInsert: waiting([11], insert),
  SequenceErase: waiting([11], erase),
  SequenceAt: waiting([11], itemAt),
  SequenceLength: waiting([11], (c) => tensorOf([sequence(c, 0).items.length], [], "int64", c.around.device)),
  ConcatFromSequence: waiting([11], joinSequence),
  SplitToSequence: waiting([11, 24], splitToSequence),
  SequenceMap: waiting([17], sequenceMap),
  Optional: waiting([15], (c) => c.has(0) ? c.value(0) : nothing),
  OptionalHasElement: waiting([15, 18], hasElement),
  OptionalGetElement: waiting([15, 18], getElement),
};
