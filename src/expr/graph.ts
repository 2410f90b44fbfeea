/**
 * Expressions as graphs: walking, rewriting, and giving equal parts one identity.
 *
 * @module
 */
import type { Expr } from "./nodes.ts";

/** The operands of `expr`, in order. */
export function operands(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case "unary":
      return [expr.x];
    case "binary":
    case "compare":
      return [expr.x, expr.y];
    case "select":
      return [expr.condition, expr.x, expr.y];
    default:
      return [];
  }
}

/** `expr` with other operands; the same object when they are the same. */
export function withOperands(expr: Expr, to: readonly Expr[]): Expr {
  if (operands(expr).every((x, i) => x === to[i])) return expr;
  switch (expr.kind) {
    case "unary":
      return { ...expr, x: to[0] };
    case "binary":
    case "compare":
      return { ...expr, x: to[0], y: to[1] };
    case "select":
      return { ...expr, condition: to[0], x: to[1], y: to[2] };
    default:
      return expr;
  }
}

/** Rebuilds an expression from its leaves up; shared parts are visited once and stay shared. */
export function rewrite(expr: Expr, change: (node: Expr) => Expr, done: Map<Expr, Expr> = new Map()): Expr {
  const known = done.get(expr);
  if (known !== undefined) return known;
  const result = change(withOperands(expr, operands(expr).map((x) => rewrite(x, change, done))));
  done.set(expr, result);
  return result;
}

/** Every distinct node under `roots`, operands before what uses them. */
export function nodesOf(roots: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const visit = (expr: Expr): void => {
    if (seen.has(expr)) return;
    operands(expr).forEach(visit);
    seen.add(expr);
  };
  roots.forEach(visit);
  return [...seen];
}

/** The indices of the inputs that `expr` reads, ascending. */
export function usedInputs(expr: Expr): number[] {
  const used = nodesOf([expr]).map((node) => node.kind === "input" ? node.index : -1).filter((index) =>
    index >= 0
  );
  return [...new Set(used)].sort((a, b) => a - b);
}

/**
 * `expr` with input k replaced by `inputs[k]` and, where given, scalar k by `scalars[k]`; what has no replacement
 * stays.
 */
export function substitute(expr: Expr, inputs: readonly Expr[], scalars: readonly Expr[] = []): Expr {
  return rewrite(expr, (node) => {
    if (node.kind === "input") return inputs[node.index] ?? node;
    return node.kind === "scalar" ? scalars[node.index] ?? node : node;
  });
}

/** Keeps one object for each distinct expression, so that equal parts are the same part. */
export class Interner {
  readonly #nodes = new Map<string, Expr>();
  readonly #ids = new Map<Expr, number>();

  /** The one object for `node`, whose operands were made here. */
  add(node: Expr): Expr {
    const text = this.describe(node);
    const known = this.#nodes.get(text);
    if (known !== undefined) return known;
    this.#ids.set(node, this.#ids.size);
    this.#nodes.set(text, node);
    return node;
  }

  /** `node` in terms of the numbers of its operands. */
  describe(node: Expr): string {
    return describe(node, (x) => this.#ids.get(x) as number);
  }
}

/** One node as text, given a name for each operand. */
export function describe(node: Expr, name: (operand: Expr) => number): string {
  switch (node.kind) {
    case "const":
      return Object.is(node.value, -0) ? "-0" : String(node.value);
    case "input":
      return `x${node.index}`;
    case "scalar":
      return `s${node.index}`;
    case "unary":
      return `${node.op}(${name(node.x)})`;
    case "select":
      return `select(${name(node.condition)},${name(node.x)},${name(node.y)})`;
    default:
      return `${node.op}(${name(node.x)},${name(node.y)})`;
  }
}
