/**
 * 64-bit integers in WGSL, which has none: a pair of u32, the low word first, in two's complement.
 *
 * @module
 */

/** The functions; they need nothing else. */
export const longCode = `
fn l_of(x: i32) -> vec2<u32> { return vec2<u32>(bitcast<u32>(x), select(0u, 0xffffffffu, x < 0)); }
fn l_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { let lo = a.x + b.x; return vec2<u32>(lo, a.y + b.y + select(0u, 1u, lo < a.x)); }
fn l_neg(a: vec2<u32>) -> vec2<u32> { return vec2<u32>(0u - a.x, ~a.y + select(0u, 1u, a.x == 0u)); }
fn l_sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return l_add(a, l_neg(b)); }
fn l_mulHigh(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let mid = ah * bl + ((al * bl) >> 16u); let mid2 = al * bh + (mid & 0xffffu);
  return ah * bh + (mid >> 16u) + (mid2 >> 16u);
}
fn l_mul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return vec2<u32>(a.x * b.x, l_mulHigh(a.x, b.x) + a.x * b.y + a.y * b.x); }
fn l_eq(a: vec2<u32>, b: vec2<u32>) -> bool { return a.x == b.x && a.y == b.y; }
fn l_truth(a: vec2<u32>) -> bool { return (a.x | a.y) != 0u; }
fn l_below(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
fn l_lt(a: vec2<u32>, b: vec2<u32>) -> bool { return l_below(vec2<u32>(a.x, a.y ^ 0x80000000u), vec2<u32>(b.x, b.y ^ 0x80000000u)); }
fn l_abs(a: vec2<u32>) -> vec2<u32> { if ((a.y >> 31u) != 0u) { return l_neg(a); } return a; }
fn l_sign(a: vec2<u32>) -> vec2<u32> { if ((a.y >> 31u) != 0u) { return vec2<u32>(0xffffffffu); } return vec2<u32>(select(0u, 1u, l_truth(a)), 0u); }
fn l_divide(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
  var q = vec2<u32>(0u); var r = vec2<u32>(0u);
  for (var i = 0u; i < 64u; i++) {
    let k = 63u - i; let bit = select(a.x >> k, a.y >> (k - 32u), k >= 32u) & 1u;
    r = vec2<u32>((r.x << 1u) | bit, (r.y << 1u) | (r.x >> 31u));
    q = vec2<u32>(q.x << 1u, (q.y << 1u) | (q.x >> 31u));
    if (!l_below(r, b)) { r = l_sub(r, b); q.x = q.x | 1u; }
  }
  return vec4<u32>(q, r);
}
fn l_div(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (!l_truth(b)) { return b; }
  let q = l_divide(l_abs(a), l_abs(b)).xy;
  if (((a.y ^ b.y) >> 31u) != 0u) { return l_neg(q); } return q;
}
fn l_rem(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (!l_truth(b)) { return b; }
  let r = l_divide(l_abs(a), l_abs(b)).zw;
  if ((a.y >> 31u) != 0u) { return l_neg(r); } return r;
}
fn l_pow(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let one = vec2<u32>(1u, 0u); var n = b;
  if ((b.y >> 31u) != 0u) {
    if (!l_eq(l_abs(a), one)) { return vec2<u32>(0u); }
    n = vec2<u32>(b.x & 1u, 0u);
  }
  var y = one; var x = a;
  for (; l_truth(n); ) {
    if ((n.x & 1u) != 0u) { y = l_mul(y, x); }
    x = l_mul(x, x); n = vec2<u32>((n.x >> 1u) | (n.y << 31u), n.y >> 1u);
  }
  return y;
}
fn l_float(a: vec2<u32>) -> f32 {
  let m = l_abs(a); var y = f32(m.x);
  if (m.y != 0u) {
    let s = countLeadingZeros(m.y);
    let top = select((m.y << s) | (m.x >> (32u - s)), m.y, s == 0u); let lost = select(m.x << s, m.x, s == 0u);
    y = f32(top | select(0u, 1u, lost != 0u)) * bitcast<f32>((159u - s) << 23u);
  }
  return select(y, -y, (a.y >> 31u) != 0u);
}
fn f_long(x: f32) -> vec2<u32> {
  let b = bitcast<u32>(x); let e = i32((b >> 23u) & 255u) - 150; let m = (b & 0x7fffffu) | 0x800000u;
  var y = vec2<u32>(0u);
  if ((b & 0x7fffffffu) > 0x7f800000u) { return y; }
  if (e >= 40) { if ((b >> 31u) != 0u) { return vec2<u32>(0u, 0x80000000u); } return vec2<u32>(0xffffffffu, 0x7fffffffu); }
  if (e >= 32) { y = vec2<u32>(0u, m << u32(e - 32)); }
  else if (e > 0) { y = vec2<u32>(m << u32(e), m >> u32(32 - e)); }
  else if (e > -24) { y = vec2<u32>(m >> u32(-e), 0u); }
  if ((b >> 31u) != 0u) { return l_neg(y); }
  return y;
}
`;
