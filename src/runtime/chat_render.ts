/**
 * Chat templates within bounds.
 *
 * A template is a program from a file: it can loop, call itself and double a text until nothing is left. So each step of
 * its interpreter is counted, with the size of what comes out of it, against a budget that grows with the conversation.
 * What a real template does for a message is some hundred steps.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { pythonText, type TypedValue } from "./python_text.ts";

/** A value of the interpreter: texts and lists have their JavaScript value. */
interface JinjaValue extends TypedValue {
  value?: unknown;
}

interface Environment {
  set(name: string, value: unknown): unknown;
}

interface Interpreter {
  run(program: unknown): JinjaValue;
  evaluate(statement: Statement | undefined, environment: Environment): JinjaValue;
  evaluateBlock(statements: readonly Statement[], environment: Environment): JinjaValue;
}

/** The part of `@huggingface/jinja` that is used. */
export interface Jinja {
  readonly Template: new (text: string) => { readonly parsed: unknown; render(items?: object): string };
  readonly Environment: new (parent?: Environment) => Environment;
  readonly Interpreter: (new (environment: Environment) => Interpreter) & { readonly prototype: Interpreter };
}

/** Steps, and characters and list entries that come out of them, that a template may take. */
const budget = {
  steps: { base: 500_000, message: 2000 },
  size: { base: 32_000_000, character: 256 },
};

/** What a turn of a loop counts, in characters: about what it takes. */
const turn = 64;

/** A node of a parsed template. */
interface Statement {
  readonly type: string;
  /** What a loop runs through, with a condition or without. */
  readonly iterable?: Statement & { readonly lhs?: Statement };
  /** What a filter is applied to, and the filter: a name or a call. */
  readonly operand?: Statement;
  readonly filter?: Statement;
  /** What is called, with what; of a method the object and the name. */
  readonly callee?: Statement;
  readonly args?: readonly Statement[];
  readonly object?: Statement;
  readonly property?: Statement;
  /** A name, a literal, or the node of a named argument's value. */
  readonly value?: unknown;
}

/** Statements, which write what is in them; all others are expressions, which are written. */
const statements: readonly string[] = [
  "Set",
  "If",
  "For",
  "Macro",
  "CallStatement",
  "FilterStatement",
  "Comment",
  "Break",
  "Continue",
  "Program",
];

/**
 * The longest text, the longest list and the longest template, in characters and entries. The package looks for what ends a run
 * of white space from each of its characters, so a run has a limit of its own; and what it does where an engine's room for calls
 * ends is its own affair, so a template comes to its limit of depth well before that.
 */
const longest = {
  text: 1 << 24,
  list: 1_000_000,
  range: 100_000,
  indent: 1000,
  depth: 500,
  template: 1 << 20,
  white: 500,
};

/** A namespace inside of another value can still grow, so it counts as this much. */
const inNamespace = longest.text / 16;

/** What a value that is no text is written as, about. */
const wordLength = 8;

/** How many characters each list and object is written as, once that is known. What a namespace holds changes. */
const sizes = new WeakMap<object, number>();

/**
 * About how many characters a value is written as: what stands in several places is written in each of them, so that a list of
 * few lines may be more than there is room for anywhere.
 */
function sizeOf({ type, value }: JinjaValue): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return wordLength;
  const known = sizes.get(value);
  if (known !== undefined) return known;
  if (!Array.isArray(value) && !(value instanceof Map)) return wordLength;
  let size = wordLength;
  for (const one of value.values() as Iterable<JinjaValue>) {
    size += one.type === "NamespaceValue" ? inNamespace : sizeOf(one) + 2;
  }
  if (value instanceof Map) { for (const key of value.keys()) size += String(key).length; }
  if (type !== "NamespaceValue") sizes.set(value, size);
  return size;
}

/** What every template may call: the environment in which the package runs one. */
function globalsOf({ Template, Interpreter }: Jinja): Environment {
  const { prototype } = Interpreter, { evaluate } = prototype;
  let found: Environment | null = null;
  try {
    // It hands it to no one else. Rendering is done in one go, so nobody meets the changed prototype.
    prototype.evaluate = function (statement, environment) {
      found ??= environment;
      return evaluate.call(this, statement, environment);
    };
    new Template("{{ 1 }}").render();
  } finally {
    prototype.evaluate = evaluate;
  }
  if (found === null) throw new FormatError("this version of @huggingface/jinja is not known here");
  return found;
}

/** `range` as Python has it, of so many numbers at most. */
function range(...given: unknown[]): number[] {
  const numbers = given.filter((n) => typeof n === "number") as number[];
  const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!Number.isSafeInteger(count) || step === 0) {
    throw new Error("range() takes whole numbers, the step not 0");
  }
  if (count > longest.range) throw new FormatError(`it asks for a range of ${counted(count, "number")}`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** A template that writes what it is given, within the budget. @throws {FormatError} for one that does not parse. */
export function boundedTemplate(
  jinja: Jinja,
  text: string,
  where: string,
): (items: { readonly messages: readonly object[]; readonly [name: string]: unknown }) => string {
  if (text.length > longest.template) {
    throw new FormatError(
      `${where}: a chat template of ${counted(text.length, "character")} is longer than ${longest.template}`,
    );
  }
  for (const { 0: white, index } of text.matchAll(/\s+/g)) {
    if (white.length <= longest.white) continue;
    throw new FormatError(
      `${where}: the chat template has ${
        counted(white.length, "character")
      } of white space in a row, from character ${index} on; ` +
        `${longest.white} is the most`,
    );
  }
  let program: unknown;
  try {
    program = new jinja.Template(text).parsed;
  } catch (error) {
    // What the package stumbles over itself says nothing to anybody.
    const reason = error instanceof TypeError
      ? "it ends too early, or somewhere else"
      : (error as Error).message;
    throw new FormatError(`${where}: the chat template does not parse: ${reason}`, { cause: error });
  }
  const globals = globalsOf(jinja);

  class Counting extends jinja.Interpreter {
    readonly #most: { steps: number; size: number };
    readonly #looped = new Set<Statement | undefined>();
    #steps = 0;
    #size = 0;
    #depth = 0;

    constructor(environment: Environment, most: { steps: number; size: number }) {
      super(environment);
      this.#most = most;
    }

    override evaluate(statement: Statement | undefined, environment: Environment): JinjaValue {
      if (++this.#steps > this.#most.steps) {
        throw tooMuch(where, `takes more than ${counted(this.#most.steps, "step")}`);
      }
      if (statement?.type === "For") this.#looped.add(statement.iterable?.lhs ?? statement.iterable);
      if (statement?.filter) this.#foresee(statement.filter, statement.operand, environment);
      else if (statement?.type === "CallExpression") {
        this.#foresee(statement, statement.callee?.object, environment);
      }
      if (++this.#depth > longest.depth) throw tooMuch(where, `is nested too deep`);
      const result = this.#asText(statement, environment) ?? super.evaluate(statement, environment),
        { value } = result;
      this.#depth--;
      if (typeof value === "string") {
        if (value.length > longest.text) {
          throw tooMuch(where, `makes a text of ${counted(value.length, "character")}`);
        }
        this.#count(value.length);
      } else if (Array.isArray(value)) {
        if (value.length > longest.list) {
          throw tooMuch(where, `makes a list of ${counted(value.length, "entry", "entries")}`);
        }
        // A list that is only named costs nothing.
        const isNamed = statement?.type === "Identifier" || statement?.type === "MemberExpression";
        this.#count(this.#looped.has(statement) ? turn * value.length : isNamed ? 0 : value.length);
      }
      if (sizeOf(result) > longest.text) {
        throw tooMuch(where, `makes a value that is written in more than ${longest.text} characters`);
      }
      return result;
    }

    /** A value that is made a text, or trimmed where it is not defined; null for all else. */
    #asText(statement: Statement | undefined, environment: Environment): JinjaValue | null {
      const name = statement?.filter?.type === "Identifier" ? statement.filter.value : undefined;
      if (name !== "string" && name !== "trim") return null;
      const operand = this.evaluate(statement!.operand, environment), { type } = operand;
      const isText = name === "trim" ? type === "UndefinedValue" : type !== "StringValue";
      return isText ? this.#text(pythonText(operand)) : null;
    }

    /** A text as a value of the interpreter, which hands out none of its classes. */
    #text(text: string): JinjaValue {
      const made = super.evaluateBlock([], new jinja.Environment());
      made.value = text;
      return made;
    }

    override evaluateBlock(block: readonly Statement[], environment: Environment): JinjaValue {
      let text = "";
      for (const statement of block) {
        const found = this.evaluate(statement, environment), isDone = statements.includes(statement.type);
        if (isDone && (found.type === "NullValue" || found.type === "UndefinedValue")) continue;
        text += found.type === "StringValue" ? found.value : pythonText(found);
        if (text.length > longest.text) {
          throw tooMuch(where, `makes a text of ${counted(text.length, "character")}`);
        }
      }
      return this.#text(text);
    }

    /** Refuses what would make a text in one step that is far too long: wide indents, what is put into each of many places. */
    #foresee(call: Statement, operand: Statement | undefined, environment: Environment): void {
      const name = (call.callee?.property ?? call.callee)?.value;
      if (name !== "indent" && name !== "tojson" && name !== "replace" && name !== "join") return;
      const args = call.args ?? [];
      if (args.some(({ type }) => type === "SpreadExpression")) return;
      const given = args.map((argument) =>
        super.evaluate(
          argument.type === "KeywordArgumentExpression" ? argument.value as Statement : argument,
          environment,
        )
          .value
      );
      let length = Math.max(0, ...given.filter((n) => typeof n === "number"));
      if (name === "join" && operand) {
        const list = super.evaluate(operand, environment), between = given.find((x) => typeof x === "string");
        const count = Array.isArray(list.value) ? list.value.length : 0;
        length = sizeOf(list) + count * (between?.length ?? 0);
      }
      if (name === "replace" && operand) {
        const [from, to] = given.map(String), text = String(super.evaluate(operand, environment).value);
        length = (to?.length ?? 0) * (text.length + 1) / Math.max(1, from?.length ?? 0);
      }
      if (length > (name === "replace" || name === "join" ? longest.text : longest.indent)) {
        throw tooMuch(
          where,
          `makes a text of ${counted(Math.round(length), "character")} or more with ${name}`,
        );
      }
    }

    #count(size: number): void {
      this.#size += size;
      if (this.#size > this.#most.size) throw tooMuch(where, "goes on and on");
    }
  }

  return (items) => {
    const characters = JSON.stringify(items).length;
    const most = {
      steps: budget.steps.base + budget.steps.message * items.messages.length,
      size: budget.size.base + budget.size.character * characters,
    };
    const environment = new jinja.Environment(globals);
    environment.set("range", range);
    for (const [name, value] of Object.entries(items)) environment.set(name, value);
    try {
      return String(new Counting(environment, most).run(program).value);
    } catch (error) {
      if (error instanceof FormatError) throw error;
      // Engines have room for calls in each other of their own.
      if (error instanceof RangeError && /stack/i.test(error.message)) {
        throw tooMuch(where, "is nested too deep");
      }
      // A template may refuse a conversation, with a message of its own.
      const reason = error instanceof TypeError
        ? "the chat template uses something that is not there"
        : (error as Error).message;
      throw new FormatError(`${where}: ${reason}`, { cause: error });
    }
  };
}

function tooMuch(where: string, what: string): FormatError {
  return new FormatError(`${where}: the chat template ${what}; it may never end`);
}
