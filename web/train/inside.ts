/**
 * What is inside a GPT while it learns: its embeddings as a map, what its heads look at, what each layer would say next, and how
 * its weights, gradients and activations spread. Runs in the page's worker, and anywhere else.
 *
 * @module
 */
import { add, slice, type Tensor } from "../../src/ops/mod.ts";
import type { GPT2 } from "../../src/runtime/gpt2.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";
import { attend, type Attention, type Lens, logitLens } from "../engine/lens.ts";
import { plane } from "./pca.ts";

/** What a visitor may look at. */
export type View = "map" | "positions" | "attention" | "lens" | "spread" | "step";

/** What the page wants to see. */
export interface Wish {
  readonly view: View;
  /** What the model reads; letters that it does not know are left out. */
  readonly sentence: string;
  /** Of attention: which layer, the first being 0. */
  readonly layer: number;
}

/** Points in a plane, with what each stands for. */
export interface EmbeddingMap {
  readonly names: readonly string[];
  /** x and y of each, one after the other. */
  readonly points: Float32Array<ArrayBuffer>;
  /** How much of the spread lies in the plane. */
  readonly share: number;
}

/** How many of some numbers lie where: from −4 to 4 times their root mean square, what is beyond at the ends. */
export interface Histogram {
  readonly rms: number;
  readonly counts: readonly number[];
}

/** A part of the model, from the text upwards. */
export interface Part {
  readonly name: string;
  readonly weights: Histogram;
  readonly gradients: Histogram;
  /** What comes out of it for the letters that were looked at. */
  readonly activations: Histogram;
  /** Of an MLP, numbers of units that give nearly 0 at every letter: none learns from them. */
  readonly dead: readonly number[];
  /** Of an MLP, numbers of units so far up that they pass on what comes in, and never choose. */
  readonly saturated: readonly number[];
  /** Of an MLP, how many units there are. */
  readonly units: number;
}

/** What is seen, and what of the sentence was left out. */
export type Inside =
  & { readonly view: View; readonly left: string }
  & (
    | { readonly map: EmbeddingMap }
    | { readonly attention: Attention }
    | { readonly lens: Lens }
    | { readonly spread: readonly Part[] }
    | { readonly plan: string }
  );

/** Bars of a histogram. */
const bars = 33;

/** How numbers spread. */
export function histogram(lists: readonly Float32Array[]): Histogram {
  let sum = 0, count = 0;
  for (const list of lists) {
    for (const x of list) sum += x * x;
    count += list.length;
  }
  const rms = Math.sqrt(sum / Math.max(1, count)), counts = new Array<number>(bars).fill(0);
  const scale = rms > 0 ? bars / (8 * rms) : 0;
  for (const list of lists) {
    for (const x of list) counts[Math.min(bars - 1, Math.max(0, Math.floor(bars / 2 + x * scale)))]++;
  }
  return { rms, counts };
}

const numbers = async (of: Tensor): Promise<Float32Array> => await of.data() as Float32Array;

/** Units [.., units] that give nearly nothing anywhere, and such as are wide open everywhere: GELU is x from about 3 on. */
export function idleUnits(values: Float32Array, units: number): { dead: number[]; saturated: number[] } {
  const { rms } = histogram([values]),
    most = new Float32Array(units),
    least = new Float32Array(units).fill(Infinity);
  values.forEach((x, i) => {
    const unit = i % units;
    most[unit] = Math.max(most[unit], Math.abs(x));
    least[unit] = Math.min(least[unit], x);
  });
  const all = [...most.keys()];
  return { dead: all.filter((u) => most[u] < 0.01 * rms), saturated: all.filter((u) => least[u] > 3) };
}

/** What comes out of each part for rows of ids: the embeddings, then attention and MLP of each block, then the last norm. */
function through(model: GPT2, rows: readonly (readonly number[])[]): Tensor[] {
  return noGrad(() =>
    tidy(() => {
      let x = add(model.wte.forward(model.ids(rows)), slice(model.wpe.weight, [0, rows[0].length]));
      const found = [x];
      for (const { ln_1, attn, ln_2, mlp } of model.h) {
        const mixed = attn.forward(ln_1.forward(x)), y = add(x, mixed);
        const units = mlp.c_fc.forward(ln_2.forward(y), { activation: "geluTanh" });
        found.push(mixed, units);
        x = mlp.c_proj.forward(units, { residual: y });
      }
      return [...found, model.ln_f.forward(x)];
    })
  );
}

/** The parts in their order, and which parameters belong to each. */
function partsOf(layers: number): [name: string, prefix: RegExp][] {
  const blocks = Array.from({ length: layers }, (_, i): [string, RegExp][] => [
    [`Layer ${i + 1}, attention`, new RegExp(`^h\\.${i}\\.(ln_1|attn)\\.`)],
    [`Layer ${i + 1}, MLP`, new RegExp(`^h\\.${i}\\.(ln_2|mlp)\\.`)],
  ]);
  return [["Embeddings", /^w[tp]e\./], ...blocks.flat(), ["Last norm", /^ln_f\./]];
}

/** How the numbers of each part spread, for the letters of `rows`, all of one length. */
export async function spread(model: GPT2, rows: readonly (readonly number[])[]): Promise<Part[]> {
  tidy(() => model.loss(rows.map((row) => row.slice(0, -1)), rows.map((row) => row.slice(1))).backward());
  const found = through(model, rows.map((row) => row.slice(0, -1)));
  try {
    const parts: Part[] = [], parameters = model.namedParameters();
    for (const [i, [name, prefix]] of partsOf(model.layers).entries()) {
      const own = parameters.filter(([path]) => prefix.test(path)).map(([, p]) => p);
      const values = await numbers(found[i]),
        isMlp = name.endsWith("MLP"),
        units = isMlp ? found[i].shape[2] : 0;
      parts.push({
        name,
        weights: histogram(await Promise.all(own.map(numbers))),
        gradients: histogram(await Promise.all(own.flatMap(({ grad }) => grad ? [numbers(grad)] : []))),
        activations: histogram([values]),
        ...(isMlp ? idleUnits(values, units) : { dead: [], saturated: [] }),
        units,
      });
    }
    return parts;
  } finally {
    model.zeroGrad();
    for (const one of found) one.dispose();
  }
}

/**
 * Looks into a model that knows `letters`; `rows` are what {@link spread} looks at, `axes` the planes of maps before, which it
 * renews.
 */
export async function lookInto(
  model: GPT2,
  letters: readonly string[],
  { view, sentence, layer }: Wish,
  rows: readonly (readonly number[])[],
  axes: Map<string, Float32Array>,
): Promise<Inside> {
  switch (view) {
    case "map":
    case "positions": {
      const table = view === "map" ? model.wte.weight : model.wpe.weight;
      const { points, share, axes: next } = await plane(table.detach(), axes.get(view) ?? null);
      axes.set(view, next);
      const names = view === "map"
        ? letters
        : Array.from({ length: table.shape[0] }, (_, i) => String(i + 1));
      return { view, left: "", map: { names, points, share } };
    }
    case "spread":
      return { view, left: "", spread: await spread(model, rows) };
    default: {
      const known = new Set(letters), all = [...sentence], kept = all.filter((letter) => known.has(letter));
      const left = [...new Set(all.filter((letter) => !known.has(letter)))].join("");
      const ids = kept.length > 0 ? model.encode(kept.join("")) : rows[0].slice(0, -1);
      return view === "lens"
        ? { view, left, lens: await logitLens(model, ids) }
        : { view, left, attention: await attend(model, ids, Math.min(layer, model.layers - 1)) };
    }
  }
}
