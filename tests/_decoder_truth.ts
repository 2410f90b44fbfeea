/**
 * Decoders in plain float64, from a `config.json` and weights by their names in Hugging Face's files: written after the papers and
 * transformers' modelling code, position by position and with none of the library, so that it judges the library.
 *
 * Weights are made where they are asked for, seeded by their names: what a run asked for is what a file has to hold.
 *
 * @module
 */
import { Generator } from "../src/core/random.ts";

/** A matrix [rows][columns], or a vector as one row. */
type Matrix = Float64Array[];
type Json = Readonly<Record<string, unknown>>;

const sum = (x: Float64Array): number => x.reduce((a, b) => a + b, 0);

/** The error function, by its series, and its continued fraction where that is better. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 3) {
    let term = z, total = z;
    for (let n = 1; n < 120; n++) total += (term *= -z * z / n) / (2 * n + 1);
    return Math.sign(x) * 2 / Math.sqrt(Math.PI) * total;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction));
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const gelu = (x: number): number => x / 2 * (1 + erf(x / Math.SQRT2));
const geluTanh = (x: number): number =>
  x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** transformers' ACT2FN. */
export const functions: Readonly<Record<string, (x: number) => number>> = {
  silu: (x) => x * sigmoid(x),
  swish: (x) => x * sigmoid(x),
  gelu,
  gelu_python: gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_accurate: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_python_tanh: geluTanh,
  gelu_10: (x) => Math.min(10, Math.max(-10, gelu(x))),
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  relu: (x) => Math.max(0, x),
  relu2: (x) => Math.max(0, x) ** 2,
  relu6: (x) => Math.min(6, Math.max(0, x)),
  leaky_relu: (x) => x < 0 ? 0.01 * x : x,
  tanh: Math.tanh,
  sigmoid,
  mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
  laplace: (x) => 0.5 * (1 + erf((x - 0.707107) / (0.282095 * Math.SQRT2))),
  linear: (x) => x,
};

/** Weights that are made when they are asked for; what was asked for is kept. */
export class Weights {
  /** By name: f32 values, and sizes. */
  readonly made: Map<string, { shape: number[]; values: Float32Array }> = new Map();
  readonly #seed: number;

  /** The same seed and names give the same weights. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** [rows][columns] with deviation about 1 / √columns; a vector is one row, around 1 where it is a norm's. */
  get(name: string, ...shape: number[]): Matrix {
    let found = this.made.get(name);
    if (!found) {
      let seed = this.#seed;
      for (const c of name) seed = (seed * 31 + c.charCodeAt(0)) % 2147483647;
      const random = new Generator(seed), count = shape.reduce((a, b) => a * b, 1);
      const isNorm = /(norm|ln_\d|ln_f)\.weight$/.test(name),
        scale = shape.length > 1 ? 1.7 / Math.sqrt(shape[1]) : 0.3;
      const values = Float32Array.from(
        { length: count },
        () => (2 * random.uniform() - 1) * scale + (isNorm ? 1 : 0),
      );
      this.made.set(name, found = { shape, values });
    }
    const width = shape.at(-1)!, { values } = found;
    return Array.from(
      { length: values.length / width },
      (_, i) => Float64Array.from(values.subarray(i * width, (i + 1) * width)),
    );
  }

  /** Whether norms are 1 + w: then their weights are made around 0. */
  vector(name: string, size: number): Float64Array {
    return this.get(name, size)[0];
  }
}

/** x · Wᵀ + b, W [out][in]. */
function linear(x: Matrix, w: Matrix, b: Float64Array | null = null): Matrix {
  return x.map((row) =>
    Float64Array.from(w, (column, j) => {
      let total = b ? b[j] : 0;
      for (let i = 0; i < row.length; i++) total += row[i] * column[i];
      return total;
    })
  );
}

const plus = (a: Matrix, b: Matrix, scale = 1): Matrix =>
  a.map((row, i) => row.map((x, j) => x + scale * b[i][j]));

function rmsNorm(x: Matrix, weight: Float64Array, eps: number, offset: number): Matrix {
  return x.map((row) => {
    const r = 1 / Math.sqrt(sum(row.map((v) => v * v)) / row.length + eps);
    return row.map((v, i) => v * r * (offset + weight[i]));
  });
}

function layerNorm(x: Matrix, weight: Float64Array, bias: Float64Array, eps: number): Matrix {
  return x.map((row) => {
    const mean = sum(row) / row.length, variance = sum(row.map((v) => (v - mean) ** 2)) / row.length;
    return row.map((v, i) => (v - mean) / Math.sqrt(variance + eps) * weight[i] + bias[i]);
  });
}

/** Angles a position, and what cosines and sines are multiplied by (transformers' modeling_rope_utils). */
function frequencies(
  rope: Json,
  theta: number,
  width: number,
  maxPositions: number,
  length: number,
): [number[], number] {
  const plain = Array.from({ length: width / 2 }, (_, i) => theta ** (-2 * i / width));
  const n = (name: string): number => rope[name] as number, kind = rope.rope_type ?? rope.type ?? "default";
  const old = n("original_max_position_embeddings") ?? maxPositions;
  if (kind === "dynamic") {
    const stretch = n("factor") * Math.max(length, maxPositions) / maxPositions - (n("factor") - 1);
    return [plain.map((_, i) => (theta * stretch ** (width / (width - 2))) ** (-2 * i / width)), 1];
  }
  if (kind === "linear") return [plain.map((f) => f / n("factor")), 1];
  if (kind === "llama3") {
    const low = old / n("low_freq_factor"), high = old / n("high_freq_factor");
    return [
      plain.map((f) => {
        const wave = 2 * Math.PI / f;
        if (wave < high) return f;
        if (wave > low) return f / n("factor");
        const smooth = (old / wave - n("low_freq_factor")) / (n("high_freq_factor") - n("low_freq_factor"));
        return (1 - smooth) * f / n("factor") + smooth * f;
      }),
      1,
    ];
  }
  if (kind === "yarn") {
    const at = (turns: number): number =>
      width * Math.log(old / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    const low = Math.max(Math.floor(at(n("beta_fast") ?? 32)), 0);
    let high = Math.min(Math.ceil(at(n("beta_slow") ?? 1)), width - 1);
    if (low === high) high += 0.001;
    const factor = n("factor") ?? maxPositions / old;
    return [
      plain.map((f, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
        return f / factor * ramp + f * (1 - ramp);
      }),
      n("attention_factor") ??
        (n("mscale") && n("mscale_all_dim")
          ? (0.1 * n("mscale") * Math.log(factor) + 1) / (0.1 * n("mscale_all_dim") * Math.log(factor) + 1)
          : factor <= 1
          ? 1
          : 0.1 * Math.log(factor) + 1),
    ];
  }
  if (kind === "longrope") {
    const list = rope[length > old ? "long_factor" : "short_factor"] as number[];
    const factor = n("factor") ?? maxPositions / old;
    return [
      plain.map((f, i) => f / list[i]),
      n("attention_factor") ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(old))),
    ];
  }
  return [plain, 1];
}

/** The first numbers of a head turned by the angles of its position, in halves. */
function turn(head: Float64Array, position: number, [angles, factor]: [number[], number]): Float64Array {
  const half = angles.length, out = head.slice();
  angles.forEach((f, i) => {
    const c = factor * Math.cos(position * f), s = factor * Math.sin(position * f);
    out[i] = head[i] * c - head[i + half] * s;
    out[i + half] = head[i + half] * c + head[i] * s;
  });
  return out;
}

interface Heads {
  readonly q: Float64Array[][];
  readonly k: Float64Array[][];
  readonly v: Float64Array[][];
}

/** Attention of heads [time][head]: [time] of all heads side by side. */
function attend({ q, k, v }: Heads, scale: number, window: number | null, cap: number | null): Matrix {
  return q.map((heads, t) => {
    const parts = heads.map((query, h) => {
      const group = Math.floor(h * k[0].length / heads.length),
        first = window === null ? 0 : Math.max(0, t - window + 1);
      const scores: number[] = [];
      for (let j = first; j <= t; j++) {
        const score = scale * sum(query.map((x, i) => x * k[j][group][i]));
        scores.push(cap === null ? score : cap * Math.tanh(score / cap));
      }
      const top = Math.max(...scores),
        e = scores.map((s) => Math.exp(s - top)),
        all = e.reduce((a, b) => a + b, 0);
      const out = new Float64Array(v[0][0].length);
      e.forEach((p, j) => v[first + j][group].forEach((x, i) => out[i] += p / all * x));
      return [...out];
    });
    return Float64Array.from(parts.flat());
  });
}

/** Rows cut into heads of `width`. */
const heads = (x: Matrix, width: number): Float64Array[][] =>
  x.map((row) => Array.from({ length: row.length / width }, (_, h) => row.slice(h * width, (h + 1) * width)));

/** Logits [time][vocab] of a text. */
export function truth(config: Json, ids: readonly number[], w: Weights): Matrix {
  if (config.model_type === "gpt2") return gpt2(config, ids, w);
  if (config.model_type === "gpt_neox") return gptNeoX(config, ids, w);
  if (config.model_type === "lfm2") return lfm2(config, ids, w);
  if (config.model_type === "qwen3_next" || config.model_type === "qwen3_5_text") {
    return qwen3Next(config, ids, w);
  }
  return decoder(config, ids, w);
}

function gpt2(c: Json, ids: readonly number[], w: Weights): Matrix {
  const n = (name: string, fallback?: number): number => (c[name] ?? fallback) as number;
  const width = n("n_embd"), headDim = width / n("n_head"), eps = n("layer_norm_epsilon", 1e-5);
  const inner = n("n_inner", 4 * width), act = functions[String(c.activation_function ?? "gelu_new")];
  const wte = w.get("wte.weight", n("vocab_size"), width), wpe = w.get("wpe.weight", n("n_positions"), width);
  const turned = (m: Matrix): Matrix => Array.from(m[0], (_, j) => Float64Array.from(m, (row) => row[j]));
  const conv = (x: Matrix, name: string, from: number, to: number): Matrix =>
    linear(x, turned(w.get(`${name}.weight`, from, to)), w.vector(`${name}.bias`, to));
  const norm = (x: Matrix, name: string): Matrix =>
    layerNorm(x, w.vector(`${name}.weight`, width), w.vector(`${name}.bias`, width), eps);
  let x: Matrix = ids.map((id, t) => wte[id].map((v, i) => v + wpe[t][i]));
  for (let layer = 0; layer < n("n_layer"); layer++) {
    const at = `h.${layer}`, all = conv(norm(x, `${at}.ln_1`), `${at}.attn.c_attn`, width, 3 * width);
    const part = (i: number): Float64Array[][] =>
      heads(all.map((r) => r.slice(i * width, (i + 1) * width)), headDim);
    let scale = c.scale_attn_weights === false ? 1 : headDim ** -0.5;
    if (c.scale_attn_by_inverse_layer_idx) scale /= layer + 1;
    const mixed = attend({ q: part(0), k: part(1), v: part(2) }, scale, null, null);
    x = plus(x, conv(mixed, `${at}.attn.c_proj`, width, width));
    const mid = conv(norm(x, `${at}.ln_2`), `${at}.mlp.c_fc`, width, inner).map((row) => row.map(act));
    x = plus(x, conv(mid, `${at}.mlp.c_proj`, inner, width));
  }
  return linear(
    norm(x, "ln_f"),
    c.tie_word_embeddings === false ? w.get("lm_head.weight", n("vocab_size"), width) : wte,
  );
}

function gptNeoX(c: Json, ids: readonly number[], w: Weights): Matrix {
  const n = (name: string, fallback?: number): number => (c[name] ?? fallback) as number;
  const width = n("hidden_size"),
    count = n("num_attention_heads"),
    headDim = width / count,
    inner = n("intermediate_size");
  const eps = n("layer_norm_eps", 1e-5), act = functions[String(c.hidden_act ?? "gelu")];
  const bias = c.attention_bias !== false;
  const norm = (x: Matrix, name: string): Matrix =>
    layerNorm(x, w.vector(`${name}.weight`, width), w.vector(`${name}.bias`, width), eps);
  const rope = (c.rope_parameters ?? c.rope_scaling ?? {}) as Json;
  const share = (rope.partial_rotary_factor ?? n("rotary_pct", 0.25)) as number;
  const theta = (rope.rope_theta ?? n("rotary_emb_base", 10_000)) as number;
  const angles = frequencies(
    rope,
    theta,
    Math.floor(headDim * share),
    n("max_position_embeddings"),
    ids.length,
  );
  const embed = w.get("gpt_neox.embed_in.weight", n("vocab_size"), width);
  let x: Matrix = ids.map((id) => embed[id]);
  for (let layer = 0; layer < n("num_hidden_layers"); layer++) {
    const at = `gpt_neox.layers.${layer}`;
    const dense = (x: Matrix, name: string, from: number, to: number, has = true): Matrix =>
      linear(x, w.get(`${at}.${name}.weight`, to, from), has ? w.vector(`${at}.${name}.bias`, to) : null);
    const all = dense(norm(x, `${at}.input_layernorm`), "attention.query_key_value", width, 3 * width, bias);
    const each = heads(all, 3 * headDim),
      part = (i: number, turned: boolean): Float64Array[][] =>
        each.map((row, t) =>
          row.map((h) => {
            const own = h.slice(i * headDim, (i + 1) * headDim);
            return turned ? turn(own, t, angles) : own;
          })
        );
    const mixed = attend(
      { q: part(0, true), k: part(1, true), v: part(2, false) },
      headDim ** -0.5,
      null,
      null,
    );
    const attention = dense(mixed, "attention.dense", width, width, bias), y = plus(x, attention);
    const from = c.use_parallel_residual === false ? y : x;
    const mid = dense(norm(from, `${at}.post_attention_layernorm`), "mlp.dense_h_to_4h", width, inner);
    x = plus(y, dense(mid.map((row) => row.map(act)), "mlp.dense_4h_to_h", inner, width));
  }
  x = norm(x, "gpt_neox.final_layer_norm");
  return linear(
    x,
    c.tie_word_embeddings === true ? embed : w.get("embed_out.weight", n("vocab_size"), width),
  );
}

/** Each channel's sum of its last values, those before the text being 0; taps [channel][kernel]. */
function taps(x: Matrix, kernel: Matrix, bias: Float64Array | null): Matrix {
  return x.map((row, t) =>
    row.map((_, c) => {
      let total = bias ? bias[c] : 0;
      kernel[c].forEach((tap, i) => total += tap * (x[t - kernel[c].length + 1 + i]?.[c] ?? 0));
      return total;
    })
  );
}

function lfm2(c: Json, ids: readonly number[], w: Weights): Matrix {
  const n = (name: string, fallback?: number): number => (c[name] ?? fallback) as number;
  const width = n("hidden_size"), count = n("num_attention_heads"), groups = n("num_key_value_heads", count);
  const headDim = n("head_dim", width / count), eps = n("norm_eps", n("block_norm_eps", 1e-5));
  const kernel = n("conv_L_cache", 3), bias = c.conv_bias === true;
  let inner = n("block_ff_dim", n("intermediate_size", -1));
  if (c.block_auto_adjust_ff_dim !== false) {
    const multiple = n("block_multiple_of", 256);
    inner = Math.floor(n("block_ffn_dim_multiplier", 1) * Math.floor(2 * inner / 3));
    inner = multiple * Math.ceil(inner / multiple);
  }
  const rope = (c.rope_parameters ?? c.rope_scaling ?? {}) as Json;
  const theta = (rope.rope_theta ?? c.rope_theta ?? 1e6) as number;
  const angles = frequencies(rope, theta, headDim, n("max_position_embeddings"), ids.length);
  const embed = w.get("model.embed_tokens.weight", n("vocab_size"), width);
  const norm = (x: Matrix, name: string, size = width): Matrix =>
    rmsNorm(x, w.vector(`model.${name}.weight`, size), eps, 0);
  const types = c.layer_types as string[] | undefined, listed = c.full_attn_idxs as number[] | undefined;
  let x: Matrix = ids.map((id) => embed[id]);
  for (let layer = 0; layer < n("num_hidden_layers"); layer++) {
    const at = `layers.${layer}`;
    const dense = (x: Matrix, name: string, from: number, to: number, has = false): Matrix =>
      linear(
        x,
        w.get(`model.${at}.${name}.weight`, to, from),
        has ? w.vector(`model.${at}.${name}.bias`, to) : null,
      );
    const before = norm(x, `${at}.operator_norm`);
    const attends = types ? types[layer] === "full_attention" : !listed || listed.includes(layer);
    if (attends) {
      const turned = (name: string, heads_: number): Float64Array[][] =>
        heads(dense(before, `self_attn.${name}_proj`, width, heads_ * headDim), headDim).map((row, t) =>
          norm(row, `${at}.self_attn.${name}_layernorm`, headDim).map((h) => turn(h, t, angles))
        );
      const v = heads(dense(before, "self_attn.v_proj", width, groups * headDim), headDim);
      const mixed = attend({ q: turned("q", count), k: turned("k", groups), v }, headDim ** -0.5, null, null);
      x = plus(x, dense(mixed, "self_attn.out_proj", count * headDim, width));
    } else {
      const all = dense(before, "conv.in_proj", width, 3 * width, bias);
      const part = (i: number): Matrix => all.map((row) => row.slice(i * width, (i + 1) * width));
      const times = (a: Matrix, b: Matrix): Matrix => a.map((row, t) => row.map((v, i) => v * b[t][i]));
      const mixed = taps(
        times(part(0), part(2)),
        w.get(`model.${at}.conv.conv.weight`, width, 1, kernel),
        bias ? w.vector(`model.${at}.conv.conv.bias`, width) : null,
      );
      x = plus(x, dense(times(part(1), mixed), "conv.out_proj", width, width, bias));
    }
    const inside = norm(x, `${at}.ffn_norm`), silu = functions.silu;
    const gate = dense(inside, "feed_forward.w1", width, inner),
      up = dense(inside, "feed_forward.w3", width, inner);
    const mid = gate.map((row, t) => row.map((v, i) => silu(v) * up[t][i]));
    x = plus(x, dense(mid, "feed_forward.w2", inner, width));
  }
  x = norm(x, "embedding_norm");
  return linear(
    x,
    c.tie_word_embeddings === false ? w.get("lm_head.weight", n("vocab_size"), width) : embed,
  );
}

/** Whether a layer has experts. */
function isSparse(c: Json, layer: number): boolean {
  const family = String(c.model_type);
  if (family === "mixtral" || family === "olmoe") return true;
  const has = family === "qwen2_moe" || family === "qwen3_moe" ||
    (family === "qwen3_next" && c.num_experts !== 0);
  const dense = (c.mlp_only_layers ?? []) as number[], every = (c.decoder_sparse_step ?? 1) as number;
  return has && !dense.includes(layer) && (layer + 1) % every === 0;
}

/** Experts: each row goes through those of the largest probabilities, one row at a time. */
function experts(
  c: Json,
  inside: Matrix,
  at: string,
  width: number,
  act: (x: number) => number,
  w: Weights,
): Matrix {
  const n = (name: string, fallback: number): number => (c[name] ?? fallback) as number;
  const family = String(c.model_type), isMixtral = family === "mixtral", isNext = family === "qwen3_next";
  const count = isMixtral ? n("num_local_experts", 8) : n("num_experts", 0);
  const active = n("num_experts_per_tok", isMixtral ? 2 : 8);
  const inner = isMixtral || family === "olmoe" ? n("intermediate_size", 0) : n("moe_intermediate_size", 0);
  const normalised = isMixtral || (c.norm_topk_prob ?? isNext) === true;
  const block = isMixtral ? "block_sparse_moe" : "mlp", path = `model.${at}.${block}`;
  const router = w.get(`${path}.gate.weight`, count, width);
  const names = isMixtral ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"];
  const gated = (x: Matrix, path: string, [a, b, d]: string[], inner: number): Matrix => {
    const gate = linear(x, w.get(`${path}.${a}.weight`, inner, width)),
      up = linear(x, w.get(`${path}.${b}.weight`, inner, width));
    const bent = gate.map((row, t) => row.map((v, i) => act(v) * up[t][i]));
    return linear(bent, w.get(`${path}.${d}.weight`, width, inner));
  };
  // All are asked for: a file has to hold them.
  const every = Array.from({ length: count }, (_, e) => gated(inside, `${path}.experts.${e}`, names, inner));
  const out = linear(inside, router).map((logits, t) => {
    const most = Math.max(...logits), odds = Array.from(logits, (x) => Math.exp(x - most));
    const total = odds.reduce((a, b) => a + b, 0), p = odds.map((x) => x / total);
    const best = p.map((_, e) => e).sort((a, b) => p[b] - p[a]).slice(0, active);
    const share = normalised ? best.reduce((sum, e) => sum + p[e], 0) : 1, row = new Float64Array(width);
    for (const e of best) every[e][t].forEach((x, i) => row[i] += p[e] / share * x);
    return row;
  });
  if (family !== "qwen2_moe" && !isNext) return out;
  const own = gated(
    inside,
    `${path}.shared_expert`,
    names,
    n("shared_expert_intermediate_size", 0),
  );
  const gate = linear(inside, w.get(`${path}.shared_expert_gate.weight`, 1, width));
  return out.map((row, t) => row.map((x, i) => x + sigmoid(gate[t][0]) * own[t][i]));
}

/** Gated delta networks beside gated attention: Qwen3-Next, and Qwen 3.5 with its projections apart. */
function qwen3Next(c: Json, ids: readonly number[], w: Weights): Matrix {
  const n = (name: string, fallback?: number): number => (c[name] ?? fallback) as number;
  const width = n("hidden_size"), count = n("num_attention_heads"), groups = n("num_key_value_heads", count);
  const headDim = n("head_dim", 256), eps = n("rms_norm_eps", 1e-6), inner = n("intermediate_size");
  const kernel = n("linear_conv_kernel_dim", 4),
    nk = n("linear_num_key_heads"),
    nv = n("linear_num_value_heads");
  const dk = n("linear_key_head_dim"), dv = n("linear_value_head_dim"), each = nv / nk;
  const rope = (c.rope_parameters ?? c.rope_scaling ?? {}) as Json;
  const share = (rope.partial_rotary_factor ?? c.partial_rotary_factor ?? 0.25) as number;
  const theta = (rope.rope_theta ?? c.rope_theta ?? 10_000) as number;
  const angles = frequencies(
    rope,
    theta,
    Math.floor(headDim * share),
    n("max_position_embeddings"),
    ids.length,
  );
  const embed = w.get("model.embed_tokens.weight", n("vocab_size"), width), { silu } = functions;
  const norm = (x: Matrix, name: string, size = width, offset = 1): Matrix =>
    rmsNorm(x, w.vector(`model.${name}.weight`, size), eps, offset);
  const types = c.layer_types as string[] | undefined, every = n("full_attention_interval", 4);
  const has = c.attention_bias === true;
  let x: Matrix = ids.map((id) => embed[id]);
  for (let layer = 0; layer < n("num_hidden_layers"); layer++) {
    const at = `layers.${layer}`;
    const dense = (x: Matrix, name: string, from: number, to: number, has = false): Matrix =>
      linear(
        x,
        w.get(`model.${at}.${name}.weight`, to, from),
        has ? w.vector(`model.${at}.${name}.bias`, to) : null,
      );
    const before = norm(x, `${at}.input_layernorm`);
    if (types ? types[layer] === "full_attention" : (layer + 1) % every === 0) {
      const both = heads(dense(before, "self_attn.q_proj", width, 2 * count * headDim, has), 2 * headDim);
      const turned = (rows: Float64Array[][], name: string): Float64Array[][] =>
        rows.map((row, t) => norm(row, `${at}.self_attn.${name}`, headDim).map((h) => turn(h, t, angles)));
      const q = turned(both.map((row) => row.map((h) => h.slice(0, headDim))), "q_norm");
      const k = turned(
        heads(dense(before, "self_attn.k_proj", width, groups * headDim, has), headDim),
        "k_norm",
      );
      const v = heads(dense(before, "self_attn.v_proj", width, groups * headDim, has), headDim);
      const mixed = attend({ q, k, v }, headDim ** -0.5, null, null);
      const gated = mixed.map((row, t) =>
        row.map((value, i) => value * sigmoid(both[t][Math.floor(i / headDim)][headDim + i % headDim]))
      );
      x = plus(x, dense(gated, "self_attn.o_proj", count * headDim, width, has));
    } else {
      const keys = nk * dk, values = nv * dv;
      let qkv: Matrix, z: Matrix, b: Matrix, a: Matrix;
      if (c.model_type === "qwen3_next") {
        const all = dense(before, "linear_attn.in_proj_qkvz", width, 2 * keys + 2 * values);
        const ba = dense(before, "linear_attn.in_proj_ba", width, 2 * nv), group = 2 * dk + 2 * each * dv;
        /** Of each key head the part from `from` on, one behind the other. */
        const part = (m: Matrix, size: number, from: number, length: number): Matrix =>
          m.map((row) =>
            Float64Array.from(
              Array.from({ length: nk }, (_, h) => [...row.slice(h * size + from, h * size + from + length)])
                .flat(),
            )
          );
        const [q, k, v] = [
          part(all, group, 0, dk),
          part(all, group, dk, dk),
          part(all, group, 2 * dk, each * dv),
        ];
        qkv = q.map((row, t) => Float64Array.from([...row, ...k[t], ...v[t]]));
        z = part(all, group, 2 * dk + each * dv, each * dv);
        b = part(ba, 2 * each, 0, each);
        a = part(ba, 2 * each, each, each);
      } else {
        qkv = dense(before, "linear_attn.in_proj_qkv", width, 2 * keys + values);
        z = dense(before, "linear_attn.in_proj_z", width, values);
        b = dense(before, "linear_attn.in_proj_b", width, nv);
        a = dense(before, "linear_attn.in_proj_a", width, nv);
      }
      const mixed = taps(
        qkv,
        w.get(`model.${at}.linear_attn.conv1d.weight`, 2 * keys + values, 1, kernel),
        null,
      )
        .map((row) => row.map(silu));
      const dt = w.vector(`model.${at}.linear_attn.dt_bias`, nv),
        rate = w.vector(`model.${at}.linear_attn.A_log`, nv);
      const out = mixed.map(() => new Float64Array(values));
      for (let h = 0; h < nv; h++) {
        const memory = Array.from({ length: dk }, () => new Float64Array(dv)),
          own = Math.floor(h / each) * dk;
        mixed.forEach((row, t) => {
          const unit = (from: number): number[] => {
            const part = [...row.slice(from, from + dk)],
              r = Math.sqrt(part.reduce((s, v) => s + v * v, 0) + 1e-6);
            return part.map((v) => v / r);
          };
          const q = unit(own).map((v) => v / Math.sqrt(dk)), k = unit(keys + own);
          const decay = Math.exp(-Math.exp(rate[h]) * Math.log1p(Math.exp(a[t][h] + dt[h])));
          for (let j = 0; j < dv; j++) {
            let held = 0;
            for (let i = 0; i < dk; i++) held += k[i] * (memory[i][j] *= decay);
            const change = sigmoid(b[t][h]) * (row[2 * keys + h * dv + j] - held);
            for (let i = 0; i < dk; i++) out[t][h * dv + j] += q[i] * (memory[i][j] += k[i] * change);
          }
        });
      }
      const gated = heads(out, dv).map((row, t) =>
        Float64Array.from(
          norm(row, `${at}.linear_attn.norm`, dv, 0).flatMap((h, i) =>
            [...h].map((v, j) => v * silu(z[t][i * dv + j]))
          ),
        )
      );
      x = plus(x, dense(gated, "linear_attn.out_proj", values, width));
    }
    const inside = norm(x, `${at}.post_attention_layernorm`), act = functions[String(c.hidden_act ?? "silu")];
    if (isSparse(c, layer)) {
      x = plus(x, experts(c, inside, at, width, act, w));
      continue;
    }
    const gate = dense(inside, "mlp.gate_proj", width, inner),
      up = dense(inside, "mlp.up_proj", width, inner);
    x = plus(
      x,
      dense(gate.map((row, t) => row.map((v, i) => act(v) * up[t][i])), "mlp.down_proj", inner, width),
    );
  }
  x = norm(x, "norm");
  return linear(x, c.tie_word_embeddings === true ? embed : w.get("lm_head.weight", n("vocab_size"), width));
}

/** The longest texts where a configuration says none. */
const positions: Readonly<Record<string, number>> = {
  llama: 2048,
  mistral: 131_072,
  mixtral: 131_072,
  qwen2: 32_768,
  qwen3: 32_768,
  qwen2_moe: 32_768,
  qwen3_moe: 32_768,
  smollm3: 32_768,
  phi3: 4096,
  olmo2: 2048,
  olmoe: 4096,
  granite: 2048,
  gemma: 8192,
  gemma2: 8192,
  gemma3_text: 131_072,
};

/** The families of the LLaMA kind. */
function decoder(c: Json, ids: readonly number[], w: Weights): Matrix {
  const n = (name: string, fallback?: number): number => (c[name] ?? fallback) as number;
  const family = String(c.model_type), isGemma = family.startsWith("gemma");
  const width = n("hidden_size"), count = n("num_attention_heads"), groups = n("num_key_value_heads", count);
  const headDim = n("head_dim", width / count),
    inner = n("intermediate_size"),
    layers = n("num_hidden_layers");
  const eps = n("rms_norm_eps", ["olmoe", "olmo2", "phi3", "mixtral"].includes(family) ? 1e-5 : 1e-6),
    offset = isGemma ? 1 : 0,
    maxPositions = n("max_position_embeddings", positions[family]);
  const hasBias = family !== "mistral" && family !== "mixtral" && family !== "phi3" &&
    c.attention_bias === true;
  const qkvBias = family === "qwen2" || (family === "qwen2_moe" ? c.qkv_bias !== false : hasBias),
    outBias = family !== "qwen2" && family !== "qwen2_moe" && hasBias;
  const mlpBias = (family === "llama" || family === "granite" || family === "smollm3") && c.mlp_bias === true;
  const act = functions[
    String(
      (isGemma ? c.hidden_activation : null) ?? (isGemma && family !== "gemma" ? null : c.hidden_act) ??
        (isGemma ? "gelu_pytorch_tanh" : "silu"),
    )
  ];
  const isBoth = family === "gemma2" || family === "gemma3_text", isPost = family === "olmo2";
  const scale = family === "granite"
    ? n("attention_multiplier", 1)
    : isBoth
    ? n("query_pre_attn_scalar", 256) ** -0.5
    : headDim ** -0.5;
  const cap = (name: string, fallback: number | null): number | null =>
    c[name] === undefined ? family === "gemma2" ? fallback : null : c[name] as number | null;
  const vocab = n("vocab_size"), embed = w.get("model.embed_tokens.weight", vocab, width);
  const times = isGemma ? Math.sqrt(width) : n("embedding_multiplier", 1);
  const norm = (x: Matrix, name: string, size = width): Matrix =>
    rmsNorm(x, w.vector(`model.${name}.weight`, size), eps, offset);
  const types = c.layer_types as string[] | undefined;
  const window = c.sliding_window === undefined
    ? /^(?:qwen|mistral$|gemma[23])/.test(family) ? 4096 : null
    : c.sliding_window as number | null;
  const isWindowed = (layer: number): boolean => {
    if (window === null) return false;
    if (/^qwen[23]/.test(family) || family === "smollm3") {
      if (c.use_sliding_window !== true) return false;
    }
    if (family === "mistral" || family === "mixtral" || family === "phi3" || family === "qwen3_moe") {
      return true;
    }
    if (types) return types[layer] === "sliding_attention";
    if (family === "qwen2_moe") return layer % 2 === 0 && layer < n("max_window_layers", 28);
    if (/^qwen[23]/.test(family)) return layer >= n("max_window_layers", 28);
    if (family === "smollm3") return !hasRope(layer);
    if (family === "gemma2") return layer % 2 === 0;
    if (family === "gemma3_text") return (layer + 1) % n("sliding_window_pattern", 6) !== 0;
    return false;
  };
  const told = c.no_rope_layers as number[] | undefined;
  const hasRope = (layer: number): boolean =>
    family !== "smollm3" || (told ? told[layer] === 1 : (layer + 1) % n("no_rope_layer_interval", 4) !== 0);
  const anglesOf = (layer: number): [number[], number] => {
    const all = (c.rope_parameters ?? c.rope_scaling ?? {}) as Json, own = isWindowed(layer);
    const entry = all[own ? "sliding_attention" : "full_attention"] as Json | undefined;
    const rope: Json = c.rope_parameters && entry ? entry : all;
    const isLocal = family === "gemma3_text" && own;
    const theta = isLocal
      ? (c.rope_parameters ? rope.rope_theta : undefined) as number ?? n("rope_local_base_freq", 10_000)
      : (rope.rope_theta ?? c.rope_theta ?? { gemma3_text: 1e6, smollm3: 2e6, mixtral: 1e6 }[family] ??
        10_000) as number;
    const share = (rope.partial_rotary_factor ?? c.partial_rotary_factor ?? 1) as number;
    const scaling = isLocal && !c.rope_parameters ? {} : rope;
    return frequencies(
      { original_max_position_embeddings: c.original_max_position_embeddings, ...scaling },
      theta,
      Math.floor(headDim * share),
      maxPositions,
      ids.length,
    );
  };
  let x: Matrix = ids.map((id) => embed[id].map((v) => v * times));
  for (let layer = 0; layer < layers; layer++) {
    const at = `layers.${layer}`, queries = count * headDim, keys = groups * headDim;
    const dense = (x: Matrix, name: string, from: number, to: number, has: boolean): Matrix =>
      linear(
        x,
        w.get(`model.${at}.${name}.weight`, to, from),
        has ? w.vector(`model.${at}.${name}.bias`, to) : null,
      );
    const before = isPost ? x : norm(x, `${at}.input_layernorm`);
    let [q, k, v]: Matrix[] = [];
    if (family === "phi3") {
      const all = dense(before, "self_attn.qkv_proj", width, queries + 2 * keys, false);
      const part = (from: number, to: number): Matrix => all.map((row) => row.slice(from, to));
      [q, k, v] = [part(0, queries), part(queries, queries + keys), part(queries + keys, queries + 2 * keys)];
    } else {
      q = dense(before, "self_attn.q_proj", width, queries, qkvBias);
      k = dense(before, "self_attn.k_proj", width, keys, qkvBias);
      v = dense(before, "self_attn.v_proj", width, keys, qkvBias);
    }
    if (isPost || family === "olmoe") {
      q = norm(q, `${at}.self_attn.q_norm`, queries);
      k = norm(k, `${at}.self_attn.k_norm`, keys);
    }
    const angles = anglesOf(layer),
      isEach = family === "qwen3" || family === "qwen3_moe" || family === "gemma3_text";
    const turned = (m: Matrix, name: string): Float64Array[][] =>
      heads(m, headDim).map((row, t) => {
        const normed = isEach ? norm(row, `${at}.self_attn.${name}`, headDim) : row;
        return hasRope(layer) ? normed.map((h) => turn(h, t, angles)) : normed;
      });
    const given = { q: turned(q, "q_norm"), k: turned(k, "k_norm"), v: heads(v, headDim) };
    const mixed = attend(
      given,
      scale,
      isWindowed(layer) ? window : null,
      family === "gemma2" ? cap("attn_logit_softcapping", 50) : null,
    );
    const residual = n("residual_multiplier", 1);
    let branch = dense(mixed, "self_attn.o_proj", queries, width, outBias);
    if (isPost || isBoth) branch = norm(branch, `${at}.post_attention_layernorm`);
    x = plus(x, branch, residual);
    const inside = isPost
      ? x
      : norm(x, isBoth ? `${at}.pre_feedforward_layernorm` : `${at}.post_attention_layernorm`);
    if (isSparse(c, layer)) {
      x = plus(x, experts(c, inside, at, width, act, w));
      continue;
    }
    let gate: Matrix, up: Matrix;
    if (family === "phi3") {
      const both = dense(inside, "mlp.gate_up_proj", width, 2 * inner, false);
      [gate, up] = [both.map((row) => row.slice(0, inner)), both.map((row) => row.slice(inner))];
    } else {
      gate = dense(inside, "mlp.gate_proj", width, inner, mlpBias);
      up = dense(inside, "mlp.up_proj", width, inner, mlpBias);
    }
    const bent = gate.map((row, i) => row.map((g, j) => act(g) * up[i][j]));
    let mlp = dense(bent, "mlp.down_proj", inner, width, mlpBias);
    if (isPost || isBoth) mlp = norm(mlp, `${at}.post_feedforward_layernorm`);
    x = plus(x, mlp, residual);
  }
  x = norm(x, "norm");
  const isTied = (c.tie_word_embeddings ?? (isGemma || family === "smollm3")) === true;
  const logits = linear(x, isTied ? embed : w.get("lm_head.weight", vocab, width));
  const final = isBoth ? cap("final_logit_softcapping", 30) : null, division = n("logits_scaling", 1);
  return logits.map((row) => row.map((l) => final === null ? l / division : final * Math.tanh(l / final)));
}
