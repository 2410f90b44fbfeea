/**
 * The inner loop of elementwise kernels: a program over spans of elements, in whole vectors and then what is left.
 *
 * Each operand lies along the span in one of three ways: it repeats one element, its elements are neighbours, or they
 * are some step apart. Vectors are done several side by side (see `preferredWidth`), then one by one, then one in
 * part.
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

/** One operand as a kernel sees it. */
export interface SpanOperand {
  /** What is stored. */
  readonly dtype: DType;
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
export function spanOperand(f: FunctionBuilder, dtype: DType, pattern: Pattern): SpanOperand {
  return { dtype, pattern, start: f.local("i32"), step: f.local("i32"), at: f.local("i32") };
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
    for (const x of inputs) emitLoad(w, x.dtype, program.type, x.at);
    for (const y of outputs) emitStore(w, y.dtype, program.type, w.fresh(), y.at);
  });
}

/** Pushes a · b, or a alone where b is 1. */
function pushScaled(f: FunctionBuilder, a: Local, b: number): void {
  f.get(a);
  if (b === 1) return;
  f.i32(b);
  f.op("i32.mul");
}

/** Moves an operand on by `count` elements. */
function advance(f: FunctionBuilder, x: SpanOperand, count: number): void {
  if (x.pattern === "same") return;
  if (x.pattern === "next") return f.increment(x.at, count * byteSize(x.dtype, 1));
  f.get(x.at);
  pushScaled(f, x.step, count);
  f.op("i32.add");
  f.set(x.at);
}

/**
 * Loads vectors for `width` vectors side by side; `splats` holds what the `"same"` operands repeat. `count` cuts the
 * one vector short.
 */
function loadInputs(
  w: VectorWriter,
  type: Program["type"],
  inputs: readonly SpanOperand[],
  splats: readonly (Local | null)[],
  count: Local | null,
): Vectors[] {
  return inputs.map((x, k) => {
    const splat = splats[k];
    if (splat !== null) return w.repeat(splat);
    const step = x.pattern === "next" ? byteSize(x.dtype, 1) : x.step;
    if (x.pattern === "next" && count === null) return emitLoad(w, x.dtype, type, x.at);
    return emitLoadLanes(w, x.dtype, type, x.at, 0, step, count);
  });
}

function storeOutputs(
  w: VectorWriter,
  type: Program["type"],
  outputs: readonly SpanOperand[],
  results: readonly Vectors[],
  count: Local | null,
): void {
  outputs.forEach((y, k) => {
    if (y.pattern === "next" && count === null) return emitStore(w, y.dtype, type, results[k], y.at);
    const step = y.pattern === "next" ? byteSize(y.dtype, 1) : y.step;
    emitStoreLanes(w, y.dtype, type, results[k][0], y.at, 0, step, count);
  });
}

/**
 * Runs the program over `remaining` elements (a local of i32, 0 afterwards) from the operands' starts on, `width`
 * vectors side by side while there are enough.
 */
export function emitSpan(
  prepared: PreparedProgram,
  type: Program["type"],
  inputs: readonly SpanOperand[],
  outputs: readonly SpanOperand[],
  remaining: Local,
  width: number,
): void {
  const { writer } = prepared, { f } = writer, lanes = lanesPerVector(type);
  const all = [...inputs, ...outputs];
  for (const x of all) {
    f.get(x.start);
    f.set(x.at);
  }
  const splats = inputs.map((x) =>
    x.pattern === "same" ? emitLoadSplat(writer, x.dtype, type, x.start)[0] : null
  );
  const step = (side: number, count: Local | null): void => {
    const w = writer.withWidth(side);
    const results = prepared.emit(loadInputs(w, type, inputs, splats, count), side);
    storeOutputs(w, type, outputs, results, count);
  };
  // Elements a step apart are gathered one by one: several vectors side by side gain nothing then.
  const apart = all.some((x) => x.pattern === "apart");
  for (const side of apart || width === 1 ? [1] : [width, 1]) {
    f.block((done) => {
      f.loop((again) => {
        f.get(remaining);
        f.i32(side * lanes);
        f.op("i32.lt_s");
        f.brIf(done);
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
    f.i32(0);
    f.set(remaining);
  });
}
