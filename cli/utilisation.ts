/**
 * What part of the machine's measured limit a training run uses.
 *
 * Operations are counted as in Chowdhery et al., "PaLM", 2022, appendix B: what the model needs, whatever is computed besides. For a
 * token these are 6 for each weight that is multiplied (4 where it is frozen, as it has no gradient) and 12 · layers · width · time
 * for attention.
 *
 * @module
 */
import type { CausalLM } from "../mod.ts";

/** Operations that training takes for a token of a row of `time`. */
export function flopsPerToken(model: CausalLM, time: number): number {
  const { embeddings } = model.network, [vocab, width] = embeddings.shape;
  const matrices = model.namedParameters().filter(([name, { shape }]) =>
    shape.length === 2 && !name.endsWith("wpe.weight")
  );
  const heads = matrices.filter(([, { shape }]) => shape.includes(vocab) && shape.includes(width));
  // Where the head has weights of its own, tokens are looked up and not multiplied.
  const looked = heads.length > 1 ? embeddings : null;
  const weights = matrices.reduce(
    (sum, [, p]) => p.storage === looked?.storage ? sum : sum + (p.requiresGrad ? 6 : 4) * p.size,
    0,
  );
  return weights + 12 * model.layers * width * time;
}
