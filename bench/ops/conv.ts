/**
 * Convolutions of the models in `flows/onnx.ts`, beside the peak and beside a matrix product of as many operations.
 *
 * @module
 */
import { conv2d, matmul, noGrad, randn, type Tensor, tidy } from "../../mod.ts";
import type { Bench, Group, Row, Subject } from "../harness.ts";

/** Channels, rows and columns; filters, the kernel's size, groups. */
type Case = readonly [
  channels: number,
  rows: number,
  columns: number,
  filters: number,
  kernel: number,
  groups: number,
];

const cases: readonly Case[] = [[96, 120, 120, 24, 3, 1], [96, 60, 60, 24, 3, 1], [240, 12, 80, 240, 5, 240]];

async function* rows(bench: Bench): AsyncGenerator<Row> {
  bench.useBlas(false);
  for (const [channels, height, width, filters, kernel, groups] of cases) {
    const depth = channels / groups * kernel ** 2, area = height * width;
    const x = randn([1, channels, height, width]), w = randn([filters, channels / groups, kernel, kernel]);
    const a = randn([filters, depth]), b = randn([depth, area]);
    const run = (f: () => Tensor) => (): void => noGrad(() => tidy(() => void f()));
    const subject = (name: string, f: () => Tensor, share?: number): Subject => ({
      name,
      run: run(f),
      limit: bench.peak(),
      ...(share ? { share } : {}),
    });
    const own = subject(
      "convolution",
      () => conv2d(x, w, null, { padding: kernel >> 1, groups }),
      groups === 1 ? 0.6 : undefined,
    );
    yield {
      name: `[${[channels, height, width]}] with ${filters} filters of ${kernel} × ${kernel}` +
        (groups > 1 ? ", each channel by itself" : ""),
      unit: "GFLOP/s",
      amount: 2 * filters * depth * area / 1e9,
      subjects: groups > 1 ? [own] : [own, subject("product", () => matmul(a, b))],
      ...(groups > 1 ? {} : { pairs: [{ fast: "convolution", slow: "product", least: 0.6 }] }),
    };
    for (const t of [x, w, a, b]) t.dispose();
  }
  bench.useBlas(true);
}

/** Convolution. */
export const group: Group = { name: "Convolution", rows };
