/**
 * Elementwise operations on memory larger than any cache: sums are bound by memory, functions by arithmetic.
 *
 * @module
 */
import { add, exp, gelu, noGrad, randn, tanh, type Tensor, tidy } from "../../mod.ts";
import type { Bench, Group, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const [height, width] = [4096, 4096], count = height * width;
  const x = randn([height, width]), y = randn([height, width]);
  const cases: [string, number, () => Tensor, string | null][] = [
    ["x + y", 12, () => add(x, y), "add"],
    ["exp x", 8, () => exp(x), "exp"],
    ["tanh x", 8, () => tanh(x), null],
    ["gelu x", 8, () => gelu(x, "tanh"), null],
  ];
  for (const [name, bytes, make, task] of cases) {
    yield {
      name: `${name}, 16.8 M elements`,
      unit: "G elements/s",
      amount: count / 1e9,
      subjects: [{
        name: "WebAssembly",
        run: () => noGrad(() => tidy(() => void make())),
        limit: { ...bench.read(bytes * 1e9), name: `${bytes} bytes of memory each` },
      }],
      rivals: task
        ? [
          bench.rivals.job("tfjs-wasm", task, {
            rows: height,
            columns: width,
            threads: bench.engine.threads,
          }),
        ]
        : [],
    };
  }
  x.dispose();
  y.dispose();
}

/** Elementwise operations. */
export const group: Group = { name: "elementwise", rows };
