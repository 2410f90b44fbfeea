/**
 * Models of every family with recorded results.
 *
 * @module
 */

/** Their folders in `tests/data/families`; beside each lies a GGUF of the same weights. */
export const families: readonly string[] = [
  "llama3",
  "mistral",
  "qwen2",
  "qwen3",
  "gemma",
  "gemma2",
  "gemma3",
  "phi3",
  "phi3-longrope",
  "gpt_neox",
];
