/**
 * What the WebAssembly engine under this program can do, found out by trying: a tiny module is validated, and where
 * the answer is a value and not a yes, run. The name of the runtime is never asked.
 *
 * Nothing happens at import; the first call of {@link cpuFeatures} takes about a millisecond and is remembered.
 * Whether workers can be started is not decided here.
 *
 * @module
 */

import { type FunctionBuilder, type MemoryType, ModuleBuilder } from "./assembler/mod.ts";

/** One ability of the engine. */
export interface CpuFeature {
  /** Whether it can be used. */
  readonly available: boolean;
  /** Why not, in words for a person; undefined when it is available. */
  readonly reason?: string;
}

/** What the WebAssembly engine can do. */
export interface CpuFeatures {
  /** SIMD128: vectors of 16 bytes. The kernels need it. */
  readonly simd: CpuFeature;
  /** Relaxed SIMD: multiply-add and dot products whose corners differ between machines. */
  readonly relaxedSimd: CpuFeature;
  /** Memory that several threads share, and atomics. */
  readonly threads: CpuFeature;
  /** Memory with addresses of 64 bits, beyond 4 GiB. */
  readonly memory64: CpuFeature;
  /** `f32x4.relaxed_madd` rounds once (FMA): a different last bit than multiply and add, and less work. */
  readonly fusedMadd: CpuFeature;
  /** `i32x4.relaxed_dot_i8x16_i7x16_add_s` is exact for operand b from 0 to 127. */
  readonly dot7: CpuFeature;
  /** The same is exact for operand b from 0 to 255, unsigned; the specification does not promise it. */
  readonly dot8: CpuFeature;
}

let remembered: CpuFeatures | undefined;

/** What the engine can do; tried once, then remembered. */
export function cpuFeatures(): CpuFeatures {
  return remembered ??= probe();
}

const yes: CpuFeature = { available: true };

function probe(): CpuFeatures {
  const relaxedSimd = validates("relaxed SIMD (f32x4.relaxed_madd)", undefined, (f) => {
    for (let i = 0; i < 3; i++) f.f32x4(1);
    f.op("f32x4.relaxed_madd");
    f.drop();
  });
  return {
    simd: validates("SIMD128 (f32x4.add)", undefined, (f) => {
      for (let i = 0; i < 2; i++) f.f32x4(1);
      f.op("f32x4.add");
      f.drop();
    }),
    relaxedSimd,
    threads: threads(),
    memory64: validates("memories with 64-bit addresses", { initial: 1, memory64: true }, (f) => {
      f.i64(0);
      f.load("i32.load");
      f.drop();
    }),
    fusedMadd: relaxedSimd.available ? fusedMadd() : relaxedSimd,
    dot7: relaxedSimd.available ? dot(127) : relaxedSimd,
    dot8: relaxedSimd.available ? dot(255) : relaxedSimd,
  };
}

function feature(available: boolean, reason: string): CpuFeature {
  return available ? yes : { available, reason };
}

function validates(
  what: string,
  memory: MemoryType | undefined,
  body: (f: FunctionBuilder) => void,
): CpuFeature {
  const m = new ModuleBuilder({ names: false });
  if (memory !== undefined) m.memory(memory);
  body(m.function("f"));
  return feature(WebAssembly.validate(m.build()), `this WebAssembly engine does not know ${what}`);
}

function threads(): CpuFeature {
  if (typeof SharedArrayBuffer === "undefined") {
    return feature(
      false,
      "there is no SharedArrayBuffer; a page needs the headers that make it cross-origin isolated",
    );
  }
  const valid = validates("atomics on shared memory", { initial: 1, maximum: 1, shared: true }, (f) => {
    f.i32(0);
    f.atomic("i32.atomic.load");
    f.drop();
  });
  if (!valid.available) return valid;
  try {
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    return feature(
      Object(buffer) instanceof SharedArrayBuffer,
      "a shared WebAssembly.Memory gives a buffer that is not shared",
    );
  } catch (error) {
    return feature(
      false,
      `a shared WebAssembly.Memory cannot be made: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** The function "f" of a module, ready to be called. */
function instantiate(m: ModuleBuilder): (...args: number[]) => number {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
  return exports.f as (...args: number[]) => number;
}

/** With a = 1 + 2^-12, a·a - (1 + 2^-11) is 2^-24 when rounded once, and 0 when the product is rounded too. */
function fusedMadd(): CpuFeature {
  const m = new ModuleBuilder({ names: false });
  const f = m.function("f", { params: ["f32", "f32"], results: ["f32"] });
  const [a, c] = f.params;
  for (const operand of [a, a, c]) {
    f.push(operand.op("f32x4.splat"));
  }
  f.op("f32x4.relaxed_madd");
  f.lane("f32x4.extract_lane", 3);
  const result = instantiate(m)(1 + 2 ** -12, -(1 + 2 ** -11));
  return feature(result === 2 ** -24, "f32x4.relaxed_madd rounds the product too, as multiply and add do");
}

/** Sums of four products, with every pairing of the extreme signed bytes and of b from 0 to `largest`. */
function dot(largest: number): CpuFeature {
  const m = new ModuleBuilder({ names: false });
  const f = m.function("f", { params: ["i32", "i32", "i32"], results: ["i32"] });
  const [a, b, c] = f.params;
  for (const operand of [a, b, c]) {
    f.push(operand.op("i32x4.splat"));
  }
  f.op("i32x4.relaxed_dot_i8x16_i7x16_add_s");
  f.lane("i32x4.extract_lane", 2);
  const run = instantiate(m);
  const signed = [[-128, -128, -128, -128], [127, 127, 127, 127], [-128, 127, -1, 1], [5, -77, 127, -128]];
  const unsigned = [[largest, largest, largest, largest], [largest, largest >> 1, 0, 1], [
    64,
    largest,
    3,
    largest - 1,
  ]];
  const pack = (bytes: number[]): number =>
    bytes.reduce((word, byte, i) => word | (byte & 255) << (8 * i), 0);
  for (const x of signed) {
    for (const y of unsigned) {
      const exact = x.reduce((sum, value, i) => sum + value * y[i], 1000);
      if (run(pack(x), pack(y), 1000) === exact) continue;
      return feature(
        false,
        `i32x4.relaxed_dot_i8x16_i7x16_add_s is not exact here when its second operand goes up to ${largest}`,
      );
    }
  }
  return yes;
}
