/**
 * Broadcasting and views against a plain model: random shapes and random sequences of operations, on each device.
 *
 * A failure names the seed of its sequence, which reproduces it.
 */
import { assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Generator } from "../src/core/random.ts";
import * as F from "../src/ops/mod.ts";
import { type Range, type Tensor, tensor } from "../src/ops/mod.ts";
import { tidy } from "../src/tensor/mod.ts";
import { eachDevice, numbersOf } from "./_devices.ts";
import { width } from "./_width.ts";

/** An array of numbers that knows nothing of strides. */
interface Model {
  shape: number[];
  /** Row-major. */
  data: number[];
}

/** The model of `shape` whose element at each index is `pick(index)`. */
function build(shape: readonly number[], pick: (index: number[]) => number): Model {
  const data: number[] = [], index = shape.map(() => 0);
  const size = shape.reduce((a, b) => a * b, 1);
  for (let n = 0; n < size; n++) {
    data.push(pick([...index]));
    for (let d = shape.length - 1; d >= 0 && ++index[d] === shape[d]; d--) index[d] = 0;
  }
  return { shape: [...shape], data };
}

function at({ shape, data }: Model, index: readonly number[]): number {
  return data[index.reduce((place, i, d) => place * shape[d] + i, 0)];
}

/** One random step: what it does to the model and to the tensor, and how it is written. */
type Step = { text: string; model: Model; run: (x: Tensor) => Tensor };

function steps(random: Generator): Record<string, (m: Model) => Step | null> {
  const below = (n: number): number => random.integer(0, n);
  const shuffled = (n: number): number[] => {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = below(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  };
  return {
    permute(m) {
      const order = shuffled(m.shape.length);
      const model = build(order.map((d) => m.shape[d]), (index) => {
        const from: number[] = [];
        order.forEach((d, i) => from[d] = index[i]);
        return at(m, from);
      });
      return { text: `permute(${order})`, model, run: (x) => x.permute(order) };
    },
    slice(m) {
      const ranges: Range[] = [], positions: number[][] = [], kept: number[] = [];
      m.shape.forEach((n, d) => {
        const kind = below(5);
        if (kind === 0 && n > 0) {
          const position = below(2 * n) - n;
          ranges.push(position);
          positions.push([position < 0 ? position + n : position]);
          return;
        }
        kept.push(d);
        if (kind === 1) {
          ranges.push(null);
          positions.push(Array.from({ length: n }, (_, i) => i));
          return;
        }
        // Python's rule, one position at a time: walk from start and stop at or beyond end.
        const step = [1, 2, -1, -2, 3][below(5)];
        const bound = (): number | null => below(4) === 0 ? null : below(2 * n + 5) - n - 2;
        const start = bound(), end = bound();
        ranges.push([start, end, step]);
        const wrap = (v: number): number => v < 0 ? v + n : v;
        const first = start === null ? (step > 0 ? 0 : n - 1) : wrap(start);
        const stop = end === null ? (step > 0 ? n : -1) : Math.max(wrap(end), -1);
        const list: number[] = [];
        const entry = step > 0 ? Math.max(first, 0) : Math.min(first, n - 1);
        for (let i = entry; step > 0 ? i < Math.min(stop, n) : i > stop; i += step) {
          if (i >= 0 && i < n) list.push(i);
        }
        positions.push(list);
      });
      const model = build(kept.map((d) => positions[d].length), (index) => {
        let k = 0;
        return at(m, m.shape.map((_, d) => kept.includes(d) ? positions[d][index[k++]] : positions[d][0]));
      });
      return { text: `slice(${JSON.stringify(ranges)})`, model, run: (x) => x.slice(...ranges) };
    },
    flip(m) {
      const dims = m.shape.map((_, d) => d).filter(() => below(2) === 0);
      const model = build(
        m.shape,
        (index) => at(m, index.map((i, d) => dims.includes(d) ? m.shape[d] - 1 - i : i)),
      );
      return { text: `flip(${dims})`, model, run: (x) => x.flip(dims) };
    },
    expand(m) {
      const target = m.shape.map((n) => n === 1 && below(2) ? 1 + below(3) : n);
      if (target.length < 4 && below(2)) target.unshift(1 + below(2));
      const shift = target.length - m.shape.length;
      const model = build(target, (index) => at(m, m.shape.map((n, d) => n === 1 ? 0 : index[d + shift])));
      return { text: `expand(${target})`, model, run: (x) => x.expand(target) };
    },
    reshape(m) {
      const shape: number[] = [];
      let rest = m.data.length;
      if (rest === 0) return null;
      for (const prime of [2, 3, 5, 7, 11]) while (rest % prime === 0) (rest /= prime, shape.push(prime));
      if (rest !== 1) return null;
      while (shape.length > 1 && (shape.length > 4 || below(2))) shape.splice(0, 2, shape[0] * shape[1]);
      if (below(2)) shape.splice(below(shape.length + 1), 0, 1);
      const order = shuffled(shape.length).map((d) => shape[d]);
      const written = order.length && below(2) ? order.with(below(order.length), -1) : order;
      return {
        text: `reshape(${written})`,
        model: { shape: order, data: m.data },
        run: (x) => x.reshape(written),
      };
    },
    squeeze(m) {
      return {
        text: "squeeze()",
        model: { shape: m.shape.filter((n) => n !== 1), data: m.data },
        run: (x) => x.squeeze(),
      };
    },
    unsqueeze(m) {
      if (m.shape.length > 4) return null;
      const d = below(m.shape.length + 1);
      return {
        text: `unsqueeze(${d})`,
        model: { shape: m.shape.toSpliced(d, 0, 1), data: m.data },
        run: (x) => x.unsqueeze(d),
      };
    },
    diagonal(m) {
      if (m.shape.length < 2) return null;
      const [rows, columns] = m.shape.slice(-2), offset = below(5) - 2;
      const n = Math.max(0, offset < 0 ? Math.min(rows + offset, columns) : Math.min(rows, columns - offset));
      const model = build([...m.shape.slice(0, -2), n], (index) => {
        const i = index[index.length - 1];
        return at(m, [...index.slice(0, -1), i + Math.max(0, -offset), i + Math.max(0, offset)]);
      });
      return { text: `diagonal(${offset})`, model, run: (x) => x.diagonal(offset) };
    },
  };
}

eachDevice((device) => {
  describe("views", () => {
    for (let seed = 1; seed <= 120; seed++) {
      it(`sequence ${seed}`, async () => {
        const random = new Generator(seed), moves = steps(random), names = Object.keys(moves);
        const shape = Array.from({ length: random.integer(0, 4) }, () => random.integer(1, 5));
        let count = 0, model = build(shape, () => ++count), x = tensor(model.data, { device, shape });
        const done: string[] = [`[${shape}]`];
        for (let k = 0; k < 6; k++) {
          const step = moves[names[random.integer(0, names.length)]](model);
          if (!step) continue;
          done.push(step.text);
          x = step.run(x);
          model = step.model;
          assertEquals([x.shape, await numbersOf(x)], [model.shape, model.data], done.join("."));
        }
        // The same strides in a computation, a reduction and a copy.
        assertEquals(await numbersOf(x.add(1)), model.data.map((v) => v + 1), `${done.join(".")}.add(1)`);
        assertStrictEquals(
          await x.sum().item(),
          model.data.reduce((a, b) => a + b, 0),
          `${done.join(".")}.sum()`,
        );
        assertEquals(await numbersOf(x.clone()), model.data, `${done.join(".")}.clone()`);
        for (let d = 0; d < model.shape.length; d++) {
          const kept = model.shape.toSpliced(d, 1, 1);
          const sums = build(
            kept,
            (index) =>
              Array.from({ length: model.shape[d] }, (_, i) => at(model, index.with(d, i))).reduce(
                (a, b) => a + b,
                0,
              ),
          );
          assertEquals(await numbersOf(x.sum(d, true)), sums.data, `${done.join(".")}.sum(${d})`);
        }
      });
    }

    it("share memory until they cannot", async () => {
      const x = F.arange(6, { device }).reshape(2, 3);
      assertStrictEquals(x.transpose(0, 1).storage, x.storage);
      assertStrictEquals(x.flip(0).slice(null, [0, 2]).unsqueeze(0).storage, x.storage);
      assertStrictEquals(x.reshape(3, 2).storage, x.storage);
      assertNotStrictEquals(x.transpose(0, 1).reshape(6).storage, x.storage);
      assertEquals(await x.transpose(0, 1).reshape(6).toArray(), [0, 3, 1, 4, 2, 5]);
    });
  });

  describe("broadcasting", () => {
    it("stretches as in NumPy: 150 random pairs", async () => {
      const random = new Generator(7);
      for (let n = 0; n < width(150, 50); n++) {
        const shape = Array.from({ length: random.integer(0, 5) }, () => random.integer(1, 4));
        const narrowed = (): number[] =>
          shape.map((size) => random.integer(0, 3) ? size : 1).slice(random.integer(0, shape.length + 1));
        let count = 0;
        const [a, b] = [narrowed(), narrowed()].map((own) => build(own, () => ++count));
        const rank = Math.max(a.shape.length, b.shape.length);
        const full = Array.from(
          { length: rank },
          (_, i) =>
            Math.max(a.shape[i - rank + a.shape.length] ?? 1, b.shape[i - rank + b.shape.length] ?? 1),
        );
        const read = (m: Model, index: number[]): number =>
          at(m, m.shape.map((size, d) => size === 1 ? 0 : index[d + rank - m.shape.length]));
        const expected = build(full, (index) => read(a, index) - 2 * read(b, index));
        const [ta, tb] = [a, b].map((m) => tensor(m.data, { device, shape: m.shape }));
        const y = tidy(() => ta.sub(tb.mul(2)));
        const what = `[${a.shape}] with [${b.shape}]`;
        assertEquals([y.shape, await numbersOf(y)], [full, expected.data], what);
        const chosen = F.where(ta.gt(tb), ta, tb);
        assertEquals(
          await numbersOf(chosen),
          build(full, (index) => Math.max(read(a, index), read(b, index))).data,
          `where, ${what}`,
        );
      }
    });

    it("stretches nothing to nothing", () => {
      const x = F.zeros([0, 1], { device }).add(F.zeros([3], { device }));
      assertEquals(x.shape, [0, 3]);
    });
  });

  describe("einsum", () => {
    it("is the sum it says, for random equations", async () => {
      const random = new Generator(3), sizes: Record<string, number> = { a: 2, b: 3, c: 2, d: 1, e: 3 };
      for (let n = 0; n < 60; n++) {
        const letters = Object.keys(sizes);
        const term = (): string[] =>
          Array.from({ length: random.integer(0, 4) }, () => letters[random.integer(0, 5)]);
        const terms = Array.from({ length: random.integer(1, 4) }, term), used = [...new Set(terms.flat())];
        const result = used.filter(() => random.integer(0, 2) === 0);
        let count = 0;
        const models = terms.map((t) => build(t.map((l) => sizes[l]), () => (++count * 7) % 5 - 2));
        const equation = `${terms.map((t) => t.join("")).join(",")}->${result.join("")}`;
        const inner = used.filter((l) => !result.includes(l));
        const expected = build(result.map((l) => sizes[l]), (outer) => {
          const product = (all: number[]): number =>
            models.reduce(
              (value, m, k) => value * at(m, terms[k].map((l) => all[[...result, ...inner].indexOf(l)])),
              1,
            );
          return build(inner.map((l) => sizes[l]), (i) => product([...outer, ...i])).data.reduce(
            (a, b) => a + b,
            0,
          );
        });
        const y = F.einsum(equation, ...models.map((m) => tensor(m.data, { device, shape: m.shape })));
        assertEquals([y.shape, await numbersOf(y)], [expected.shape, expected.data], equation);
      }
    });

    it("knows ... and the short form", async () => {
      const a = F.arange(6, { device }).to({ dtype: "f32" }).reshape(2, 3), v = F.ones([3], { device });
      assertEquals(await F.einsum("ij,j", a, v).toArray(), [3, 12]);
      assertEquals(await F.einsum("ba", a).toArray(), await a.t().toArray());
      assertEquals(await F.einsum("...j->...", a).toArray(), [3, 12]);
      assertEquals(await F.einsum("...i,...i->...", a, a).toArray(), [5, 50]);
    });
  });
});
