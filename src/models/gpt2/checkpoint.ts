/**
 * From a checkpoint's names to the model's: the one place that knows how GPT-2 files differ.
 *
 * Published files come with and without the prefix `transformer.`, with the causal masks as buffers (`attn.bias`,
 * `attn.masked_bias`), and with the output layer written out although it is tied. What remains after sorting this out
 * must be exactly the model's parameters.
 *
 * @module
 */
import { isFloat, isQuantized } from "../../core/dtype.ts";
import { FormatError } from "../../core/errors.ts";
import { formatShape, sameShape, type Shape } from "../../core/shape.ts";
import type { GPT2Config } from "./config.ts";

/**
 * A tensor that a file offers.
 *
 * @category Models
 */
export interface Offered {
  /** Its name in the file. */
  readonly name: string;
  /** What its elements are stored as. */
  readonly dtype: string;
  /** Its sizes. */
  readonly shape: Shape;
  /** Whether the file has the transpose, whose sizes these are. */
  readonly transposed?: boolean;
}

const buffer = /(^|\.)h\.\d+\.attn\.(bias|masked_bias)$/;

/**
 * The name without `transformer.`, or null for a buffer that is no parameter.
 *
 * @category Models
 */
export function parameterName(name: string): string | null {
  return buffer.test(name) ? null : name.replace(/^transformer\./, "");
}

/**
 * The name to write a parameter under: bare where the output layer is tied, as in the published files; otherwise with
 * `transformer.`, as transformers takes a file with `lm_head.weight` for one that has it throughout.
 *
 * @category Models
 */
export function checkpointName(name: string, tied: boolean): string {
  return tied || name === "lm_head.weight" ? name : `transformer.${name}`;
}

/**
 * Tensors that a model must have, told without making it.
 *
 * @category Models
 */
export interface ExpectedTensors {
  /** How many there are. */
  readonly size: number;
  /** The shape of one; undefined when the model has none of this name. */
  shape(name: string): Shape | undefined;
  /** Their names. */
  names(): Iterable<string>;
}

/** A block's parameters, by their names inside it. */
function blockShapes({ nEmbd, nInner }: GPT2Config): Record<string, Shape> {
  const inner = nInner ?? 4 * nEmbd;
  return {
    "ln_1.weight": [nEmbd],
    "ln_1.bias": [nEmbd],
    "attn.c_attn.weight": [nEmbd, 3 * nEmbd],
    "attn.c_attn.bias": [3 * nEmbd],
    "attn.c_proj.weight": [nEmbd, nEmbd],
    "attn.c_proj.bias": [nEmbd],
    "ln_2.weight": [nEmbd],
    "ln_2.bias": [nEmbd],
    "mlp.c_fc.weight": [nEmbd, inner],
    "mlp.c_fc.bias": [inner],
    "mlp.c_proj.weight": [inner, nEmbd],
    "mlp.c_proj.bias": [nEmbd],
  };
}

/**
 * The parameters of a GPT-2 of this configuration.
 *
 * @category Models
 */
export function expectedTensors(config: GPT2Config): ExpectedTensors {
  const { vocabSize, nPositions, nEmbd, nLayer, tieWordEmbeddings } = config;
  const outside: Record<string, Shape> = {
    "wte.weight": [vocabSize, nEmbd],
    "wpe.weight": [nPositions, nEmbd],
    "ln_f.weight": [nEmbd],
    "ln_f.bias": [nEmbd],
    ...(tieWordEmbeddings ? {} : { "lm_head.weight": [vocabSize, nEmbd] }),
  };
  const block = blockShapes(config), inBlock = Object.keys(block);
  return {
    size: Object.keys(outside).length + nLayer * inBlock.length,
    shape(name) {
      const [, layer, rest] = /^h\.(0|[1-9]\d*)\.(.+)$/.exec(name) ?? [];
      if (rest === undefined) return Object.hasOwn(outside, name) ? outside[name] : undefined;
      return Number(layer) < nLayer && Object.hasOwn(block, rest) ? block[rest] : undefined;
    },
    *names() {
      yield* Object.keys(outside).slice(0, 2);
      for (let layer = 0; layer < nLayer; layer++) for (const rest of inBlock) yield `h.${layer}.${rest}`;
      yield* Object.keys(outside).slice(2);
    },
  };
}

/** The most names of one kind that a message lists. */
const mostListed = 20;

function listed(what: string, list: readonly string[], total: number = list.length): string {
  if (total === 0) return "";
  const rest = total > mostListed ? ` and ${(total - mostListed).toLocaleString("en")} more` : "";
  return `${what}: ${list.slice(0, mostListed).join(", ")}${rest}`;
}

/**
 * For each parameter of the model, the name in the file that holds it. Nothing is made of the model for it, so that a
 * configuration of any size is refused as fast as the file's names are read.
 *
 * @param tied whether the output layer is wte: then `lm_head.weight` in the file is passed over.
 * @throws {FormatError} listing missing names, unexpected names, and wrong shapes or dtypes, each apart.
 * @category Models
 */
export function matchNames(
  offered: Iterable<Offered>,
  expected: ExpectedTensors,
  tied: boolean,
  where: string,
): Map<string, string> {
  const found = new Map<string, string>(),
    seen = new Set<string>(),
    unexpected: string[] = [],
    wrong: string[] = [];
  for (const t of offered) {
    const name = parameterName(t.name);
    if (name === null || (tied && name === "lm_head.weight")) continue;
    const shape = expected.shape(name), offeredShape = t.transposed ? [...t.shape].reverse() : t.shape;
    if (!shape) unexpected.push(`${cut(t.name)} ${cut(formatShape(t.shape))}`);
    else if (found.has(name)) unexpected.push(`${cut(t.name)} (the file also has ${found.get(name)})`);
    else if (!sameShape(shape, offeredShape)) {
      wrong.push(`${t.name} is ${cut(formatShape(offeredShape))}, expected ${formatShape(shape)}`);
    } else if (!isFloat(t.dtype as "f32") && !isQuantized(t.dtype as "q8")) {
      wrong.push(`${t.name} holds ${t.dtype}, expected f32, f16, bf16, q8 or q4`);
    } else found.set(name, t.name);
    if (shape) seen.add(name);
  }
  const missing: string[] = [];
  if (seen.size < expected.size) {
    for (const name of expected.names()) {
      if (seen.has(name)) continue;
      missing.push(`${name} ${formatShape(expected.shape(name)!)}`);
      if (missing.length === mostListed) break;
    }
  }
  const complaints = [
    listed("missing", missing, expected.size - seen.size),
    listed("unexpected", unexpected),
    listed("wrong", wrong),
  ].filter(Boolean);
  if (complaints.length) {
    throw new FormatError(
      `${where} does not hold the GPT-2 that its config.json describes; ${complaints.join("; ")}`,
    );
  }
  return found;
}

function cut(text: string): string {
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
