/**
 * Functions of one example or one step, over many: `vmap` and `scan`.
 *
 * Both are loops written out: compiled, they are one program.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../../core/demand.ts";
import { DTypeError, OptionError, ShapeError } from "../../core/errors.ts";
import { either, listOf, orNull, whole } from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { formatShape } from "../../core/shape.ts";
import { counted, show } from "../../core/show.ts";
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
function joined(what: string, trees: readonly unknown[], join: (parts: Tensor[]) => Tensor): unknown {
  const forms: string[] = [],
    leaves = trees.map((tree) => {
      const found: Leaf[] = [], form: string[] = [];
      leavesOf(tree, found, form, `${what}: what f gives`);
      forms.push(form.join(""));
      return found;
    });
  const other = forms.findIndex((form) => form !== forms[0]);
  if (other >= 0) {
    throw new ShapeError(
      `${what}: f gives lists, objects and tensors of another form at ${other} than at 0; give the same each time`,
    );
  }
  let at = 0;
  return mapTree(trees[0], (first) => {
    const place = at++;
    if (first instanceof Tensor) return join(leaves.map((list) => list[place] as Tensor));
    const k = leaves.findIndex((list) => !Object.is(list[place], first));
    if (k >= 0) {
      throw new DTypeError(
        `${what}: f gives ${show(first)} at 0 and ${
          show(leaves[k][place])
        } at ${k}; only tensors are stacked`,
      );
    }
    return first;
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
 * @throws {ShapeError} when the dims walked differ in size, there are none, or `f` gives results of another form for another example.
 * @throws {DTypeError} when `f` gives something else than tensors that differs from example to example.
 * @throws {CaptureError} for arguments and results that hold themselves.
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
      return joined("vmap", results, (parts) => stack(parts, outDims)) as R;
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
 * @throws {ShapeError} when the tensors of `xs` differ in their first dim, or it is 0, and for results of another form.
 * @throws {OptionError} for an `f` that is no function or does not give a list of two.
 * @throws {DTypeError} when `f` gives something else than tensors that differs from step to step.
 * @throws {CaptureError} for states and results that hold themselves.
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
      const pair = f(carry, mapTree(xs, (leaf) => leaf instanceof Tensor ? select(leaf, 0, k) : leaf) as X);
      if (!Array.isArray(pair) || pair.length !== 2) {
        throw new OptionError(
          `scan: f gives ${show(pair)}, expected a list of two: the next state and a result`,
        );
      }
      carry = pair[0];
      ys.push(pair[1]);
    }
    return [carry, joined("scan", ys, (parts) => stack(parts, 0)) as Y];
  });
}
