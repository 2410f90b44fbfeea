/**
 * Programs over rows: folds of a row (its sum, its largest element), and elements that are computed of them and of the row.
 *
 * What a softmax or a norm is, written in primitives: every fold and every output is an expression as in `nodes.ts`, over
 * elements of the row and numbers that are one a row. A fold may use the folds before it. Everything is f32.
 *
 * @module
 */
import { describe, operands, withOperands } from "./graph.ts";
import { type Expr, input, type Program } from "./nodes.ts";

/** Inputs from this number on are results of folds: `input(foldLeaf + j)` is that of fold j. */
export const foldLeaf = 1000;

/** What becomes of a row. */
export type FoldKind = "sum" | "max" | "min";

/** A fold. */
export interface RowFold {
  /** What it is. */
  readonly kind: FoldKind;
  /** Of what, element by element. */
  readonly value: Expr;
}

/** Inputs that are tables: what counts as a row of theirs is picked by its number. */
export interface RowPicks {
  /** For each input the number of its position; null for those whose rows are the program's. */
  readonly of: readonly (number | null)[];
  /** Positions in i32, as those of `gather`, of numbers that are one a row and given beside the inputs. */
  readonly positions: Program;
}

/** A program. Inputs and outputs are wide (an element for each of a row) or narrow (one a row). */
export interface RowProgram {
  /** Equal keys are equal programs. */
  readonly key: string;
  /** Which inputs are wide. */
  readonly inputs: readonly boolean[];
  /** How many numbers are given with each run. */
  readonly scalars: number;
  /** In order. */
  readonly folds: readonly RowFold[];
  /** What is stored: wide, or of folds and narrow inputs alone. */
  readonly outputs: readonly { readonly value: Expr; readonly wide: boolean }[];
  /** Which inputs are picked from tables; most programs have none. */
  readonly picks?: RowPicks | undefined;
}

/** A program under its key. */
export function rowProgram(parts: Omit<RowProgram, "key">): RowProgram {
  const nodes = new Nodes(), { inputs, scalars, folds, outputs, picks } = parts;
  const ends = [
    ...folds.map(({ kind, value }) => `${kind} ${nodes.of(value)}`),
    ...outputs.map(({ wide, value }) => `${wide ? "row" : "one"} ${nodes.of(value)}`),
  ];
  if (picks) ends.push(`of ${picks.of} at ${picks.positions.key}`);
  return { ...parts, key: [inputs.map(Number).join(""), scalars, nodes.text, ...ends].join("/") };
}

/** Numbers equal expressions alike. */
class Nodes {
  readonly #known = new Map<Expr, number>();
  readonly #byText = new Map<string, number>();

  of(expr: Expr): number {
    let found = this.#known.get(expr);
    if (found === undefined) {
      const text = describe(expr, (x) => this.of(x));
      found = this.#byText.get(text) ?? this.#byText.size;
      this.#byText.set(text, found);
      this.#known.set(expr, found);
    }
    return found;
  }

  get text(): string {
    return [...this.#byText.keys()].join(";");
  }
}

const long = new Set<string>(["exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "pow", "rem"]);

/** Whether it takes so many instructions that reading its result again is less. */
function isLongFunction(expr: Expr): boolean {
  return "op" in expr && long.has(expr.op);
}

/** One way through a row. */
export interface Stage {
  /** What it folds, if it does. */
  readonly fold: FoldKind | null;
  /** What is computed: the fold's value or the wide outputs; then what is put aside for later stages. */
  readonly values: readonly Expr[];
  /** Numbers of what is put aside, the same as in {@link Stages.aside}. */
  readonly aside: readonly number[];
}

/** A program as ways through a row, one for each fold and one for what is stored. */
export interface Stages {
  /** In order. */
  readonly stages: readonly Stage[];
  /** How many rows are put aside: long functions that several stages want. `input(inputs.length + i)` reads them. */
  readonly aside: number;
}

/** Cuts a program into ways through a row. */
export function stagesOf({ inputs, folds, outputs }: RowProgram): Stages {
  const keys = new Nodes(), wides = outputs.filter(({ wide }) => wide).map(({ value }) => value);
  const all = [...folds.map(({ value }) => [value]), wides], seen = new Map<number, number>();
  const aside = new Map<number, number>();
  // What a stage computes that an earlier one computed already.
  all.forEach((values, stage) => {
    const visit = (expr: Expr): void => {
      const key = keys.of(expr), first = seen.get(key);
      if (isLongFunction(expr) && isOfRow(expr, inputs)) {
        if (first === undefined) seen.set(key, stage);
        else if (first < stage) {
          if (!aside.has(key)) aside.set(key, aside.size);
          return;
        }
      }
      operands(expr).forEach(visit);
    };
    values.forEach(visit);
  });
  const found = new Set<number>();
  const stages = all.map((values, stage): Stage => {
    const done = new Map<Expr, Expr>(), put: number[] = [], more: Expr[] = [], pending: number[] = [];
    const change = (expr: Expr): Expr => {
      let to = done.get(expr);
      if (to) return to;
      const key = keys.of(expr), place = aside.get(key), known = found.has(key);
      if (place !== undefined && !known && seen.get(key) === stage) {
        found.add(key);
        to = withOperands(expr, operands(expr).map(change));
        put.push(place);
        more.push(to);
        pending.push(key);
      } else if (place !== undefined && !pending.includes(key)) to = input(inputs.length + place);
      else to = withOperands(expr, operands(expr).map(change));
      done.set(expr, to);
      return to;
    };
    const own = values.map(change);
    return { fold: folds[stage]?.kind ?? null, values: [...own, ...more], aside: put };
  });
  return { stages, aside: aside.size };
}

/** Whether it differs within a row. */
function isOfRow(expr: Expr, inputs: readonly boolean[]): boolean {
  if (expr.kind === "input") return expr.index < inputs.length && inputs[expr.index];
  return operands(expr).some((x) => isOfRow(x, inputs));
}
