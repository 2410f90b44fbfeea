/**
 * The inner loop of elementwise kernels: a program over spans of elements, in whole vectors and then what is left.
 *
 * Each operand lies along the span in one of three ways: it repeats one element, its elements are neighbours, or they
 * are some step apart. Vectors are done some side by side, then one by one, then one in part.
 *
 * @module
 */
import { byteSize, type DType } from "../../../core/dtype.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { FunctionBuilder, Local } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";
import { emitLoad, emitLoadLanes, emitLoadSplat, emitStore, emitStoreLanes } from "./access.ts";
import { lanesPerVector, type PreparedProgram, prepareProgram } from "./expression.ts";

/** How an operand lies along a span: one element repeated, neighbours, or elements a step apart. */
export type Pattern = "same" | "next" | "apart";

/**
 * What an operand stores. The values of `"position"` are not in memory: its address is its value, and its step (1,
 * as if an element were a byte) counts.
 */
export type Stored = DType | "position";

/** One operand as a kernel sees it. */
export interface SpanOperand {
  /** What is stored. */
  readonly dtype: Stored;
  /** How it lies along spans. */
  readonly pattern: Pattern;
  /** Address of the first element of the span (i32); it is not changed. */
  readonly start: Local;
  /** Bytes from element to element (i32); needed for `"apart"`. */
  readonly step: Local;
  /** Where the span's loop is (i32). */
  readonly at: Local;
}

/** A new operand with fresh locals. */
export function spanOperand(f: FunctionBuilder, dtype: Stored, pattern: Pattern): SpanOperand {
  return { dtype, pattern, start: f.local("i32"), step: f.local("i32"), at: f.local("i32") };
}

/** Vectors that a consumer of results is given side by side, whatever the engine: its result may depend on it. */
export const spanWidth = 4;

/** Bytes from one element to the next where they are neighbours. */
export function elementBytes(dtype: Stored): number {
  return dtype === "position" ? 1 : byteSize(dtype, 1);
}

/** Loads `width` vectors of an operand; `count` cuts one vector short, whose other lanes repeat the first. */
function load(w: VectorWriter, type: Program["type"], x: SpanOperand, count: Local | null): Vectors {
  if (x.dtype === "position") return loadPositions(w, type, x);
  if (x.pattern === "same") return emitLoadSplat(w, x.dtype, type, x.at);
  if (x.pattern === "next" && count === null) return emitLoad(w, x.dtype, type, x.at);
  return emitLoadLanes(
    w,
    x.dtype,
    type,
    x.at,
    0,
    x.pattern === "next" ? elementBytes(x.dtype) : x.step,
    count,
  );
}

/** x.at, x.at + 1, … , or x.at in all lanes. */
function loadPositions(w: VectorWriter, type: Program["type"], x: SpanOperand): Vectors {
  const { f } = w, lanes = lanesPerVector(type);
  const positions = w.each((i) => {
    f.get(x.at);
    if (type === "i64") {
      f.op("i64.extend_i32_u");
      f.op("i64x2.splat");
      if (x.pattern === "same") return;
      f.i64x2(BigInt(i * lanes), BigInt(i * lanes + 1));
      return f.op("i64x2.add");
    }
    f.op("i32x4.splat");
    if (x.pattern === "same") return;
    f.i32x4(i * lanes, i * lanes + 1, i * lanes + 2, i * lanes + 3);
    f.op("i32x4.add");
  });
  return type === "f32" ? w.op("f32x4.convert_i32x4_s", positions) : positions;
}

/** Prepares the program together with the conversions that loads and stores of its operands need. */
export function prepareSpans(
  f: FunctionBuilder,
  context: KernelContext,
  program: Program,
  scalars: readonly Local[],
  inputs: readonly SpanOperand[],
  outputs: readonly SpanOperand[],
): PreparedProgram {
  return prepareProgram(f, context, program, scalars, (w) => {
    for (const x of inputs) load(w, program.type, x, null);
    for (const y of outputs) emitStore(w, y.dtype as DType, program.type, w.fresh(), y.at);
  });
}

/** Pushes a · b, or a alone where b is 1. */
function pushScaled(f: FunctionBuilder, a: Local, b: number): void {
  f.get(a);
  if (b === 1) return;
  f.op("i32.mul", b);
}

/** Moves an operand on by `count` elements. */
function advance(f: FunctionBuilder, x: SpanOperand, count: number): void {
  if (x.pattern === "same") return;
  if (x.pattern === "next") return f.increment(x.at, count * elementBytes(x.dtype));
  f.get(x.at);
  pushScaled(f, x.step, count);
  f.op("i32.add");
  f.set(x.at);
}

/** Takes results: `width` vectors of each output, or one vector of which `count` lanes count. */
export type Consume = (w: VectorWriter, results: readonly Vectors[], count: Local | null) => void;

/** Stores results where the outputs stand. */
function storing(type: Program["type"], outputs: readonly SpanOperand[]): Consume {
  return (w, results, count) =>
    outputs.forEach((y, k) => {
      const dtype = y.dtype as DType;
      if (y.pattern === "next" && count === null) return emitStore(w, dtype, type, results[k], y.at);
      const step = y.pattern === "next" ? elementBytes(dtype) : y.step;
      emitStoreLanes(w, dtype, type, results[k][0], y.at, 0, step, count);
    });
}

/** Puts operands at their starts and loads what the `"same"` ones among the inputs repeat. */
export function emitSpanStart(
  prepared: PreparedProgram,
  type: Program["type"],
  inputs: readonly SpanOperand[],
  outputs: readonly SpanOperand[],
): (Local | null)[] {
  const { writer } = prepared, { f } = writer;
  for (const x of [...inputs, ...outputs]) {
    f.set(x.at, x.start);
  }
  return inputs.map((x) => x.pattern === "same" ? load(writer, type, x, null)[0] : null);
}

/**
 * Runs the program over the next `remaining` elements (a local of i32, 0 afterwards) from where the operands are.
 * `splats` is what {@link emitSpanStart} gave; `consume` takes
 * the results instead of the outputs' memory, {@link spanWidth} vectors at a time. Only the last run over a span may leave part of a vector.
 */
export function emitSpanRun(
  prepared: PreparedProgram,
  type: Program["type"],
  inputs: readonly SpanOperand[],
  outputs: readonly SpanOperand[],
  splats: readonly (Local | null)[],
  remaining: Local,
  consume: Consume | null = null,
): void {
  const { writer } = prepared, { f } = writer, lanes = lanesPerVector(type);
  const all = [...inputs, ...outputs], take = consume ?? storing(type, outputs);
  const width = consume === null ? prepared.width : spanWidth;
  const step = (side: number, count: Local | null): void => {
    const w = writer.withWidth(side);
    const loaded = inputs.map((x, k) => {
      const splat = splats[k];
      return splat === null ? load(w, type, x, count) : w.repeat(splat);
    });
    take(w, prepared.emit(loaded, side), count);
  };
  // Elements a step apart are gathered one by one: several vectors side by side gain nothing then.
  const apart = all.some((x) => x.pattern === "apart");
  for (const side of apart || width === 1 ? [1] : [width, 1]) {
    f.block((done) => {
      f.loop((again) => {
        f.brIf(done, remaining.op("lt_s", side * lanes));
        step(side, null);
        for (const x of all) advance(f, x, side * lanes);
        f.increment(remaining, -side * lanes);
        f.br(again);
      });
    });
  }
  f.get(remaining);
  f.if(() => {
    step(1, remaining);
    f.set(remaining, 0);
  });
}

/** Runs the program over the `remaining` elements of a span from its start on. */
export function emitSpan(
  prepared: PreparedProgram,
  type: Program["type"],
  inputs: readonly SpanOperand[],
  outputs: readonly SpanOperand[],
  remaining: Local,
): void {
  const splats = emitSpanStart(prepared, type, inputs, outputs);
  emitSpanRun(prepared, type, inputs, outputs, splats, remaining);
}
