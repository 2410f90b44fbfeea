/**
 * Symbolic derivatives of any expression, forward mode over the graph.
 *
 * At kinks the conventions are PyTorch's: sign, rounding and comparisons are flat, |x| is flat at 0, min and max
 * share a tie, x^0 is flat in x. A derivative that is zero by structure is dropped together with what it multiplies,
 * even where that is infinite or NaN: a branch that was not taken contributes nothing.
 *
 * @module
 */
import * as b from "./build.ts";
import { type BinaryOp, constant, type Expr, type UnaryOp } from "./nodes.ts";
import { simplify } from "./simplify.ts";

function isZero(expr: Expr): boolean {
  return expr.kind === "const" && expr.value === 0;
}

/** upstream · derivative for a structural derivative: 0 stays 0, and 1 / y becomes a division. */
function times(upstream: Expr, derivative: Expr): Expr {
  if (isZero(upstream) || isZero(derivative)) return constant(0);
  if (upstream.kind === "const" && upstream.value === 1) return derivative;
  return chain(upstream, derivative);
}

/**
 * The gradient of an operand: `upstream` times the `derivative` by it. Where the derivative is a choice the choice
 * is made last, as in PyTorch: what a mask shuts out is 0 even if `upstream` is infinite or NaN there.
 */
export function chain(upstream: Expr, derivative: Expr): Expr {
  switch (derivative.kind) {
    case "const":
      if (derivative.value === 0) return constant(0);
      if (derivative.value === 1) return upstream;
      return derivative.value === -1 ? b.neg(upstream) : b.mul(upstream, derivative);
    case "unary":
      return derivative.op === "neg" ? b.neg(chain(upstream, derivative.x)) : b.mul(upstream, derivative);
    case "binary":
      if (derivative.op === "div" && derivative.x.kind === "const" && derivative.x.value === 1) {
        return b.div(upstream, derivative.y);
      }
      return b.mul(upstream, derivative);
    case "select":
      return b.select(derivative.condition, chain(upstream, derivative.x), chain(upstream, derivative.y));
    default:
      return b.mul(upstream, derivative);
  }
}

function plus(x: Expr, y: Expr): Expr {
  return isZero(x) ? y : isZero(y) ? x : b.add(x, y);
}

function minus(x: Expr, y: Expr): Expr {
  return isZero(y) ? x : isZero(x) ? b.neg(y) : b.sub(x, y);
}

function choose(condition: Expr, x: Expr, y: Expr): Expr {
  return isZero(x) && isZero(y) ? x : b.select(condition, x, y);
}

/** The derivative of `op(x)` by x; `value` is op(x) itself. */
function unarySlope(op: UnaryOp, x: Expr, value: Expr): Expr {
  switch (op) {
    case "neg":
      return constant(-1);
    case "abs":
      return b.sign(x);
    case "sqrt":
      return b.div(0.5, value);
    case "exp":
      return value;
    case "expm1":
      return b.add(value, 1);
    case "log":
      return b.div(1, x);
    case "log1p":
      return b.div(1, b.add(x, 1));
    case "sin":
      return b.cos(x);
    case "cos":
      return b.neg(b.sin(x));
    case "tanh":
      return b.sub(1, b.mul(value, value));
    case "erf":
      return b.mul(2 / Math.sqrt(Math.PI), b.exp(b.neg(b.mul(x, x))));
    default:
      return constant(0); // sign, not and the roundings are flat
  }
}

/** The derivative of `op(x, y)` from those of x and y; `value` is op(x, y) itself. */
function binaryDerivative(op: BinaryOp, x: Expr, y: Expr, dx: Expr, dy: Expr, value: Expr): Expr {
  switch (op) {
    case "add":
      return plus(dx, dy);
    case "sub":
      return minus(dx, dy);
    case "mul":
      return plus(times(dx, y), times(dy, x));
    case "div": {
      const top = minus(dx, times(dy, value));
      return isZero(top) ? top : b.div(top, y);
    }
    case "rem":
      return minus(dx, times(dy, b.trunc(b.div(x, y))));
    case "pow": {
      const byX = choose(b.eq(y, 0), constant(0), b.mul(y, b.pow(x, b.sub(y, 1))));
      const flat = b.mul(b.eq(x, 0), b.ge(y, 0));
      return plus(times(dx, byX), times(dy, b.select(flat, 0, b.mul(value, b.log(x)))));
    }
    case "min":
    case "max": {
      const half = plus(times(constant(0.5), dx), times(constant(0.5), dy));
      const [less, more] = op === "min" ? [dx, dy] : [dy, dx];
      return choose(b.eq(x, y), half, choose(b.lt(x, y), less, more));
    }
  }
}

/** The derivative of `expr` by input number `index`, simplified; the constant 0 where it does not depend on it. */
export function differentiate(expr: Expr, index: number): Expr {
  const done = new Map<Expr, Expr>();
  const of = (node: Expr): Expr => {
    let result = done.get(node);
    if (result === undefined) {
      result = derive(node);
      done.set(node, result);
    }
    return result;
  };
  const derive = (node: Expr): Expr => {
    switch (node.kind) {
      case "input":
        return constant(node.index === index ? 1 : 0);
      case "unary": {
        const dx = of(node.x);
        return isZero(dx) ? dx : times(dx, unarySlope(node.op, node.x, node));
      }
      case "binary": {
        const dx = of(node.x), dy = of(node.y);
        return isZero(dx) && isZero(dy) ? dx : binaryDerivative(node.op, node.x, node.y, dx, dy, node);
      }
      case "select":
        return choose(node.condition, of(node.x), of(node.y));
      default:
        return constant(0);
    }
  };
  return simplify(of(expr));
}
