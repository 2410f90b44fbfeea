/**
 * A model of a file in the page, ours or ONNX Runtime's.
 *
 * @module
 */
import { noGrad, Onnx, type Tensor, tensor } from "../../mod.ts";
import { random } from "../rivals/random.ts";

/** Sizes of inputs by name; "rate" is 16,000 samples a second. */
export type InputSizes = Readonly<Record<string, readonly number[] | "rate">>;

/** A run of the model at `url`, by us or by ONNX Runtime from the address `runtime`. */
export interface OnnxQuestion {
  readonly task: "onnx";
  readonly url: string;
  readonly inputs: InputSizes;
  readonly runtime: string | null;
  readonly milliseconds: number;
}

type Run = () => Promise<void>;

/** What is used of ONNX Runtime. */
interface Ort {
  readonly env: { wasm: { numThreads: number; wasmPaths: string } };
  readonly Tensor: new (
    type: string,
    data: Float32Array | BigInt64Array,
    shape: readonly number[],
  ) => unknown;
  readonly InferenceSession: {
    create(model: Uint8Array, options: Record<string, unknown>): Promise<
      { run(inputs: Record<string, unknown>): Promise<unknown> }
    >;
  };
}

const made = new Map<string, Promise<Run>>();

const count = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);

async function ours(bytes: Uint8Array<ArrayBuffer>, inputs: InputSizes): Promise<Run> {
  const model = await Onnx.load(bytes);
  const given = Object.fromEntries(
    Object.entries(inputs).map(([name, sizes]) => [
      name,
      sizes === "rate"
        ? tensor(BigInt64Array.of(16000n), { shape: [] })
        : tensor(random(count(sizes)), { shape: sizes }),
    ]),
  );
  return async () => {
    const results = await noGrad(() => model.run(given, { compiled: true })) as Record<string, Tensor>;
    for (const value of Object.values(results)) {
      await value.data();
      value.dispose();
    }
  };
}

async function theirs(
  bytes: Uint8Array,
  inputs: InputSizes,
  runtime: string,
  threads: number,
): Promise<Run> {
  const ort = await import(runtime) as Ort;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL(".", new URL(runtime, globalThis.location.href)).href;
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  const given = Object.fromEntries(
    Object.entries(inputs).map(([name, sizes]) => [
      name,
      sizes === "rate"
        ? new ort.Tensor("int64", BigInt64Array.of(16000n), [])
        : new ort.Tensor("float32", random(count(sizes)), sizes),
    ]),
  );
  return async () => void await session.run(given);
}

/** Seconds of one run, the middle of those that fit into so many milliseconds. */
export async function askOnnx(
  { url, inputs, runtime, milliseconds }: OnnxQuestion,
  threads: number,
): Promise<number> {
  const key = `${runtime} ${url}`;
  let run = made.get(key);
  if (!run) {
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    made.set(key, run = runtime === null ? ours(bytes, inputs) : theirs(bytes, inputs, runtime, threads));
    const first = await run;
    for (let i = 0; i < 5; i++) await first();
  }
  const once = await run, all: number[] = [], start = performance.now();
  do {
    const before = performance.now();
    await once();
    all.push((performance.now() - before) / 1e3);
  } while (performance.now() - start < milliseconds);
  return all.toSorted((a, b) => a - b)[all.length >> 1];
}
