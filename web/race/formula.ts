/**
 * A surface from a formula in x and y, with its gradient by forward differentiation: every part of the formula computes its
 * value and both slopes, into places that are made once.
 *
 * The text is parsed by jsep and never run as a program.
 *
 * @module
 */
import jsep from "jsep";
import type { Landscape } from "../../src/landscape/mod.ts";

/** Writes value, ∂x and ∂y at (x, y) into places `at`, `at` + 1, `at` + 2. */
type Part = (x: number, y: number) => void;

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** f and f′ of functions of one number. */
const functions: Readonly<Record<string, readonly [(v: number) => number, (v: number) => number]>> = {
  sin: [Math.sin, Math.cos],
  cos: [Math.cos, (v) => -Math.sin(v)],
  tan: [Math.tan, (v) => 1 + Math.tan(v) ** 2],
  exp: [Math.exp, Math.exp],
  log: [Math.log, (v) => 1 / v],
  sqrt: [Math.sqrt, (v) => 0.5 / Math.sqrt(v)],
  abs: [Math.abs, Math.sign],
  tanh: [Math.tanh, (v) => 1 - Math.tanh(v) ** 2],
};
const constants: Readonly<Record<string, number>> = { pi: Math.PI, e: Math.E };

jsep.removeAllUnaryOps();
jsep.removeAllBinaryOps();
jsep.addUnaryOp("-");
for (const [name, rank] of [["+", 9], ["-", 9], ["*", 10], ["/", 10], ["^", 11]] as const) {
  jsep.addBinaryOp(name, rank, name === "^");
}

/** @throws {Error} with a sentence that says what cannot be understood. */
export function surfaceOf(formula: string): Landscape {
  let places = 0;
  const values: number[] = [];
  const make = (): number => {
    values.push(0, 0, 0);
    return 3 * places++;
  };
  const parts: Part[] = [];
  let memory = new Float64Array(0);

  const build = (node: Node): number => {
    switch (node.type) {
      case "Literal": {
        if (typeof node.value !== "number") throw new Error(`"${node.raw}" is no number`);
        const at = make();
        values[at] = node.value;
        return at;
      }
      case "Identifier": {
        const name = node.name as string, at = make();
        if (name === "x" || name === "y") {
          const isX = name === "x";
          values[at + (isX ? 1 : 2)] = 1;
          parts.push((x, y) => memory[at] = isX ? x : y);
        } else if (Object.hasOwn(constants, name)) values[at] = constants[name];
        else {throw new Error(
            `"${name}" is unknown; there are x, y, pi, e and ${Object.keys(functions).join(", ")}`,
          );}
        return at;
      }
      case "UnaryExpression": {
        const a = build(node.argument as Node), at = make();
        parts.push(() => {
          for (let i = 0; i < 3; i++) memory[at + i] = -memory[a + i];
        });
        return at;
      }
      case "BinaryExpression":
        return binary(node.operator as string, build(node.left as Node), build(node.right as Node));
      case "CallExpression": {
        const name = (node.callee as Node).name as string, args = node.arguments as Node[];
        if (!Object.hasOwn(functions, name) || args.length !== 1) {
          throw new Error(`"${name}" is none of ${Object.keys(functions).join(", ")}, each of one number`);
        }
        const [f, slope] = functions[name], a = build(args[0]), at = make();
        parts.push(() => {
          const v = memory[a], d = slope(v);
          memory[at] = f(v);
          memory[at + 1] = d * memory[a + 1];
          memory[at + 2] = d * memory[a + 2];
        });
        return at;
      }
      default:
        throw new Error("only numbers, x, y, + - * / ^, parentheses and functions can stand here");
    }
  };
  const binary = (operator: string, a: number, b: number): number => {
    const at = make();
    parts.push(() => {
      const u = memory[a], v = memory[b];
      // The value, and what the slopes of both sides are multiplied with.
      let value = u + v, left = 1, right = 1;
      if (operator === "-") value = u - v, right = -1;
      else if (operator === "*") value = u * v, left = v, right = u;
      else if (operator === "/") value = u / v, left = 1 / v, right = -u / (v * v);
      else if (operator === "^") {
        value = u ** v;
        left = v === 0 ? 0 : v * u ** (v - 1);
        right = u > 0 ? value * Math.log(u) : 0;
      }
      memory[at] = value;
      for (let i = 1; i < 3; i++) memory[at + i] = left * memory[a + i] + right * memory[b + i];
    });
    return at;
  };

  if (!formula.trim()) throw new Error("write a formula in x and y, such as x^2 + 3*sin(y)");
  let tree: Node;
  try {
    tree = jsep(formula) as unknown as Node;
  } catch (error) {
    throw new Error(`it cannot be read: ${(error as Error).message}`);
  }
  const result = build(tree);
  memory = Float64Array.from(values);
  const run = (x: number, y: number): void => {
    for (const part of parts) part(x, y);
  };
  return {
    title: formula,
    about: "Your own.",
    domain: [-4, 4, -4, 4],
    start: [-2.5, 2],
    minima: [],
    value(x, y) {
      run(x, y);
      return memory[result];
    },
    gradient(x, y, out) {
      run(x, y);
      out[0] = memory[result + 1];
      out[1] = memory[result + 2];
    },
  };
}
