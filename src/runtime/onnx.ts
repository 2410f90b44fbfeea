/**
 * ONNX files from anywhere.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { demand, demandPath } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { readModel } from "../onnx/messages.ts";
import { OnnxModel, openModel } from "../onnx/model.ts";
import { type OnnxSummary, summaryOf } from "../onnx/summary.ts";
import { fromPage, type Openable, openSource, writeFileAtomic } from "../platform/platform.ts";
import { type OnnxOptions, onnxOptions } from "../tabular/onnx.ts";
import { defaultDevice } from "../tensor/mod.ts";
import { TabularModel } from "./tabular.ts";

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
   */
  static async load(what: Openable, options: OnnxLoadOptions = {}): Promise<Onnx> {
    const { device = defaultDevice() } = checkOptions("Onnx.load", options, loadOptions);
    const source = await openSource(what);
    try {
      const message = await readModel(source);
      return await openModel(message, { source, open: beside(what, source.name) }, device, Onnx);
    } finally {
      await source.close();
    }
  }

  /** Writes the model with its weights as they are now as one file, whole or not at all. */
  async save(path: string | URL): Promise<void> {
    demandPath("save", path);
    await writeFileAtomic(path, await this.toBytes());
  }
}

/**
 * Writes a model as an ONNX file that any runtime of that format runs, whole or not at all: a model of a table, or an ONNX
 * model with its weights as they are now.
 *
 * @throws {OptionError} for a model of another kind, and options that do not fit it.
 * @category ONNX
 */
export async function exportOnnx(
  model: TabularModel | Onnx,
  path: string | URL,
  options: OnnxOptions = {},
): Promise<void> {
  demandPath("exportOnnx", path);
  const isTable = model instanceof TabularModel;
  demand(
    "exportOnnx",
    "the model",
    model,
    isTable || model instanceof Onnx,
    "a TabularModel or an Onnx model",
  );
  checkOptions("exportOnnx", options, onnxOptions, [{
    option: ["numeric", "version"],
    when: () => !isTable,
    because: "an Onnx model keeps its own",
  }]);
  await writeFileAtomic(path, isTable ? model.toOnnx(options) : await model.toBytes());
}

/**
 * What is in an ONNX file, without reading a weight: its inputs, outputs, operators and tensors. Files that cannot be run
 * here are told too.
 *
 * @throws {FormatError} for what is no ONNX model.
 * @category ONNX
 */
export async function inspectOnnx(what: Openable): Promise<OnnxSummary> {
  const source = await openSource(what);
  try {
    return summaryOf(await readModel(source));
  } finally {
    await source.close();
  }
}
