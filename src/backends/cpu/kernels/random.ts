/**
 * Random numbers: the same bits as `core/random.ts`, made in WebAssembly.
 *
 * One work item is one Philox block of four words. Normal numbers use f64 and the very operations of `toNormal`, in
 * the same order, so they agree to the last bit. Blocks of which only a part is wanted are made by the core itself.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import { normalCoefficients, philox, toNormal, toUniform } from "../../../core/random.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";

const words = new Uint32Array(4);

/** Fills a contiguous f32 view from words offset, offset + 1, … of the Philox stream `seed`. */
export function random(
  engine: Engine,
  kind: "uniform" | "normal",
  seed: number,
  offset: number,
  out: View,
): void {
  const count = sizeOf(out.shape);
  // The ends are filled here, and whoever asks again wants other numbers.
  engine.refuseCapture();
  const kernel = engine.kernel(`random ${kind}`, (m) => emitRandom(m, kind));
  const pointer = addressOf(out);
  const firstBlock = Math.ceil(offset / 4);
  const head = Math.min(count, firstBlock * 4 - offset);
  const blocks = Math.floor((count - head) / 4);
  fillSlowly(engine, kind, seed, offset, pointer, head);
  if (blocks > 0) {
    const at = engine.args >>> 2;
    engine.u32[at] = pointer + 4 * head;
    engine.u32[at + 2] = firstBlock;
    engine.u32[at + 3] = Math.floor(firstBlock / 4294967296);
    engine.u32[at + 4] = seed;
    engine.u32[at + 5] = Math.floor(seed / 4294967296);
    engine.run(kernel, blocks, kind === "uniform" ? 1024 : 256);
  }
  const done = head + 4 * blocks;
  fillSlowly(engine, kind, seed, offset + done, pointer + 4 * done, count - done);
}

function fillSlowly(
  engine: Engine,
  kind: "uniform" | "normal",
  seed: number,
  offset: number,
  pointer: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) {
    philox(seed, Math.floor((offset + i) / 4), words);
    const word = words[(offset + i) % 4];
    engine.f32[pointer / 4 + i] = kind === "uniform" ? toUniform(word) : toNormal(word);
  }
}

function emitRandom(m: ModuleBuilder, kind: "uniform" | "normal"): void {
  const quantile = m.function("quantile", { params: ["i64"], results: ["f64"], export: false });
  emitQuantile(quantile);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const item = f.local("i32"), pointer = f.local("i32"), block = f.local("i64"), seed = f.local("i64");
  const c = [0, 1, 2, 3].map(() => f.local("i64"));
  f.set(block, args.load(8, "i64.load"));
  f.set(seed, args.load(16, "i64.load"));
  f.forRange(item, begin, end, 1, () => {
    f.set(pointer, args.load().plus(item.shl(4)));
    emitPhilox(f, block, item, seed, c);
    c.forEach((word, i) => {
      f.push(pointer, word);
      if (kind === "uniform") {
        f.i64(8);
        f.op("i64.shr_u");
        f.op("f32.convert_i64_u");
        f.f32(2 ** -24);
        f.op("f32.mul");
      } else {
        f.call(quantile);
        f.op("f32.demote_f64");
      }
      f.store("f32.store", 4 * i);
    });
  });
}

/** Leaves the four words of block `first + item` in `c`, as i64 below 2^32. */
function emitPhilox(f: FunctionBuilder, first: Local, item: Local, seed: Local, c: readonly Local[]): void {
  const [c0, c1, c2, c3] = c;
  const p0 = f.local("i64"), p1 = f.local("i64"), k0 = f.local("i64"), k1 = f.local("i64");
  const low = (): void => {
    f.i64(0xffffffff);
    f.op("i64.and");
  };
  const high = (local: Local): void => {
    f.get(local);
    f.i64(32);
    f.op("i64.shr_u");
  };
  const product = (into: Local, factor: number, word: Local): void => {
    f.get(word);
    f.i64(factor);
    f.op("i64.mul");
    f.set(into);
  };
  const mix = (into: Local, of: Local, word: Local, key: Local): void => {
    high(of);
    f.op("i64.xor", word);
    f.op("i64.xor", key);
    f.set(into);
  };
  const lowOf = (into: Local, of: Local): void => {
    f.get(of);
    low();
    f.set(into);
  };
  const bump = (key: Local, by: number): void => {
    f.get(key);
    f.i64(by);
    f.op("i64.add");
    low();
    f.set(key);
  };
  f.push(first.op("i64.add", item.op("i64.extend_i32_u")).tee(c1));
  low();
  f.set(c0);
  high(c1);
  f.set(c1);
  for (const zero of [c2, c3]) {
    f.i64(0);
    f.set(zero);
  }
  lowOf(k0, seed);
  high(seed);
  f.set(k1);
  for (let round = 0; round < 10; round++) {
    product(p0, 0xd2511f53, c0);
    product(p1, 0xcd9e8d57, c2);
    mix(c0, p1, c1, k0);
    lowOf(c1, p1);
    mix(c2, p0, c3, k1);
    lowOf(c3, p0);
    if (round < 9) {
      bump(k0, 0x9e3779b9);
      bump(k1, 0xbb67ae85);
    }
  }
}

/** `toNormal` of `core/random.ts`. */
function emitQuantile(f: FunctionBuilder): void {
  const [word] = f.params;
  const p = f.local("f64"), q = f.local("f64"), r = f.local("f64"), value = f.local("f64");
  const horner = (x: Local, coefficients: readonly number[]): void => {
    f.f64(coefficients[coefficients.length - 1]);
    for (let i = coefficients.length - 2; i >= 0; i--) {
      f.op("f64.mul", x);
      f.f64(coefficients[i]);
      f.op("f64.add");
    }
  };
  const ratio = ([numerator, denominator]: readonly [readonly number[], readonly number[]]): void => {
    horner(r, numerator);
    horner(r, denominator);
    f.op("f64.div");
  };
  const shifted = (by: number): void => {
    f.get(r);
    f.f64(by);
    f.op("f64.sub");
    f.set(r);
  };
  f.push(word.op("f64.convert_i64_u"));
  f.f64(0.5);
  f.op("f64.add");
  f.f64(2 ** -32);
  f.op("f64.mul");
  f.tee(p);
  f.f64(0.5);
  f.op("f64.sub");
  f.tee(q);
  f.op("f64.abs");
  f.f64(0.425);
  f.op("f64.le");
  f.if(() => {
    f.get(q);
    f.f64(0.180625);
    f.op("f64.sub", q.op("f64.mul", q));
    f.set(r);
    ratio(normalCoefficients.central);
    f.op("f64.mul");
    f.return();
  });
  f.get(p);
  f.f64(1);
  f.op("f64.sub", p);
  f.get(q);
  f.f64(0);
  f.op("f64.lt");
  f.select();
  f.set(p);
  emitLog(f, p);
  f.op("f64.neg");
  f.op("f64.sqrt");
  f.tee(r);
  f.f64(5);
  f.op("f64.le");
  f.if("f64", () => {
    shifted(1.6);
    ratio(normalCoefficients.middle);
  }, () => {
    shifted(5);
    ratio(normalCoefficients.tail);
  });
  f.tee(value);
  f.op("f64.neg");
  f.push(value, q);
  f.f64(0);
  f.op("f64.lt");
  f.select();
}

/** ln(x) for 0 < x <= 1 as `core/random.ts` works it out; changes x. */
function emitLog(f: FunctionBuilder, x: Local): void {
  const exponent = f.local("f64"), s = f.local("f64"), z = f.local("f64");
  f.f64(0);
  f.set(exponent);
  f.block((done) => {
    f.loop((again) => {
      f.get(x);
      f.f64(Math.SQRT1_2);
      f.op("f64.ge");
      f.brIf(done);
      f.set(x, x.op("f64.add", x));
      f.get(exponent);
      f.f64(1);
      f.op("f64.sub");
      f.set(exponent);
      f.br(again);
    });
  });
  f.get(x);
  f.f64(1);
  f.op("f64.sub");
  f.get(x);
  f.f64(1);
  f.op("f64.add");
  f.op("f64.div");
  f.tee(s);
  f.op("f64.mul", s);
  f.set(z);
  f.f64(2);
  f.op("f64.mul", s);
  f.f64(1 / 23);
  for (let k = 21; k >= 1; k -= 2) {
    f.op("f64.mul", z);
    f.f64(1 / k);
    f.op("f64.add");
  }
  f.op("f64.mul");
  f.get(exponent);
  f.f64(Math.LN2);
  f.op("f64.mul");
  f.op("f64.add");
}
