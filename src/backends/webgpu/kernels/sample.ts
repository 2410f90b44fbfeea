/**
 * Drawing a token where its logits are, so that one number comes back. See `Kernels.sample`.
 *
 * One workgroup does it. The k-th largest logit is found eight bits at a time, by counting how many there are of each
 * (logits as unsigned words that stand in the same order); then every invocation adds up a stretch of the row, and the
 * one in whose stretch the drawn number falls walks through it.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, param } from "../gpu.ts";
import { load, store } from "../wgsl/elements.ts";
import { bind, source, withFunctions } from "../wgsl/module.ts";

/** Values of eight bits. */
const digits = 256;

/** Draws an index of `logits` into `out`. */
export function sample(
  gpu: Gpu,
  logits: View,
  temperature: number,
  topK: number,
  uniform: number,
  out: View,
): void {
  const n = logits.shape[0], bindings = bind([logits], [out]), isGreedy = temperature === 0;
  const cuts = !isGreedy && topK > 0 && topK < n;
  // As many as there may be: one workgroup is all there is of them.
  const team = gpu.software ? digits : Math.min(1024, gpu.device.limits.maxComputeInvocationsPerWorkgroup);
  const kernel = gpu.kernel(`sample ${isGreedy ? "greedy" : cuts} ${bindings.key}`, () => {
    const [from, to] = bindings.of;
    const logit = load(from, "f32", `${param(2)} + c`, "f32");
    const scaled = isGreedy ? logit : `${logit} / bitcast<f32>(${param(3)})`;
    const cut = `
  var found = 0u; var seen = 0u; var left = ${param(4)};
  for (var shift = 24u; ; shift -= 8u) {
    if (lane < ${digits}) { atomicStore(&counts[lane], 0u); }
    workgroupBarrier();
    for (var c = lane; c < ${param(1)}; c += ${team}) {
      let key = order(${scaled});
      if ((key & seen) == found) { atomicAdd(&counts[(key >> shift) & 255u], 1u); }
    }
    workgroupBarrier();
    // All invocations go through the counts, and come to the same end.
    var digit = 255;
    for (; digit > 0; digit--) {
      let here = i32(atomicLoad(&counts[digit]));
      if (here >= left) { break; }
      left -= here;
    }
    found |= u32(digit) << shift; seen |= 255u << shift;
    workgroupBarrier();
    if (shift == 0u) { break; }
  }
  least = found;`;
    const first = `
  if (lane == 0) { atomicStore(&chosen, ${param(1)}); }
  workgroupBarrier();
  for (var c = lane; c < ${param(1)}; c += ${team}) {
    if (${scaled} == top) { atomicMin(&chosen, c); break; }
  }`;
    const draw = `
  let stretch = (${param(1)} + ${team - 1}) / ${team};
  let first = lane * stretch; let end = min(first + stretch, ${param(1)});
  var sum = 0.0f; var last = -1;
  for (var c = first; c < end; c++) {
    let x = ${scaled};
    if (order(x) >= least && x != bits(0xff800000u)) { sum += m_exp(x - top); last = c; }
  }
  desk[lane] = sum;
  if (lane == 0) { atomicStore(&chosen, -1); }
  workgroupBarrier();
  var below = 0.0f; var all = 0.0f;
  for (var i = 0; i < ${team}; i++) { if (i == lane) { below = all; } all += desk[i]; }
  // Nothing to draw: all are excluded, or the largest is infinite.
  let drawn = bitcast<f32>(${param(5)}) * all; let mine = drawn >= below && drawn < below + sum;
  if (mine) {
    for (var c = first; c < end; c++) {
      let x = ${scaled};
      if (order(x) < least || x == bits(0xff800000u)) { continue; }
      below += m_exp(x - top);
      last = c;
      if (drawn < below) { break; }
    }
  }
  // Rounding may leave the number beyond the last one, which is then the one.
  if (mine || (last >= 0 && drawn >= all)) { atomicMax(&chosen, last); }`;
    const code = `
var<workgroup> counts: array<atomic<u32>, ${digits}>;
var<workgroup> desk: array<f32, ${team}>;
var<workgroup> chosen: atomic<i32>;
// Larger numbers have larger words; NaN has the smallest, and is never drawn.
fn order(x: f32) -> u32 {
  let word = bitcast<u32>(x);
  if (isNan(x)) { return 0u; }
  return select(word | 0x80000000u, ~word, (word >> 31u) != 0u);
}
@compute @workgroup_size(${team})
fn main(@builtin(local_invocation_index) lane0: u32) {
  let lane = i32(lane0);
  var least = 1u;
  ${cuts ? cut : ""}
  var top = bits(0xff800000u);
  for (var c = lane; c < ${param(1)}; c += ${team}) { top = maxNan(top, ${scaled}); }
  desk[lane] = top;
  for (var s = ${team / 2}; s > 0; s = s >> 1u) {
    workgroupBarrier();
    if (lane < s) { desk[lane] = maxNan(desk[lane], desk[lane + s]); }
  }
  workgroupBarrier();
  top = desk[0];
  workgroupBarrier();
  // No weight beside NaN or infinity is a number.
  let isNumber = !isNan(top) && !isInf(top);
  ${isGreedy ? first : draw}
  workgroupBarrier();
  if (lane == 0) { let id = select(-1, atomicLoad(&chosen), isNumber); let at = ${param(6)}; ${
      store(to, "i32", "at", "id", "i32")
    } }
}`;
    return source(bindings, withFunctions(code), 7);
  });
  const params = [n, logits.offset, floatBits(temperature), topK, floatBits(uniform), out.offset];
  gpu.run(kernel, bindings.buffers, params, 1);
}
