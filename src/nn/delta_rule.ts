/**
 * The gated delta rule (Yang et al. 2024, "Gated Delta Networks"): a matrix that is read and written by keys.
 *
 *     S ← decay · S;    S ← S + k ⊗ β (v − kᵀS);    o = qᵀS
 *
 * What a key held is replaced, by the part β, with what it is to hold, and all fades by the decay. Positions are taken one after
 * the other in the same operations, however many there are: so a text gives the same bits in one piece and step by step.
 *
 * @module
 */
import { add, concat, matmul, mul, reshape, slice, sub, type Tensor, transpose, zeros } from "../ops/mod.ts";

/** What positions do to the matrices; [batch, time, heads, ..]. */
export interface DeltaSteps {
  /** [batch, time, heads, keyWidth]. */
  readonly q: Tensor;
  /** [batch, time, heads, keyWidth]. */
  readonly k: Tensor;
  /** [batch, time, heads, valueWidth]. */
  readonly v: Tensor;
  /** What the matrix is multiplied by first, [batch, time, heads]. */
  readonly decay: Tensor;
  /** How much of what a key held is replaced, [batch, time, heads]. */
  readonly beta: Tensor;
}

/** What is read, [batch, time, heads, valueWidth], and the matrices behind the last position, [batch, heads, keyWidth, valueWidth]. */
export function gatedDeltaRule(
  { q, k, v, decay, beta }: DeltaSteps,
  before: Tensor | null,
): { readonly out: Tensor; readonly state: Tensor } {
  const [batch, time, heads, keys] = k.shape, values = v.shape[3];
  let state = before ?? zeros([batch, heads, keys, values], { device: v.device, dtype: v.dtype });
  const out: Tensor[] = [];
  for (let t = 0; t < time; t++) {
    const at = (x: Tensor): Tensor => reshape(slice(x, null, t), [batch, heads, 1, x.shape[3] ?? 1]);
    const key = at(k), faded = mul(state, at(decay));
    const written = mul(sub(at(v), matmul(key, faded)), at(beta)); // [batch, heads, 1, valueWidth]
    state = add(faded, mul(transpose(key, 2, 3), written));
    out.push(reshape(matmul(at(q), state), [batch, 1, heads, values]));
  }
  return { out: out.length === 1 ? out[0] : concat(out, 1), state };
}
