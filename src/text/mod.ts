/**
 * Tokenizers: characters, byte-level BPE and its training, SentencePiece, WordPiece, and the door to `@huggingface/tokenizers`.
 *
 * @module
 */
export type { AddedToken } from "./added_tokens.ts";
export { type BpeParts, BpeTokenizer } from "./bpe.ts";
export type { BpeTrainOptions, BpeTrainProgress } from "./bpe_train.ts";
export { CharTokenizer, type CharTokenizerOptions } from "./char.ts";
export type { HuggingFaceTokenizer } from "./huggingface.ts";
export type { NormalizerParts } from "./sentencepiece/normalizer.ts";
export {
  type SentencePiece,
  type SentencePieceParts,
  SentencePieceTokenizer,
} from "./sentencepiece/tokenizer.ts";
export type { SplitExpression } from "./split.ts";
export type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "./tokenizer.ts";
export { tokenizerConfig, tokenizerFromJson, type TokenizerFromJsonOptions } from "./tokenizer_json.ts";
export { type WordPieceParts, WordPieceTokenizer } from "./wordpiece.ts";
