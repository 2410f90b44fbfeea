/**
 * Einstein summation: products and sums over named axes.
 *
 * Two operands at a time are brought to one batched matrix product: axes in both and in the result are its batch,
 * axes in both and not in the result are summed by the product, the others are rows and columns.
 *
 * @module
 */
import { demandTensor } from "./bridge.ts";
import { demandText } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { mul } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { sum } from "./reduce.ts";
import type { Tensor } from "./tensor.ts";
import { diagonal, permute, reshape } from "./views.ts";

interface Labelled {
  tensor: Tensor;
  /** One label per axis, no label twice. */
  labels: string[];
}

function parse(equation: string, operands: readonly Tensor[]): { terms: string[][]; result: string[] } {
  const fail = (reason: string): never => {
    throw new ShapeError(`einsum: "${equation}": ${reason}`);
  };
  const [left, right, extra] = equation.replaceAll(" ", "").split("->");
  if (extra !== undefined) fail("there is more than one ->");
  const parts = left.split(",");
  if (parts.length !== operands.length) {
    fail(`${counted(parts.length, "term")} for ${counted(operands.length, "tensor")}`);
  }
  let dots = 0;
  // Axes behind "..." get labels that no letter can have, numbered from the last so that they broadcast.
  const terms = parts.map((part, i) => {
    const rank = operands[i].shape.length;
    const [before, after, third] = part.split("...");
    if (third !== undefined || !/^[A-Za-z]*$/.test(before + (after ?? ""))) {
      fail(`"${part}" is not letters and one ...`);
    }
    if (after === undefined) {
      if (part.length !== rank) {
        fail(
          `"${part}" names ${counted(part.length, "dim")}, the tensor is ${formatShape(operands[i].shape)}`,
        );
      }
      return [...part];
    }
    const count = rank - before.length - after.length;
    if (count < 0) fail(`"${part}" names more dims than ${formatShape(operands[i].shape)} has`);
    dots = Math.max(dots, count);
    return [...before, ...Array.from({ length: count }, (_, k) => `.${count - 1 - k}`), ...after];
  });
  const dotLabels = Array.from({ length: dots }, (_, k) => `.${dots - 1 - k}`);
  const letters = terms.flat().filter((l) => !l.startsWith("."));
  let result: string[];
  if (right === undefined) {
    result = [
      ...dotLabels,
      ...new Set(letters.filter((l) => letters.indexOf(l) === letters.lastIndexOf(l)).sort()),
    ];
  } else {
    const [before, after] = right.split("...");
    result = after === undefined ? [...right] : [...before, ...dotLabels, ...after];
    for (const l of result) {
      if (!l.startsWith(".") && !letters.includes(l)) fail(`"${l}" in the result is in no term`);
    }
    if (new Set(result).size !== result.length) fail("a label is twice in the result");
  }
  return { terms, result };
}

/** Labels that appear twice in one term take the diagonal. */
function withoutRepeats(t: Labelled): Labelled {
  const labels = t.labels, twice = labels.find((l, i) => labels.indexOf(l) !== i);
  if (twice === undefined) return t;
  const first = labels.indexOf(twice), second = labels.indexOf(twice, first + 1);
  const rest = labels.map((_, i) => i).filter((i) => i !== first && i !== second);
  const moved = diagonal(permute(t.tensor, [...rest, first, second]));
  return withoutRepeats({ tensor: moved, labels: [...rest.map((i) => labels[i]), twice] });
}

/** Sums the labels that nobody needs any more. */
function sumAway(t: Labelled, needed: (label: string) => boolean): Labelled {
  const gone = t.labels.map((_, i) => i).filter((i) => !needed(t.labels[i]));
  if (!gone.length) return t;
  return { tensor: sum(t.tensor, gone), labels: t.labels.filter((_, i) => !gone.includes(i)) };
}

function arrange(t: Labelled, labels: readonly string[]): Tensor {
  return permute(t.tensor, labels.map((l) => t.labels.indexOf(l)));
}

function sizesOf(...all: Labelled[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const t of all) {
    t.labels.forEach((l, i) => {
      const n = t.tensor.shape[i], known = sizes.get(l) ?? 1;
      if (n !== known && n !== 1 && known !== 1) {
        throw new ShapeError(`einsum: dim "${l}" has size ${known} in one tensor and ${n} in another`);
      }
      sizes.set(l, known === 1 ? n : known);
    });
  }
  return sizes;
}

function pair(a: Labelled, b: Labelled, needed: (label: string) => boolean): Labelled {
  const sizes = sizesOf(a, b);
  const size = (labels: readonly string[]): number =>
    labels.reduce((n, l) => n * (sizes.get(l) as number), 1);
  const shared = a.labels.filter((l) => b.labels.includes(l));
  const mismatch = shared.some((l) =>
    a.tensor.shape[a.labels.indexOf(l)] !== b.tensor.shape[b.labels.indexOf(l)]
  );
  if (mismatch) {
    // A size of 1 stands against a larger one: multiply with broadcasting, then sum.
    const labels = [...new Set([...a.labels, ...b.labels])];
    const place = (t: Labelled): Tensor => {
      const own = labels.filter((l) => t.labels.includes(l));
      return reshape(
        arrange(t, own),
        labels.map((l) => t.labels.includes(l) ? t.tensor.shape[t.labels.indexOf(l)] : 1),
      );
    };
    return sumAway({ tensor: mul(place(a), place(b)), labels }, needed);
  }
  const batch = shared.filter(needed), inner = shared.filter((l) => !needed(l));
  const rows = a.labels.filter((l) => !shared.includes(l)),
    columns = b.labels.filter((l) => !shared.includes(l));
  const left = reshape(arrange(a, [...batch, ...rows, ...inner]), [size(batch), size(rows), size(inner)]);
  const right = reshape(arrange(b, [...batch, ...inner, ...columns]), [
    size(batch),
    size(inner),
    size(columns),
  ]);
  const labels = [...batch, ...rows, ...columns];
  return { tensor: reshape(matmul(left, right), labels.map((l) => sizes.get(l) as number)), labels };
}

/**
 * Sums products over named axes, as NumPy and PyTorch write it: `einsum("bhqd,bhkd->bhqk", q, k)`. A label twice in
 * one term takes the diagonal, `...` stands for leading axes that broadcast, and without `->` the labels that appear
 * once are kept in alphabetical order.
 *
 * @example
 * ```ts
 * const scores = einsum("bhqd,bhkd->bhqk", q, k);
 * const trace = einsum("ii->", matrix);
 * ```
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an equation that is no text.
 * @category Products, attention, norms
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  demandText("einsum", equation, "the equation");
  for (const x of operands) demandTensor("einsum", x, "an operand");
  return tidy(() => {
    const { terms, result } = parse(equation, operands);
    sizesOf(...operands.map((tensor, i) => ({ tensor, labels: terms[i] })));
    const rest = operands.map((tensor, i) => withoutRepeats({ tensor, labels: terms[i] }));
    const neededBy = (others: readonly Labelled[]) => (l: string): boolean =>
      result.includes(l) || others.some((t) => t.labels.includes(l));
    while (rest.length > 1) {
      const [a, b] = rest.splice(0, 2);
      const needed = neededBy(rest);
      const own = (t: Labelled, other: Labelled): Labelled =>
        sumAway(t, (l) => needed(l) || other.labels.includes(l));
      rest.unshift(pair(own(a, b), own(b, a), needed));
    }
    return arrange(sumAway(rest[0], (l) => result.includes(l)), result);
  });
}
