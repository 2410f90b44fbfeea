/**
 * ONNX files from anywhere.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { demand, demandNoMore, demandPath, toldAs } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { readModel } from "../onnx/messages.ts";
import { OnnxModel, openModel } from "../onnx/model.ts";
import { type OnnxSummary, summaryOf } from "../onnx/summary.ts";
import { fromPage, type Openable, openSource, writeFileAtomic } from "../platform/platform.ts";
import { Module } from "../nn/module.ts";
import type { Tensor } from "../ops/tensor.ts";
import type { OnnxOptions } from "../tabular/onnx.ts";
import { defaultDevice } from "../tensor/mod.ts";
import { functionGraph, textGraph, writeOnnx, writeOnnxFolder } from "./onnx_export.ts";
import { type ExportKind, type ExportOnnxOptions, exportOptions, idleFor } from "./onnx_options.ts";
import { TabularModel } from "./tabular.ts";
import type { TextModel } from "./text_model.ts";

/**
 * Options of `Onnx.load`.
 *
 * @category ONNX
 */
export interface OnnxLoadOptions {
  /** Where the model computes. Default: the default device; f64 is computed on the reference device. */
  device?: DeviceName;
}

const loadOptions: OptionTable<OnnxLoadOptions> = { device: kinds.device };

/** Opens a file beside the model, by a name that was checked to lie in its folder. */
function beside(what: Openable, name: string): (location: string) => Promise<ByteSource> {
  return async (location) => {
    const place = fromPage(what);
    if (place instanceof URL) return await openSource(new URL(location.replaceAll("\\", "/"), place));
    if (typeof place === "string") {
      if (/^https?:/i.test(place)) return await openSource(new URL(location, place));
      return await openSource(place.replace(/[^/\\]*$/, "") + location);
    }
    throw new FormatError(
      `${name} keeps tensors in the file "${location}" beside it; load it by its path or URL`,
    );
  };
}

/**
 * An ONNX model, opened with `Onnx.load`.
 *
 * ```ts
 * import { Onnx, tensor } from "@ferrotype/ferrotype";
 *
 * const model = await Onnx.load("tests/data/onnx/linear.onnx");
 * console.log(model.inputs); // [{ name: "x", type: "float", shape: ["rows", 2] }]
 * const { y } = await model.run({ x: tensor([[1, 2]]) });
 * console.log(y);
 * ```
 *
 * @category ONNX
 */
export class Onnx extends OnnxModel {
  /**
   * Reads a model: a path, a URL, a Blob or bytes. Weights in files beside it are read where there is a path or URL.
   *
   * @throws {FormatError} for what is no ONNX model, and for one that cannot be run: it names every node that stands in
   * the way, its operator, opset and the reason.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FerrotypeError} for a file that is not there or cannot be read.
   * @throws {DeviceError} for a device that is not there.
   */
  static async load(what: Openable, options: OnnxLoadOptions = {}): Promise<Onnx> {
    demandNoMore(arguments, 2, "load");
    const { device = defaultDevice() } = checkOptions("Onnx.load", options, loadOptions);
    const source = await toldAs("Onnx.load", ["open"], () => openSource(what));
    try {
      const message = await readModel(source);
      return await openModel(message, { source, open: beside(what, source.name) }, device, Onnx);
    } finally {
      await source.close();
    }
  }

  /**
   * Writes the model with its weights as they are now as one file, whole or not at all.
   * @throws {OptionError} for what is no path.
   */
  async save(path: string | URL): Promise<void> {
    demandNoMore(arguments, 1, "save");
    demandPath("save", path);
    await writeFileAtomic(path, await this.toBytes());
  }
}

/** A language model, by what only it has. */
function isTextModel(model: unknown): model is TextModel {
  return typeof (model as { network?: { through?: unknown } } | null)?.network?.through === "function";
}

function kindOf(model: unknown): ExportKind | null {
  if (model instanceof TabularModel) return "table";
  if (model instanceof Onnx) return "onnx";
  if (isTextModel(model)) return "text";
  const isModule = model instanceof Module && typeof (model as { forward?: unknown }).forward === "function";
  return isModule || typeof model === "function" ? "function" : null;
}

/**
 * Writes a model as ONNX, which any runtime of that format runs, whole or not at all:
 *
 * - a language model (`GPT2`, `CausalLM`): a prompt and steps behind it are one graph, whose cache goes in and comes out. It takes
 *   `input_ids`, `attention_mask`, `position_ids` and `past_key_values.N.key` and `.value` ([batch, heads, positions, width], of no
 *   positions at first), and gives `logits` and `present.N.key` and `.value`, as Hugging Face's optimum names them. To a path that
 *   ends in `.onnx` the graph alone; else a folder as transformers.js reads it (`onnx/model.onnx`, configuration, tokenizer);
 * - a module, or a function of tensors (compiled or not): what its `forward` computes of `args`, without gradients;
 * - a model of a table; an ONNX model with its weights as they are now.
 *
 * Weights are named as in the model, and stored as they are held, blocks of q8 and q4 as f32.
 *
 * ```ts
 * import { exportOnnx, nn, zeros } from "@ferrotype/ferrotype";
 *
 * const net = new nn.Sequential(new nn.Linear(3, 8), new nn.GELU(), new nn.Linear(8, 2));
 * const place = new URL("./net.onnx", import.meta.url);
 * await exportOnnx(net, place, { args: [zeros([1, 3])], dynamicAxes: { input: { 0: "batch" } } });
 * ```
 *
 * @throws {OptionError} for a model of another kind, and options that do not fit it.
 * @throws {CaptureError} for a function
 * that no graph says: one that reads values, or does something else for other sizes.
 * @throws {FerrotypeError} for a place that cannot be written.
 * @category ONNX
 */
export async function exportOnnx(
  model: TabularModel | Onnx | TextModel | Module | ((...args: Tensor[]) => unknown),
  path: string | URL,
  options: ExportOnnxOptions = {},
): Promise<void> {
  demandNoMore(arguments, 3, "exportOnnx");
  demandPath("exportOnnx", path);
  const kind = kindOf(model);
  demand(
    "exportOnnx",
    "the model",
    model,
    kind !== null,
    "a language model, a module with forward, a function of tensors, a TabularModel or an Onnx model",
  );
  const given = checkOptions("exportOnnx", options, exportOptions, idleFor(kind!));
  if (kind === "table" || kind === "onnx") {
    await writeFileAtomic(
      path,
      kind === "table"
        ? (model as TabularModel).toOnnx(given as OnnxOptions)
        : await (model as Onnx).toBytes(),
    );
    return;
  }
  const isFile = /\.onnx$/i.test(String(path));
  if (kind === "function") await writeOnnx(path, functionGraph(model as Module, given), given);
  else if (isFile) await writeOnnx(path, textGraph(model as TextModel, given), given);
  else await writeOnnxFolder(path, model as TextModel, given);
}

/**
 * What is in an ONNX file, without reading a weight: its inputs, outputs, operators and tensors. Files that cannot be run
 * here are told too.
 *
 * @throws {FormatError} for what is no ONNX model.
 * @throws {OptionError} for what is no path, URL, Blob, bytes or byte source, and options that do not exist.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @category ONNX
 */
export async function inspectOnnx(what: Openable): Promise<OnnxSummary> {
  demandNoMore(arguments, 1, "inspectOnnx");
  const source = await toldAs("inspectOnnx", ["open"], () => openSource(what));
  try {
    return summaryOf(await readModel(source));
  } finally {
    await source.close();
  }
}
