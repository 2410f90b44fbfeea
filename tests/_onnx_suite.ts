/**
 * ONNX's own backend tests (Debian's `libonnx-testdata`): a folder a test, with a model, inputs and outputs. A result passes as
 * ONNX judges it: the type and shape that are wanted, and numbers within rtol 1e-3 and atol 1e-7.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Onnx, type OnnxStrings, type OnnxValue, Tensor } from "../mod.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { isFloat } from "../src/core/dtype.ts";
import { readTensor } from "../src/onnx/messages.ts";
import { readTensorValue } from "../src/onnx/tensors.ts";
import type { Value } from "../src/onnx/values.ts";
import { WireReader } from "../src/onnx/wire.ts";
import { toNumbers } from "../src/tensor/mod.ts";

/** Where the package puts them. */
export const suiteFolder = "/usr/share/libonnx-testdata/data";

/** The folder of the suite, or why it is not there. */
export function findSuite(
  given: string | undefined,
): { readonly folder: string } | { readonly skip: string } {
  const folder = given ?? suiteFolder;
  return existsSync(join(folder, "node")) ? { folder } : {
    skip: `ONNX's own tests are not in ${folder}; apt-get install libonnx-testdata`,
  };
}

/** The names of the tests in one part of the suite. */
export function suiteTests(folder: string, part: string): string[] {
  return readdirSync(join(folder, part)).filter((name) => existsSync(join(folder, part, name, "model.onnx")))
    .sort();
}

const noFiles = { source: { name: "data" } as never, open: () => Promise.reject(new Error("no file")) };

/** A value of a `.pb` file: a tensor, a sequence of them, or an optional. */
async function readPb(bytes: Uint8Array, kind: string): Promise<OnnxValue> {
  if (kind.startsWith("optional")) {
    // OptionalProto: name 1, elem_type 2, tensor_value 3, sparse 4, sequence_value 5.
    const reader = new WireReader(bytes, "data");
    let value: OnnxValue = null;
    while (reader.next()) {
      if (reader.field === 3) value = await readPb(reader.bytes(), "tensor");
      else if (reader.field === 5) value = await readPb(reader.bytes(), "sequence");
      else reader.skip();
    }
    return value;
  }
  if (kind.startsWith("sequence")) {
    // SequenceProto: name 1, elem_type 2, tensor_values 3, sparse 4, sequence_values 5.
    const reader = new WireReader(bytes, "data"), items: OnnxValue[] = [];
    while (reader.next()) {
      if (reader.field === 3) items.push(await readPb(reader.bytes(), "tensor"));
      else if (reader.field === 5) items.push(await readPb(reader.bytes(), "sequence"));
      else reader.skip();
    }
    return items;
  }
  const message = readTensor(new WireReader(bytes, "data"));
  // The suite has bf16 as its bits in uint16.
  if (kind === "bfloat16" && message.code === 4) message.code = 16;
  return given(await readTensorValue(message, noFiles, "cpu"));
}

function given(value: Value): OnnxValue {
  if (value.kind === "tensor") return value.tensor;
  return value.kind === "texts" ? { shape: value.shape, data: value.data } : null;
}

/** What differs between a result and what is wanted; null when nothing does. */
async function difference(got: OnnxValue, wanted: OnnxValue): Promise<string | null> {
  if (wanted === null || got === null) return got === wanted ? null : `${got} instead of ${wanted}`;
  if (Array.isArray(wanted)) {
    if (!Array.isArray(got) || got.length !== wanted.length) return `not a sequence of ${wanted.length}`;
    for (let i = 0; i < wanted.length; i++) {
      const problem = await difference(got[i], wanted[i]);
      if (problem !== null) return `item ${i}: ${problem}`;
    }
    return null;
  }
  const w = wanted as Tensor | OnnxStrings, g = got as Tensor | OnnxStrings;
  if (String(g.shape) !== String(w.shape)) return `shape [${g.shape}] instead of [${w.shape}]`;
  if (!(w instanceof Tensor) || !(g instanceof Tensor)) {
    if (w instanceof Tensor || g instanceof Tensor) return "texts and numbers";
    return w.data.every((text, i) => text === g.data[i]) ? null : `${g.data} instead of ${w.data}`;
  }
  if (g.dtype !== w.dtype) return `${g.dtype} instead of ${w.dtype}`;
  const a = toNumbers(await g.data(), g.dtype), b = toNumbers(await w.data(), w.dtype);
  for (let i = 0; i < a.length; i++) {
    const close = Object.is(a[i], b[i]) || a[i] === b[i] ||
      Math.abs(a[i] - b[i]) <= 1e-7 + 1e-3 * Math.abs(b[i]);
    if (!close) return `${a[i]} instead of ${b[i]} at ${i}`;
  }
  return null;
}

/** Other numbers of the same kind. */
function otherNumbers(value: OnnxValue): OnnxValue {
  return value instanceof Tensor && isFloat(value.dtype) && value.size > 1 ? value.mul(0.75) : value;
}

/** How a test is run. */
export interface SuiteOptions {
  /** Default: the default device. */
  readonly device?: DeviceName;
  /** As a program, which is made with other numbers where they are floats. */
  readonly compiled?: boolean;
}

/** What is wrong with the result of one test; null when nothing is. */
export async function runSuiteTest(
  path: string,
  { device, compiled }: SuiteOptions = {},
): Promise<string | null> {
  try {
    using model = await Onnx.load(join(path, "model.onnx"), device ? { device } : {});
    for (const set of readdirSync(path).filter((name) => name.startsWith("test_data_set_"))) {
      const read = (name: string): Uint8Array => readFileSync(join(path, set, name));
      const inputs: Record<string, OnnxValue> = {};
      for (let i = 0; i < model.inputs.length; i++) {
        const { name, type } = model.inputs[i];
        if (existsSync(join(path, set, `input_${i}.pb`))) {
          inputs[name] = await readPb(read(`input_${i}.pb`), type);
        }
      }
      if (compiled) {
        const others = Object.fromEntries(
          Object.entries(inputs).map(([name, value]) => [name, otherNumbers(value)]),
        );
        await model.run(others, { compiled });
        // Where a number decides on a shape, this is another program's first run.
        await model.run(inputs, { compiled });
      }
      const results = await model.run(inputs, compiled ? { compiled } : {});
      for (let i = 0; i < model.outputs.length; i++) {
        const { name, type } = model.outputs[i];
        if (!existsSync(join(path, set, `output_${i}.pb`))) continue;
        const problem = await difference(results[name], await readPb(read(`output_${i}.pb`), type));
        if (problem !== null) return `${name}: ${problem}`;
      }
    }
    return null;
  } catch (error) {
    return (error as Error).message.replaceAll(path, "…");
  }
}

/** The operators of a test's model and the opset it speaks, for the table. */
export async function operatorsOf(
  path: string,
): Promise<{ readonly operators: string[]; readonly opset: number }> {
  const { readModel } = await import("../src/onnx/messages.ts");
  const { openSource } = await import("../src/platform/platform.ts");
  const source = await openSource(join(path, "model.onnx")), model = await readModel(source);
  await source.close();
  return {
    operators: model.graph.nodes.map(({ operator, domain }) => domain ? `${domain}.${operator}` : operator),
    opset: model.opsets.get("") ?? 0,
  };
}
