/**
 * Modules, functions and language models as ONNX files.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { type GraphPlan, writeFunction, type WrittenGraph } from "../onnx/export/mod.ts";
import type { TensorMessage } from "../onnx/messages.ts";
import { modelBytes } from "../onnx/model_writer.ts";
import { bitsOf, typeOfCode } from "../onnx/types.ts";
import type { CausalModel } from "../models/causal.ts";
import type { Family } from "../models/family.ts";
import type { CausalNetwork } from "../models/network.ts";
import { digestNote } from "../models/notes.ts";
import { forwardPast, type PastLayer } from "../models/past.ts";
import type { Module } from "../nn/module.ts";
import type { Tensor } from "../ops/tensor.ts";
import {
  directoryOf,
  type FileToWrite,
  joinPath,
  makeDir,
  pathOf,
  writeFiles,
} from "../platform/platform.ts";
import { contentsOf } from "./model_contents.ts";
import { type ExportOnnxOptions, inputsOf } from "./onnx_options.ts";
import type { TextModel } from "./text_model.ts";

const defaultOpset = 18;

/** Weights beyond this lie in a file of their own: a protobuf holds 2 GiB, and all of it is in memory while it is made. */
const mostInside = 2 ** 30;
/** Tensors below this stay in the model in any case. */
const leastOutside = 1024;
/** Where tensors begin in a file of their own. */
const alignment = 64;

/** A module or function as a model. */
export function functionGraph(
  model: Module | ((...args: Tensor[]) => unknown),
  options: ExportOnnxOptions,
): WrittenGraph {
  const { inputs, sizes } = inputsOf(options);
  const { outputNames, opsetVersion: opset = defaultOpset, contribOps = false } = options;
  const isModule = typeof model === "object",
    call = isModule
      ? (given: readonly Tensor[]) =>
        (model as unknown as { forward(...args: readonly Tensor[]): unknown }).forward(...given)
      : (given: readonly Tensor[]) => model(...given);
  const training = isModule && model.training;
  let outputs = 0;
  if (isModule) model.eval();
  try {
    const written = writeFunction({
      inputs,
      sizes,
      call,
      outputName: (path, place) => {
        outputs++;
        const own = path.join(".");
        return outputNames?.[place] ?? (own === "" ? "output" : /^\d/.test(own) ? `output_${own}` : own);
      },
      weights: isModule ? model.namedParameters() : [],
      device: options.args![0].device,
      opset,
      contribOps,
      name: isModule ? model.constructor.name : (model as { name: string }).name || "graph",
      description: "",
      metadata: new Map(),
    });
    if (outputNames && outputNames.length !== outputs) {
      throw new OptionError(
        `exportOnnx: outputNames has ${outputNames.length} names, and what is written gives ${
          counted(outputs, "tensor")
        }`,
      );
    }
    return written;
  } finally {
    if (isModule) model.train(training);
  }
}

/** The inputs and outputs that a language model has in a graph, named as Hugging Face's `optimum` names them. */
export function textGraph(
  model: TextModel,
  { opsetVersion = defaultOpset, contribOps = false }: ExportOnnxOptions,
): WrittenGraph {
  const network = model.network as unknown as CausalModel, { training } = network, { depth } = network;
  const batch = "batch_size", time = "sequence_length", before = "past_sequence_length";
  const sample = network.createCache(1, 1), [, heads, , width] = sample.layers[0].keys.shape;
  sample.dispose();
  if (sample.states.length > 0) {
    throw new OptionError(
      `exportOnnx: ${model.family} has layers with states in place of keys and values, of which no graph is written; ` +
        "keep it as safetensors",
    );
  }
  const layers = Array.from({ length: depth }, (_, layer) => layer);
  const ids = { dtype: "i32", as: "i64" } as const;
  const plan: GraphPlan = {
    inputs: [
      { name: "input_ids", ...ids, shape: [batch, time] },
      { name: "attention_mask", ...ids, shape: [batch, [before, time]] },
      { name: "position_ids", ...ids, shape: [batch, time] },
      ...layers.flatMap((layer) =>
        ["key", "value"].map((what) => ({
          name: `past_key_values.${layer}.${what}`,
          dtype: "f32" as const,
          shape: [batch, heads, before, width],
        }))
      ),
    ],
    sizes: new Map([
      [batch, { example: 2 }],
      [time, { example: 3 }],
      [before, { example: 4, least: 0 }],
    ]),
    call: ([inputIds, attentionMask, positionIds, ...given]) => {
      const past = layers.map((layer): PastLayer => ({
        keys: given[2 * layer],
        values: given[2 * layer + 1],
      }));
      const { logits, present } = forwardPast(network, inputIds, past, { attentionMask, positionIds });
      return {
        logits,
        present: present.map(({ keys, values }) => ({ key: keys, value: values })),
      };
    },
    outputName: (path) => path.join("."),
    weights: model.namedParameters(),
    device: model.device,
    opset: opsetVersion,
    contribOps,
    name: model.family,
    description:
      `${model.family}: logits for input_ids that follow past_key_values, with the keys and values of all positions`,
    metadata: new Map([["model_type", model.family], ["context_length", String(network.reach(1))]]),
  };
  network.eval();
  try {
    return writeFunction(plan);
  } finally {
    network.train(training);
  }
}

function byteLength({ code, dims }: TensorMessage): number {
  return Math.ceil(dims.reduce((n, d) => n * d, 1) * bitsOf(typeOfCode(code)!) / 8);
}

/** What was written. */
export interface WrittenOnnx {
  /** The files, without a folder. */
  readonly files: readonly string[];
  /** Bytes of all weights. */
  readonly bytes: number;
}

/** The files of a model called `name`. */
async function filesOf(
  { model, sources }: WrittenGraph,
  name: string,
  externalData: boolean | undefined,
): Promise<{ files: FileToWrite[]; bytes: number }> {
  const { initializers } = model.graph, bytes = initializers.reduce((sum, t) => sum + byteLength(t), 0);
  const contents = new Map<TensorMessage, Uint8Array>(), dataName = `${name}_data`;
  const outside: { tensor: TensorMessage; start: number }[] = [];
  let end = 0;
  for (const tensor of initializers) {
    const length = byteLength(tensor);
    if ((externalData ?? bytes > mostInside) && length >= leastOutside) {
      const start = Math.ceil(end / alignment) * alignment;
      tensor.external = new Map([["location", dataName], ["offset", String(start)], [
        "length",
        String(length),
      ]]);
      outside.push({ tensor, start });
      end = start + length;
    } else contents.set(tensor, await sources.get(tensor)!());
  }
  async function* pieces(): AsyncGenerator<Uint8Array> {
    let at = 0;
    for (const { tensor, start } of outside) {
      if (start > at) yield new Uint8Array(start - at);
      const own = await sources.get(tensor)!();
      yield own;
      at = start + own.length;
    }
  }
  const files: FileToWrite[] = [{ name, content: modelBytes(model, (t) => contents.get(t) ?? null) }];
  if (outside.length) files.push({ name: dataName, content: pieces() });
  return { files, bytes };
}

/** Writes a model to the file `path`, with its weights there or beside it. */
export async function writeOnnx(
  path: string | URL,
  graph: WrittenGraph,
  { externalData }: ExportOnnxOptions,
): Promise<WrittenOnnx> {
  const name = pathOf(path).split(/[/\\]/).at(-1)!;
  const { files, bytes } = await filesOf(graph, name, externalData);
  await writeFiles(directoryOf(path), files);
  return { files: files.map((file) => file.name), bytes };
}

/** Writes a folder as transformers.js reads it: the model at onnx/model.onnx, and beside it what says how it is used. */
export async function writeOnnxFolder(
  folder: string | URL,
  model: TextModel,
  options: ExportOnnxOptions,
): Promise<WrittenOnnx> {
  // What the model itself writes its folder with.
  const { kind } = model as unknown as { kind: Family<object, CausalNetwork> };
  const { beside } = contentsOf(model as TextModel<CausalNetwork>, kind, "exportOnnx", {}),
    place = pathOf(folder);
  const { files, bytes } = await filesOf(textGraph(model, options), "model.onnx", options.externalData);
  const isOutside = files.length > 1;
  await makeDir(place);
  await writeFiles(joinPath(place, "onnx"), files);
  await writeFiles(
    place,
    beside.map(({ name, content }) => ({
      name,
      content: name === "config.json" ? configOf(content(""), isOutside) : content(""),
    })),
  );
  return { files: [...files.map(({ name }) => `onnx/${name}`), ...beside.map(({ name }) => name)], bytes };
}

/** config.json as transformers.js wants it, which has to be told of weights beside the model. */
function configOf(text: string, isOutside: boolean): string {
  const json = JSON.parse(text) as Record<string, unknown>;
  // That of a safetensors file, which is not there.
  delete json[digestNote];
  const own = isOutside ? { "transformers.js_config": { use_external_data_format: true } } : {};
  return `${JSON.stringify({ ...json, ...own }, null, 2)}\n`;
}
