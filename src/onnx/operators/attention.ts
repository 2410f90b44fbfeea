/**
 * Attention and rotary positions.
 *
 * @module
 */
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, OperatorTable, Result, Results } from "../call.ts";
import { heldAs, typeOfCode } from "../types.ts";
import { valueOf } from "../values.ts";

/** [batch, time, heads · size] as [batch, heads, time, size]. */
export function split(x: Tensor, heads: number): Tensor {
  const [batch, time, width] = x.shape;
  return f.permute(f.reshape(x, [batch, time, heads, width / heads]), [0, 2, 1, 3]);
}

/** Heads of keys and values repeated for the heads of queries that share them. */
export function shared(x: Tensor, heads: number): Tensor {
  const [batch, own, time, size] = x.shape;
  if (own === heads) return x;
  const wide = f.expand(f.reshape(x, [batch, own, 1, time, size]), [batch, own, heads / own, time, size]);
  return f.reshape(wide, [batch, heads, time, size]);
}

/** What is added to scores [batch, heads, queries, keys]: the mask, the future, what lies behind a sequence's end. */
function biasOf(c: Call, scores: Tensor, past: number | null): Tensor | null {
  const [batch, , queries, keys] = scores.shape, { dtype, device } = scores;
  const blocked = (open: Tensor): Tensor => f.where(open, f.zeros([], { dtype, device }), -Infinity);
  const parts: Tensor[] = [], mask = c.maybe(3), ends = c.maybe(6);
  const end = ends ? f.reshape(f.toDType(ends, "i32"), [batch, 1, 1, 1]) : null;
  if (mask) {
    const short = keys - mask.shape[mask.shape.length - 1];
    let wide = mask.dtype === "bool" ? blocked(mask) : f.toDType(mask, dtype);
    // A mask may be shorter than the keys: what it says nothing of is not seen.
    if (short > 0) wide = f.pad(wide, [0, short], { value: -Infinity });
    parts.push(wide);
  }
  if (c.int("is_causal", 0)) {
    const at = f.reshape(f.arange(queries, { dtype: "i32", device }), [queries, 1]);
    // With no past given, the queries are the last of what a sequence has.
    const before = past ?? (end ? f.sub(end, queries) : 0);
    parts.push(blocked(f.le(f.arange(keys, { dtype: "i32", device }), f.add(at, before))));
  }
  if (end) parts.push(blocked(f.lt(f.arange(keys, { dtype: "i32", device }), end)));
  return parts.length ? parts.reduce(f.add) : null;
}

function attention(c: Call): Results {
  const isFlat = c.t(0).shape.length === 3,
    heads = c.int("q_num_heads", 0),
    kvHeads = c.int("kv_num_heads", 0);
  if (isFlat && !(heads > 0 && kvHeads > 0)) throw c.fail("q_num_heads and kv_num_heads are missing");
  const q = isFlat ? split(c.t(0), heads) : c.t(0);
  let k = isFlat ? split(c.t(1), kvHeads) : c.t(1), v = isFlat ? split(c.t(2), kvHeads) : c.t(2);
  const past = c.maybe(4);
  if (past) {
    k = f.concat([past, k], 2);
    v = f.concat([c.t(5), v], 2);
  }
  const count = q.shape[1];
  if (count % k.shape[1] !== 0) {
    throw c.fail(`${counted(count, "head")} of queries cannot share ${k.shape[1]} of keys`);
  }
  const root = Math.sqrt(c.float("scale", 1 / Math.sqrt(q.shape[3]))),
    mode = c.int("qk_matmul_output_mode", 0);
  const raw = f.matmul(f.mul(q, root), f.transpose(f.mul(shared(k, count), root), -1, -2));
  // The cap comes before the mask: behind it, -Infinity would be a number again and its key be seen.
  const cap = c.float("softcap", 0), capped = cap > 0 ? f.mul(f.tanh(f.div(raw, cap)), cap) : raw;
  const bias = biasOf(c, raw, past ? past.shape[2] : null), added = bias ? f.add(capped, bias) : capped;
  const precision = typeOfCode(c.int("softmax_precision", 0));
  const held = precision ? heldAs(precision) : null;
  const wide = held && held !== "f64" ? f.toDType(added, held) : added;
  const shares = f.toDType(f.softmax(wide, -1), q.dtype), y = f.matmul(shares, shared(v, count));
  const [batch, , time, size] = y.shape;
  const out = isFlat ? f.reshape(f.permute(y, [0, 2, 1, 3]), [batch, time, count * size]) : y;
  const scores = [raw, capped, added, shares][mode];
  if (scores === undefined) throw c.fail(`qk_matmul_output_mode is ${mode}, expected 0 to 3`);
  return [valueOf(out, c.type(0)), valueOf(k, c.type(1)), valueOf(v, c.type(2)), valueOf(scores, c.type(0))];
}

/** The angles of positions: [batch, 1, time, size / 2], so that they meet every head. */
function anglesOf(cache: Tensor, at: Tensor | null, batch: number, time: number): Tensor {
  if (!at) return f.unsqueeze(cache, 1);
  const rows = f.indexSelect(cache, 0, f.reshape(at, [-1]));
  return f.reshape(rows, [batch, 1, time, cache.shape[1]]);
}

/** The first axes of each head of x [batch, heads, time, size] turned by angles [.., half of them]. */
export function turn(x: Tensor, cosines: Tensor, sines: Tensor, isPaired: boolean): Tensor {
  const [batch, count, time, size] = x.shape, half = cosines.shape[3], turned = 2 * half;
  const part = f.narrow(x, 3, 0, turned), rest = turned < size ? f.narrow(x, 3, turned, size - turned) : null;
  const open = isPaired ? f.reshape(part, [batch, count, time, half, 2]) : part;
  const a = isPaired ? f.select(open, 4, 0) : f.narrow(part, 3, 0, half);
  const b = isPaired ? f.select(open, 4, 1) : f.narrow(part, 3, half, half);
  const real = f.sub(f.mul(a, cosines), f.mul(b, sines)),
    imaginary = f.add(f.mul(a, sines), f.mul(b, cosines));
  const joined = isPaired
    ? f.reshape(f.stack([real, imaginary], -1), [batch, count, time, turned])
    : f.concat([real, imaginary], 3);
  return rest ? f.concat([joined, rest], 3) : joined;
}

function rotary(c: Call): Result {
  const given = c.t(0), isFlat = given.shape.length === 3, heads = c.int("num_heads", 0);
  if (isFlat && heads < 1) throw c.fail("num_heads is missing");
  const x = isFlat ? split(given, heads) : given, [batch, , time, size] = x.shape;
  const half = (c.int("rotary_embedding_dim", 0) || size) / 2;
  const cos = f.narrow(anglesOf(c.t(1), c.maybe(3), batch, time), 3, 0, half);
  const sin = f.narrow(anglesOf(c.t(2), c.maybe(3), batch, time), 3, 0, half);
  const y = turn(x, cos, sin, c.int("interleaved", 0) !== 0);
  return valueOf(isFlat ? f.reshape(f.permute(y, [0, 2, 1, 3]), given.shape) : y, c.type(0));
}

/** The operators. */
export const attentions: OperatorTable = {
  Attention: { since: [23, 24], run: attention },
  RotaryEmbedding: { since: [23], run: rotary },
};
