/**
 * Attention in a graph: the operator of opset 23, or products and a softmax before.
 *
 * @module
 */
import type { GraphBuilder } from "./builder.ts";
import type { Node } from "./memory.ts";
import { each, is, same, type Size } from "./sizes.ts";

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

/** softmax(q · kᵀ · scale) · v, [batch, heads, rows, width]. */
export function writeAttention(graph: GraphBuilder, call: AttentionCall): Node {
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
