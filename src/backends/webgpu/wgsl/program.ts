/**
 * Elementwise programs as WGSL: one `let` for each distinct node, used by elementwise kernels, by reductions while they
 * load, and by products before they store.
 *
 * @module
 */
import { DTypeError } from "../../../core/errors.ts";
import { toI32, toI64 } from "../../../expr/arithmetic.ts";
import { nodesOf } from "../../../expr/graph.ts";
import type { BinaryOp, CompareOp, ComputeType, Expr, Program, UnaryOp } from "../../../expr/nodes.ts";
import { param } from "../gpu.ts";
import { truth } from "./elements.ts";
import { number } from "./math.ts";

const symbols: Readonly<Record<CompareOp, string>> = {
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
};

/** A program's statements, and the names that hold its outputs. */
export interface ProgramCode {
  readonly statements: string;
  readonly outputs: readonly string[];
}

/** Numbers that a scalar takes among the parameters. */
export function scalarWords(type: ComputeType): number {
  return type === "i64" ? 2 : 1;
}

/** The scalars of a run as parameters. */
export function scalarParams(
  type: ComputeType,
  scalars: readonly number[],
  bits: (x: number) => number,
): number[] {
  if (type === "f32") return scalars.map((x) => bits(x));
  if (type === "i32") return scalars.map(toI32);
  return scalars.flatMap((x) => {
    const value = toI64(x);
    return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
  });
}

/** Writes `program` for elements named by `inputs`; its scalars begin at parameter `scalars`. */
export function programCode(program: Program, inputs: readonly string[], scalars: number): ProgramCode {
  const { type } = program;
  if (type === "f64") throw new DTypeError('webgpu does not compute in f64; device "reference" does');
  const names = new Map<Expr, string>(), lines: string[] = [];
  const name = (expr: Expr): string => names.get(expr) as string;
  for (const node of nodesOf(program.outputs)) {
    if (node.kind === "input") {
      names.set(node, inputs[node.index]);
      continue;
    }
    const text = write(node, type, name, scalars);
    names.set(node, `v${names.size}`);
    lines.push(`let ${name(node)} = ${text};`);
  }
  return { statements: lines.join("\n  "), outputs: program.outputs.map(name) };
}

function write(
  node: Expr,
  type: ComputeType,
  name: (expr: Expr) => string,
  scalars: number,
): string {
  const one = type === "f32" ? "1.0f" : "1", zero = type === "f32" ? "0.0f" : "0";
  const ofTruth = (condition: string): string =>
    type === "i64" ? `vec2<u32>(select(0u, 1u, ${condition}), 0u)` : `select(${zero}, ${one}, ${condition})`;
  switch (node.kind) {
    case "const":
      if (type === "f32") return number(node.value);
      if (type === "i32") return intLiteral(toI32(node.value));
      return longLiteral(toI64(node.value));
    case "scalar": {
      const at = scalars + node.index * scalarWords(type);
      if (type === "f32") return `bitcast<f32>(${param(at)})`;
      return type === "i32" ? param(at) : `vec2<u32>(u32(${param(at)}), u32(${param(at + 1)}))`;
    }
    case "unary":
      if (node.op === "not") return ofTruth(`!${truth(type, name(node.x))}`);
      return unary(node.op, type, name(node.x));
    case "binary":
      return binary(node.op, type, name(node.x), name(node.y));
    case "compare":
      return ofTruth(compare(node.op, type, name(node.x), name(node.y)));
    case "select": {
      const [x, y] = [name(node.x), name(node.y)];
      return `select(${y}, ${x}, ${truth(type, name(node.condition))})`;
    }
    default:
      throw new DTypeError(`webgpu: ${(node as Expr).kind} is no operation`);
  }
}

function intLiteral(value: number): string {
  return value === -2147483648 ? "bitcast<i32>(0x80000000u)" : `i32(${value})`;
}

function longLiteral(value: bigint): string {
  const bits = BigInt.asUintN(64, value);
  return `vec2<u32>(${bits & 0xffffffffn}u, ${bits >> 32n}u)`;
}

function unary(op: UnaryOp, type: ComputeType, x: string): string {
  if (type === "f32") {
    switch (op) {
      // By the bits: 0 - x would lose the sign of 0.
      case "neg":
        return `bitcast<f32>(bitcast<u32>(${x}) ^ 0x80000000u)`;
      case "abs":
        return `bitcast<f32>(bitcast<u32>(${x}) & 0x7fffffffu)`;
      case "sign":
        return `select(select(select(0.0f, -1.0f, ${x} < 0.0f), 1.0f, ${x} > 0.0f), ${x}, isNan(${x}))`;
      case "floor":
      case "ceil":
      case "round":
      case "trunc":
        return `select(sameSign(${op}(${x}), ${x}), ${x}, isNan(${x}) || isInf(${x}))`;
      case "sqrt":
        return `select(sqrt(max(${x}, 0.0f)), select(bits(0x7fc00000u), ${x}, isNan(${x}) || !truth(${x})), !(${x} > 0.0f))`;
      default:
        return `m_${op}(${x})`;
    }
  }
  const long = type === "i64";
  switch (op) {
    case "neg":
      return long ? `l_neg(${x})` : `-${x}`;
    case "abs":
    case "sign":
      return long ? `l_${op}(${x})` : `${op}(${x})`;
    case "floor":
    case "ceil":
    case "round":
    case "trunc":
      return x;
    default:
      throw new DTypeError(
        `${op} does not exist for integers; convert the operand to a floating-point dtype`,
      );
  }
}

function binary(op: BinaryOp, type: ComputeType, x: string, y: string): string {
  if (type === "f32") {
    switch (op) {
      case "add":
        return `${x} + ${y}`;
      // What a driver may take for 0 is NaN for infinities.
      case "sub":
        return x === y ? `difference0(${x})` : `${x} - ${y}`;
      case "mul":
        return `${x} * ${y}`;
      case "div":
        return `${x} / ${y}`;
      case "min":
      case "max":
        return `${op}Nan(${x}, ${y})`;
      default:
        return `m_${op}(${x}, ${y})`;
    }
  }
  if (type === "i64") {
    if (op === "min") return `select(${y}, ${x}, l_lt(${x}, ${y}))`;
    if (op === "max") return `select(${x}, ${y}, l_lt(${x}, ${y}))`;
    return `l_${op}(${x}, ${y})`;
  }
  switch (op) {
    case "add":
      return `${x} + ${y}`;
    case "sub":
      return `${x} - ${y}`;
    case "mul":
      return `${x} * ${y}`;
    case "min":
    case "max":
      return `${op}(${x}, ${y})`;
    default:
      return `i_${op}(${x}, ${y})`;
  }
}

function compare(op: CompareOp, type: ComputeType, x: string, y: string): string {
  if (type === "f32") {
    const ordered = `!(isNan(${x}) || isNan(${y}))`;
    if (op === "ne") return `!(${ordered} && ${x} == ${y})`;
    return `(${ordered} && ${x} ${symbols[op]} ${y})`;
  }
  if (type === "i32") return `(${x} ${symbols[op]} ${y})`;
  switch (op) {
    case "eq":
      return `l_eq(${x}, ${y})`;
    case "ne":
      return `!l_eq(${x}, ${y})`;
    case "lt":
      return `l_lt(${x}, ${y})`;
    case "ge":
      return `!l_lt(${x}, ${y})`;
    case "gt":
      return `l_lt(${y}, ${x})`;
    default:
      return `!l_lt(${y}, ${x})`;
  }
}

/**
 * Division, remainder and powers of i32, where WGSL leaves the divisor 0 and overflow open. No `%` of a number that may
 * be negative: as SPIR-V's OpSRem, which Vulkan leaves undefined there, NVIDIA's driver takes it for unsigned.
 */
export const integerCode = `
fn i_div(x: i32, y: i32) -> i32 {
  if (y == 0) { return 0; }
  if (y == -1) { return -x; }
  return x / y;
}
fn i_rem(x: i32, y: i32) -> i32 {
  if (y == 0 || y == -1) { return 0; }
  return x - x / y * y;
}
fn i_pow(x: i32, y: i32) -> i32 {
  if (y < 0) {
    if (x == 1 || x == -1) { return select(1, x, (y & 1) != 0); }
    return 0;
  }
  var result = 1; var base = x;
  for (var n = y; n > 0; n = n >> 1u) { if ((n & 1) != 0) { result = result * base; } base = base * base; }
  return result;
}
`;
