/**
 * `tokenizer.model`: a SentencePiece tokenizer as its own library saves it, a protocol buffer
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { importPackage, optionalPackages } from "../../core/packages.ts";
import {
  pieceTypes,
  type SentencePiece,
  type SentencePieceParts,
  SentencePieceTokenizer,
} from "./tokenizer.ts";

/** The part of `@bufbuild/protobuf/wire` that is used here. */
interface Reader {
  readonly pos: number;
  readonly len: number;
  tag(): [field: number, wireType: number];
  int32(): number;
  bool(): boolean;
  float(): number;
  string(): string;
  bytes(): Uint8Array;
  skip(wireType: number, field?: number): unknown;
}

interface Package {
  readonly BinaryReader: new (bytes: Uint8Array) => Reader;
}

/** Reads a message's fields; those that are not named are passed over. */
function readFields(reader: Reader, fields: Readonly<Record<number, () => void>>): void {
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (Object.hasOwn(fields, field)) fields[field]();
    else reader.skip(wireType, field);
  }
}

/** What the file says, beside its pieces. */
interface Spec {
  modelType: number;
  byteFallback: boolean;
  suffix: boolean;
  bosId: number;
  eosId: number;
  charsMap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
}

function readModel(bytes: Uint8Array, { BinaryReader }: Package): { pieces: SentencePiece[]; spec: Spec } {
  const pieces: SentencePiece[] = [],
    reader = new BinaryReader(bytes),
    inner = (): Reader => new BinaryReader(reader.bytes());
  const spec: Spec = {
    modelType: 1,
    byteFallback: false,
    suffix: false,
    bosId: 1,
    eosId: 2,
    charsMap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
  };
  readFields(reader, {
    1: () => {
      const piece = inner();
      let text = "", score = 0, type: number = pieceTypes.normal;
      readFields(piece, {
        1: () => text = piece.string(),
        2: () => score = piece.float(),
        3: () => type = piece.int32(),
      });
      pieces.push({ text, score, type });
    },
    2: () => {
      const trainer = inner();
      readFields(trainer, {
        3: () => spec.modelType = trainer.int32(),
        24: () => spec.suffix = trainer.bool(),
        35: () => spec.byteFallback = trainer.bool(),
        41: () => spec.bosId = trainer.int32(),
        42: () => spec.eosId = trainer.int32(),
      });
    },
    3: () => {
      const normalizer = inner();
      readFields(normalizer, {
        2: () => spec.charsMap = normalizer.bytes().slice(),
        3: () => spec.addDummyPrefix = normalizer.bool(),
        4: () => spec.removeExtraWhitespaces = normalizer.bool(),
      });
    },
  });
  return { pieces, spec };
}

/** How the folder's tokenizer_config.json has texts begin and end. */
export interface SentencePieceOptions {
  /** Whether texts begin with the token for that. Default false. */
  readonly addBos?: boolean;
  /** Whether they end with theirs. Default false. */
  readonly addEos?: boolean;
}

/**
 * The tokenizer that a `tokenizer.model` is.
 *
 * @throws {FormatError} for bytes that are none, and for its kinds "word" and "char".
 * @throws {FerrotypeError} where the
 * package `@bufbuild/protobuf` is not installed.
 */
export async function readSentencePiece(
  bytes: Uint8Array,
  options: SentencePieceOptions = {},
): Promise<SentencePieceTokenizer> {
  const parts = await readSentencePieceParts(bytes, options);
  try {
    return new SentencePieceTokenizer(parts);
  } catch (cause) {
    throw new FormatError(`tokenizer.model: ${(cause as Error).message}`, { cause });
  }
}

/**
 * What such a tokenizer is made of.
 * @throws {FormatError} as {@link readSentencePiece} does.
 */
export async function readSentencePieceParts(
  bytes: Uint8Array,
  options: SentencePieceOptions = {},
): Promise<SentencePieceParts> {
  const library = await optionalPackages(
    "@bufbuild/protobuf",
    "reading tokenizer.model",
    () => importPackage<Package>("@bufbuild/protobuf/wire"),
  );
  let read: ReturnType<typeof readModel>;
  try {
    read = readModel(bytes, library);
  } catch (cause) {
    throw new FormatError(`tokenizer.model is no SentencePiece model: ${(cause as Error).message}`, {
      cause,
    });
  }
  const { pieces, spec } = read;
  if (pieces.length === 0) {
    throw new FormatError("tokenizer.model is no SentencePiece model: it has no pieces");
  }
  if (spec.modelType !== 1 && spec.modelType !== 2) {
    throw new FormatError(`tokenizer.model is of kind ${spec.modelType}; unigram (1) and BPE (2) are read`);
  }
  const known = (id: number): boolean => id >= 0 && id < pieces.length;
  const parts: SentencePieceParts = {
    pieces,
    model: spec.modelType === 1 ? "unigram" : "bpe",
    byteFallback: spec.byteFallback,
    charsMap: spec.charsMap,
    addDummyPrefix: spec.addDummyPrefix,
    removeExtraWhitespaces: spec.removeExtraWhitespaces,
    treatWhitespaceAsSuffix: spec.suffix,
    controlsInText: false,
    ...(known(spec.bosId) ? { bosTokenId: spec.bosId } : {}),
    ...(known(spec.eosId) ? { eosTokenId: spec.eosId } : {}),
    ...options,
  };
  return parts;
}
