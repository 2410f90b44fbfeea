/**
 * Where a decoding step, or a prompt, of GPT-2 124M spends its time on the cpu, kernel by kernel:
 * `deno run -A bench/profile.ts [decode|prefill] [f32|bf16|q8|q4] [--blas] [--length N]`.
 *
 * A decoding step is usually compiled and has nothing between its kernels; here each is timed on its own, so the sum is a
 * little more.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { type GPT2, noGrad } from "../mod.ts";
import type { Engine, Kernel } from "../src/backends/cpu/engine.ts";
import { cpuBackend } from "../src/runtime/cpu.ts";
import { loadGpt2 } from "./gpt2.ts";
import { median } from "./harness.ts";
import { promptIds } from "./rivals/random.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { blas: { type: "boolean", default: false }, length: { type: "string" } },
});
const [what = "decode", dtype = "f32"] = positionals;
if ((what !== "decode" && what !== "prefill") || !["f32", "bf16", "q8", "q4"].includes(dtype)) {
  console.error(`profile: takes decode or prefill, and f32, bf16, q8 or q4; not ${positionals.join(" ")}`);
  process.exit(2);
}
const length = Number(values.length ?? (what === "decode" ? 32 : 512));
const backend = cpuBackend(), { engine } = backend;
await engine.ready();
backend.tune();
engine.blas.enabled = values.blas;
const loaded = await loadGpt2(dtype as "f32");
if (typeof loaded === "string") throw new Error(loaded);
const model: GPT2 = loaded;
const prompt = promptIds(length), cache = model.createCache(1, length + 64);

/** Milliseconds by kernel, of one run. */
type Times = Map<string, number>;

/** Notes how long every kernel takes that `engine` runs. */
function listen(engine: Engine): { take(): Times } {
  const names = new Map<Kernel, string>(), { kernel, run } = engine;
  let times: Times = new Map();
  engine.kernel = (key, emit) => {
    const found = kernel.call(engine, key, emit);
    names.set(found, key);
    return found;
  };
  engine.run = (job, total, ...others) => {
    const started = performance.now();
    run.call(engine, job, total, ...others);
    // A table finds most kernels without their names.
    const name = `${(names.get(job) ?? "matmul").slice(0, 48)}, ${total} items`;
    times.set(name, (times.get(name) ?? 0) + performance.now() - started);
  };
  return {
    take() {
      const taken = times;
      times = new Map();
      return taken;
    },
  };
}

function run(): void {
  noGrad(() => {
    if (what === "prefill") cache.truncate(0);
    else cache.truncate(length);
    model.forward([what === "prefill" ? prompt : [7]], { cache, lastOnly: true }).dispose();
  });
}

if (what === "decode") noGrad(() => model.forward([prompt], { cache, lastOnly: true }).dispose());
const rounds = what === "decode" ? 60 : 7, whole: number[] = [];
for (let i = 0; i < rounds + 3; i++) {
  const started = performance.now();
  run();
  if (i >= 3) whole.push(performance.now() - started);
}
// Compiled steps run without JavaScript, and so without what listens.
Object.assign(backend, { capture: undefined });
const ear = listen(engine), lists = new Map<string, number[]>();
for (let i = 0; i < rounds + 3; i++) {
  run();
  const times = ear.take();
  if (i < 3) continue;
  for (const [name, ms] of times) lists.set(name, [...lists.get(name) ?? [], ms]);
}
const medians = [...lists].map(([name, list]): [string, number] => [name, median(list)]);
const sum = medians.reduce((total, [, ms]) => total + ms, 0);
console.log(
  `${what}, ${dtype}, ${length} positions, ${engine.threads} threads: ${median(whole).toFixed(2)} ms`,
);
for (const [name, ms] of medians.toSorted(([, a], [, b]) => b - a)) {
  if (ms >= 0.002 * sum) {
    console.log(`${ms.toFixed(3).padStart(10)} ms ${(100 * ms / sum).toFixed(1).padStart(5)} %  ${name}`);
  }
}
process.exit(0);
