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

/** A tensor that a file offers. */
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

/** The name without `transformer.`, or null for a buffer that is no parameter. */
export function parameterName(name: string): string | null {
  return buffer.test(name) ? null : name.replace(/^transformer\./, "");
}

/**
 * The name to write a parameter under: bare where the output layer is tied, as in the published files; otherwise with
 * `transformer.`, as transformers takes a file with `lm_head.weight` for one that has it throughout.
 */
export function checkpointName(name: string, tied: boolean): string {
  return tied || name === "lm_head.weight" ? name : `transformer.${name}`;
}

/**
 * For each parameter of the model, the name in the file that holds it.
 *
 * @param expected the model's parameters by name.
 * @param tied whether the output layer is wte: then `lm_head.weight` in the file is passed over.
 * @throws {FormatError} listing missing names, unexpected names, and wrong shapes or dtypes, each apart.
 */
export function matchNames(
  offered: readonly Offered[],
  expected: ReadonlyMap<string, Shape>,
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
    const shape = expected.get(name), offeredShape = t.transposed ? [...t.shape].reverse() : t.shape;
    seen.add(name);
    if (!shape) unexpected.push(`${t.name} ${formatShape(t.shape)}`);
    else if (found.has(name)) unexpected.push(`${t.name} (the file also has ${found.get(name)})`);
    else if (!sameShape(shape, offeredShape)) {
      wrong.push(`${t.name} is ${formatShape(offeredShape)}, expected ${formatShape(shape)}`);
    } else if (!isFloat(t.dtype as "f32") && !isQuantized(t.dtype as "q8")) {
      wrong.push(`${t.name} holds ${t.dtype}, expected f32, f16, bf16, q8 or q4`);
    } else found.set(name, t.name);
  }
  const missing = [...expected].filter(([name]) => !seen.has(name)).map(([name, shape]) =>
    `${name} ${formatShape(shape)}`
  );
  const complaints = [
    missing.length ? `missing: ${missing.join(", ")}` : "",
    unexpected.length ? `unexpected: ${unexpected.join(", ")}` : "",
    wrong.length ? `wrong: ${wrong.join(", ")}` : "",
  ].filter(Boolean);
  if (complaints.length) {
    throw new FormatError(
      `${where} does not hold the GPT-2 that its config.json describes; ${complaints.join("; ")}`,
    );
  }
  return found;
}
