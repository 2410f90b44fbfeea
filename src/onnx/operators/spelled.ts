/**
 * Operators that move elements without looking at them, on texts: a text is its place in the sorted list of those there are.
 *
 * @module
 */
import type { DataArray } from "../../core/dtype.ts";
import { sizeOf } from "../../core/shape.ts";
import * as f from "../../ops/mod.ts";
import { asValues, type Call, type Operator, type Results } from "../call.ts";
import { elements, textsOf, type Value, valueOf } from "../values.ts";

/** `operator` on texts, too; `outputs` of it are texts then. Places are in the order of the texts and equal where these are. */
export function spelled(operator: Operator, outputs: "all" | readonly number[] = "all"): Operator {
  const run = (c: Call): Results | Promise<Results> =>
    c.inputs.some((value) => value?.kind === "texts") ? byPlaces(c, operator, outputs) : operator.run(c);
  return { ...operator, run };
}

async function byPlaces(c: Call, operator: Operator, outputs: "all" | readonly number[]): Promise<Results> {
  const how = c.text("reduction", "none");
  if (how !== "none") throw c.fail(`texts have no reduction, and it says ${how}`);
  const all = c.inputs.flatMap((value) => value?.kind === "texts" ? value.data : []);
  c.room(4 * all.length);
  const list = [...new Set(all)].sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
  const places = new Map(list.map((text, i) => [text, i])), host = new Map<number, DataArray>();
  const inputs = c.inputs.map((value, i): Value | null => {
    if (value?.kind !== "texts") return value;
    const at = Int32Array.from(value.data, (text) => places.get(text)!);
    host.set(i, at);
    return valueOf(f.tensor(at, { shape: value.shape, device: c.around.device }));
  });
  const call = c.replaced(inputs, host), results = asValues(await operator.run(call), call);
  return await Promise.all(results.map(async (value, i) => {
    if (value?.kind !== "tensor" || outputs !== "all" && !outputs.includes(i)) return value;
    const { shape } = value.tensor;
    c.room(2 * sizeOf(shape));
    const at = await elements(f.contiguous(value.tensor)) as Int32Array;
    return textsOf(shape, Array.from(at, (k) => list[k]));
  }));
}
