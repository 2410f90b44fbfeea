/**
 * Calls of tools in what a model writes.
 *
 * Families write them in their own ways, which are told apart by how they begin:
 *
 *     <tool_call>{"name": "f", "arguments": {…}}</tool_call>      Hermes, Qwen; text may stand before
 *     [TOOL_CALLS][{"name": "f", "arguments": {…}}, …]            Mistral; also [TOOL_CALLS]f[ARGS]{…}
 *     <|python_tag|>{"name": "f", "parameters": {…}}; …           Llama 3
 *
 * Markers that are special tokens are no text, so that JSON at the front is read as calls where it names tools of the request.
 * What cannot be read as a call is text.
 *
 * @module
 */

/** A call, as OpenAI's API has it. */
export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/** What became certain: text, and calls that are whole. */
export interface Said {
  readonly text: string;
  readonly calls: readonly ToolCall[];
}

const open = "<tool_call>", close = "</tool_call>", mistral = "[TOOL_CALLS]", python = "<|python_tag|>";
const markers: readonly string[] = [open, mistral, python];

/** What an object begins with that may be a call. */
const keys: readonly string[] = ["name", "type", "id", "arguments", "parameters"];

/** Nine letters and digits, as Mistral's templates want them. */
function newId(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, 9);
}

/** The end of the JSON value that begins at `at`; −1 where it is not whole. */
function valueEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const letter = text[i];
    if (letter === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
      if (i >= text.length) return -1;
      if (depth === 0) return i + 1;
    } else if (letter === "{" || letter === "[") depth++;
    else if (letter === "}" || letter === "]") {
      if (--depth <= 0) return depth < 0 ? i : i + 1;
    } else if (depth === 0 && (letter === "," || /\s/.test(letter))) return i;
  }
  return -1;
}

const skipSpace = (text: string, at: number): number => at + /^\s*/.exec(text.slice(at))![0].length;

/** The members of an object as they are written. `text` is JSON. */
function membersOf(text: string): Map<string, string> {
  const out = new Map<string, string>();
  for (let at = skipSpace(text, 1); text[at] !== "}";) {
    const nameEnd = valueEnd(text, at), from = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = valueEnd(text, from);
    out.set(JSON.parse(text.slice(at, nameEnd)), text.slice(from, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return out;
}

function callOf(name: string, written: string): ToolCall {
  const given = written.startsWith('"') ? JSON.parse(written) as string : written;
  return { id: newId(), type: "function", function: { name, arguments: given } };
}

/** The call that a JSON object is, or null. */
function callFrom(text: string, isKnown: (name: string) => boolean): ToolCall | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const { name, arguments: own, parameters = own ?? {} } = value as Record<string, unknown>;
  const isCall = typeof name === "string" && isKnown(name) &&
    (typeof parameters === "string" || (typeof parameters === "object" && parameters !== null));
  if (!isCall) return null;
  const members = membersOf(text.trim());
  return callOf(name, members.get("parameters") ?? members.get("arguments") ?? "{}");
}

/** Objects one after the other, in a list or not, all of them calls; or `f[ARGS]{…}`. Null for anything else. */
function callsFrom(text: string, isKnown: (name: string) => boolean): ToolCall[] | null {
  const calls: ToolCall[] = [];
  let at = skipSpace(text, 0);
  const isList = text[at] === "[", last = isList ? valueEnd(text, at) - 1 : text.trimEnd().length;
  if (isList && (last < 0 || text.slice(last + 1).trim() !== "")) return null;
  if (isList) at++;
  for (at = skipSpace(text, at); at < last;) {
    const named = isList
      ? null
      : /^([\w.-]+)\s*(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)/.exec(text.slice(at));
    if (named) at += named[0].length;
    const end = text[at] === "{" ? valueEnd(text, at) : -1;
    if (end < 0) return null;
    const object = text.slice(at, end);
    const call = named ? whole(named[1], object, isKnown) : callFrom(object, isKnown);
    if (call === null) return null;
    calls.push(call);
    at = end + /^(?:\s|[,;]|\[TOOL_CALLS\])*/.exec(text.slice(end))![0].length;
  }
  return calls.length > 0 ? calls : null;
}

function whole(name: string, object: string, isKnown: (name: string) => boolean): ToolCall | null {
  try {
    JSON.parse(object);
  } catch {
    return null;
  }
  return isKnown(name) ? callOf(name, object) : null;
}

/** Reads an answer piece by piece. */
export class ToolCallReader {
  readonly #names: ReadonlySet<string>;
  readonly #most: number;
  #held = "";
  /** Whether nothing but space has come yet; whether all that comes may be calls; the tag that is open. */
  #where: "start" | "text" | "calls" | "tag" = "start";
  /** The marker that stands before what is held, with the space before it: text, where no call follows. */
  #marker = "";
  #count = 0;

  /** `names` are the tools of the request; of more than `most` calls the first count. */
  constructor(names: Iterable<string>, most: number = Infinity) {
    this.#names = new Set(names);
    this.#most = most;
  }

  /** How many calls there were. */
  get count(): number {
    return this.#count;
  }

  /** More of the answer. */
  push(piece: string): Said {
    this.#held += piece;
    let text = "";
    const calls: ToolCall[] = [];
    while (this.#step((some) => text += some, calls));
    return { text, calls };
  }

  /** The rest, when the answer has ended. */
  end(): Said {
    const { text, calls } = this.push(""), more = [...calls];
    const rest = this.#held, where = this.#where;
    this.#held = "";
    if (where === "calls") {
      const found = callsFrom(rest, (name) => this.#names.has(name));
      if (found) return { text, calls: [...more, ...this.#counted(found)] };
    } else if (where === "tag") {
      // Some end with the text's end in place of their own.
      const found = callFrom(rest, () => true);
      if (found) return { text, calls: [...more, ...this.#counted([found])] };
    }
    const said = text + this.#marker + rest;
    // Space behind the last call is no text.
    return { text: this.#count > 0 && said.trim() === "" ? "" : said, calls: more };
  }

  #counted(calls: readonly ToolCall[]): ToolCall[] {
    const left = calls.slice(0, Math.max(0, this.#most - this.#count));
    this.#count += left.length;
    return left;
  }

  /** One step on; whether another may follow. */
  #step(write: (text: string) => void, calls: ToolCall[]): boolean {
    const held = this.#held;
    if (this.#where === "start") return this.#begin(held);
    if (this.#where === "tag") {
      const end = held.indexOf(close);
      if (end < 0) return false;
      const found = callFrom(held.slice(0, end), () => true);
      if (found) calls.push(...this.#counted([found]));
      else write(this.#marker + held.slice(0, end) + close);
      this.#held = held.slice(end + close.length);
      this.#marker = "";
      this.#where = "text";
      return true;
    }
    if (this.#where === "calls") {
      if (this.#mayBeCalls(held)) return false;
      write(this.#marker);
      this.#marker = "";
      this.#where = "text";
      return true;
    }
    const [at, marker] = markers.map((one): [number, string] => [held.indexOf(one), one])
      .filter(([at]) => at >= 0).sort(([a], [b]) => a - b)[0] ?? [-1, ""];
    if (at >= 0) {
      const before = held.slice(0, at).trimEnd();
      write(before);
      this.#marker = held.slice(before.length, at) + marker;
      this.#held = held.slice(at + marker.length);
      this.#where = marker === open ? "tag" : "calls";
      return true;
    }
    // Space before a marker is no text, and a marker may come in pieces.
    const sure = held.length - unsure(held);
    write(held.slice(0, sure));
    this.#held = held.slice(sure);
    return false;
  }

  #begin(held: string): boolean {
    const text = held.trimStart();
    if (text === "") return false;
    this.#where = /^[{[]/.test(text) && !markers.some((one) => text.startsWith(one)) || this.#namesIn(text)
      ? "calls"
      : "text";
    // A marker that has only begun is told from a list when more is here.
    if (this.#where === "calls" && markers.some((one) => one.startsWith(text))) this.#where = "start";
    return this.#where !== "start";
  }

  /** Whether a text begins with a tool's name and what follows one, or may. */
  #namesIn(text: string): boolean {
    return [...this.#names].some((name) =>
      text.startsWith(name) ? /^\s*(?:$|[[{])/.test(text.slice(name.length)) : name.startsWith(text)
    );
  }

  /** Whether what is held can still become calls. */
  #mayBeCalls(held: string): boolean {
    const text = held.trimStart();
    if (text === "" || this.#namesIn(text)) return true;
    if (this.#marker.endsWith(mistral) && /^[\w.-]+\s*(?:$|[[{])/.test(text)) return true;
    const [, key, end] = /^(?:\[\s*)?(?:$|\{\s*(?:$|"([^"]*)("?)))/.exec(text) ?? [null, null];
    if (key === null) return false;
    return key === undefined || keys.some((one) => end ? one === key : one.startsWith(key));
  }
}

/** How many of the last characters may belong to a marker, with the space before it. */
function unsure(text: string): number {
  for (let length = Math.min(text.length, python.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (markers.some((one) => one.length > length && one.startsWith(end))) {
      return text.length - text.slice(0, text.length - length).trimEnd().length;
    }
  }
  return text.length - text.trimEnd().length;
}
