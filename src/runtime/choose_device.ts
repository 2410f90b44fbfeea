/**
 * The faster device for a model, by trying: a GPU is slower than the cpu's kernels for small models, and where the
 * border lies is a matter of the machine.
 *
 * What is timed is generation itself, tokens one after another, on networks of the model's own
 * shapes with one block and with two; the difference is what a block costs, the rest what a token costs anyhow.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { generateTokens, resolveOptions } from "../generate/mod.ts";
import type { Family } from "../models/family.ts";
import { gpt2Family } from "../models/gpt2/family.ts";
import { type GPT2Config, gpt2Config } from "../models/mod.ts";
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
 * @throws {OptionError} for options that do not exist; what the trial of a device throws.
 * @example
 * ```ts
 * const { device, reason } = await chooseDevice({ nLayer: 12, nEmbd: 768, nHead: 12 });
 * ```
 * @category Devices
 */
export async function chooseDevice(config: Partial<GPT2Config> = {}): Promise<DeviceChoice> {
  demandNoMore(arguments, 1, "chooseDevice");
  return await fasterDevice(gpt2Family, gpt2Config(config));
}

/** The same for a model of any family. */
async function fasterDevice<C>(family: Family<C>, config: C): Promise<DeviceChoice> {
  const { layers, small } = family.trial(config), vocabSize = family.vocabSize(config);
  // What is written of the model with one layer is all that its time depends on.
  const key = `${family.type} ${layers} ${vocabSize} ${JSON.stringify(small(1, 1))}`;
  let choice = known.get(key);
  if (!choice) {
    choice = choose(family, config);
    known.set(key, choice);
    choice.catch(() => known.delete(key));
  }
  return await choice;
}

/** The device that was asked for, ready to use, and why it was chosen where that was left open. */
export async function readyDevice<C>(
  wanted: DeviceName | "auto" | undefined,
  family: Family<C>,
  config: C,
): Promise<{ device: DeviceName | undefined; choice: DeviceChoice | null }> {
  if (wanted === "webgpu") await initWebGPU();
  if (wanted !== "auto") return { device: wanted, choice: null };
  const choice = await fasterDevice(family, config);
  return { device: choice.device, choice };
}

async function choose<C>(family: Family<C>, config: C): Promise<DeviceChoice> {
  const problem = await initWebGPU().then(() => null, (error: Error) => error.message);
  if (problem !== null) return { device: "cpu", reason: problem, milliseconds: {} };
  const cpu = await tokenMilliseconds(family, config, "cpu"),
    webgpu = await tokenMilliseconds(family, config, "webgpu");
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
async function tokenMilliseconds<C>(family: Family<C>, config: C, device: DeviceName): Promise<number> {
  const { layers, width, small } = family.trial(config);
  const tokens = Math.min(family.vocabSize(config), Math.max(64, Math.floor(enough / width)));
  const one = await timed(family, small(1, tokens), device);
  if (layers === 1) return one;
  const two = await timed(family, small(2, tokens), device);
  return one + (layers - 1) * Math.max(0, two - one);
}

/** The median time of a token with a network that small. */
async function timed<C>(family: Family<C>, config: C, device: DeviceName): Promise<number> {
  // Any numbers will do, and drawing them would take longer than the trial.
  const model = init.withoutInit(() => family.network(config, { device }));
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
