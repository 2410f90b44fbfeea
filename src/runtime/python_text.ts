/**
 * Values of a template as Python writes them, where `@huggingface/jinja` writes them as JavaScript does: `True`, `None`,
 * `{'city': 'Paris'}`. Templates are written for Python.
 *
 * @module
 */

/** A value of the interpreter. */
export interface TypedValue {
  readonly type?: string;
  readonly value?: unknown;
}

/** A text in quotes: single ones, unless it has some and no double ones. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inner = text.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`)
    .replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t")
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (c) => {
      const code = c.codePointAt(0)!, hex = code.toString(16);
      return code < 0x100
        ? `\\x${hex.padStart(2, "0")}`
        : code < 0x10000
        ? `\\u${hex.padStart(4, "0")}`
        : `\\U${hex.padStart(8, "0")}`;
    });
  return quote + inner + quote;
}

/** A value inside of another, as `repr` has it. */
function inside(value: TypedValue): string {
  return value.type === "StringValue" ? quoted(value.value as string) : pythonText(value);
}

/** A value as `str` has it; what is not defined is nothing. */
export function pythonText(value: TypedValue): string {
  switch (value.type) {
    case "UndefinedValue":
      return "";
    case "NullValue":
      return "None";
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "ArrayValue":
      return `[${(value.value as TypedValue[]).map(inside).join(", ")}]`;
    case "TupleValue": {
      const all = (value.value as TypedValue[]).map(inside);
      return all.length === 1 ? `(${all[0]},)` : `(${all.join(", ")})`;
    }
    case "ObjectValue":
      return `{${
        [...value.value as Map<string, TypedValue>].map(([key, own]) => `${quoted(key)}: ${inside(own)}`)
          .join(", ")
      }}`;
    default:
      return String(value);
  }
}
