/**
 * `ai.onnx.ml`'s tables from one kind of value to another.
 *
 * @module
 */
import { toNumbers } from "../../tensor/mod.ts";
import type { Call, OperatorTable, Result } from "../call.ts";
import type { OnnxType } from "../types.ts";
import { elements, tensorOf, textsOf, type Value } from "../values.ts";

/** Keys or values of a table, and the type of values. */
interface Column {
  readonly list: readonly (string | number | bigint)[];
  readonly type: OnnxType;
}

/** What is found in a table by what equals it: whole numbers of any width are one kind. */
const keyed = (v: string | number | bigint): string | number =>
  typeof v === "bigint" ? Number.isSafeInteger(Number(v)) ? Number(v) : `\0${v}` : v;

async function listOf(value: Value, c: Call): Promise<readonly (string | number | bigint)[]> {
  if (value.kind === "texts") return value.data;
  if (value.kind !== "tensor") throw c.fail("a table is of tensors or texts");
  const data = await elements(value.tensor);
  return data instanceof BigInt64Array ? Array.from(data) : Array.from(toNumbers(data, value.tensor.dtype));
}

/** A column as an attribute says it: a list of its type, or since version 4 a tensor. */
async function columnOf(c: Call, name: string): Promise<Column | null> {
  const tensor = c.tensor(`${name}_tensor`);
  if (tensor) {
    const value = await c.around.tensor(tensor);
    return { list: await listOf(value, c), type: value.kind === "tensor" ? value.type : "string" };
  }
  const texts = c.strings(`${name}_strings`), floats = c.floats(`${name}_floats`);
  const whole = c.node.attributes.get(`${name}_int64s`);
  if (texts) return { list: texts, type: "string" };
  return whole?.kind === "ints"
    ? { list: whole.value, type: "int64" }
    : floats && { list: floats, type: "float" };
}

/** What is given for a value that is not in the table. */
async function missingOf(c: Call, type: OnnxType): Promise<string | number | bigint> {
  const tensor = c.tensor("default_tensor");
  if (tensor) return (await listOf(await c.around.tensor(tensor), c))[0];
  if (type === "string") return c.text("default_string", "_Unused");
  return type === "float" || type === "double" ? c.float("default_float", -0) : c.int("default_int64", -1);
}

async function encodeLabels(c: Call): Promise<Result> {
  const value = c.value(0), given = await listOf(value, c), classes = c.strings("classes_strings");
  let keys = await columnOf(c, "keys"), values = await columnOf(c, "values");
  if (classes) {
    // Version 1: texts and their places, whichever is given.
    const texts: Column = { list: classes, type: "string" };
    const places: Column = { list: classes.map((_, i) => i), type: "int64" };
    [keys, values] = value.kind === "texts" ? [texts, places] : [places, texts];
  }
  if (!keys || !values || keys.list.length !== values.list.length) {
    throw c.fail("its keys and values are not two lists of one length");
  }
  const table = new Map<string | number, string | number | bigint>(), { type, list } = values;
  keys.list.forEach((key, i) => {
    if (!table.has(keyed(key))) table.set(keyed(key), list[i]);
  });
  const missing = await missingOf(c, type), shape = value.kind === "texts" ? value.shape : c.t(0).shape;
  const found = given.map((v) => table.get(keyed(v)) ?? missing);
  if (type === "string") return textsOf(shape, found.map(String));
  return tensorOf(found as (number | bigint)[], shape, type, c.around.device);
}

/** The operators of `ai.onnx.ml`. */
export const classical: OperatorTable = {
  LabelEncoder: { since: [1, 2, 4], noGradient: "texts", waits: true, run: encodeLabels },
};
