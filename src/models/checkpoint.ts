/**
 * A checkpoint's tensors against the parameters that a configuration asks for, before anything of the model's size is made.
 *
 * What is not a parameter by the family's own account (buffers, a tied output layer written out) is passed over; what remains
 * must be exactly the network's parameters. Heads for other tasks, which stand beside them, are told of and left out, as
 * transformers does.
 *
 * @module
 */
import { isFloat, isQuantized } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape, sameShape, type Shape } from "../core/shape.ts";

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

/** Tensors that a model must have, told without making it. */
export interface ExpectedTensors {
  /** How many there are. */
  readonly size: number;
  /** The shape of one; undefined when the model has none of this name. */
  shape(name: string): Shape | undefined;
  /** Their names. */
  names(): Iterable<string>;
  /** What holds them, without what is inside: "model.embed_tokens", "model.layers", "model.norm", "lm_head". */
  readonly modules: readonly string[];
}

/** Shapes by name. */
export type Shapes = Readonly<Record<string, Shape>>;

/**
 * The tensors of a model of `layers` layers, which are called `prefix`, their number, and a name in `inLayer`: of one kind, or as
 * a function says.
 */
export function layeredTensors(
  prefix: string,
  layers: number,
  inLayer: Shapes | ((layer: number) => Shapes),
  before: Shapes,
  behind: Shapes,
): ExpectedTensors {
  const outside: Shapes = { ...before, ...behind };
  const shapes = (layer: number): Shapes => typeof inLayer === "function" ? inLayer(layer) : inLayer;
  let inside = 0;
  for (let layer = 0; layer < layers; layer++) inside += Object.keys(shapes(layer)).length;
  const paths = [...Object.keys(outside), `${prefix}0`].map((name) => name.slice(0, name.lastIndexOf(".")));
  return {
    modules: [...new Set(paths)],
    size: Object.keys(outside).length + inside,
    shape(name) {
      const [, layer, rest] = name.startsWith(prefix)
        ? /^(0|[1-9]\d*)\.(.+)$/.exec(name.slice(prefix.length)) ?? []
        : [];
      if (rest === undefined) return Object.hasOwn(outside, name) ? outside[name] : undefined;
      if (Number(layer) >= layers) return undefined;
      const own = shapes(Number(layer));
      return Object.hasOwn(own, rest) ? own[rest] : undefined;
    },
    *names() {
      yield* Object.keys(before);
      for (let layer = 0; layer < layers; layer++) {
        for (const rest of Object.keys(shapes(layer))) yield `${prefix}${layer}.${rest}`;
      }
      yield* Object.keys(behind);
    },
  };
}

/** What is expected of a file that has `pieces` of parameters by themselves. */
export function inPieces(
  expected: ExpectedTensors,
  pieces: (parameter: string) => readonly string[],
): ExpectedTensors {
  const owners = new Map<string, { readonly parameter: string; readonly count: number }>();
  let isWhole = true;
  for (const parameter of expected.names()) {
    const parts = pieces(parameter);
    isWhole &&= parts.length === 1;
    for (const part of parts) owners.set(part, { parameter, count: parts.length });
  }
  if (isWhole) return expected;
  return {
    modules: expected.modules,
    size: owners.size,
    names: () => owners.keys(),
    shape(name) {
      const owner = owners.get(name), shape = owner && expected.shape(owner.parameter)!;
      return shape && owner.count > 1 ? [shape[0] / owner.count, ...shape.slice(1)] : shape;
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

/** Programs that wrap a model leave their own name before all others: torch.compile, DataParallel. */
const wrapped = /^(?:_orig_mod\.|module\.)+/;

/** What a message calls a tensor. */
const told = ({ name, shape }: Offered): string => `${cut(name)} ${cut(formatShape(shape))}`;

/** Says in a line what of a file is not used. */
export function tellUnused(
  unused: readonly Offered[],
  title: string,
  where: string,
  warn: (message: string) => void,
): void {
  if (unused.length === 0) return;
  const rest = unused.length > 5 ? ` and ${unused.length - 5} more` : "";
  warn(
    `${where} also holds ${
      unused.slice(0, 5).map(told).join(", ")
    }${rest}, which is no part of ${title} as a language model; ${
      unused.length === 1 ? "it is" : "they are"
    } not used`,
  );
}

/** Says in a line which parts of a model were left out; `names` are those of their tensors. */
function tellOtherParts(
  names: readonly string[],
  outer: string,
  where: string,
  warn: (message: string) => void,
): void {
  if (names.length === 0) return;
  const part = (name: string): string => /^(?:model\.)?[^.]+/.exec(name)![0];
  const parts = [...Map.groupBy(names, part)].map(([name, all]) =>
    `${name.length > 60 ? `${name.slice(0, 57)}...` : name} (${all.length})`
  );
  const rest = parts.length > 5 ? ` and ${parts.length - 5} more` : "";
  warn(
    `${where}: of this ${outer} the language model alone is read; tensors of its other parts are left out: ${
      parts.slice(0, 5).join(", ")
    }${rest}`,
  );
}

/**
 * Whether a tensor that a file calls `name` stands beside the network: neither in one of its modules nor in what these are in,
 * where it would change results.
 */
function isBeside(name: string, parameter: string, { modules }: ExpectedTensors, isNested: boolean): boolean {
  const bodies = modules.filter((module) => module.includes(".")).map((module) => module.split(".")[0]);
  const isIn = (path: string, within: readonly string[]): boolean =>
    within.some((module) => path.startsWith(`${module}.`));
  // What lost a prefix was inside.
  const isBare = name === parameter || parameter.endsWith(`.${name}`);
  // Parts beside a language model may be in what it is in: `model.visual`, `model.language_model`.
  return isBare && (isNested || !isIn(name, bodies)) && !isIn(parameter, modules);
}

/**
 * For each parameter of the model, the name in the file that holds it. Nothing is made of the model for it, so that a
 * configuration of any size is refused as fast as the file's names are read.
 *
 * @param nameOf the parameter that a name means, or null for a tensor that is none.
 * @param title what the family is called in messages.
 * @param warn hears of tensors that are not used, in a line.
 * @param outer the `model_type` of the whole, where this is the language model in it and its other parts are left out.
 * @throws {FormatError} listing missing names, unexpected names, and wrong shapes or dtypes, each apart.
 */
export function matchNames(
  offered: Iterable<Offered>,
  expected: ExpectedTensors,
  nameOf: (name: string) => string | null,
  title: string,
  where: string,
  warn: (message: string) => void,
  outer: string | null = null,
): Map<string, string> {
  const found = new Map<string, string>(),
    seen = new Set<string>(),
    unused: Offered[] = [],
    unexpected: string[] = [],
    wrong: string[] = [];
  for (const t of offered) {
    const own = t.name.replace(wrapped, ""), name = nameOf(own);
    if (name === null) continue;
    const shape = expected.shape(name), offeredShape = t.transposed ? [...t.shape].reverse() : t.shape;
    if (!shape) {
      if (isBeside(own, name, expected, outer !== null)) unused.push(t);
      else unexpected.push(told(t));
    } else if (found.has(name)) unexpected.push(`${cut(t.name)} (the file also has ${found.get(name)})`);
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
      `${where} does not hold the ${title} that its config.json describes; ${complaints.join("; ")}`,
    );
  }
  if (outer === null) tellUnused(unused, title, where, warn);
  else tellOtherParts(unused.map(({ name }) => name.replace(wrapped, "")), outer, where, warn);
  return found;
}

function cut(text: string): string {
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
