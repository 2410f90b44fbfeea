/**
 * Elementwise programs as nodes of a graph.
 *
 * A node of an expression becomes one of the graph, but for functions that a graph lacks, which are written in those it has.
 * What is a truth value stays one until it is calculated with.
 *
 * @module
 */
import type { DType } from "../../core/dtype.ts";
import type { BinaryOp, CompareOp, ComputeType, Expr, Program, UnaryOp } from "../../expr/nodes.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Node } from "./memory.ts";
import { is, isFixed, type Size } from "./sizes.ts";

/** A part of an expression: its tensor has the compute type, or is bool. */
interface Part {
  readonly name: string;
  readonly dims: readonly Size[];
  readonly isTruth: boolean;
}

const unaries: Partial<Record<UnaryOp, string>> = {
  neg: "Neg",
  abs: "Abs",
  sign: "Sign",
  floor: "Floor",
  ceil: "Ceil",
  round: "Round",
  sqrt: "Sqrt",
  exp: "Exp",
  log: "Log",
  sin: "Sin",
  cos: "Cos",
  tanh: "Tanh",
  erf: "Erf",
};
const binaries: Record<Exclude<BinaryOp, "rem">, string> = {
  add: "Add",
  sub: "Sub",
  mul: "Mul",
  div: "Div",
  pow: "Pow",
  min: "Min",
  max: "Max",
};
const comparisons: Record<Exclude<CompareOp, "ne">, string> = {
  eq: "Equal",
  lt: "Less",
  le: "LessOrEqual",
  gt: "Greater",
  ge: "GreaterOrEqual",
};

/** Sizes of two operands together. */
function together(a: readonly Size[], b: readonly Size[]): readonly Size[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length], y = b[i - rank + b.length];
    return x === undefined || (y !== undefined && is(x, 1)) ? y : x;
  });
}

class Writer {
  readonly #graph: GraphBuilder;
  readonly #type: ComputeType;
  readonly #inputs: readonly Node[];
  readonly #scalars: readonly Size[];
  readonly #known = new Map<Expr, Part>();

  constructor(graph: GraphBuilder, program: Program, inputs: readonly Node[], scalars: readonly Size[]) {
    this.#graph = graph;
    this.#type = program.type;
    this.#inputs = inputs;
    this.#scalars = scalars;
  }

  part(expr: Expr): Part {
    let part = this.#known.get(expr);
    if (!part) this.#known.set(expr, part = this.#make(expr));
    return part;
  }

  /** A part as a number of the compute type. */
  number(part: Part): string {
    return part.isTruth ? this.#graph.cast(part.name, this.#type) : part.name;
  }

  #constant(value: number): Part {
    return { name: this.#graph.constant(this.#type, [], [value]), dims: [], isTruth: false };
  }

  #make(expr: Expr): Part {
    const graph = this.#graph, type = this.#type;
    switch (expr.kind) {
      case "const":
        return this.#constant(expr.value);
      case "input": {
        const { name, dims, dtype } = this.#inputs[expr.index];
        const isTruth = dtype === "bool";
        return { name: isTruth || dtype === type ? name : graph.cast(name, type), dims, isTruth };
      }
      case "scalar":
        return this.#scalar(this.#scalars[expr.index]);
      case "unary":
        return this.#unary(expr.op, this.part(expr.x));
      case "binary":
        return this.#binary(expr.op, this.part(expr.x), this.part(expr.y));
      case "compare":
        return this.#compare(expr.op, expr.x, expr.y);
      case "select": {
        const parts = [expr.condition, expr.x, expr.y].map((x) => this.part(x)), [condition, x, y] = parts;
        const dims = parts.map((part) => part.dims).reduce(together);
        const name = graph.node("Where", [this.#truth(condition), this.number(x), this.number(y)]);
        return { name, dims, isTruth: false };
      }
    }
  }

  /** A number: the same in each run, or one that follows from sizes, as a mean's count does. */
  #scalar(value: Size): Part {
    if (isFixed(value)) return this.#constant(value[0]);
    const isWhole = value.every(Number.isInteger), graph = this.#graph, type = this.#type;
    const inverse = value.map((x) => 1 / x);
    const rounded = inverse.map(Math.round);
    const isInverse = !isWhole &&
      rounded.every((n, k) => n !== 0 && (1 / n === value[k] || Math.fround(1 / n) === value[k]));
    const size = graph.scalarSize(isInverse ? rounded : value, type);
    return { name: isInverse ? graph.node("Reciprocal", [size]) : size, dims: [], isTruth: false };
  }

  #truth(part: Part): string {
    return part.isTruth ? part.name : this.#graph.cast(part.name, "bool");
  }

  #unary(op: UnaryOp, x: Part): Part {
    const graph = this.#graph, { dims } = x, value = this.number(x);
    const made = (name: string, isTruth = false): Part => ({ name, dims, isTruth });
    const own = unaries[op], constant = (value: number): string => this.#constant(value).name;
    const node = (operator: string, ...inputs: string[]): string => graph.node(operator, inputs);
    if (own) return made(node(own, value));
    switch (op) {
      case "not":
        return made(x.isTruth ? node("Not", x.name) : node("Equal", value, constant(0)), true);
      case "trunc":
        return made(
          node("Where", node("Less", value, constant(0)), node("Ceil", value), node("Floor", value)),
        );
      case "expm1": {
        // tanh(x / 2) · (eˣ + 1), which is eˣ − 1 without its loss near 0.
        const half = node("Tanh", node("Mul", value, constant(0.5)));
        return made(node("Mul", half, node("Add", node("Exp", value), constant(1))));
      }
      default: {
        // log1p: near 0 what 1 + x has lost of x is made good (Kahan).
        const up = node("Add", value, constant(1)), log = node("Log", up);
        const rest = node("Sub", up, constant(1)), isLost = node("Equal", rest, constant(0));
        const mended = node("Where", isLost, value, node("Mul", log, node("Div", value, rest)));
        return made(node("Where", node("Less", node("Abs", value), constant(0.5)), mended, log));
      }
    }
  }

  #binary(op: BinaryOp, x: Part, y: Part): Part {
    const graph = this.#graph, dims = together(x.dims, y.dims);
    if (x.isTruth && y.isTruth && (op === "mul" || op === "min" || op === "max")) {
      return { name: graph.node(op === "max" ? "Or" : "And", [x.name, y.name]), dims, isTruth: true };
    }
    const inputs = [this.number(x), this.number(y)];
    const name = op === "rem" ? graph.node("Mod", inputs, { fmod: 1n }) : graph.node(binaries[op], inputs);
    return { name, dims, isTruth: false };
  }

  #compare(op: CompareOp, left: Expr, right: Expr): Part {
    const graph = this.#graph, x = this.part(left), y = this.part(right), dims = together(x.dims, y.dims);
    const isZero = right.kind === "const" && right.value === 0;
    if (x.isTruth && isZero && (op === "ne" || op === "gt")) return x;
    if (x.isTruth && isZero && op === "eq") {
      return { name: graph.node("Not", [x.name]), dims, isTruth: true };
    }
    if (x.isTruth && y.isTruth && (op === "ne" || op === "eq")) {
      return { name: graph.node(op === "ne" ? "Xor" : "Equal", [x.name, y.name]), dims, isTruth: true };
    }
    const inputs = [this.number(x), this.number(y)];
    const name = op === "ne"
      ? graph.node("Not", [graph.node("Equal", inputs)])
      : graph.node(comparisons[op], inputs);
    return { name, dims, isTruth: true };
  }
}

/** The outputs of a program over `inputs`, each of the dtype asked for. */
export function writeProgram(
  graph: GraphBuilder,
  program: Program,
  inputs: readonly Node[],
  scalars: readonly Size[],
  dtypes: readonly DType[],
): Node[] {
  const writer = new Writer(graph, program, inputs, scalars);
  return program.outputs.map((expr, i): Node => {
    const part = writer.part(expr), dtype = dtypes[i];
    if (part.isTruth) {
      return { name: dtype === "bool" ? part.name : graph.cast(part.name, dtype), dims: part.dims, dtype };
    }
    return {
      name: dtype === program.type ? part.name : graph.cast(part.name, dtype),
      dims: part.dims,
      dtype,
    };
  });
}
