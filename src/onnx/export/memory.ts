/**
 * Views of memory as tensors of a graph.
 *
 * A device sees memory by strides; a graph has tensors alone. So each piece of memory is known here by the tensor that lies in
 * it row-major, and a view of it is taken apart into what a graph can say: reshape, slice, transpose. What none of these
 * gives (windows that overlap, diagonals) is gathered by positions. Parts that are written are joined when they are read.
 *
 * @module
 */
import { byteSize, type DType, isQuantized } from "../../core/dtype.ts";
import { CaptureError } from "../../core/errors.ts";
import { endOfAxis, type GraphBuilder } from "./builder.ts";
import { each, is, isFixed, productOf, same, type Size } from "./sizes.ts";
import type { WideValue, WideView } from "./wide.ts";

/** A tensor of the graph. */
export interface Node {
  /** Its name. */
  readonly name: string;
  /** Its sizes. */
  readonly dims: readonly Size[];
  /** Its element type. */
  readonly dtype: DType;
  /** The same memory as a tensor whose axes lie in another order, as a parameter's may. */
  readonly turned?: {
    readonly name: string;
    readonly shape: readonly number[];
    readonly strides: readonly number[];
  };
}

/** How a view lies in memory: as the memory of sizes `extents` with `starts` and `counts` along each. */
interface Layout {
  readonly extents: readonly Size[];
  readonly starts: readonly Size[];
  readonly counts: readonly Size[];
  /** The view's axis of each extent; null for one that the view picks one of. */
  readonly axes: readonly (number | null)[];
}

/** A part of memory that was written. */
interface Part {
  readonly layout: Layout | null;
  readonly view: WideView;
  readonly node: Node;
}

/** Bytes that were put somewhere, of each trace. */
interface Upload {
  readonly start: Size;
  readonly bytes: readonly Uint8Array[];
}

/** What memory holds. */
interface Contents {
  node: Node | null;
  parts: Part[];
  uploads: Upload[];
}

/** Gives the tensor of memory that was there before: inputs, weights. */
export type Outside = (value: WideValue, view: WideView) => Node;

/** All memory of a program. */
export class GraphMemory {
  readonly #graph: GraphBuilder;
  readonly #outside: Outside;
  readonly #all = new Map<WideValue, Contents>();

  /** Nothing but what `outside` gives. */
  constructor(graph: GraphBuilder, outside: Outside) {
    this.#graph = graph;
    this.#outside = outside;
  }

  /** A view of all that memory holds as it lies there, for what works on rows; null where the view is another. */
  whole(view: WideView): Node | null {
    const node = this.#settled(view), one = this.#graph.symbols.fixed(1);
    const isAll = same(productOf(view.shape, one), productOf(node.dims, one)) && isRowMajor(view);
    return isAll && node.dims.length > 0 ? node : null;
  }

  /** The tensor that a view sees. Axes that repeat are of size 1 unless `isFull`. */
  read(view: WideView, isFull = false): Node {
    const graph = this.#graph, node = this.#settled(view), one = graph.symbols.fixed(1);
    const dims = view.shape.map((size, i) => isRepeated(view, i) ? one : size);
    const turned = this.#turned(node, view);
    if (turned !== null) return { name: turned, dims, dtype: node.dtype };
    const layout = layoutOf(view, productOf(node.dims, one));
    let name: string;
    if (layout) name = this.#take(node, layout, dims, view);
    else name = graph.node("Gather", [this.#flat(node), this.#positions(view, dims)], { axis: 0n });
    if (isFull) name = graph.expand(name, dims, view.shape);
    return { name, dims: isFull ? view.shape : dims, dtype: node.dtype };
  }

  /** A view of all of a tensor whose axes lie in another order than its own: the tensor, or it transposed. */
  #turned({ turned }: Node, { shape, strides, offset }: WideView): string | null {
    if (!turned || !is(offset, 0) || shape.length !== turned.shape.length) return null;
    const perm = shape.map((size, i) =>
      turned.shape.findIndex((n, axis) => is(size, n) && is(strides[i], turned.strides[axis]))
    );
    const isOne = perm.every((axis, i) => axis >= 0 && perm.indexOf(axis) === i);
    return isOne ? this.#graph.transpose(turned.name, perm) : null;
  }

  /** Puts a tensor of the view's shape where the view is. */
  write(view: WideView, node: Node): void {
    const { value } = view, { source } = value;
    if (source.kind !== "temporary" && source.kind !== "constant") {
      throw new CaptureError(
        "exportOnnx: the function changes a tensor that it was given or closes over, which a graph cannot: return " +
          "the new one instead",
      );
    }
    const graph = this.#graph, contents = this.#contentsOf(value), one = graph.symbols.fixed(1);
    const total = each((bytes) => bytes / byteSize(view.dtype, 1), value.bytes);
    if (same(productOf(view.shape, one), total) && isRowMajor(view)) {
      contents.node = { name: node.name, dims: node.dims, dtype: view.dtype };
      contents.parts = [];
      contents.uploads = [];
      return;
    }
    const layout = layoutOf(view, total);
    const part = { layout, view, node: { ...node, dtype: view.dtype } };
    const isAll = layout?.extents.every((extent, i) => same(extent, layout.counts[i]));
    if (isAll) {
      contents.node = this.#ordered(part as Part & { layout: Layout });
      contents.parts = [];
    } else contents.parts.push(part);
  }

  /** The same for a tensor of the view's elements in any shape. */
  writeRows(view: WideView, node: Node): void {
    if (isRowMajor(view) && this.#isAll(view)) this.write({ ...view }, node);
    else {this.write(view, {
        ...node,
        name: this.#graph.reshape(node.name, node.dims, view.shape),
        dims: view.shape,
      });}
  }

  /** Bytes from JavaScript, of each trace. */
  upload(to: WideView, bytes: readonly unknown[]): void {
    if (bytes.some((own) => !(own instanceof Uint8Array))) {
      throw new CaptureError(
        "exportOnnx: the function makes a tensor of numbers that differ from run to run: give it as an argument",
      );
    }
    this.#contentsOf(to.value).uploads.push({ start: to.offset, bytes: bytes as Uint8Array[] });
  }

  #isAll(view: WideView): boolean {
    const total = each((bytes) => bytes / byteSize(view.dtype, 1), view.value.bytes);
    return same(productOf(view.shape, this.#graph.symbols.fixed(1)), total);
  }

  #contentsOf(value: WideValue): Contents {
    let contents = this.#all.get(value);
    if (!contents) this.#all.set(value, contents = { node: null, parts: [], uploads: [] });
    return contents;
  }

  /** The tensor in the memory of a view. */
  #settled(view: WideView): Node {
    const { value, dtype } = view, contents = this.#contentsOf(value);
    if (contents.uploads.length) {
      contents.node = this.#uploaded(contents.uploads, value, dtype);
      contents.uploads = [];
    }
    if (contents.parts.length) {
      contents.node = this.#join(contents, value, dtype);
      contents.parts = [];
    }
    if (!contents.node && value.source.kind !== "temporary") contents.node = this.#outside(value, view);
    if (!contents.node) contents.node = this.#blank(value, dtype);
    if (contents.node.dtype !== dtype && !isQuantized(dtype)) {
      throw new CaptureError(`exportOnnx: memory of ${contents.node.dtype} is read as ${dtype}`);
    }
    return contents.node;
  }

  #blank(value: WideValue, dtype: DType): Node {
    const dims = [each((bytes) => bytes / byteSize(dtype, 1), value.bytes)], graph = this.#graph;
    return { name: graph.expand(graph.constant(dtype, [], [0]), [], dims), dims, dtype };
  }

  #flat(node: Node): string {
    return this.#graph.reshape(node.name, node.dims, [productOf(node.dims, this.#graph.symbols.fixed(1))]);
  }

  /** Positions in memory of a view's elements, i64 of `dims`. */
  #positions(view: WideView, dims: readonly Size[]): string {
    const graph = this.#graph, { symbols } = graph, zero = symbols.fixed(0), one = symbols.fixed(1);
    let sum = graph.scalarSize(view.offset);
    dims.forEach((size, i) => {
      if (is(size, 1)) return;
      const steps = graph.node("Mul", [
        graph.range(zero, one, size, "i64"),
        graph.scalarSize(view.strides[i]),
      ]);
      const place = dims.map((_, j) => j === i ? size : one);
      sum = graph.node("Add", [sum, graph.reshape(steps, [size], place)]);
    });
    return graph.reshape(sum, [], dims.every((size) => is(size, 1)) ? dims : []);
  }

  /** Reshape, slice, transpose. */
  #take(node: Node, layout: Layout, dims: readonly Size[], view: WideView): string {
    const graph = this.#graph, { extents, starts, counts, axes } = layout, { symbols } = graph;
    if (same(productOf(dims, symbols.fixed(1)), productOf(node.dims, symbols.fixed(1))) && isRowMajor(view)) {
      return graph.reshape(node.name, node.dims, dims);
    }
    let name = graph.reshape(node.name, node.dims, extents);
    const cut = extents.flatMap((extent, i) => same(extent, counts[i]) ? [] : [i]);
    if (cut.length) {
      const zero = symbols.fixed(0);
      const isOpen = cut.every((i) => same(each((a, b) => a + b, starts[i], counts[i]), extents[i]));
      const ends = isOpen
        ? graph.longs(cut.map(() => endOfAxis))
        : graph.sizes(cut.map((i) => each((a, b) => a + b, starts[i], counts[i])));
      const from = cut.every((i) => same(starts[i], zero))
        ? graph.longs(cut.map(() => 0))
        : graph.sizes(cut.map((i) => starts[i]));
      name = graph.node("Slice", [name, from, ends, graph.longs(cut)]);
    }
    const order = axes.map((axis, i) => ({ axis: axis ?? Infinity, i })).sort((a, b) =>
      a.axis - b.axis || a.i - b.i
    );
    name = graph.transpose(name, order.map(({ i }) => i));
    return graph.reshape(name, order.map(({ i }) => counts[i]), dims);
  }

  /** A part as it lies in memory: of the extents' counts. */
  #ordered({ layout: { counts, axes }, node }: Part & { layout: Layout }): Node {
    const graph = this.#graph, one = graph.symbols.fixed(1);
    const own = axes.filter((axis) => axis !== null), squeezed = own.toSorted((a, b) => a - b);
    const sizes = squeezed.map((axis) => counts[axes.indexOf(axis)]);
    const flat = graph.reshape(node.name, node.dims, sizes);
    const turned = graph.transpose(flat, own.map((axis) => squeezed.indexOf(axis)));
    const ordered = own.map((axis) => counts[axes.indexOf(axis)]);
    const dims = axes.map((axis, i) => axis === null ? one : counts[i]);
    return { name: graph.reshape(turned, ordered, dims), dims, dtype: node.dtype };
  }

  /** What was written in parts, as one. */
  #join({ node, parts }: Contents, value: WideValue, dtype: DType): Node {
    const joined = node ? null : this.#concat(parts);
    if (joined) return joined;
    const graph = this.#graph, base = node ?? this.#blank(value, dtype);
    let flat = this.#flat(base);
    for (const { view, node } of parts) {
      const positions = graph.expand(this.#positions(view, view.shape), [], view.shape);
      const list = [productOf(view.shape, graph.symbols.fixed(1))];
      flat = graph.node("ScatterElements", [
        flat,
        graph.reshape(positions, view.shape, list),
        graph.reshape(node.name, node.dims, list),
      ], { axis: 0n });
    }
    return { name: flat, dims: [productOf(base.dims, graph.symbols.fixed(1))], dtype };
  }

  /** Parts that follow each other along one axis; null for others. */
  #concat(parts: readonly Part[]): Node | null {
    const graph = this.#graph, one = graph.symbols.fixed(1), zero = graph.symbols.fixed(0);
    const pieces = parts.map((part) => {
      const { layout } = part;
      if (!layout) return null;
      const { extents, starts, counts } = layout;
      const cut = extents.flatMap((extent, i) => same(extent, counts[i]) ? [] : [i]);
      if (cut.length !== 1) return null;
      const [at] = cut, inner = productOf(extents.slice(at + 1), one);
      return {
        part: part as Part & { layout: Layout },
        at,
        outer: productOf(extents.slice(0, at), one),
        start: each((a, b) => a * b, starts[at], inner),
        width: each((a, b) => a * b, counts[at], inner),
        all: each((a, b) => a * b, extents[at], inner),
      };
    });
    const list = pieces.filter((piece) => piece !== null);
    if (list.length < pieces.length) return null;
    list.sort((a, b) => a.start[0] - b.start[0]);
    let end = zero;
    for (const { outer, start, width } of list) {
      if (!same(outer, list[0].outer) || !same(start, end)) return null;
      end = each((a, b) => a + b, start, width);
    }
    if (!same(end, list[0].all)) return null;
    const [{ at, part: { layout: { extents } } }] = list, { dtype } = list[0].part.node;
    const isAlike = list.every((piece) =>
      piece.at === at && piece.part.layout.extents.length === extents.length &&
      extents.every((extent, i) => same(extent, piece.part.layout.extents[i]))
    );
    if (isAlike) {
      const names = list.map(({ part }) => this.#ordered(part).name);
      return { name: graph.node("Concat", names, { axis: BigInt(at) }), dims: extents, dtype };
    }
    const names = list.map(({ part, outer, width }) => {
      const own = this.#ordered(part);
      return graph.reshape(own.name, own.dims, [outer, width]);
    });
    return { name: graph.node("Concat", names, { axis: 1n }), dims: [list[0].outer, end], dtype };
  }

  /** Bytes from JavaScript: always the same, or a sequence of evenly spaced numbers of a size that differs. */
  #uploaded(uploads: readonly Upload[], value: WideValue, dtype: DType): Node {
    const graph = this.#graph, width = byteSize(dtype, 1);
    const data = value.bytes.map((length, k) => {
      const all = new Uint8Array(length);
      for (const { start, bytes } of uploads) all.set(bytes[k], start[k]);
      return all;
    });
    const dims = [each((bytes) => bytes / width, value.bytes)];
    if (isFixed(value.bytes) && data.every((own) => own.every((byte, i) => byte === data[0][i]))) {
      const [bytes] = data;
      return { name: graph.weight(`constant_${value.id}`, dtype, [dims[0][0]], () => bytes), dims, dtype };
    }
    const lists = data.map((bytes) => numbersOf(bytes, dtype)), start = lists.map((list) => list[0] ?? 0);
    const step = lists.map((list) => list.length > 1 ? list[1] - list[0] : 1);
    const isEven = lists.every((list, k) => list.every((x, i) => x === start[k] + i * step[k]));
    if (!isEven || !start.every(Number.isInteger) || !step.every(Number.isInteger)) {
      throw new CaptureError(
        "exportOnnx: the function makes a tensor in JavaScript whose numbers depend on the sizes of its inputs, and are no " +
          "sequence as arange gives: leave these sizes out of dynamicAxes",
      );
    }
    const range = graph.range(start, step, dims[0], dtype === "i32" ? "i32" : "i64");
    return { name: dtype === "i32" || dtype === "i64" ? range : graph.cast(range, dtype), dims, dtype };
  }
}

function numbersOf(bytes: Uint8Array, dtype: DType): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), width = byteSize(dtype, 1);
  return Array.from({ length: bytes.length / width }, (_, i) => {
    switch (dtype) {
      case "f32":
        return view.getFloat32(4 * i, true);
      case "i32":
        return view.getInt32(4 * i, true);
      case "i64":
        return Number(view.getBigInt64(8 * i, true));
      case "f64":
        return view.getFloat64(8 * i, true);
      case "u8":
      case "bool":
        return bytes[i];
      default:
        return NaN;
    }
  });
}

function isRepeated({ shape, strides }: WideView, axis: number): boolean {
  return is(strides[axis], 0) && !is(shape[axis], 1);
}

/** Whether elements lie one after the other, from the first of the memory on. */
function isRowMajor({ shape, strides, offset }: WideView): boolean {
  let step: Size = offset.map(() => 1);
  for (let i = shape.length - 1; i >= 0; i--) {
    if (is(shape[i], 1)) continue;
    if (!same(strides[i], step)) return false;
    step = each((a, b) => a * b, step, shape[i]);
  }
  return is(offset, 0);
}

/** How a view lies in memory of `total` elements; null where no sizes of the memory say it. */
function layoutOf(view: WideView, total: Size): Layout | null {
  const { shape, strides, offset } = view;
  const axes = shape.flatMap((size, axis) => is(size, 1) || isRepeated(view, axis) ? [] : [axis]);
  if (axes.some((axis) => strides[axis].some((step) => step <= 0))) return null;
  axes.sort((a, b) => strides[b][0] - strides[a][0]);
  const extents: Size[] = [], starts: Size[] = [], counts: Size[] = [], places: (number | null)[] = [];
  let above = total, rest = offset;
  const add = (step: Size, axis: number | null, count: Size): boolean => {
    const extent = each((a, b) => a / b, above, step), start = each((a, b) => Math.floor(a / b), rest, step);
    if (!extent.every(Number.isInteger)) return false;
    extents.push(extent);
    starts.push(start);
    counts.push(count);
    places.push(axis);
    rest = each((a, b) => a % b, rest, step);
    above = step;
    return extent.every((n, k) => start[k] + count[k] <= n);
  };
  for (const axis of axes) if (!add(strides[axis], axis, shape[axis])) return null;
  const one = offset.map(() => 1);
  // Between the elements of the last axis lies something that is not seen.
  if (!is(above, 1) && !add(one, null, one)) return null;
  return { extents, starts, counts, axes: places };
}
