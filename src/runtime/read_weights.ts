/**
 * A network's weights from a file of any format: parameter after parameter, each in the dtype that was asked for or that the
 * file has.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import { byteSize, type DType, isQuantized } from "../core/dtype.ts";
import { throwIfAborted } from "../core/errors.ts";
import type { SafetensorsFile } from "../files/mod.ts";
import type { CausalNetwork } from "../models/mod.ts";
import { layOutWeight } from "../models/layout.ts";
import { isTransposing } from "../nn/matrices.ts";
import { isParameter, type Module, parameter } from "../nn/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import { emptyMatrix, heldAs, readMatrix } from "./matrices.ts";
import type { LoadOptions } from "./load_options.ts";

/** Where weights come from. */
export interface WeightSource {
  /** For messages. */
  readonly name: string;
  /** Bytes of a parameter in the file. */
  bytesOf(parameter: string): number;
  /** What a parameter is held as when nothing else is asked for; `made` is what it was made as. */
  heldAs(parameter: string, made: DType, transposing: boolean): DType;
  /** Reads a parameter into `target`, converted and turned as it lies in memory. */
  read(parameter: string, target: Tensor, transposing: boolean): Promise<void>;
}

/** The weights in safetensors; `names` says under which name each parameter is, or each piece of one. */
export function safetensorsSource(
  file: SafetensorsFile,
  names: ReadonlyMap<string, string>,
  name: string,
  piecesOf: (parameter: string) => readonly string[] = (parameter) => [parameter],
): WeightSource {
  const own = (parameter: string): string[] => piecesOf(parameter).map((piece) => names.get(piece) as string);
  return {
    name,
    bytesOf: (parameter) => own(parameter).reduce((sum, piece) => sum + file.info(piece).byteLength, 0),
    heldAs: (parameter, made, transposing) => heldAs(file.info(own(parameter)[0]), made, transposing),
    async read(parameter, target, transposing) {
      const pieces = own(parameter), { backend, buffer, dtype, size } = target;
      if (pieces.length === 1) return await readMatrix(file, pieces[0], target, transposing);
      // Whole rows, and so whole blocks.
      const length = byteSize(dtype, size) / pieces.length;
      for (const [i, piece] of pieces.entries()) {
        backend.upload(buffer, i * length, await file.view(piece).read(dtype));
      }
    },
  };
}

/** Reads all parameters of a network. */
export async function readWeights(
  network: CausalNetwork,
  source: WeightSource,
  { dtype, onProgress, signal }: Pick<LoadOptions, "dtype" | "onProgress" | "signal">,
): Promise<void> {
  const total = network.namedParameters().reduce((sum, [name]) => sum + source.bytesOf(name), 0);
  let loaded = 0, read: Module & { weight?: unknown } | null = null;
  for (const [path, module] of network.namedModules()) {
    const holder = module as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(holder)) {
      if (!isParameter(value)) continue;
      throwIfAborted(signal, `loading ${source.name}`);
      const name = path ? `${path}.${key}` : key, transposing = isTransposing(module, value);
      // Vectors (biases, norms) stay f32: they are small, and every kernel reads them so. What is made quantised was
      // decided when the model was.
      const wanted = value.shape.length < 2
        ? "f32"
        : dtype === undefined
        ? source.heldAs(name, value.dtype, transposing)
        : isQuantized(dtype)
        ? value.dtype
        : dtype;
      const held = dtype === undefined ? heldBy(value.backend, wanted) : wanted;
      const target = held === value.dtype
        ? value
        : replaceParameter(holder, key, value, emptyMatrix(value, held, transposing));
      const reading = source.read(name, target, transposing);
      // While the system reads, the layer that is there is laid out.
      if (read && read.weight !== target && total < mostAside && isSteady(target)) layOutWeight(read);
      await reading;
      read = module;
      onProgress?.({ phase: "read", loaded: loaded += source.bytesOf(name), total });
    }
  }
}

/**
 * What a device holds blocks of a GGUF as. Those of Q5_0 and IQ4_NL are q8 everywhere: that has the same integers and factors,
 * takes half as much again, and its products are several times as fast. What a device has no products with is f32.
 */
function heldBy(backend: Backend, dtype: DType): DType {
  if (dtype === "q50" || dtype === "iq4nl") return "q8";
  return backend.supports(dtype) ? dtype : "f32";
}

/** Bytes of weights up to which none are moved out of the device's memory while others are read into it. */
const mostAside = 2 ** 31;

/** Whether memory that is being read into stays where it is when more is taken. */
function isSteady({ backend, buffer }: Tensor): boolean {
  return typeof SharedArrayBuffer !== "undefined" &&
    backend.mapped?.(buffer).buffer instanceof SharedArrayBuffer;
}

function replaceParameter(holder: Record<string, unknown>, key: string, old: Tensor, memory: Tensor): Tensor {
  const made = parameter(memory);
  holder[key] = made;
  old.dispose();
  return made;
}
