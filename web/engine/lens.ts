/**
 * What a model looks at, and what each of its layers would say next. Runs in the pages' workers, and anywhere else.
 *
 * @module
 */
import { contiguous, slice, softmax, type Tensor, toDType, topk } from "../../src/ops/mod.ts";
import { noGrad, tidy } from "../../src/tensor/mod.ts";

/** What is needed of a model: `GPT2` and `CausalLM` have it. */
export interface Seen {
  readonly layers: number;
  readonly heads: number;
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly tokenizer: { decode(ids: number[], options?: { skipSpecialTokens?: boolean }): string } | null;
  hidden(ids: readonly number[], options: { depth: number }): Tensor;
  logits(hidden: Tensor): Tensor;
  attentions(ids: readonly number[], options: { layers: readonly number[] }): Tensor[];
}

/** How much tokens look at each other: for every head of a layer, a row for each token; all in one list. */
export interface Attention {
  readonly tokens: readonly string[];
  readonly heads: number;
  readonly weights: Float32Array<ArrayBuffer>;
}

/** A token that might come next. */
export interface Guess {
  readonly text: string;
  readonly probability: number;
}

/** What would come next if the model ended after its embeddings, its first layer … its last, at each of the last places. */
export interface Lens {
  /** The tokens at these places. */
  readonly tokens: readonly string[];
  /** By layer, the embeddings first, and by place: the likeliest, in order. */
  readonly guesses: readonly (readonly (readonly Guess[])[])[];
}

/** Places that the lens looks at: a row of a table. */
const mostPlaces = 24;

/** The text of a token alone. */
export function tokenText(model: Seen, id: number): string {
  return model.tokenizer?.decode([id], { skipSpecialTokens: false }) ?? `${id} `;
}

/** What the tokens look at in a layer; the last ones, where there are more than the model takes. */
export async function attend(model: Seen, all: readonly number[], layer: number): Promise<Attention> {
  const ids = all.slice(-model.contextLength), [found] = model.attentions(ids, { layers: [layer] });
  try {
    const weights = Float32Array.from(await found.data() as Float32Array);
    return { tokens: ids.map((id) => tokenText(model, id)), heads: model.heads, weights };
  } finally {
    found.dispose();
  }
}

/** The logit lens (nostalgebraist 2020): the last norm and the output layer read what each layer leaves. */
export async function logitLens(model: Seen, all: readonly number[], most = 5): Promise<Lens> {
  const ids = all.slice(-model.contextLength), places = Math.min(mostPlaces, ids.length);
  const k = Math.min(most, model.vocabSize), guesses: Guess[][][] = [];
  for (let depth = 0; depth <= model.layers; depth++) {
    const { values, indices } = noGrad(() =>
      tidy(() => {
        const hidden = contiguous(slice(model.hidden(ids, { depth }), 0, [-places, null]));
        return topk(softmax(toDType(model.logits(hidden), "f32")), k);
      })
    );
    const [shares, found] = await Promise.all([values.data(), indices.data()]);
    values.dispose();
    indices.dispose();
    guesses.push(Array.from({ length: places }, (_, place) =>
      Array.from({ length: k }, (_, i) => ({
        text: tokenText(model, Number(found[place * k + i])),
        probability: Number(shares[place * k + i]),
      }))));
  }
  return { tokens: ids.slice(-places).map((id) => tokenText(model, id)), guesses };
}
