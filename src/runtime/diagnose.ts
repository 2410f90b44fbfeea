/**
 * What this machine and runtime give the library, and why not what they do not.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { counted } from "../core/show.ts";
import { cases } from "../backends/cpu/choice.ts";
import type { Engine } from "../backends/cpu/engine.ts";
import { muchMemory } from "../backends/cpu/heap.ts";
import { type CpuFeature, cpuFeatures } from "../backends/cpu/features.ts";
import {
  cpuModel,
  type GpuAdapter,
  hardwareConcurrency,
  hugePagesReason,
  hugePagesSetting,
  requestGpuAdapter,
  runtimeName,
  runtimeVersion,
  system,
  totalMemory,
} from "../platform/platform.ts";
import { cpuBackend } from "./cpu.ts";

/**
 * One ability.
 *
 * @category Devices
 */
export interface Ability {
  /** Whether it is used. */
  available: boolean;
  /** Why not, or what exactly. */
  detail?: string;
}

/**
 * How fast products are by each engine of this machine, on one thread.
 *
 * @category Devices
 */
export interface ProductSpeeds {
  /** Why the library was chosen, or none; null where nothing was measured. */
  why: string | null;
  /** Our own kernels first, then each library: thousand million operations a second by case, 0 where it was not measured. */
  engines: { name: string; speeds: Record<string, number>; refused?: string }[];
}

/**
 * The report of {@link diagnose}.
 *
 * @category Devices
 */
export interface Diagnosis {
  /** The JavaScript runtime and its version. */
  runtime: string;
  /** Operating system and processor family. */
  system: string;
  /** The processor, where the runtime tells. */
  cpu: string | null;
  /** Bytes of memory, where the runtime tells. */
  memory: number | null;
  /** Threads the machine runs at a time, and how many the cpu device uses. */
  threads: { hardware: number; used: number; detail?: string };
  /** The native library that multiplies large matrices: which one and which kernels it picked, or why none is used. */
  blas: Ability;
  /** By what that library was chosen. */
  products: ProductSpeeds;
  /** Whether large memories are in huge pages, which are read faster. */
  hugePages: Ability;
  /** Abilities of the WebAssembly engine. */
  wasm: Record<string, Ability>;
  /** Devices by name. */
  devices: Record<string, Ability>;
}

function ability(feature: CpuFeature): Ability {
  return feature.reason === undefined
    ? { available: feature.available }
    : { available: feature.available, detail: feature.reason };
}

function blasAbility({ blas, deterministic }: Engine): Ability {
  const { name, problem } = blas;
  if (name === null) return { available: false, detail: problem ?? "" };
  if (deterministic) return { available: false, detail: `deterministic mode does without ${name}` };
  return { available: true, detail: name };
}

function hugePages({ hugePagesProblem }: Engine): Ability {
  const problem = hugePagesProblem ?? hugePagesReason();
  if (problem !== null) return { available: false, detail: problem };
  const setting = hugePagesSetting();
  return {
    available: true,
    detail: `asked for when the memory grows beyond ${muchMemory / 2 ** 20} MiB` +
      (setting === null ? "" : `; the system's setting is ${setting}`),
  };
}

function productSpeeds({ blas: { why, table } }: Engine): ProductSpeeds {
  const round = (x: number): number => Math.round(10 * x) / 10;
  return {
    why,
    engines: table.map(({ name, speeds, refused }) => ({
      name,
      speeds: Object.fromEntries(cases.map((one, i) => [one.name, round(speeds[i])])),
      ...(refused === undefined ? {} : { refused }),
    })),
  };
}

/** The adapter's name, what kernels would use of it, and the limits that decide how large a tensor can be. */
function adapterAbility({ info, features, limits }: GpuAdapter): Ability {
  const name = info?.description || [info?.vendor, info?.architecture].filter(Boolean).join(" ");
  const mebibytes = (key: string): string => `${Math.floor((limits[key] ?? 0) / 2 ** 20)} MiB`;
  const parts = [
    name || "an adapter without a name",
    ...["shader-f16", "subgroups", "timestamp-query"].filter((feature) => features.has(feature)),
    `buffers up to ${mebibytes("maxBufferSize")}`,
    `bindings up to ${mebibytes("maxStorageBufferBindingSize")}`,
    `${limits.maxStorageBuffersPerShaderStage} buffers a kernel`,
    `${limits.maxComputeWorkgroupStorageSize} bytes a workgroup`,
  ];
  return { available: true, detail: parts.join(", ") };
}

/**
 * Looks at the machine: a few milliseconds, whatever a graphics driver takes to answer, and up to 300 for measuring which
 * native library multiplies fastest where that is not known yet (`FERROTYPE_TUNE=off` leaves it out).
 *
 * @category Devices
 */
export async function diagnose(): Promise<Diagnosis> {
  demandNoMore(arguments, 0, "diagnose");
  const backend = cpuBackend(), { engine } = backend;
  backend.tune();
  const used = await engine.ready(), { threadProblem } = engine;
  const gpu = await requestGpuAdapter(), { platform, arch } = system();
  return {
    runtime: `${runtimeName()} ${runtimeVersion()}`,
    system: `${platform} ${arch}`,
    cpu: cpuModel() ?? null,
    memory: totalMemory() ?? null,
    threads: {
      hardware: hardwareConcurrency(),
      used,
      ...(threadProblem === null ? {} : { detail: threadProblem }),
    },
    blas: blasAbility(engine),
    products: productSpeeds(engine),
    hugePages: hugePages(engine),
    wasm: Object.fromEntries(
      Object.entries(cpuFeatures()).map(([name, f]) => [name, ability(f as CpuFeature)]),
    ),
    devices: {
      cpu: { available: true, detail: counted(used, "thread") },
      reference: { available: true, detail: "plain TypeScript, the oracle of the tests" },
      webgpu: gpu.adapter ? adapterAbility(gpu.adapter) : { available: false, detail: gpu.reason },
    },
  };
}
