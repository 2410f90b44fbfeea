/**
 * Elementwise programs as vector code: the trees of `expr/nodes.ts`, four lanes of f32 or i32 or two of i64 at a
 * time, for elementwise kernels, reductions and the epilogues of matrix products.
 *
 * A program is cut into its distinct parts first (by structure, so that a part written twice is computed once). Parts
 * that depend on constants and the call's scalars alone are computed once, before the loop, like the constants.
 * Comparisons stay masks as long as only `select`, `not` and logic read them.
 *
 * In a kernel: {@link prepareProgram} before the loop (or, in a matrix product, after the inner loop and before that
 * of the epilogue), and the `emit` of what it returns inside, as often as needed:
 *
 * ```ts
 * const scalars = loadScalars(f, program, args, byteOffset); // once per call of the kernel
 * const prepared = prepareProgram(f, context, program, scalars);
 * // in the loop; here two vectors side by side, of which `bias` is the same
 * const [[y0, y1]] = prepared.emit([[sum0, sum1], [bias, bias]], 2);
 * ```
 *
 * @module
 */
import { DTypeError } from "../../../core/errors.ts";
import { toI32, toI64 } from "../../../expr/arithmetic.ts";
import type { Expr, Program } from "../../../expr/nodes.ts";
import type { FunctionBuilder, Local } from "../assembler/mod.ts";
import type { Engine, KernelContext } from "../engine.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../math/writer.ts";
import { emitMask, emitValue, type Evaluation, isLong, isTruth, type Part } from "./operations.ts";

/** The distinct parts of a program, operands first, and where its outputs are among them. */
interface Parts {
  readonly parts: readonly Part[];
  readonly outputs: readonly number[];
}

function operandsOf(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case "unary":
      return [expr.x];
    case "binary":
    case "compare":
      return [expr.x, expr.y];
    case "select":
      return [expr.condition, expr.x, expr.y];
    default:
      return [];
  }
}

function cut(program: Program): Parts {
  const parts: Part[] = [];
  const byNode = new Map<Expr, number>(), byKey = new Map<string, number>();
  const visit = (expr: Expr): number => {
    const known = byNode.get(expr);
    if (known !== undefined) return known;
    const operands = operandsOf(expr).map(visit);
    const own = "op" in expr
      ? expr.op
      : "index" in expr
      ? expr.index
      : "value" in expr
      ? Object.is(expr.value, -0) ? "-0" : expr.value
      : "";
    const key = `${expr.kind} ${own} ${operands}`;
    let place = byKey.get(key);
    if (place === undefined) {
      const truth = isTruth(expr, operands.map((k) => parts[k].truth));
      const invariant = expr.kind !== "input" && operands.every((k) => parts[k].invariant);
      place = parts.push({ expr, operands, invariant, truth }) - 1;
      byKey.set(key, place);
    }
    byNode.set(expr, place);
    return place;
  };
  const outputs = program.outputs.map(visit);
  return { parts, outputs };
}

/** What has been computed of one part: its value, its truth as a mask, or both. */
interface Computed {
  value?: Vectors;
  mask?: Vectors;
}

/** Computes parts on demand, each once. */
class Computation implements Evaluation {
  readonly writer: VectorWriter;
  readonly type: Program["type"];
  readonly #parts: readonly Part[];
  readonly #inputs: readonly Vectors[];
  readonly #scalars: readonly Local[];
  readonly #computed: Computed[];

  constructor(
    writer: VectorWriter,
    type: Program["type"],
    parts: readonly Part[],
    inputs: readonly Vectors[],
    scalars: readonly Local[],
    invariants: ReadonlyMap<number, Computed>,
  ) {
    this.writer = writer;
    this.type = type;
    this.#parts = parts;
    this.#inputs = inputs;
    this.#scalars = scalars;
    const repeat = (x: Vectors): Vectors => writer.repeat(x[0]);
    this.#computed = parts.map((_, place) => {
      const known = invariants.get(place);
      return {
        ...(known?.value && { value: repeat(known.value) }),
        ...(known?.mask && { mask: repeat(known.mask) }),
      };
    });
  }

  part(place: number): Part {
    return this.#parts[place];
  }

  value(place: number): Vectors {
    const computed = this.#computed[place];
    if (computed.value === undefined) {
      const { expr } = this.#parts[place];
      if (expr.kind === "input") computed.value = this.#inputs[expr.index];
      else if (expr.kind === "scalar") computed.value = this.writer.repeat(this.#scalars[expr.index]);
      else computed.value = emitValue(this, place);
    }
    return computed.value;
  }

  mask(place: number): Vectors {
    return this.#computed[place].mask ??= emitMask(this, place);
  }
}

/** A program whose constants and invariant parts are in locals. */
export interface PreparedProgram {
  /** Writes code with the constants hoisted; for loads and stores beside the program, see `also` of {@link prepareProgram}. */
  readonly writer: VectorWriter;
  /**
   * Emits the program for `width` vectors side by side: `inputs[k][i]` holds vector i of operand k, and so does the
   * result for the outputs. Results may be the very locals of an input (they are not copied): read them before
   * setting inputs anew.
   */
  emit(inputs: readonly Vectors[], width: number): Vectors[];
  /**
   * The width at which it is fastest: 4, since chains of dependent instructions as long as exp's are more than a
   * processor looks ahead, and interleaved when several vectors are side by side. But engines whose `relaxed_madd` is
   * not fused (Bun's) keep fewer vectors in registers: there long chains follow one another, and 1 is best.
   */
  readonly width: number;
}

/**
 * Puts the program's constants into locals of `f`, and computes what depends on `scalars` (one splat vector each)
 * alone. `also` emits whatever else the loop will write, to have its constants hoisted too.
 */
export function prepareProgram(
  f: FunctionBuilder,
  context: KernelContext,
  program: Program,
  scalars: readonly Local[],
  also?: (writer: VectorWriter) => void,
): PreparedProgram {
  if (program.type === "f64") {
    throw new DTypeError("the cpu device does not compute in f64; the reference device does");
  }
  const { parts, outputs } = cut(program);
  const none = new Map<number, Computed>();
  const writer = hoistConstants(f, context, (draft) => {
    const zero = draft.fresh();
    const inputs = Array.from({ length: program.inputs }, () => zero);
    const computation = new Computation(draft, program.type, parts, inputs, scalars, none);
    for (const place of outputs) computation.value(place);
    also?.(draft);
  });
  const invariants = new Map<number, Computed>();
  const before = new Computation(writer, program.type, parts, [], scalars, none);
  parts.forEach((part, place) => {
    if (!part.invariant) return;
    invariants.set(place, part.truth ? { mask: before.mask(place) } : { value: before.value(place) });
  });
  const apart = !context.fusedMadd && isHeavy(program);
  const emit = (inputs: readonly Vectors[], width: number): Vectors[] => {
    if (apart && width > 1) {
      const each = Array.from({ length: width }, (_, i) => emit(inputs.map((x) => [x[i]]), 1));
      return outputs.map((_, k) => each.map((results) => results[k][0]));
    }
    const computation = new Computation(
      writer.withWidth(width),
      program.type,
      parts,
      inputs,
      scalars,
      invariants,
    );
    return outputs.map((place) => computation.value(place));
  };
  return { writer, emit, width: apart ? 1 : 4 };
}

/** Elements in one vector of a compute type. */
export function lanesPerVector(type: Program["type"]): number {
  return type === "i64" ? 2 : 4;
}

/** Bytes that one scalar takes in an argument block. */
export const scalarBytes = 8;

/** Writes scalars into an argument block at `address` (a multiple of 8), for {@link loadScalars}. */
export function storeScalars(
  engine: Engine,
  type: Program["type"],
  scalars: readonly number[],
  address: number,
): void {
  for (let i = 0; i < scalars.length; i++) {
    const at = address + i * scalarBytes;
    if (type === "f32") engine.f32[at >>> 2] = scalars[i];
    else if (type === "i64") engine.i64[at >>> 3] = toI64(scalars[i]);
    else engine.i32[at >>> 2] = toI32(scalars[i]);
  }
}

/** Loads the program's scalars from `args + offset`, each into all lanes of a local. */
export function loadScalars(f: FunctionBuilder, program: Program, args: Local, offset: number): Local[] {
  return Array.from({ length: program.scalars }, (_, i) => {
    f.get(args);
    f.load(program.type === "i64" ? "v128.load64_splat" : "v128.load32_splat", offset + i * scalarBytes);
    const local = f.local("v128");
    f.set(local);
    return local;
  });
}

const heavy = new WeakMap<Program, boolean>();

/** Whether a program has parts that take a chain of many instructions. */
export function isHeavy(program: Program): boolean {
  let known = heavy.get(program);
  if (known === undefined) heavy.set(program, known = cut(program).parts.some(({ expr }) => isLong(expr)));
  return known;
}
