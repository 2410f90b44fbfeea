/**
 * Vector arithmetic written as nested calls instead of as a stack machine, with its constants out of the loop.
 *
 * Every method emits one instruction (or the few its comment names) and leaves the result in a local of its own:
 * engines turn locals into registers, so single assignment costs nothing. A writer works on `width` vectors side by
 * side and emits each instruction for all of them in turn, because the chains of exp and its like are longer than a
 * processor looks ahead. A number among the operands is a constant in all lanes. V8 would build a vector constant anew in every turn of a loop, which halves the speed of exp; so
 * {@link hoistConstants} writes the body once for practice, notes the constants it takes and puts them into locals
 * before the loop.
 *
 * @module
 */
import { FunctionBuilder, type Local, type PlainName, type Value } from "../assembler/mod.ts";
import type { KernelContext } from "../engine.ts";

/** Vectors side by side, each in a local; as many as the writer's `width`. */
export type Vectors = readonly Local[];

/** Vectors, or a number that stands for a constant in all lanes. */
export type Operand = Vectors | number;

const bits = new DataView(new ArrayBuffer(8));

/** The 8 bytes that a constant repeats, as text. */
function keyOf(shape: string, value: number | bigint): string {
  if (shape.startsWith("i64")) bits.setBigInt64(0, BigInt(value));
  else if (shape.startsWith("f64")) bits.setFloat64(0, Number(value));
  else {
    if (shape.startsWith("f32")) bits.setFloat32(0, Number(value));
    else bits.setInt32(0, Number(value));
    bits.setInt32(4, bits.getInt32(0));
  }
  return `${bits.getInt32(0)}:${bits.getInt32(4)}`;
}

function emitConstant(f: FunctionBuilder, key: string): void {
  const [high, low] = key.split(":").map(Number);
  f.i32x4(low, high, low, high);
}

/** Writes vector arithmetic into a function. */
export class VectorWriter {
  /** The function that is written. */
  readonly f: FunctionBuilder;
  /** What the code may use. */
  readonly context: KernelContext;
  /** How many vectors each operation works on. */
  readonly width: number;
  #constants: Map<string, Local | null>;
  #collect: boolean;

  /** A writer without hoisted constants: each is written where it is used. For loops, {@link hoistConstants}. */
  constructor(
    f: FunctionBuilder,
    context: KernelContext,
    width: number = 1,
    constants: Map<string, Local | null> = new Map(),
    collect: boolean = false,
  ) {
    this.f = f;
    this.context = context;
    this.width = width;
    this.#constants = constants;
    this.#collect = collect;
  }

  /** The same function and constants, with another number of vectors side by side. */
  withWidth(width: number): VectorWriter {
    return width === this.width
      ? this
      : new VectorWriter(this.f, this.context, width, this.#constants, this.#collect);
  }

  /** Puts vector number `i` of x on the stack; a number becomes a constant of `shape` (f32x4, i32x4, f64x2, i64x2). */
  push(x: Vectors | number | bigint, i: number, shape: string): void {
    if (typeof x === "object") return this.f.get(x[i]);
    const key = keyOf(shape, x);
    const local = this.#constants.get(key);
    if (local) return this.f.get(local);
    if (this.#collect) this.#constants.set(key, null);
    emitConstant(this.f, key);
  }

  /** What `emit` leaves on the stack for each vector, in fresh locals. */
  each(emit: (i: number) => void): Vectors {
    return Array.from({ length: this.width }, (_, i) => {
      emit(i);
      const local = this.f.local("v128");
      this.f.set(local);
      return local;
    });
  }

  /** Fresh locals, for results that two branches give. */
  fresh(): Vectors {
    return this.f.localArray("v128", this.width);
  }

  /** Copies x into `target`. */
  assign(target: Vectors, x: Vectors): void {
    target.forEach((local, i) => {
      this.f.get(x[i]);
      this.f.set(local);
    });
  }

  /** A local that stands for all vectors, such as a number given with the call. */
  repeat(local: Local): Vectors {
    return new Array<Local>(this.width).fill(local);
  }

  /** A constant in all lanes of `shape`. */
  constant(value: number | bigint, shape: string): Vectors {
    const local = this.#constants.get(keyOf(shape, value));
    return local ? this.repeat(local) : this.each((i) => this.push(value, i, shape));
  }

  /** A plain instruction. Numbers are constants of the instruction's own shape. */
  op(name: PlainName, ...operands: Operand[]): Vectors {
    const shape = name.slice(0, 5);
    return this.each((i) => {
      for (const x of operands) this.push(x, i, shape);
      this.f.op(name);
    });
  }

  /** A shift by the same count in all lanes. */
  shift(name: ShiftName, x: Vectors, count: number): Vectors {
    return this.each((i) => {
      this.f.get(x[i]);
      this.f.i32(count);
      this.f.op(name);
    });
  }

  /** Leaves 1 on the stack where a mask of 32-bit lanes is set in all lanes of all vectors, else 0. */
  allSet(mask: Vectors): void {
    const all = mask.reduce((x, y) => this.withWidth(1).and([x], [y])[0]);
    this.f.get(all);
    this.f.op("i32x4.bitmask");
    this.f.i32(15);
    this.f.op("i32.eq");
  }

  /** x + y */
  add(x: Operand, y: Operand): Vectors {
    return this.op("f32x4.add", x, y);
  }

  /** x - y */
  sub(x: Operand, y: Operand): Vectors {
    return this.op("f32x4.sub", x, y);
  }

  /** x · y */
  mul(x: Operand, y: Operand): Vectors {
    return this.op("f32x4.mul", x, y);
  }

  /** x / y */
  div(x: Operand, y: Operand): Vectors {
    return this.op("f32x4.div", x, y);
  }

  /** x · y + z, in one instruction where the context allows. */
  madd(x: Operand, y: Operand, z: Operand, shape: "f32x4" | "f64x2" = "f32x4"): Vectors {
    if (this.context.fma) return this.op(`${shape}.relaxed_madd`, x, y, z);
    return this.op(`${shape}.add`, this.op(`${shape}.mul`, x, y), z);
  }

  /** The polynomial c[0] + c[1] x + c[2] x² + … by Horner's rule. */
  polynomial(x: Vectors, coefficients: readonly number[], shape: "f32x4" | "f64x2" = "f32x4"): Vectors {
    const last = coefficients.length - 1;
    let sum: Operand = coefficients[last];
    for (let i = last - 1; i >= 0; i--) sum = this.madd(sum, x, coefficients[i], shape);
    return typeof sum === "number" ? this.constant(sum, shape) : sum;
  }

  /** The bits of x where the mask is set, else those of y. */
  select(mask: Vectors, x: Operand, y: Operand, shape: string = "f32x4"): Vectors {
    return this.each((i) => {
      this.push(x, i, shape);
      this.push(y, i, shape);
      this.f.get(mask[i]);
      this.f.op("v128.bitselect");
    });
  }

  /** x and y, bit by bit; a number is a pattern of 32 bits. */
  and(x: Operand, y: Operand): Vectors {
    return this.#bitwise("v128.and", x, y);
  }

  /** x and not y, bit by bit. */
  andNot(x: Operand, y: Operand): Vectors {
    return this.#bitwise("v128.andnot", x, y);
  }

  /** x or y, bit by bit. */
  or(x: Operand, y: Operand): Vectors {
    return this.#bitwise("v128.or", x, y);
  }

  /** x exclusive-or y, bit by bit. */
  xor(x: Operand, y: Operand): Vectors {
    return this.#bitwise("v128.xor", x, y);
  }

  #bitwise(name: PlainName, x: Operand, y: Operand): Vectors {
    return this.each((i) => {
      this.push(x, i, "i32x4");
      this.push(y, i, "i32x4");
      this.f.op(name);
    });
  }

  /** The sign bit of each float. */
  signOf(x: Vectors): Vectors {
    return this.and(x, signBit);
  }

  /** min(x, limit) that keeps x's NaN; of two zeros x's. One instruction on x86, where minimum is seven. */
  atMost(x: Vectors, limit: Operand, shape: "f32x4" | "f64x2" = "f32x4"): Vectors {
    return this.op(`${shape}.pmin`, x, limit);
  }

  /** max(x, limit) that keeps x's NaN; of two zeros x's. */
  atLeast(x: Vectors, limit: Operand, shape: "f32x4" | "f64x2" = "f32x4"): Vectors {
    return this.op(`${shape}.pmax`, x, limit);
  }

  /** Four floats as two vectors of two doubles: lanes 0, 1 and lanes 2, 3. */
  promote(x: Vectors): [Vectors, Vectors] {
    const low = this.op("f64x2.promote_low_f32x4", x);
    return [low, this.op("f64x2.promote_low_f32x4", this.highHalf(x))];
  }

  /** The other way: two vectors of two doubles as four floats, rounded once. */
  demote(low: Vectors, high: Vectors): Vectors {
    return this.joinLow(this.op("f32x4.demote_f64x2_zero", low), this.op("f32x4.demote_f64x2_zero", high));
  }

  /** Lanes 2 and 3 as lanes 0 and 1. */
  highHalf(x: Vectors): Vectors {
    return this.shuffle32(x, x, [2, 3, 2, 3]);
  }

  /** Lanes 0 and 1 of both. */
  joinLow(x: Vectors, y: Vectors): Vectors {
    return this.shuffle32(x, y, [0, 1, 4, 5]);
  }

  /** Picks 32-bit lanes: 0 to 3 are those of x, 4 to 7 those of y. */
  shuffle32(x: Vectors, y: Vectors, lanes: readonly number[]): Vectors {
    const bytes = lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]);
    return this.each((i) => {
      this.f.get(x[i]);
      this.f.get(y[i]);
      this.f.shuffle(bytes);
    });
  }
}

/** Shifts by one count. */
export type ShiftName = "i32x4.shl" | "i32x4.shr_s" | "i32x4.shr_u" | "i64x2.shl" | "i64x2.shr_u";

/** The pattern of the sign bit of a 32-bit float. */
export const signBit: number = 0x80000000 | 0;

/** A function that is thrown away; it takes the locals of the real one for its own. */
class Draft extends FunctionBuilder {
  #adopted = new Map<Local, Local>();

  constructor(name: string) {
    super({ typeIndex: () => 0, addressType: "i32" }, 0, name, { params: [], results: [] });
  }

  #own(local: Local): Local {
    if (this.variables[local.index] === local) return local;
    let own = this.#adopted.get(local);
    if (own === undefined) this.#adopted.set(local, own = this.local(local.type));
    return own;
  }

  override get(local: Local): void {
    super.get(this.#own(local));
  }

  override set(local: Local, value?: Value): void {
    super.set(this.#own(local), value);
  }

  override tee(local: Local, value?: Value): void {
    super.tee(this.#own(local), value);
  }
}

/**
 * A writer for `f` whose constants are in locals, set here: call it before the loop, and write inside the loop what
 * `body` writes. `body` is run once on a function that is thrown away, to see which constants it takes.
 */
export function hoistConstants(
  f: FunctionBuilder,
  context: KernelContext,
  body: (w: VectorWriter) => void,
): VectorWriter {
  const constants = new Map<string, Local | null>();
  body(new VectorWriter(new Draft(`${f.name} (constants)`), context, 1, constants, true));
  for (const key of constants.keys()) {
    emitConstant(f, key);
    const local = f.local("v128");
    f.set(local);
    constants.set(key, local);
  }
  return new VectorWriter(f, context, 1, constants);
}
