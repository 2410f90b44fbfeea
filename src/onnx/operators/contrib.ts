/**
 * ONNX Runtime's own operators (`com.microsoft`) that language models are written with: products with weights in blocks of few
 * bits, and attention that keeps its cache.
 *
 * @module
 */
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, OperatorTable, Result, Results } from "../call.ts";
import { valueOf } from "../values.ts";
import { shared, split, turn } from "./attention.ts";

/** u8 that hold numbers of `bits`, the first lowest, along the last axis. */
function unpacked(x: Tensor, bits: number): Tensor {
  const wide = f.toDType(x, "i32"), each = 8 / bits;
  if (each === 1) return wide;
  const parts = Array.from(
    { length: each },
    (_, i) => f.remainder(i === 0 ? wide : f.floorDivide(wide, 2 ** (bits * i)), 2 ** bits),
  );
  return f.reshape(f.stack(parts, -1), [...x.shape.slice(0, -1), x.shape[x.shape.length - 1] * each]);
}

/** x [.., K] times a weight of N rows in blocks, transposed: [.., N]. */
function blockProduct(c: Call): Result {
  const x = c.t(0),
    K = c.int("K", 0),
    N = c.int("N", 0),
    bits = c.int("bits", 4),
    size = c.int("block_size", 0);
  const blocks = Math.ceil(K / size), packed = c.t(1), scales = c.t(2);
  if (![2, 4, 8].includes(bits) || !(size >= 16 && K > 0 && N > 0)) {
    throw c.fail(
      `a weight of [${N}, ${K}] in blocks of ${size} with ${counted(bits, "bit")} is not read here`,
    );
  }
  if (c.has(4)) throw c.fail("g_idx, an order of the rows, is not read here");
  if (packed.dtype !== "u8" || packed.size !== N * blocks * size * bits / 8 || scales.size !== N * blocks) {
    throw c.fail(
      `[${packed.shape}] bytes and [${scales.shape}] scales are not those of ${counted(N, "row")} of ${
        counted(blocks, "block")
      }`,
    );
  }
  const numbers = unpacked(f.reshape(packed, [N, blocks, size * bits / 8]), bits);
  const each = f.reshape(scales, [N, blocks, 1]), zeros = c.maybe(3);
  let zero: Tensor | number = 2 ** (bits - 1);
  if (zeros) {
    const whole = zeros.dtype === "u8"
      ? unpacked(f.reshape(zeros, [N, zeros.size / N]), bits)
      : f.reshape(zeros, [N, -1]);
    zero = f.reshape(f.narrow(whole, 1, 0, blocks), [N, blocks, 1]);
  }
  const centred = typeof zero === "number" || zero.dtype === "i32"
    ? f.toDType(f.sub(numbers, zero), each.dtype)
    : f.sub(f.toDType(numbers, zero.dtype), zero);
  const weight = f.narrow(f.reshape(f.mul(centred, each), [N, blocks * size]), 1, 0, K);
  const y = f.matmul(x, f.transpose(f.toDType(weight, x.dtype), 0, 1)), bias = c.maybe(5);
  return valueOf(bias ? f.add(y, bias) : y, c.type(0));
}

/** Rows of a matrix in blocks, as numbers. */
function blockRows(c: Call): Result {
  const data = c.t(0),
    index = c.t(1),
    bits = c.int("bits", 4),
    size = c.int("block_size", 128),
    scales = c.t(2);
  const [count, bytes] = data.shape, width = data.dtype === "u8" && bits < 8 ? bytes * 8 / bits : bytes;
  const axis = (name: string, missing: number): number => c.axis(name, missing, 2),
    blocks = Math.ceil(width / size);
  if (data.shape.length !== 2 || axis("gather_axis", 0) !== 0 || axis("quantize_axis", 1) !== 1) {
    throw c.fail(`rows are read of matrices whose blocks lie along their rows, not of [${data.shape}]`);
  }
  if (![2, 4, 8].includes(bits) || !(size >= 16) || scales.size !== count * blocks) {
    throw c.fail(
      `[${scales.shape}] scales are not those of ${counted(count, "row")} of ${counted(blocks, "block")}`,
    );
  }
  const at = f.reshape(index, [-1]),
    row = (x: Tensor): Tensor => {
      const picked = f.indexSelect(x.dtype === "u8" ? f.toDType(x, "i32") : x, 0, at);
      return x.dtype === "u8" ? f.toDType(picked, "u8") : picked;
    };
  const zeros = c.maybe(3), isUnsigned = data.dtype === "u8" || c.type(0) === "uint4";
  let numbers = row(data);
  if (data.dtype === "u8") numbers = unpacked(numbers, bits);
  const n = at.size,
    spread = (x: Tensor): Tensor =>
      f.reshape(f.expand(f.unsqueeze(x, 2), [n, blocks, size]), [n, blocks * size]);
  const each = f.narrow(spread(row(f.reshape(scales, [count, blocks]))), 1, 0, width);
  let zero: Tensor | number = isUnsigned ? 2 ** (bits - 1) : 0;
  if (zeros) {
    const own = row(f.reshape(zeros, [count, -1])), whole = zeros.dtype === "u8" ? unpacked(own, bits) : own;
    zero = f.narrow(spread(f.narrow(whole, 1, 0, blocks)), 1, 0, width);
  }
  const y = f.mul(f.toDType(f.sub(numbers, zero), each.dtype), each);
  return valueOf(f.reshape(y, [...index.shape, width]), c.type(2));
}

/** New rows [batch, heads, new, width] behind what each sequence has of them: at `starts` of as many rows as there are. */
function joined(past: Tensor | null, own: Tensor, starts: readonly number[], rows: number): Tensor {
  const [batch, heads, time, width] = own.shape, held = past?.shape[2] ?? 0;
  if (starts.every((start) => start === held) && held + time === rows) {
    return past ? f.concat([past, own], 2) : own;
  }
  let all = f.zeros([batch, heads, rows, width], { dtype: own.dtype, device: own.device });
  if (past) all = f.concat([past, f.narrow(all, 2, 0, rows - held)], 2);
  const at = starts.map((start) => Array.from({ length: time }, (_, i) => start + i));
  const index = f.reshape(f.tensor(at, { dtype: "i32", device: own.device }), [batch, 1, time, 1]);
  return f.scatter(all, 2, f.contiguous(f.expand(index, own.shape)), f.contiguous(own));
}

function grouped(c: Call): Results {
  const heads = c.int("num_heads", 0),
    groups = c.int("kv_num_heads", 0),
    isPacked = !c.has(1),
    given = c.t(0);
  if (!(heads > 0 && groups > 0) || heads % groups !== 0) {
    throw c.fail(`${counted(heads, "head")} of queries cannot share ${groups} of keys`);
  }
  if (c.text("k_quant_type", "NONE") !== "NONE" || c.text("v_quant_type", "NONE") !== "NONE") {
    throw c.fail("a quantised cache is not read here");
  }
  if (c.node.outputs[3]) throw c.fail("its scores as an output are not given here");
  const [batch, time] = given.shape, size = given.shape[2] / (isPacked ? heads + 2 * groups : heads);
  const part = (i: number, from: number, count: number): Tensor =>
    split(isPacked ? f.narrow(given, 2, from * size, count * size) : c.t(i), count);
  let q = part(0, 0, heads), k = part(1, heads, groups);
  const v = part(2, heads + groups, groups), past = c.maybe(3), held = past?.shape[2] ?? 0;
  if ([k, v].some((x) => x.shape[3] !== size || x.shape[2] !== time)) {
    throw c.fail(
      `keys or values are not of ${counted(time, "row")} of ${counted(groups, "head")} of ${size}`,
    );
  }
  const lasts = c.numbers(5), total = c.number(6);
  const isFirst = total === time, starts = lasts.map((last) => isFirst ? 0 : last + 1 - time);
  const rows = Math.max(held, total);
  if (lasts.length !== batch || starts.some((start) => !(start >= 0 && start + time <= rows))) {
    throw c.fail(
      `seqlens_k [${lasts}] with ${counted(total, "position")} do not fit ${counted(time, "new one")} in ${
        counted(batch, "text")
      }`,
    );
  }
  c.room(batch * time);
  const { device, dtype } = q, ints = { dtype: "i32", device } as const;
  const at = f.tensor(starts.map((start) => Array.from({ length: time }, (_, i) => start + i)), ints);
  if (c.int("do_rotary", 0)) {
    const places = c.has(9) ? c.t(9) : at, isPaired = c.int("rotary_interleaved", 0) !== 0;
    const angles = [7, 8].map((i) => {
      const list = f.indexSelect(c.t(i), 0, f.reshape(places, [-1]));
      return f.reshape(list, [batch, 1, time, c.t(i).shape[1]]);
    });
    [q, k] = [q, k].map((x) => turn(x, angles[0], angles[1], isPaired));
  }
  const keys = joined(past, k, starts, rows), values = joined(past && c.t(4), v, starts, rows);
  let scores = f.matmul(
    f.mul(q, c.float("scale", 0) || 1 / Math.sqrt(size)),
    f.transpose(shared(keys, heads), -1, -2),
  );
  const cap = c.float("softcap", 0), window = c.int("local_window_size", -1);
  if (cap > 0) scores = f.mul(f.tanh(f.div(scores, cap)), cap);
  const bias = c.maybe(10);
  if (bias) {
    const short = rows - bias.shape[3];
    scores = f.add(scores, short > 0 ? f.pad(bias, [0, short]) : bias);
  }
  const own = f.reshape(at, [batch, 1, time, 1]), places = f.arange(rows, ints);
  let seen = f.le(places, own);
  if (window >= 0) seen = f.logicalAnd(seen, f.gt(places, f.sub(own, window)));
  scores = f.where(seen, scores, -Infinity);
  const sink = c.maybe(11);
  if (sink || c.int("smooth_softmax", 0) > 0) {
    // One score more, whose share nothing gets.
    const more = sink
      ? f.reshape(f.toDType(sink, dtype), [1, heads, 1, 1])
      : f.zeros([1, 1, 1, 1], { dtype, device });
    scores = f.concat([scores, f.contiguous(f.expand(more, [batch, heads, time, 1]))], 3);
  }
  const shares = f.narrow(f.softmax(scores, -1), 3, 0, rows), y = f.matmul(shares, shared(values, heads));
  const out = f.reshape(f.permute(y, [0, 2, 1, 3]), [batch, time, heads * size]);
  return [valueOf(out, c.type(0)), valueOf(keys, c.type(0)), valueOf(values, c.type(0))];
}

/** The operators. */
export const contrib: OperatorTable = {
  GatherBlockQuantized: { since: [1], run: blockRows },
  MatMulNBits: { since: [1], run: blockProduct },
  GroupQueryAttention: { since: [1], host: [5, 6], run: grouped },
};
