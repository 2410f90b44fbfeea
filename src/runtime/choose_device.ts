/**
 * The faster device for a model, by trying: a GPU is slower than the cpu's kernels for small models, and where the
 * border lies is a matter of the machine.
 *
 * What is timed is generation itself, tokens one after another, on networks of the model's own
 * shapes with one block and with two; the difference is what a block costs, the rest what a token costs anyhow.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { generateTokens, resolveOptions } from "../generate/mod.ts";
import { type GPT2Config, gpt2Config, GPT2Model } from "../models/mod.ts";
import { init } from "../nn/mod.ts";
import { initWebGPU } from "./devices.ts";

/**
 * What {@link chooseDevice} found.
 *
 * @category Devices
 */
export interface DeviceChoice {
  /** The device to take. */
  device: DeviceName;
  /** Why, in one sentence. */
  reason: string;
  /** Milliseconds that a token of the whole model is expected to take, for each device tried. */
  milliseconds: Partial<Record<DeviceName, number>>;
}

const known = new Map<string, Promise<DeviceChoice>>();

/** Numbers of the embedding that are enough to time: the whole of a large one would take longer to make than to use. */
const enough = 1 << 22;

/**
 * The faster of "cpu" and "webgpu" to generate with a GPT-2 of this shape. Takes some tenths of a second for shapes not
 * asked about before in this process.
 *
 * @example
 * ```ts
 * const { device, reason } = await chooseDevice({ nLayer: 12, nEmbd: 768, nHead: 12 });
 * ```
 * @category Devices
 */
export async function chooseDevice(config: Partial<GPT2Config> = {}): Promise<DeviceChoice> {
  const { nEmbd, nLayer, nHead, vocabSize, nInner } = gpt2Config(config);
  const key = `${nEmbd} ${nLayer} ${nHead} ${vocabSize} ${nInner}`;
  let choice = known.get(key);
  if (!choice) {
    choice = choose({ ...config, nEmbd, nLayer, nHead, vocabSize, nInner });
    known.set(key, choice);
    choice.catch(() => known.delete(key));
  }
  return await choice;
}

/** The device that was asked for, ready to use, and why it was chosen where that was left open. */
export async function readyDevice(
  wanted: DeviceName | "auto" | undefined,
  config: Partial<GPT2Config>,
): Promise<{ device: DeviceName | undefined; choice: DeviceChoice | null }> {
  if (wanted === "webgpu") await initWebGPU();
  if (wanted !== "auto") return { device: wanted, choice: null };
  const choice = await chooseDevice(config);
  return { device: choice.device, choice };
}

type Shape = Pick<GPT2Config, "nEmbd" | "nLayer" | "nHead" | "vocabSize" | "nInner"> & Partial<GPT2Config>;

async function choose(config: Shape): Promise<DeviceChoice> {
  const problem = await initWebGPU().then(() => null, (error: Error) => error.message);
  if (problem !== null) return { device: "cpu", reason: problem, milliseconds: {} };
  const cpu = await tokenMilliseconds(config, "cpu"), webgpu = await tokenMilliseconds(config, "webgpu");
  const [device, other] = cpu <= webgpu ? ["cpu", "webgpu"] as const : ["webgpu", "cpu"] as const;
  const milliseconds = { cpu, webgpu },
    text = (name: "cpu" | "webgpu"): string => milliseconds[name].toPrecision(3);
  return {
    device,
    reason: `a token of this model takes about ${text(device)} ms on ${device}, ${
      text(other)
    } ms on ${other}`,
    milliseconds,
  };
}

/** What a token of the whole model takes on `device`. */
async function tokenMilliseconds(config: Shape, device: DeviceName): Promise<number> {
  const one = await timed({ ...config, nLayer: 1 }, device);
  if (config.nLayer === 1) return one;
  const two = await timed({ ...config, nLayer: 2 }, device);
  return one + (config.nLayer - 1) * Math.max(0, two - one);
}

/** The median time of a token with a network that small. */
async function timed(config: Shape, device: DeviceName): Promise<number> {
  const vocabSize = Math.min(config.vocabSize, Math.max(64, Math.floor(enough / config.nEmbd)));
  const small = { ...config, vocabSize, nPositions: 64, bosTokenId: null, eosTokenId: null };
  // Any numbers will do, and drawing them would take longer than the trial.
  const model = init.withoutInit(() => new GPT2Model(small, { device }));
  for (const p of model.parameters()) init.constant(p, 0.01);
  try {
    model.eval();
    const times: number[] = [], begin = performance.now(), count = 18;
    const options = resolveOptions({ maxNewTokens: count, doSample: false, eosTokenId: null });
    // The first tokens compile kernels, and the last ones may have been computed ahead.
    for await (const { milliseconds } of generateTokens(model, [1], options)) {
      times.push(milliseconds);
      if (times.length > 5 && performance.now() - begin > 400) break;
    }
    const typical = times.slice(3, count - 4);
    return typical.toSorted((a, b) => a - b)[typical.length >> 1];
  } finally {
    model.dispose();
  }
}
