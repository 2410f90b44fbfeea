/**
 * Attention in a graph: the operator of opset 23, or products and a softmax before.
 *
 * @module
 */
import type { GraphBuilder } from "./builder.ts";
import type { Node } from "./memory.ts";
import { each, is, isFixed, same, type Size } from "./sizes.ts";

/** What is attended to, and how. */
export interface AttentionCall {
  /** [batch, heads, rows, width]. */
  readonly q: Node;
  /** [batch, groups, keys, width]. */
  readonly k: Node;
  /** [batch, groups, keys, width]. */
  readonly v: Node;
  /** What scores are multiplied by. */
  readonly scale: number;
  /** Row i sees keys up to i + keys − rows. */
  readonly causal: boolean;
  /** Scores stay within ± this; 0: as they are. */
  readonly softcap: number;
  /** How many keys back a row looks; 0: all. */
  readonly window: number;
  /** bool, what may be seen: broadcasts to [batch, heads, rows, keys]. */
  readonly seen: Node | null;
}

/** What may be seen, as one bool tensor that broadcasts to [batch, heads, rows, keys]; null for everything. */
function maskOf(graph: GraphBuilder, { q, k, causal, window, seen }: AttentionCall): string | null {
  if (!causal) return seen?.name ?? null;
  const { symbols } = graph,
    zero = symbols.fixed(0),
    one = symbols.fixed(1),
    rows = q.dims[2],
    keys = k.dims[2];
  const places = graph.range(zero, one, keys, "i64"); // [keys]
  const last = graph.reshape(
    graph.range(each((n, m) => n - m, keys, rows), one, rows, "i64"),
    [rows],
    [rows, one],
  ); // the last key of each row
  let mask = graph.node("LessOrEqual", [places, last]);
  if (window > 0) {
    const first = graph.node("Sub", [last, graph.constant("i64", [], [window])]);
    mask = graph.node("And", [mask, graph.node("Greater", [places, first])]);
  }
  return seen ? graph.node("And", [mask, seen.name]) : mask;
}

/** What lies before the new rows of keys or values, and these: where they are the two parts of one. */
function partsOf(graph: GraphBuilder, { name }: Node): readonly [past: string, own: string] | null {
  const node = graph.maker(name), axis = node?.attributes.get("axis");
  if (node?.operator !== "Concat" || node.inputs.length !== 2 || axis?.kind !== "int") return null;
  return axis.value === 2n ? node.inputs as [string, string] : null;
}

/** `name`, of dims [batch, heads, rows, width], as [batch, rows, heads · width]. */
function byRow(graph: GraphBuilder, name: string, [batch, heads, rows, width]: readonly Size[]): string {
  const node = graph.maker(name), perm = node?.attributes.get("perm");
  const isTurned = node?.operator === "Transpose" && perm?.kind === "ints" &&
    String(perm.value) === "0,2,1,3";
  const turned = isTurned ? node.inputs[0] : graph.transpose(name, [0, 2, 1, 3]);
  return graph.reshape(turned, [batch, rows, heads, width], [
    batch,
    rows,
    each((h, w) => h * w, heads, width),
  ]);
}

/** The same by ONNX Runtime's GroupQueryAttention, which joins past and new rows itself; null for what is none. */
function writeGrouped(graph: GraphBuilder, call: AttentionCall): Node | null {
  const { q, k, v, scale, softcap, window, seen } = call, [batch, heads, rows, width] = q.dims;
  const keys = partsOf(graph, k), values = partsOf(graph, v), groups = k.dims[1], all = k.dims[2];
  // ONNX Runtime has it for heads of whole eights.
  const isEven = isFixed(width) && width[0] % 8 === 0 && same(v.dims[3], width);
  const isKnown = call.causal && keys && values && isEven && isFixed(heads) && isFixed(groups);
  if (!isKnown) return null;
  const one = graph.symbols.fixed(1), own = [batch, groups, rows, width];
  // Below the diagonal its rows see all; what they do not see of that is said by numbers that are added.
  const mask = window > 0 ? maskOf(graph, call) : seen?.name ?? null;
  const bias = mask === null ? "" : graph.node("Where", [
    graph.expand(mask, seen?.dims ?? [], [seen?.dims[0] ?? one, seen?.dims[1] ?? one, rows, all]),
    graph.constant("f32", [], [0]),
    graph.constant("f32", [], [-1e38]),
  ]);
  const total = graph.scalarSize(all, "i32"),
    last = graph.node("Sub", [total, graph.constant("i32", [], [1])]);
  const inputs = [
    byRow(graph, q.name, q.dims),
    byRow(graph, keys[1], own),
    byRow(graph, values[1], own),
    keys[0],
    values[0],
    graph.expand(last, [], [batch]),
    total,
    ...bias === "" ? [] : ["", "", "", bias],
  ];
  const attributes = {
    num_heads: BigInt(heads[0]),
    kv_num_heads: BigInt(groups[0]),
    scale,
    ...softcap && { softcap },
  };
  const [y, ...present] = graph.nodes("GroupQueryAttention", inputs, attributes, 3, "com.microsoft");
  graph.instead(k.name, present[0]);
  graph.instead(v.name, present[1]);
  const open = graph.reshape(y, [batch, rows, each((h, w) => h * w, heads, width)], [
    batch,
    rows,
    heads,
    width,
  ]);
  return { name: graph.transpose(open, [0, 2, 1, 3]), dims: q.dims, dtype: q.dtype };
}

/** softmax(q · kᵀ · scale) · v, [batch, heads, rows, width]. */
export function writeAttention(graph: GraphBuilder, call: AttentionCall): Node {
  const grouped = graph.contribOps ? writeGrouped(graph, call) : null;
  if (grouped) return grouped;
  const { q, k, v, scale, softcap } = call, mask = maskOf(graph, call), dims = q.dims, dtype = q.dtype;
  if (graph.opset >= 23) {
    const inputs = mask === null ? [q.name, k.name, v.name] : [
      q.name,
      k.name,
      v.name,
      graph.expand(
        mask,
        [],
        [graph.symbols.fixed(1), graph.symbols.fixed(1), dims[2], k.dims[2]],
      ),
    ];
    const name = graph.node("Attention", inputs, { scale, ...(softcap === 0 ? {} : { softcap }) });
    return { name, dims, dtype };
  }
  const [batch, heads, rows, width] = dims, groups = k.dims[1], one = graph.symbols.fixed(1);
  const isGrouped = !same(heads, groups), number = (x: number): string => graph.constant(dtype, [], [x]);
  // Queries of a group side by side, so that its keys and values are not repeated.
  const parts: Size[] = [batch, groups, each((h, g) => h / g, heads, groups), rows, width];
  const queries = isGrouped ? graph.reshape(q.name, dims, parts) : q.name;
  const shared = (t: Node): string =>
    isGrouped ? graph.reshape(t.name, t.dims, [batch, groups, one, ...t.dims.slice(2)]) : t.name;
  const turned = graph.transpose(shared(k), isGrouped ? [0, 1, 2, 4, 3] : [0, 1, 3, 2]);
  let scores = graph.node("MatMul", [graph.node("Mul", [queries, number(scale)]), turned]);
  if (softcap !== 0) {
    scores = graph.node("Mul", [
      graph.node("Tanh", [graph.node("Div", [scores, number(softcap)])]),
      number(softcap),
    ]);
  }
  if (mask !== null) {
    // Scores are [batch, groups, heads of one, rows, keys].
    const { seen } = call, isOfHeads = seen !== null && !is(seen.dims[1], 1);
    const own = !isGrouped || !seen
      ? mask
      : isOfHeads
      ? graph.reshape(mask, [...seen.dims.slice(0, 2), rows, k.dims[2]], [
        seen.dims[0],
        ...parts.slice(1, 4),
        k.dims[2],
      ])
      : graph.node("Unsqueeze", [mask, graph.longs([2])]);
    scores = graph.node("Where", [own, scores, number(-Infinity)]);
  }
  const mixed = graph.node("MatMul", [graph.node("Softmax", [scores], { axis: -1n }), shared(v)]);
  return { name: isGrouped ? graph.reshape(mixed, parts, dims) : mixed, dims, dtype };
}
