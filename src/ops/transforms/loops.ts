/**
 * Functions of one example or one step, over many: `vmap` and `scan`.
 *
 * Both are loops written out: compiled, they are one program.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../../core/demand.ts";
import { OptionError, ShapeError } from "../../core/errors.ts";
import { either, listOf, orNull, whole } from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { formatShape } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import { type Leaf, leavesOf, mapTree, tidy } from "../../tensor/mod.ts";
import { stack } from "../join.ts";
import { Tensor } from "../tensor.ts";
import { select } from "../views.ts";

/**
 * Options of {@link vmap}.
 *
 * @category Tensors
 */
export interface VmapOptions {
  /** The dim of each argument that is walked; null for one that is the same for all. Default 0 for all. */
  inDims?: number | null | readonly (number | null)[];
  /** Where that dim is in the results. Default 0. */
  outDims?: number;
}

/** Each is a run of `f`, and its part of one result. */
const mostExamples = 2 ** 20;

const dim = orNull(whole());

const vmapOptions: OptionTable<VmapOptions> = {
  inDims: either(dim, listOf(dim, "a list of dims or null, one for each argument")),
  outDims: whole(),
};

/** Trees of one form as one tree of lists, and each list through `join`. */
function joined(trees: readonly unknown[], join: (parts: Tensor[]) => Tensor): unknown {
  const leaves = trees.map((tree) => {
    const found: Leaf[] = [];
    leavesOf(tree, found, []);
    return found;
  });
  let at = 0;
  return mapTree(trees[0], (first) => {
    const place = at++;
    return first instanceof Tensor ? join(leaves.map((list) => list[place] as Tensor)) : first;
  });
}

/**
 * `f` of one example as a function of many: every argument (a tensor, or tensors in lists and plain objects) gets one dim
 * more, `inDims`, along which `f` is applied, and results are stacked along `outDims`. As `jax.vmap`, `torch.func.vmap`.
 *
 * @example
 * ```ts
 * const perExample = vmap(grad((w: Tensor, x: Tensor) => w.mul(x).sum().square()), { inDims: [null, 0] });
 * perExample(w, batch); // a gradient for each row of batch
 * ```
 * @throws {ShapeError} when the dims walked differ in size, or there are none.
 * @throws {OptionError} for an `f` that is no function, and options that do not exist, or values that they do not take.
 * @category Tensors
 */
export function vmap<A extends unknown[], R>(
  f: (...args: A) => R,
  options: VmapOptions = {},
): (...args: A) => R {
  demandNoMore(arguments, 2, "vmap");
  demandFunction("vmap", f);
  const { inDims = 0, outDims = 0 } = checkOptions("vmap", options, vmapOptions);
  return (...args) => {
    const dims = Array.isArray(inDims)
      ? inDims as (number | null)[]
      : args.map(() => inDims as number | null);
    if (dims.length !== args.length) {
      throw new OptionError(
        `vmap: inDims names ${counted(dims.length, "argument")}, and ${args.length} were given`,
      );
    }
    let size: number | null = null;
    args.forEach((arg, i) =>
      mapTree(arg, (leaf) => {
        const at = dims[i];
        if (!(leaf instanceof Tensor) || at === null) return leaf;
        const own = leaf.shape[at < 0 ? at + leaf.ndim : at];
        if (own === undefined) {
          throw new ShapeError(`vmap: argument ${i} of shape ${formatShape(leaf.shape)} has no dim ${at}`);
        }
        if (size !== null && size !== own) {
          throw new ShapeError(`vmap: argument ${i} has ${own} along dim ${at}, one before it ${size}`);
        }
        size = own;
        return leaf;
      })
    );
    if (size === null || size === 0) {
      throw new ShapeError(
        "vmap: there is no example: at least one tensor needs a dim of size 1 or more to walk",
      );
    }
    if (size! > mostExamples) {
      throw new ShapeError(
        `vmap: there are ${
          counted(size, "example")
        }, and f runs once for each; at most ${mostExamples} are taken: give f whole batches`,
      );
    }
    return tidy(() => {
      const results = Array.from(
        { length: size! },
        (_, k) =>
          f(...args.map((arg, i) =>
            mapTree(
              arg,
              (leaf) => leaf instanceof Tensor && dims[i] !== null ? select(leaf, dims[i]!, k) : leaf,
            )
          ) as A),
      );
      return joined(results, (parts) => stack(parts, outDims)) as R;
    });
  };
}

/**
 * A loop that carries a state: `[carry, y] = f(carry, x)` for each x along the first dim of `xs`, beginning with `init`. Gives
 * the last state and all y stacked. As `jax.lax.scan`; states and steps are tensors, or tensors in lists and plain objects.
 *
 * @example
 * ```ts
 * const [total, sums] = scan((sum: Tensor, x: Tensor) => [sum.add(x), sum.add(x)], zeros([]), tensor([1, 2, 3])); // 6, [1, 3, 6]
 * ```
 * @throws {ShapeError} when the tensors of `xs` differ in their first dim, or it is 0.
 * @throws {OptionError} for an `f` that is no function.
 * @category Tensors
 */
export function scan<C, X, Y>(f: (carry: C, x: X) => readonly [C, Y], init: C, xs: X): [carry: C, ys: Y] {
  demandNoMore(arguments, 3, "scan");
  demandFunction("scan", f);
  let length: number | null = null;
  mapTree(xs, (leaf) => {
    if (!(leaf instanceof Tensor)) return leaf;
    if (length !== null && leaf.shape[0] !== length) {
      throw new ShapeError(
        `scan: one tensor of xs has ${counted(leaf.shape[0], "step")}, one before it ${length}`,
      );
    }
    length = leaf.shape[0] ?? 0;
    return leaf;
  });
  if (!length) throw new ShapeError("scan: xs has no steps: its tensors need a first dim of size 1 or more");
  return tidy(() => {
    const ys: Y[] = [];
    let carry = init;
    for (let k = 0; k < length!; k++) {
      const [next, y] = f(
        carry,
        mapTree(xs, (leaf) => leaf instanceof Tensor ? select(leaf, 0, k) : leaf) as X,
      );
      carry = next;
      ys.push(y);
    }
    return [carry, joined(ys, (parts) => stack(parts, 0)) as Y];
  });
}
