/**
 * Pooling and resizing: against loops over plain numbers for seeded windows, and against PyTorch's own examples, on each
 * device.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import * as ft from "../mod.ts";
import { DTypeError, type InterpolateOptions, OptionError, ShapeError, type Tensor, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

const size = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);
const digits = (n: number, sizes: readonly number[]): number[] =>
  sizes.map((_, k) => Math.floor(n / size(sizes.slice(k + 1))) % sizes[k]);

/** Every element that a window sees, by output; null for the border. */
type Seen = (at: readonly number[]) => (number | null)[];

/** What `judge` makes of the windows of each plane of x. */
function pooled(
  data: ArrayLike<number>,
  planes: number,
  sizes: readonly number[],
  out: readonly number[],
  places: (at: readonly number[]) => readonly (readonly number[])[],
  judge: (seen: readonly (number | null)[], at: readonly number[]) => number,
): number[] {
  const area = size(sizes);
  return Array.from({ length: planes * size(out) }, (_, n) => {
    const plane = Math.floor(n / size(out)), at = digits(n % size(out), out);
    const look: Seen = (own) =>
      places(own).map((p) =>
        p.every((v, i) => v >= 0 && v < sizes[i])
          ? data[plane * area + p.reduce((sum, v, i) => sum * sizes[i] + v, 0)]
          : null
      );
    return judge(look(at), at);
  });
}

/** All lists with one of each. */
const product = (lists: readonly (readonly number[])[]): number[][] =>
  lists.reduce<number[][]>((all, list) => all.flatMap((p) => list.map((v) => [...p, v])), [[]]);

const maxPools = [ft.maxPool1d, ft.maxPool2d, ft.maxPool3d],
  avgPools = [ft.avgPool1d, ft.avgPool2d, ft.avgPool3d];
const lpPools = [ft.lpPool1d, ft.lpPool2d, ft.lpPool3d];
const adaptive = [
  [ft.adaptiveAvgPool1d, ft.adaptiveMaxPool1d],
  [ft.adaptiveAvgPool2d, ft.adaptiveMaxPool2d],
  [ft.adaptiveAvgPool3d, ft.adaptiveMaxPool3d],
] as const;

eachDevice((device) => {
  describe("pooling", () => {
    it("of windows of a size is what loops give", async () => {
      const random = new Generator(7);
      for (let round = 0; round < (device === "webgpu" ? 3 : width(12, 3)); round++) {
        const axes = round % 3 + 1,
          list = (from: number, to: number): number[] =>
            Array.from({ length: axes }, () => random.integer(from, to));
        const sizes = list(3, 7), kernel = list(1, 4), stride = list(1, 3), dilation = list(1, 3);
        const padding = kernel.map((k) => random.integer(0, Math.floor(k / 2) + 1)),
          ceilMode = round % 2 === 1;
        const countIncludePad = round % 4 < 2;
        const counts = (dilation: readonly number[], padding: readonly number[]): number[] =>
          sizes.map((n, i) => {
            const span = n + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
            const count = (ceilMode ? Math.ceil : Math.floor)(span / stride[i]) + 1;
            return ceilMode && (count - 1) * stride[i] >= n + padding[i] ? count - 1 : count;
          });
        const ones = sizes.map(() => 1), zeros = sizes.map(() => 0);
        if (counts(dilation, padding).some((n) => n < 1) || counts(ones, zeros).some((n) => n < 1)) continue;
        const x = ft.rand([2, 2, ...sizes], { seed: round, device }), data = await numbersOf(x);
        const places = (dilation: readonly number[], padding: readonly number[]) => (at: readonly number[]) =>
          product(
            at.map((o, i) =>
              Array.from({ length: kernel[i] }, (_, k) => o * stride[i] - padding[i] + k * dilation[i])
            ),
          );
        const compare = async (
          y: Tensor,
          own: number[],
          pad: number[],
          judge: (seen: (number | null)[], at: readonly number[]) => number,
        ) => {
          const out = counts(own, pad);
          assertEquals([...y.shape], [2, 2, ...out]);
          assertClose(
            await numbersOf(y),
            pooled(data, 4, sizes, out, places(own, pad), (s, at) => judge([...s], at)),
            `round ${round}`,
          );
        };
        const inside = (seen: (number | null)[]): number[] => seen.filter((v) => v !== null);
        const sum = (seen: (number | null)[], power = 1): number =>
          inside(seen).reduce((a, b) => a + b ** power, 0);
        await compare(
          maxPools[axes - 1](x, kernel, { stride, dilation, padding, ceilMode }),
          dilation,
          padding,
          (seen) => Math.max(...inside(seen)),
        );
        // The border counts where it is of the padding, and not beyond.
        const whole = (at: readonly number[], pad: readonly number[]): number =>
          size(
            at.map((o, i) =>
              Math.min(o * stride[i] - pad[i] + kernel[i], sizes[i] + pad[i]) - (o * stride[i] - pad[i])
            ),
          );
        await compare(
          avgPools[axes - 1](x, kernel, { stride, padding, ceilMode, countIncludePad }),
          ones,
          padding,
          (seen, at) => sum(seen) / (countIncludePad ? whole(at, padding) : inside(seen).length),
        );
        await compare(
          lpPools[axes - 1](x, 3, kernel, { stride, ceilMode }),
          ones,
          zeros,
          (seen, at) => (sum(seen, 3) * size(kernel) / whole(at, zeros)) ** (1 / 3),
        );
      }
    });

    it("of as many windows as are asked for is what loops give", async () => {
      const random = new Generator(3);
      for (let round = 0; round < (device === "webgpu" ? 3 : width(9, 3)); round++) {
        const axes = round % 3 + 1, sizes = Array.from({ length: axes }, () => random.integer(1, 7));
        const out = sizes.map((n) => round % 2 ? random.integer(1, 9) : random.integer(1, n + 1));
        const x = ft.randn([1, 3, ...sizes], { seed: round, device }), data = await numbersOf(x);
        const places = (at: readonly number[]): number[][] =>
          product(at.map((o, i) => {
            const start = Math.floor(o * sizes[i] / out[i]), end = Math.ceil((o + 1) * sizes[i] / out[i]);
            return Array.from({ length: end - start }, (_, k) => start + k);
          }));
        const [mean, max] = adaptive[axes - 1];
        const judge = (how: (list: number[]) => number) =>
          pooled(data, 3, sizes, out, places, (seen) => how(seen as number[]));
        const y = mean(x, out);
        assertEquals([...y.shape], [1, 3, ...out]);
        assertClose(await numbersOf(y), judge((list) => list.reduce((a, b) => a + b) / list.length), "mean");
        assertClose(await numbersOf(max(x, out)), judge((list) => Math.max(...list)), "max");
      }
    });
  });

  /** Examples of PyTorch's documentation (`nn.Upsample`), and of its definitions for one axis. */
  const square = [[1, 2], [3, 4]];
  const examples: [InterpolateOptions, number[] | number[][], number[] | number[][]][] = [
    [{ scaleFactor: 2 }, square, [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]],
    [{ scaleFactor: 2, mode: "bilinear" }, square, [
      [1, 1.25, 1.75, 2],
      [1.5, 1.75, 2.25, 2.5],
      [2.5, 2.75, 3.25, 3.5],
      [3, 3.25, 3.75, 4],
    ]],
    [{ scaleFactor: 2, mode: "bilinear", alignCorners: true }, square, [
      [1, 4 / 3, 5 / 3, 2],
      [5 / 3, 2, 7 / 3, 8 / 3],
      [7 / 3, 8 / 3, 3, 10 / 3],
      [3, 10 / 3, 11 / 3, 4],
    ]],
    [{ size: 5 }, [0, 1, 2], [0, 0, 1, 1, 2]],
    [{ size: 5, mode: "nearest-exact" }, [0, 1, 2], [0, 0, 1, 2, 2]],
    [{ size: 3, mode: "area" }, [0, 1, 2, 3, 4], [0.5, 2, 3.5]],
    [{ scaleFactor: 1.5, mode: "linear" }, [0, 6], [0, 3, 6]],
    [{ size: 1, mode: "linear", alignCorners: true }, [5, 7], [5]],
    // Half as many, smoothed: triangles of twice the width, cut at the edges.
    [{ size: [1, 2], mode: "bilinear", antialias: true }, [[0, 0, 8, 8]], [[1 / 7 * 8, 6 / 7 * 8]]],
    // The cubic through four with a = -0.75 at 1/4 beyond the second of them.
    [{ size: [1, 8], mode: "bicubic" }, [[0, 0, 1, 1]], [
      [0, -0.03515625, -0.10546875, 0.2265625, 0.7734375, 1.10546875, 1.03515625, 1],
    ]],
  ];

  describe("interpolate", () => {
    for (const [options, x, want] of examples) {
      it(`${JSON.stringify(options)} of ${JSON.stringify(x)}`, async () => {
        const y = ft.interpolate(
          ft.unsqueeze(ft.unsqueeze(tensor(x, { device, dtype: "f32" }), 0), 0),
          options,
        );
        assertEquals([...y.shape].slice(2), [...tensor(want).shape]);
        assertClose(await numbersOf(y), want.flat(), "values");
      });
    }
  });
}, onWebGpu);

describe("pooling and resizing refuse", () => {
  it("what does not fit, in words", () => {
    const x = ft.zeros([1, 1, 4]), image = ft.zeros([1, 1, 4, 4]);
    assertThrows(
      () => ft.maxPool1d(image, 2),
      ShapeError,
      "maxPool1d: x is [batch, channels, time], not [1, 1, 4, 4]",
    );
    assertThrows(() => ft.avgPool3d(image, 2), ShapeError, "[batch, channels, depth, height, width]");
    assertThrows(() => ft.maxPool1d(x, 5), ShapeError, "the window is larger");
    assertThrows(
      () => ft.maxPool2d(image, [2, 2, 2]),
      OptionError,
      "kernelSize is a whole number from 1, or 2 of them",
    );
    assertThrows(() => ft.lpPool1d(x, 0, 2), OptionError, "normType");
    for (const f of [ft.maxPool2d, ft.avgPool2d] as unknown as ((x: ft.Tensor) => unknown)[]) {
      assertThrows(() => f(image), OptionError, "kernelSize is a whole number from 1");
    }
    assertThrows(() => ft.adaptiveMaxPool1d(x, 1e30), OptionError, "at most 16777216, not 1e+30");
    assertThrows(
      () => ft.interpolate(image, { size: 1e9 }),
      ShapeError,
      "has an axis of more than 16,777,216",
    );
    assertThrows(() => ft.interpolate(x, { scaleFactor: 1e10 }), ShapeError, "has an axis of more than");
    assertThrows(() => ft.adaptiveAvgPool2d(image, [1, 2, 3]), OptionError, "or 2 of them");
    assertThrows(() => ft.adaptiveMaxPool1d(ft.zeros([1, 1, 0]), 1), ShapeError, "has no element");
    assertThrows(() => ft.interpolate(x), OptionError, "size or scaleFactor is a number, or 1 number");
    assertThrows(() => ft.interpolate(x, { size: [1, 2] }), OptionError, "or 1 number");
    assertThrows(
      () => ft.interpolate(x, { size: 2, scaleFactor: 2 }),
      OptionError,
      "scaleFactor has no effect",
    );
    assertThrows(() => ft.interpolate(x, { size: 2, alignCorners: true }), OptionError, 'mode is "nearest"');
    assertThrows(() => ft.interpolate(x, { scaleFactor: 0.1 }), OptionError, "leaves nothing");
    assertThrows(() => ft.interpolate(x, { size: 2, mode: "bilinear" }), ShapeError, "2 sizes");
    assertThrows(
      () => ft.interpolate(ft.zeros([1, 1, 4], { dtype: "i32" }), { size: 2, mode: "linear" }),
      DTypeError,
    );
  });
});
