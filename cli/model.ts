/**
 * What commands that use a model share: their options, and how the model is found.
 *
 * @module
 */
import { oneOf, size, whole } from "../src/core/kinds.ts";
import {
  CausalLM,
  type DeviceName,
  devices,
  type DType,
  initWebGPU,
  setDefaultDevice,
  setMaxMemory,
  setThreads,
} from "../src/runtime/speaking.ts";
import type { Distributed } from "../mod.ts";
import { note } from "./output.ts";
import { DownloadBar } from "./download_bar.ts";
import { type Given, type Options, UsageError, type Values } from "./command.ts";
import type { Idle } from "../src/core/options.ts";

/** The folder of the model that ships with the package. */
export const bundledModel: URL = new URL("../web/models/shakespeare/", import.meta.url);

/** Which device, how many threads. */
export const deviceOptions: Options = {
  device: {
    value: "NAME",
    kind: oneOf("cpu", "webgpu", "reference"),
    help: "where to compute (default cpu)",
  },
  threads: {
    value: "N",
    kind: whole(1, 1024),
    help: "threads of the cpu device (default: all)",
  },
  "max-memory": {
    value: "SIZE",
    kind: size,
    help: "memory that the device takes at most, such as 2GB (default: nine tenths of the machine's)",
  },
};

/** Options of devices that have no effect beside others. */
export const deviceIdle: readonly Idle<Given>[] = [{
  option: "threads",
  when: ({ device }) => device === "webgpu" || device === "reference",
  because: "it belongs to the cpu device",
}];

/** Which model, in what form. */
export const modelOptions: Options = {
  model: {
    value: "DIR|REPO|GGUF",
    help: "folder, URL, hub repository or .gguf (default: the bundled model)",
  },
  dtype: {
    value: "TYPE",
    kind: oneOf("f32", "f16", "bf16", "q8", "q4"),
    help: "hold matrices as f32, f16, bf16, or in blocks of q8 or q4 (default: as in the file)",
  },
  lora: {
    value: "DIR|REPO|GGUF",
    help: "LoRA adapter to use beside the model",
  },
  ...deviceOptions,
  device: {
    value: "NAME",
    kind: oneOf("cpu", "webgpu", "reference", "auto"),
    help: "where to compute; auto tries cpu and webgpu with the model's shapes (default cpu)",
  },
};

/** Sets device and threads as the options say. */
export async function applyDevice(values: Values): Promise<DeviceName> {
  const device = (values.text("device") ?? "cpu") as DeviceName;
  // Asking what there is wakes the graphics driver.
  const have = device === "cpu" ? [device] : await devices();
  if (device === "webgpu") {
    await initWebGPU().catch((error: Error) => {
      throw new UsageError(error.message.replace(`device "webgpu"`, "--device webgpu"));
    });
  }
  if (!have.includes(device)) throw new UsageError(`--device ${device}: this machine has ${have.join(", ")}`);
  setDefaultDevice(device);
  const threads = values.number("threads"), most = values.number("max-memory");
  if (threads !== undefined) setThreads(threads);
  if (most !== undefined) setMaxMemory(most);
  return device;
}

/** Loads the model that the options name, its layers split over the ranks where there are several. */
export async function loadModel(
  values: Values,
  signal?: AbortSignal,
  ranks?: Distributed,
): Promise<{ model: CausalLM; name: string; device: DeviceName; loadMs: number }> {
  const auto = values.text("device") === "auto", threads = values.number("threads");
  const most = values.number("max-memory");
  if (auto && most !== undefined) setMaxMemory(most);
  if (auto && threads !== undefined) setThreads(threads);
  const device = auto ? "auto" : await applyDevice(values), started = performance.now();
  const where = values.text("model") ?? bundledModel;
  const bar = new DownloadBar();
  const model = await CausalLM.load(where, {
    device,
    ...(values.has("dtype") ? { dtype: values.text("dtype") as DType } : {}),
    ...(signal ? { signal } : {}),
    ...(ranks ? { distributed: ranks } : {}),
    onWarning: (message) => void (ranks && ranks.rank > 0 ? null : note(message)),
    onProgress({ phase, file = "", loaded, total }) {
      if (phase === "download") bar.show({ file, loaded, total });
    },
  }).finally(() => bar.end());
  const adapter = values.value("lora");
  if (typeof adapter === "string") {
    await model.loadAdapter(adapter, {
      ...(signal ? { signal } : {}),
      onWarning: (message) => void note(message),
    });
  }
  if (model.deviceChoice) await note(`${model.device}: ${model.deviceChoice.reason}`);
  return {
    model,
    name: values.text("model") ?? "bundled",
    device: model.device,
    loadMs: performance.now() - started,
  };
}

/** Token ids from `1,2,3` or `1 2 3`, which an option gave. */
export function parseIds(text: string, option = "prompt-ids"): number[] {
  // Of two commas there is nothing between.
  const parts = text.trim() === "" ? [] : text.trim().split(/\s*,\s*|\s+/);
  const ids = parts.map(Number);
  const bad = parts.find((part, i) => part === "" || !Number.isInteger(ids[i]) || ids[i] < 0);
  if (bad !== undefined || !ids.length) {
    throw new UsageError(
      `--${option} are whole numbers such as 15,27,3; ${
        bad === undefined ? "there are none" : `"${bad}" is not one`
      }`,
    );
  }
  return ids;
}
