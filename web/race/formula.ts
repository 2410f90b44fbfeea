/**
 * A formula that the visitor types, as a surface: parsed by jsep into a tree, never run as a program, turned into the
 * library's elementwise language, and differentiated by it.
 *
 * @module
 */
import jsep from "jsep";
import * as b from "../../src/expr/build.ts";
import { compileJs } from "../../src/expr/evaluate.ts";
import { type Expr, input } from "../../src/expr/nodes.ts";
import { differentiate, program } from "../../src/expr/program.ts";
import type { Landscape } from "../../src/landscape/mod.ts";

const functions: Readonly<Record<string, (...values: Expr[]) => Expr>> = {
  abs: b.abs,
  cos: b.cos,
  erf: b.erf,
  exp: b.exp,
  log: b.log,
  ln: b.log,
  max: b.max,
  min: b.min,
  pow: b.pow,
  sign: b.sign,
  sin: b.sin,
  sqrt: b.sqrt,
  tan: (x) => b.div(b.sin(x), b.cos(x)),
  tanh: b.tanh,
};
const arity = (name: string): number => ["max", "min", "pow"].includes(name) ? 2 : 1;
const names = new Map<string, Expr>([
  ["x", input(0)],
  ["y", input(1)],
  ["pi", b.term(Math.PI)],
  ["e", b.term(Math.E)],
]);

jsep.addBinaryOp("^", 12, true);
jsep.addBinaryOp("**", 12, true);
// A minus before a power stands outside of it, as on paper: -x^2 is -(x^2).
const tighterThanMinus = new Set(["^", "**"]);

/** Anything jsep gives. */
type Node = jsep.Expression;

/** A whole power as products: exact for negative bases, and quick. */
function power(x: Expr, y: Expr): Expr {
  const value = y.kind === "const" ? y.value : NaN;
  if (!Number.isInteger(value) || value < 1 || value > 16) return b.pow(x, y);
  let product = x;
  for (let i = 1; i < value; i++) product = b.mul(product, x);
  return product;
}

function binary(op: string, x: Expr, y: Expr): Expr {
  switch (op) {
    case "+":
      return b.add(x, y);
    case "-":
      return b.sub(x, y);
    case "*":
      return b.mul(x, y);
    case "/":
      return b.div(x, y);
    case "^":
    case "**":
      return power(x, y);
    default:
      throw new Error(`The formula uses "${op}"; there are + - * / and ^.`);
  }
}

function build(node: Node): Expr {
  switch (node.type) {
    case "Literal":
      if (typeof node.value === "number") return b.term(node.value);
      throw new Error(`The formula holds ${String(node.raw)}, which is no number.`);
    case "Identifier": {
      const known = names.get(String(node.name));
      if (known) return known;
      throw new Error(`The formula names "${String(node.name)}"; it knows x, y, pi and e.`);
    }
    case "UnaryExpression": {
      const op = String(node.operator);
      if (op !== "-" && op !== "+") throw new Error(`The formula uses "${op}"; there are + - * / and ^.`);
      const x = build(node.argument as Node);
      return op === "-" ? b.neg(x) : x;
    }
    case "BinaryExpression": {
      const op = String(node.operator), left = node.left as Node, right = node.right as Node;
      if (tighterThanMinus.has(op) && left.type === "UnaryExpression" && left.operator === "-") {
        return b.neg(binary(op, build(left.argument as Node), build(right)));
      }
      return binary(op, build(left), build(right));
    }
    case "CallExpression": {
      const callee = node.callee as Node, name = String(callee.name), args = node.arguments as Node[];
      if (callee.type !== "Identifier" || !Object.hasOwn(functions, name)) {
        throw new Error(`The formula calls "${name}"; there are ${Object.keys(functions).join(", ")}.`);
      }
      if (args.length !== arity(name)) {
        throw new Error(`The formula gives ${name} ${args.length} values; it takes ${arity(name)}.`);
      }
      return functions[name](...args.map(build));
    }
    default:
      throw new Error("The formula is one expression in x and y, such as x^2 + sin(3*y).");
  }
}

/** Parses `text` and gives its surface. @throws with a sentence that says what is wrong with it. */
export function parseFormula(text: string): Landscape {
  if (text.length > 400) throw new Error(`The formula has ${text.length} characters; 400 are the most.`);
  let tree: Node;
  try {
    tree = jsep(text);
  } catch (error) {
    throw new Error(`The formula cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const value = build(tree), slopes = [differentiate(value, 0), differentiate(value, 1)];
  const value64 = compileJs(program("f64", [value], { inputs: 2 }));
  const slopes64 = compileJs(program("f64", slopes, { inputs: 2 }));
  const point = [0, 0], one = [0], two = [0, 0], none: number[] = [];
  const surface: Landscape = {
    title: "Your formula",
    about: text,
    domain: [-4, 4, -4, 4],
    start: [-2.5, 2],
    minima: [],
    value(x, y) {
      point[0] = x;
      point[1] = y;
      value64(point, none, one);
      return one[0];
    },
    gradient(x, y, out) {
      point[0] = x;
      point[1] = y;
      slopes64(point, none, two);
      out[0] = two[0];
      out[1] = two[1];
    },
  };
  return surface;
}
