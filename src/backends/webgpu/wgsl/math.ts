/**
 * Functions of f32 in WGSL, to the accuracy that the library promises on every device.
 *
 * WGSL lets a driver compute exp or sin with few digits, treat NaN as it likes, and rearrange sums as if numbers were
 * exact. So the functions are our own (the polynomials are those of the cpu device), questions about NaN are asked of
 * the bits, and where the rounding of a sum matters it passes through `hide`, which no compiler sees through.
 *
 * @module
 */

/** A polynomial in `x`, lowest coefficient first, by Horner's rule. */
export function polynomial(x: string, coefficients: readonly number[]): string {
  return coefficients.slice(0, -1).reduceRight(
    (sum, c) => `fma(${sum}, ${x}, ${literal(c)})`,
    literal(coefficients[coefficients.length - 1]),
  );
}

/** A finite number as an f32 literal. */
export function literal(value: number): string {
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

/** Any number as an f32 expression; those that WGSL has no literals for are put together when the kernel runs. */
export function number(value: number): string {
  const v = Math.fround(value);
  if (Number.isNaN(v)) return "bits(0x7fc00000u)";
  if (Math.abs(v) === Infinity) return `bits(${v > 0 ? "0x7f800000u" : "0xff800000u"})`;
  if (v === 0) return Object.is(v, -0) ? "bits(0x80000000u)" : "0.0f";
  const [word] = new Uint32Array(Float32Array.of(v).buffer);
  return Math.abs(v) < 2 ** -126 ? `bits(${word}u)` : literal(v);
}

const ln2High = 0.693359375, ln2Low = Math.LN2 - ln2High;

/** The functions; `m_` before the name of an operator. */
export const mathCode: string = `
fn bits(word: u32) -> f32 { return bitcast<f32>(word ^ u32(p[0][0])); }
fn hide(x: f32) -> f32 { return bits(bitcast<u32>(x)); }
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn isInf(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }
fn truth(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) != 0u; }
fn sameSign(y: f32, x: f32) -> f32 { return bitcast<f32>((bitcast<u32>(y) & 0x7fffffffu) | (bitcast<u32>(x) & 0x80000000u)); }
fn maxNan(x: f32, y: f32) -> f32 {
  if (isNan(x)) { return x; }
  if (isNan(y)) { return y; }
  if (x == y) { return bitcast<f32>(bitcast<u32>(x) & bitcast<u32>(y)); }
  return select(y, x, x > y);
}
fn minNan(x: f32, y: f32) -> f32 {
  if (isNan(x)) { return x; }
  if (isNan(y)) { return y; }
  if (x == y) { return bitcast<f32>(bitcast<u32>(x) | bitcast<u32>(y)); }
  return select(y, x, x < y);
}
fn difference0(x: f32) -> f32 { return select(0.0f, bits(0x7fc00000u), isNan(x) || isInf(x)); }
fn pow2(n: i32) -> f32 { return bitcast<f32>(u32(n + 127) << 23u); }
fn scale2(y: f32, n: i32) -> f32 { let first = n / 2; return hide(y * pow2(first)) * pow2(n - first); }
fn m_exp(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  if (x < -103.98f) { return 0.0f; }
  if (x > 88.8f) { return bits(0x7f800000u); }
  let n = round(x * ${literal(Math.LOG2E)});
  let r = fma(n, ${literal(-ln2Low)}, hide(fma(n, ${literal(-ln2High)}, x)));
  return scale2(${
  polynomial("r", [
    1,
    1,
    0.4999999403953552,
    0.1666652113199234,
    0.04166829213500023,
    0.0083687212318182,
    0.001381874200887978,
  ])
}, i32(n));
}
fn m_expm1(x: f32) -> f32 {
  if (isNan(x) || (bitcast<u32>(x) & 0x7fffffffu) < 0x32000000u) { return x; }
  if (x < -18.0f) { return -1.0f; }
  if (x > 88.8f) { return bits(0x7f800000u); }
  let n = round(x * ${literal(Math.LOG2E)});
  let r = fma(n, ${literal(-ln2Low)}, hide(fma(n, ${literal(-ln2High)}, x)));
  let q = fma(r * r, ${
  polynomial("r", [
    0.4999999701976776,
    0.1666654497385025,
    0.04166743904352188,
    0.00836645346134901,
    0.001387056545354426,
  ])
}, r);
  let k = i32(n);
  return scale2(q + hide(1.0f - pow2(-min(k, 30))), k);
}
fn m_tanh(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  let size = abs(x);
  let square = x * x;
  if (size <= 0.6f) {
    let y = fma(square * size, ${
  polynomial("square", [
    -0.33333298563957214,
    0.13331936299800873,
    -0.05378471687436104,
    0.02079862542450428,
    -0.005897966679185629,
  ])
}, size);
    return sameSign(y, x);
  }
  return sameSign(1.0f - 2.0f / (m_exp(min(size + size, 18.04f)) + 1.0f), x);
}
fn logSum(f: f32, k: f32, rest: f32) -> f32 {
  let square = f * f;
  var y = square * f * ${
  polynomial("f", [
    0.3333331346511841,
    -0.25000008940696716,
    0.2000207155942917,
    -0.16667988896369934,
    0.14220359921455383,
    -0.12406239658594131,
    0.11883537471294403,
    -0.11670024693012238,
    0.06749189645051956,
  ])
} + rest;
  y = hide(fma(k, ${literal(ln2Low)}, y));
  y = hide(fma(square, -0.5f, y));
  return fma(k, ${literal(ln2High)}, hide(f + y));
}
fn m_log(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  if (!truth(x)) { return bits(0xff800000u); }
  if (x < 0.0f) { return bits(0x7fc00000u); }
  if (isInf(x)) { return x; }
  let tiny = bitcast<u32>(x) < 0x00800000u;
  let shifted = bitcast<i32>(select(x, x * 8388608.0f, tiny)) - 0x3f3504f3;
  let k = f32(shifted >> 23u) - select(0.0f, 23.0f, tiny);
  let m = bitcast<f32>((shifted & 0x7fffff) + 0x3f3504f3);
  return logSum(hide(m - 1.0f), k, 0.0f);
}
fn m_log1p(x: f32) -> f32 {
  if (isNan(x) || !truth(x)) { return x; }
  if (x == -1.0f) { return bits(0xff800000u); }
  if (x < -1.0f) { return bits(0x7fc00000u); }
  if (isInf(x)) { return x; }
  let u = hide(x + 1.0f);
  let shifted = bitcast<i32>(u) - 0x3f3504f3;
  let k = shifted >> 23u;
  if (k == 0) { return sameSign(logSum(x, 0.0f, 0.0f), x); }
  let m = bitcast<f32>((shifted & 0x7fffff) + 0x3f3504f3);
  let lost = select(x - hide(u - 1.0f), 1.0f - hide(u - x), x > 1.0f);
  return sameSign(logSum(hide(m - 1.0f), f32(k), lost / u), x);
}
fn m_erf(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  let t = min(abs(x), 4.0f);
  if (t <= 0.927734375f) {
    let square = x * x;
    return sameSign(fma(${
  polynomial("square", [
    1.28379166e-1,
    -3.76125336e-1,
    1.12819925e-1,
    -2.67681349e-2,
    4.99119423e-3,
    -5.96761703e-4,
  ])
}, x, x), x);
  }
  let s = t * t;
  let upper = fma(t, ${literal(-1.72853470e-5)}, ${literal(3.83197126e-4)});
  let lower = fma(t, ${literal(-3.88396438e-3)}, ${literal(2.42546219e-2)});
  var q = fma(upper, s, lower);
  q = fma(q, t, ${literal(-1.06777877e-1)});
  q = fma(q, t, ${literal(-6.34846687e-1)});
  q = fma(q, t, ${literal(-1.28717512e-1)});
  q = fma(q, t, -t);
  return sameSign(1.0f - m_exp(q), x);
}
// x · 2/π with the 96 bits of 2/π that matter at x's exponent (Payne and Hanek), so that it holds for every x.
fn mulHigh(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let mid = ah * bl + ((al * bl) >> 16u);
  let mid2 = al * bh + (mid & 0xffffu);
  return ah * bh + (mid >> 16u) + (mid2 >> 16u);
}
fn piBits(at: u32) -> u32 {
  var table = array<u32, 10>(0u, 0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u);
  let w = at >> 5u; let s = at & 31u;
  if (s == 0u) { return table[w]; }
  return (table[w] << s) | (table[w + 1u] >> (32u - s));
}
fn turn(x: f32, quarter: u32) -> f32 {
  let size = bitcast<u32>(x) & 0x7fffffffu;
  let e = max(i32(size >> 23u), 1);
  let m = select(0u, 0x800000u, size >= 0x800000u) | (size & 0x7fffffu);
  // The product's bits of weight 4 and above are whole turns. Below 2^-1 x needs no reduction.
  var r = x; var turns = quarter;
  if (e >= 126) {
    // x = m 2^(e - 150). Take 2/π from the bit that m lifts to weight 2 (64 zeros stand before its first).
    let at = u32(e - 96);
    let w0 = piBits(at); let w1 = piBits(at + 32u); let w2 = piBits(at + 64u);
    // m · (w0 w1 w2), keeping 64 bits from weight 2 on; m has 24 bits.
    let mm = m << 8u;
    var lo = mulHigh(mm, w2);
    let l1 = mm * w1; lo = lo + l1;
    var hi = mulHigh(mm, w1) + select(0u, 1u, lo < l1);
    hi = hi + mm * w0;
    let whole = hi >> 30u;
    hi = (hi << 2u) | (lo >> 30u); lo = lo << 2u;
    var n = whole; var negative = false;
    if (hi >= 0x80000000u) { n = n + 1u; negative = true; lo = ~lo + 1u; hi = ~hi + select(0u, 1u, lo == 0u); }
    let shift = countLeadingZeros(hi);
    if (hi == 0u) { r = f32(lo) * 5.421010862427522e-20f; }
    else {
      let top = select((hi << shift) | (lo >> (32u - shift)), hi, shift == 0u);
      r = f32(top) * pow2(-32 - i32(shift));
    }
    r = r * 1.5707963267948966f;
    if (negative != (x < 0.0f)) { r = -r; }
    turns = select(n, 0u - n, x < 0.0f) + quarter;
  }
  let z = r * r;
  let s = fma(z * r, ${
  polynomial("z", [-0.16666655242443085, 0.008332187309861183, -0.00019517906184773892])
}, r);
  let c = fma(z * z, ${
  polynomial("z", [0.04166664555668831, -0.0013887309469282627, 2.4432332336398885e-05])
}, fma(z, -0.5f, 1.0f));
  let y = select(s, c, (turns & 1u) != 0u);
  return bitcast<f32>(bitcast<u32>(y) ^ ((turns & 2u) << 30u));
}
fn m_sin(x: f32) -> f32 {
  if (isNan(x) || isInf(x)) { return bits(0x7fc00000u); }
  return select(x, turn(x, 0u), truth(x));
}
fn m_cos(x: f32) -> f32 {
  if (isNan(x) || isInf(x)) { return bits(0x7fc00000u); }
  return turn(x, 1u);
}
fn twoSum(a: f32, b: f32) -> vec2<f32> {
  let s = hide(a + b); let t = hide(s - a);
  return vec2<f32>(s, hide(a - hide(s - t)) + hide(b - t));
}
fn quickSum(a: f32, b: f32) -> vec2<f32> { let s = hide(a + b); return vec2<f32>(s, b - hide(s - a)); }
fn upper(x: f32) -> f32 { return bits(bitcast<u32>(x) & 0xfffff000u); }
fn twoProduct(a: f32, b: f32) -> vec2<f32> {
  let ah = upper(a); let al = hide(a - ah); let bh = upper(b); let bl = hide(b - bh);
  let product = hide(a * b);
  return vec2<f32>(product, hide(hide(hide(hide(ah * bh) - product) + hide(ah * bl)) + hide(al * bh)) + hide(al * bl));
}
fn pairAdd(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let s = twoSum(a.x, b.x); let t = twoSum(a.y, b.y);
  let u = quickSum(s.x, hide(s.y + t.x));
  return quickSum(u.x, hide(u.y + t.y));
}
fn pairMul(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let q = twoProduct(a.x, b.x);
  return quickSum(q.x, hide(q.y + hide(hide(a.x * b.y) + hide(a.y * b.x))));
}
fn pairDiv(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let q1 = hide(a.x / b.x);
  let r = pairAdd(a, -pairMul(b, vec2<f32>(q1, 0.0f)));
  let q2 = hide(r.x / b.x);
  let s = pairAdd(r, -pairMul(b, vec2<f32>(q2, 0.0f)));
  let t = quickSum(q1, q2);
  return quickSum(t.x, hide(t.y + hide(s.x / b.x)));
}
// 2^(y log2 |x|) with the logarithm and its product in pairs of f32; special cases as in C99.
fn m_pow(x: f32, y: f32) -> f32 {
  if (x == 1.0f || !truth(y)) { return 1.0f; }
  if (isNan(x)) { return x; }
  if (isNan(y)) { return y; }
  let size = abs(x);
  let whole = trunc(y) == y;
  let odd = whole && abs(y) < 16777216.0f && (i32(y) & 1) != 0;
  var result = 0.0f;
  if (size == 1.0f) { result = 1.0f; }
  else if (isInf(y)) { result = select(0.0f, bits(0x7f800000u), (size > 1.0f) == (y > 0.0f)); }
  else if (!truth(x)) { result = select(0.0f, bits(0x7f800000u), y < 0.0f); }
  else if (isInf(x)) { result = select(0.0f, bits(0x7f800000u), y > 0.0f); }
  else {
    let tiny = bitcast<u32>(size) < 0x00800000u;
    let shifted = bitcast<i32>(select(size, size * 8388608.0f, tiny)) - 0x3f3504f3;
    let k = f32(shifted >> 23u) - select(0.0f, 23.0f, tiny);
    let m = bitcast<f32>((shifted & 0x7fffff) + 0x3f3504f3);
    let s = pairDiv(vec2<f32>(hide(m - 1.0f), 0.0f), twoSum(m, 1.0f));
    let z = s.x * s.x;
    // log2(m) = s (2/ln 2 + s² (…)): the first coefficient as a pair, the next as a pair times s².
    let rest = z * z * ${
  polynomial("z", [0.5770780423718414, 0.412209251033281, 0.3199057691252274, 0.2828989587078404])
};
    let c2 = pairMul(pairMul(s, s), vec2<f32>(${literal(0.961796694113355)}, ${
  literal(0.961796694113355 - Math.fround(0.961796694113355))
}));
    let c = pairAdd(pairAdd(vec2<f32>(${literal(2.88539008177785)}, ${
  literal(2.88539008177785 - Math.fround(2.88539008177785))
}), c2), vec2<f32>(rest, 0.0f));
    let lg = pairAdd(vec2<f32>(k, 0.0f), pairMul(s, c));
    if (abs(y * lg.x) > 200.0f || isNan(y * lg.x)) { result = select(0.0f, bits(0x7f800000u), (y > 0.0f) == (lg.x > 0.0f)); }
    else {
      let t = pairMul(lg, vec2<f32>(y, 0.0f));
      let n = round(t.x);
      let f = hide(t.x - n) + t.y;
      // A result in the subnormal range is rounded once, by the last factor.
      result = scale2(${
  polynomial("f", [
    1,
    0.6931471807284494,
    0.2402265119815697,
    0.05550410353441795,
    0.00961802725384808,
    0.0013333922574313135,
    0.00015469291031587618,
    1.5201916408184411e-5,
  ])
}, clamp(i32(n), -252, 254));
    }
  }
  if (x < 0.0f && !isInf(x) && !whole) { return bits(0x7fc00000u); }
  return select(result, -result, odd && (bitcast<u32>(x) >> 31u) != 0u);
}
// Long division of the fractions, eight bits a turn: exact.
fn m_rem(x: f32, y: f32) -> f32 {
  if (isNan(x) || isNan(y) || isInf(x) || !truth(y)) { return bits(0x7fc00000u); }
  let a = bitcast<u32>(x) & 0x7fffffffu; let b = bitcast<u32>(y) & 0x7fffffffu;
  if (a < b) { return x; }
  let ea = max(i32(a >> 23u), 1); let eb = max(i32(b >> 23u), 1);
  var m = select(a, (a & 0x7fffffu) | 0x800000u, a >= 0x800000u);
  let d = select(b, (b & 0x7fffffu) | 0x800000u, b >= 0x800000u);
  m = m % d;
  for (var n = ea - eb; n > 0; n -= 8) { m = (m << u32(min(n, 8))) % d; }
  if (m == 0u) { return bits(bitcast<u32>(x) & 0x80000000u); }
  var e = eb;
  let room = min(i32(countLeadingZeros(m)) - 8, e - 1);
  m = m << u32(room); e = e - room;
  let size = select(m, (m & 0x7fffffu) | (u32(e) << 23u), m >= 0x800000u);
  return bits(size | (bitcast<u32>(x) & 0x80000000u));
}
`;
