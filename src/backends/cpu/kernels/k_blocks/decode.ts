/**
 * A block of weights of a GGUF (q2k to q6k, q50 …) as f32: sixteen numbers at a time are taken out of their bits, widened, and multiplied
 * by the scale of their part. Products and sums are rounded as in the definition (`core/k_blocks.ts`), so that values are the
 * same to the bit.
 *
 * @module
 */
import type { KDType } from "../../../../core/dtype.ts";
import { nonLinear, twiceE2m1 } from "../../../../core/k_blocks.ts";
import { type FunctionBuilder, type Local, type ModuleBuilder, Term } from "../../assembler/mod.ts";

/** Weights that are widened at once: one block, or several small ones. */
export const kValues = 256;

/** Emits one dtype's block. */
class Decoder {
  readonly f: FunctionBuilder;
  readonly from: Local;
  readonly #to: Local;
  readonly #numbers: Local;
  readonly #extra: Local;
  readonly #words: Local;
  readonly #step: Local;
  readonly #offset: Local;
  /** The block's factors. */
  readonly d: Local;
  readonly least: Local;
  readonly #scale: Local;

  constructor(f: FunctionBuilder) {
    this.f = f;
    [this.from, this.#to] = f.params;
    [this.#numbers, this.#extra, this.#words, this.#step, this.#offset] = f.localArray("v128", 5);
    [this.d, this.least] = f.localArray("f32", 2);
    this.#scale = f.local("i32");
  }

  /** `to` = the f16 at byte `at`; scales are finite. */
  half(at: number, to: Local): void {
    const { f } = this;
    f.push(this.from.load(at, "i32.load16_s", 1).shl(13).and(0x8fffe000 | 0).op("f32.reinterpret_i32"));
    f.f32(2 ** 112);
    f.op("f32.mul");
    f.set(to);
  }

  /** Leaves the byte at `at`, masked and moved: (byte >> shift & mask) << up. */
  byte(at: number, mask: number, shift = 0, up = 0): void {
    const { f } = this;
    f.push(this.from.load(at, "i32.load8_u"));
    if (shift > 0) {
      f.op("i32.shr_u", shift);
    }
    f.op("i32.and", mask);
    if (up > 0) {
      f.op("i32.shl", up);
    }
  }

  /** Sets the step of the numbers that follow to the block's factor times the integer that `push` leaves. */
  step(push: () => void): void {
    this.#scaled(this.d, push, this.#step);
  }

  /** Sets what is taken off of the products that follow likewise. */
  offset(push: () => void): void {
    this.#scaled(this.least, push, this.#offset);
  }

  /** The step is the block's factor itself, and its least value what is added. */
  plain(hasLeast: boolean): void {
    const { f } = this;
    f.set(this.#step, this.d.op("f32x4.splat"));
    if (!hasLeast) return;
    f.set(this.#offset, this.least.op("f32.neg").op("f32x4.splat"));
  }

  #scaled(factor: Local, push: () => void, to: Local): void {
    const { f } = this;
    push();
    f.set(this.#scale);
    f.set(to, factor.op("f32.mul", this.#scale.op("f32.convert_i32_s")).op("f32x4.splat"));
  }

  /** Sets `to` to sixteen bytes at `at`, each (byte >> shift & mask) << up. */
  #bits(at: number, mask: number, shift: number, up: number, to: Local): void {
    const { f } = this;
    f.push(this.from.load(at, "v128.load", 1));
    const move = (by: number, name: "i16x8.shr_u" | "i16x8.shl"): void => {
      if (by === 0) return;
      f.i32(by);
      f.op(name);
    };
    // Words are shifted, as shifts of bytes are several instructions; what comes over from a neighbour is masked off.
    move(shift, "i16x8.shr_u");
    f.i8x16(mask);
    f.op("v128.and");
    move(up, "i16x8.shl");
    f.set(to);
  }

  /** Numbers from sixteen bytes at `at`. */
  numbers(at: number, mask: number, shift: number): void {
    this.#bits(at, mask, shift, 0, this.#numbers);
  }

  /** Adds upper bits from sixteen bytes at `at`. */
  upper(at: number, mask: number, shift: number, up: number): void {
    const { f } = this;
    this.#bits(at, mask, shift, up, this.#extra);
    f.set(this.#numbers, this.#numbers.op("v128.or", this.#extra));
  }

  /** Adds a fifth bit to every number, from the sixteen bits at `at`. */
  fifth(at: number): void {
    const { f } = this, bits = [0x08040201, 0x80402010 | 0, 0x08040201, 0x80402010 | 0] as const;
    f.set(this.#extra, this.from.load(at, "i32.load16_u", 1).op("i16x8.splat"));
    f.push(this.#extra, this.#extra);
    f.shuffle(Array.from({ length: 16 }, (_, lane) => lane >> 3));
    f.i32x4(...bits);
    f.op("v128.and");
    f.i32x4(...bits);
    f.op("i8x16.eq");
    f.i8x16(16);
    f.op("v128.and");
    f.op("v128.or", this.#numbers);
    f.set(this.#numbers);
  }

  /** Replaces every number by what stands at its place in a table of sixteen. */
  lookUp(table: readonly number[]): void {
    const { f } = this,
      words = [0, 4, 8, 12].map((at) =>
        table.slice(at, at + 4).reduce((word, x, i) => word | (x & 255) << 8 * i, 0)
      ) as [number, number, number, number];
    f.i32x4(...words);
    f.op("i8x16.swizzle", this.#numbers);
    f.set(this.#numbers);
  }

  /** Sixteen low nibbles at `at`, then the high ones, each changed by `change` and stored. */
  nibbles(at: number, o: number, hasOffset: boolean, change: (half: number) => void = () => {}): void {
    for (let half = 0; half < 2; half++) {
      this.numbers(at, 15, 4 * half);
      change(half);
      this.store(o + 16 * half, hasOffset);
    }
  }

  /** Takes the same from every number. */
  less(by: number): void {
    const { f } = this;
    f.get(this.#numbers);
    f.i8x16(by);
    f.op("i8x16.sub");
    f.set(this.#numbers);
  }

  /** Stores the sixteen values as numbers `o` to `o` + 15: number · step (- offset). */
  store(o: number, hasOffset: boolean): void {
    const { f } = this;
    (["low", "high"] as const).forEach((half, i) => {
      f.get(this.#numbers);
      f.op(`i16x8.extend_${half}_i8x16_s`);
      f.set(this.#words);
      (["low", "high"] as const).forEach((part, k) => {
        f.push(this.#to, this.#words);
        f.op(`i32x4.extend_${part}_i16x8_s`);
        f.op("f32x4.convert_i32x4_s");
        f.op("f32x4.mul", this.#step);
        if (hasOffset) {
          f.op("f32x4.sub", this.#offset);
        }
        f.store("v128.store", 4 * (o + 8 * i + 4 * k), 4);
      });
    });
  }
}

/** Scale and minimum of part `j`, six bits each, of the twelve bytes at `at`. */
function sixBits(b: Decoder, at: number, j: number): void {
  if (j < 4) {
    b.step(() => b.byte(at + j, 63));
    b.offset(() => b.byte(at + j + 4, 63));
    return;
  }
  const join = (low: () => void, high: number): void => {
    low();
    b.byte(high, 3, 6, 4);
    b.f.op("i32.or");
  };
  b.step(() => join(() => b.byte(at + j + 4, 15), at + j - 4));
  b.offset(() => join(() => b.byte(at + j + 4, 15, 4), at + j));
}

const decoders: Readonly<Record<KDType, (b: Decoder) => void>> = {
  q2k(b) {
    b.half(80, b.d);
    b.half(82, b.least);
    for (let part = 0, o = 0, scale = 0; part < 2; part++) {
      for (let shift = 0; shift < 8; shift += 2) {
        for (let half = 0; half < 2; half++, scale++, o += 16) {
          b.step(() => b.byte(scale, 15));
          b.offset(() => b.byte(scale, 15, 4));
          b.numbers(16 + 32 * part + 16 * half, 3, shift);
          b.store(o, true);
        }
      }
    }
  },
  q3k(b) {
    const { f } = b;
    b.half(108, b.d);
    for (let part = 0, o = 0, scale = 0; part < 2; part++) {
      for (let j = 0; j < 4; j++) {
        for (let half = 0; half < 2; half++, scale++, o += 16) {
          const own = scale;
          b.step(() => {
            b.byte(96 + own % 8, 15, own < 8 ? 0 : 4);
            b.byte(104 + own % 4, 3, 2 * (own >> 2), 4);
            f.op("i32.or");
            f.op("i32.sub", 32);
          });
          b.numbers(32 + 32 * part + 16 * half, 3, 2 * j);
          // The bit that is missing takes 4 off.
          const bit = 4 * part + j;
          b.upper(16 * half, 1, bit, 2);
          b.less(4);
          b.store(o, false);
        }
      }
    }
  },
  q4k(b) {
    b.half(0, b.d);
    b.half(2, b.least);
    for (let j = 0; j < 8; j++) {
      sixBits(b, 4, j);
      for (let half = 0; half < 2; half++) {
        b.numbers(16 + 32 * (j >> 1) + 16 * half, 15, j % 2 * 4);
        b.store(32 * j + 16 * half, true);
      }
    }
  },
  q5k(b) {
    b.half(0, b.d);
    b.half(2, b.least);
    for (let j = 0; j < 8; j++) {
      sixBits(b, 4, j);
      for (let half = 0; half < 2; half++) {
        b.numbers(48 + 32 * (j >> 1) + 16 * half, 15, j % 2 * 4);
        b.upper(16 + 16 * half, 1, j, 4);
        b.store(32 * j + 16 * half, true);
      }
    }
  },
  q41(b) {
    b.half(0, b.d);
    b.half(2, b.least);
    b.plain(true);
    b.nibbles(4, 0, true);
  },
  q50(b) {
    b.half(0, b.d);
    b.plain(false);
    b.nibbles(6, 0, false, (half) => {
      b.fifth(2 + 2 * half);
      b.less(16);
    });
  },
  q51(b) {
    b.half(0, b.d);
    b.half(2, b.least);
    b.plain(true);
    b.nibbles(8, 0, true, (half) => b.fifth(4 + 2 * half));
  },
  iq4nl(b) {
    b.half(0, b.d);
    b.plain(false);
    b.nibbles(2, 0, false, () => b.lookUp(nonLinear));
  },
  mxfp4(b) {
    const { f } = b, e = f.local("i32");
    b.byte(0, 255);
    f.set(e);
    // Half of a power of two; the least ones are no normal numbers.
    f.set(
      b.d,
      e.op("lt_u", 2).select(Term.i32(0x200000).shl(e), e.minus(1).shl(23)).op("f32.reinterpret_i32"),
    );
    b.plain(false);
    b.nibbles(1, 0, false, () => b.lookUp(twiceE2m1));
  },
  iq4xs(b) {
    const { f } = b;
    b.half(0, b.d);
    for (let j = 0; j < 8; j++) {
      b.step(() => {
        b.byte(4 + (j >> 1), 15, 4 * (j % 2));
        b.byte(2 + (j >> 2), 3, 2 * (j % 4), 4);
        f.op("i32.or");
        f.op("i32.sub", 32);
      });
      b.nibbles(8 + 16 * j, 32 * j, false, () => b.lookUp(nonLinear));
    }
  },
  q6k(b) {
    const { f } = b;
    b.half(208, b.d);
    for (let part = 0; part < 2; part++) {
      for (let quarter = 0; quarter < 4; quarter++) {
        for (let half = 0; half < 2; half++) {
          b.step(() => {
            f.push(b.from.load(192 + 8 * part + 2 * quarter + half, "i32.load8_s"));
          });
          b.numbers(64 * part + quarter % 2 * 32 + 16 * half, 15, quarter > 1 ? 4 : 0);
          b.upper(128 + 32 * part + 16 * half, 3, 2 * quarter, 4);
          b.less(32);
          b.store(128 * part + 32 * quarter + 16 * half, false);
        }
      }
    }
  },
};

/** The function `decode(from, to)`: a block becomes as many f32 as it has values. */
export function emitDecode(m: ModuleBuilder, dtype: KDType): FunctionBuilder {
  const f = m.function("decode", { params: ["i32", "i32"], export: false });
  decoders[dtype](new Decoder(f));
  return f;
}
