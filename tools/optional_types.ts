/**
 * Declarations in which every optional member also takes an explicit `undefined`.
 *
 * An option that is undefined was not given, here as in most libraries; but a consumer who compiles with
 * `exactOptionalPropertyTypes` may only write so where the type says it. Within the library the exact types find mistakes, so
 * it is said where they leave it: `seed?: number;` of a declaration becomes `seed?: (number) | undefined;`.
 *
 * @module
 */

const opening = "([{<", closing = ")]}>";

/** Where a comment or a text that begins at `at` ends; `at` where none does. */
function past(text: string, at: number): number {
  const two = text.slice(at, at + 2);
  if (two === "/*") return text.indexOf("*/", at) + 2;
  if (two === "//") return (text.indexOf("\n", at) + text.length + 1) % (text.length + 1);
  const quote = text[at];
  if (quote !== '"' && quote !== "'" && quote !== "`") return at;
  let end = at + 1;
  while (end < text.length && text[end] !== quote) end += text[end] === "\\" ? 2 : 1;
  return end + 1;
}

/** Where a type that begins at `at` ends. */
function typeEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length;) {
    const behind = past(text, i);
    if (behind > i) {
      i = behind;
      continue;
    }
    if (text.startsWith("=>", i)) {
      i += 2;
      continue;
    }
    const letter = text[i];
    if (depth === 0 && (letter === ";" || letter === "," || closing.includes(letter))) return i;
    if (opening.includes(letter)) depth++;
    else if (closing.includes(letter)) depth--;
    i++;
  }
  return text.length;
}

/** The text of a declaration file with an explicit `undefined` for every optional member and parameter. */
export function withUndefined(text: string): string {
  return marked(text.replace(/(?<!extends )\bPartial<(\w+)>/g, "{ [K in keyof $1]?: $1[K] | undefined }"));
}

function marked(text: string): string {
  let written = "";
  for (let i = 0; i < text.length;) {
    const behind = past(text, i);
    if (behind > i) {
      written += text.slice(i, behind);
      i = behind;
    } else if (text.startsWith("?: ", i) && /\w/.test(text[i - 1])) {
      const end = typeEnd(text, i + 3), type = marked(text.slice(i + 3, end));
      written += `?: (${type}) | undefined`;
      i = end;
    } else written += text[i++];
  }
  return written;
}
