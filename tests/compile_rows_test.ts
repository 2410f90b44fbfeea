/** Folds of rows and what is computed of them as one kernel: norms and softmax in primitives, and programs made at random. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import {
  amax,
  amin,
  compile,
  copyInto,
  type DeviceName,
  noGrad,
  randn,
  type Tensor,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

function linesOf(plan: string): string[] {
  const lines = plan.split("\n"), at = lines.findIndex((line) => line.startsWith("done in each run"));
  return lines.slice(at + 1, -1).map((line) => line.trim());
}

type Function = (x: Tensor, w: Tensor) => Tensor | Tensor[];

/** The steps of `f`, after it was found to give what it gives eagerly, twice. */
async function stepsOf(f: Function, x: Tensor, w: Tensor, tolerance = 1e-5): Promise<string[]> {
  const expected = [noGrad(() => f(x, w))].flat();
  using compiled = compile(f);
  for (let i = 0; i < 2; i++) {
    const found = [noGrad(() => compiled(x, w))].flat();
    for (const [k, t] of expected.entries()) {
      assertEquals(found[k].shape, t.shape);
      assertClose(await numbersOf(found[k]), await numbersOf(t), `result ${k}`, {
        atol: tolerance,
        rtol: 1e-3,
      });
    }
  }
  return linesOf(compiled.plan(x, w));
}

const softmax: Function = (x) => {
  const e = x.sub(amax(x, -1, true)).exp();
  return e.div(e.sum(-1, true));
};

function suite(device: DeviceName, programs: number): void {
  const w = randn([37], { seed: 2, device });

  for (const length of [16, 17, 18, 37, 256]) {
    it(`of ${length}: softmax, layer norm and RMS norm in primitives are one kernel each`, async () => {
      const x = randn([3, 5, length], { seed: 1, device }), w = randn([length], { seed: 2, device });
      const norm: Function = (x, w) => {
        const centred = x.sub(x.mean(-1, true));
        return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(w).add(w);
      };
      const rms: Function = (x, w) => x.mul(x.square().mean(-1, true).add(1e-5).rsqrt()).mul(w);
      for (const f of [softmax, norm, rms]) {
        const lines = await stepsOf(f, x, w);
        assertStrictEquals(lines.length, 1, lines.join("\n"));
        assertMatch(lines[0], /= rows\(r0 = /);
      }
    });
  }

  it("store besides what others read too", async () => {
    const x = randn([20, 37], { seed: 3, device });
    const lines = await stepsOf(
      (x, w) => {
        const most = amax(x, -1, true), e = x.mul(w).sub(most).exp(), sum = e.sum(-1, true);
        return [e.div(sum), most, sum.log().add(most), e];
      },
      x,
      w,
    );
    assert(lines.length <= 2, lines.join("\n"));
  });

  it("pass on NaN and infinities as eager operations do", async () => {
    const values = [...await numbersOf(randn([8, 37], { seed: 4, device }))];
    values[40] = NaN;
    values[80] = Infinity;
    values[130] = -Infinity;
    for (let i = 185; i < 222; i++) values[i] = -Infinity;
    const x = tensor(values, { shape: [8, 37], device });
    for (const f of [softmax, ((x) => x.sub(amin(x, -1, true))) as Function]) {
      using compiled = compile(f);
      const found = await numbersOf(compiled(x, w) as Tensor), known = await numbersOf(f(x, w) as Tensor);
      found.forEach((y, i) =>
        assert(Object.is(y, known[i]) || Math.abs(y - known[i]) <= 1e-6, `${i}: ${y} ${known[i]}`)
      );
    }
  });

  it("take numbers of the run", async () => {
    const x = randn([7, 19], { seed: 6, device });
    const f = (x: Tensor, k: number): Tensor => {
      const y = x.mul(k), e = y.sub(amax(y, -1, true)).exp();
      return e.div(e.sum(-1, true).add(k));
    };
    using compiled = compile(f);
    for (const k of [0.5, 2, -3, 0.25, 7]) {
      assertClose(await numbersOf(compiled(x, k)), await numbersOf(f(x, k)), `of ${k}`, { atol: 1e-6 });
    }
    assertStrictEquals(compiled.traces, 1);
    const lines = linesOf(compiled.plan(x, 2));
    assertStrictEquals(lines.length, 1, lines.join("\n"));
    assertMatch(lines[0], /rows\(.*n0/);
  });

  it("see what is changed in place in between", async () => {
    const x = randn([8, 20], { seed: 5, device });
    const f: Function = (x, state) => {
      const sum = state.abs().sum(-1, true);
      copyInto(state.mul(2), state);
      return [x.div(sum), state.div(sum)];
    };
    const [one, other] = [6, 6].map((seed) => randn([8, 20], { seed, device }));
    using compiled = compile(f);
    for (let i = 0; i < 3; i++) {
      const found = compiled(x, one) as Tensor[], known = noGrad(() => f(x, other)) as Tensor[];
      for (const k of [0, 1]) {
        assertClose(await numbersOf(found[k]), await numbersOf(known[k]), `run ${i}`, {
          atol: 1e-5,
          rtol: 1e-4,
        });
      }
      assertEquals(await numbersOf(one), await numbersOf(other));
    }
  });

  it("agree with eager in programs made at random", async () => {
    let fused = 0;
    for (let seed = 0; seed < programs; seed++) {
      const random = new Generator(seed), at = (n: number): number => random.integer(0, n);
      const length = 16 + at(60), shape = at(2) ? [4 + at(8), length] : [2 + at(3), 2 + at(4), length];
      const x = randn(shape, { seed: 3 * seed, device }), w = randn([length], { seed: 3 * seed + 1, device });
      const plan = Array.from({ length: 4 + at(9) }, () => [at(10), at(1000), at(1000)]);
      const kept = 1 + at(3);
      const f: Function = (x, w) => {
        const pool: Tensor[] = [x, x.mul(w)];
        for (const [kind, i, j] of plan) {
          const a = pool[i % pool.length], b = pool[j % pool.length], isWide = a.shape.at(-1) !== 1;
          const made = kind === 0
            ? a.tanh()
            : kind === 1
            ? a.abs().add(0.5).log()
            : kind === 2
            ? a.clamp(-9, 2).exp()
            : kind === 3
            ? a.add(b)
            : kind === 4
            ? a.mul(b).tanh()
            : kind === 5
            ? a.sub(b)
            : kind === 6 && isWide
            ? amax(a, -1, true)
            : kind === 7 && isWide
            ? amin(a, -1, true)
            : kind === 8 && isWide
            ? a.sum(-1, true).tanh()
            : isWide
            ? a.mean(-1, true)
            : a.div(b.abs().add(1));
          pool.push(made);
        }
        return pool.slice(-kept).map((t) => t.mul(1));
      };
      try {
        if ((await stepsOf(f, x, w, 1e-4)).some((line) => line.includes("= rows("))) fused++;
      } catch (error) {
        throw new Error(`program ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    assert(fused > programs / 4, `only ${fused} of ${programs} programs have rows`);
  });
}

describe("rows", () => {
  describe("on cpu", () => suite("cpu", 150));
  onWebGpu((device) => suite(device, 12));

  it("write nothing that they do not own", async () => {
    const { createCpuBackend } = await import("../src/backends/cpu/backend.ts");
    const { rowKernels } = await import("../src/backends/kernels/rows.ts");
    const { rowProgram } = await import("../src/expr/row_program.ts");
    const backend = createCpuBackend({ guard: true });
    const of = (values: Float32Array) => {
      const buffer = backend.allocate(values.byteLength);
      backend.upload(buffer, 0, new Uint8Array(values.buffer));
      return buffer;
    };
    const identity = { kind: "input", index: 0 } as const;
    for (const length of [16, 18, 19, 35]) {
      const view = (rows: number, columns: number) => ({
        buffer: of(new Float32Array(rows * (columns + 1)).fill(1)),
        dtype: "f32" as const,
        shape: [rows, columns],
        strides: [columns + 1, 1],
        offset: 0,
      });
      const program = rowProgram({
        inputs: [true],
        scalars: 0,
        folds: [{ kind: "sum", value: identity }],
        outputs: [{ value: { kind: "unary", op: "exp", x: identity }, wide: true }, {
          value: { kind: "input", index: 1000 },
          wide: false,
        }],
      });
      const sums = view(5, 1);
      rowKernels(backend).rows!(program, [view(5, length)], [], [view(5, length), sums]);
      const bytes = await backend.download(sums.buffer, 0, 40), found = new Float32Array(bytes.buffer);
      assertEquals([...found], [length, 1, length, 1, length, 1, length, 1, length, 1]);
    }
  });
});
