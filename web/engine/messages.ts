/**
 * What pages and the engine's worker say to each other.
 *
 * @module
 */
import type { Tokens } from "./tokens.ts";
import type { Attention, Lens } from "./lens.ts";
import type { Carried } from "../tabular/plain.ts";
import type { ColumnSummary, Fitting, Moved, Preset, TableAnswer } from "./tables.ts";

/** Options of a text, as the playground sends them. */
export interface WriteOptions {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly typicalP: number;
  readonly epsilonCutoff: number;
  readonly etaCutoff: number;
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly noRepeatNgramSize: number;
  readonly seed: number;
  readonly stop: readonly string[];
}

/** Where a model is: in a folder of this site, in files that the visitor chose, or in a repository of a hub. */
export type ModelPlace =
  | { readonly url: string }
  | { readonly files: readonly File[] }
  | { readonly repository: string; readonly revision: string; readonly endpoint: string };

/** How weights are held. */
export type HeldAs = "as stored" | "f32" | "bf16" | "q8" | "q4";

/** What a page asks for. */
export type Question =
  | { readonly do: "start" }
  | { readonly do: "load"; readonly from: ModelPlace; readonly heldAs: HeldAs }
  | { readonly do: "reading"; readonly text: string }
  | { readonly do: "write"; readonly prompt: string; readonly options: WriteOptions }
  | { readonly do: "attend"; readonly text: string; readonly layer: number }
  | { readonly do: "lens"; readonly text: string }
  | {
    readonly do: "choices";
    readonly prompt: string;
    readonly made: readonly number[];
    readonly options: WriteOptions;
  }
  | {
    readonly do: "side";
    readonly heldAs: HeldAs;
    readonly judged: string;
    readonly prompt: string;
    readonly options: WriteOptions;
  }
  | { readonly do: "tokens"; readonly text: string; readonly file: File | null }
  | { readonly do: "table"; readonly where: string }
  | { readonly do: "fit"; readonly csv: Blob; readonly target: string | null }
  | { readonly do: "presets" }
  | { readonly do: "predict"; readonly row: Readonly<Record<string, string | number>> }
  | { readonly do: "explain"; readonly row: Readonly<Record<string, string | number>> }
  | { readonly do: "carry" }
  | { readonly do: "keep" };

/** What the engine runs on. */
export interface Machine {
  readonly threads: number;
  /** Why there are no more; null when all is well. */
  readonly why: string | null;
}

/** A token that was written: its text, its probability, and what else it might have been. */
export interface Written {
  readonly text: string;
  /** The ids that it is made of: more than one where a letter takes several. */
  readonly ids: readonly number[];
  readonly probability: number;
  readonly others: readonly { readonly text: string; readonly probability: number }[];
}

/** What a model reads of a text. */
export interface ReadingNote {
  /** Letters that it does not know, each once; they are left out. */
  readonly left: string;
  /** How many tokens the text has, and how many of them, the last ones, the model sees. */
  readonly tokens: number;
  readonly seen: number;
}

/** How far a file is: "download" while it is fetched, "read" while weights are read. */
export interface Loading {
  readonly phase: "download" | "read";
  readonly file?: string;
  readonly loaded: number;
  readonly total: number;
}

/** A model that is ready. */
export interface LoadedModel {
  readonly parameters: number;
  readonly positions: number;
  readonly vocabulary: number;
  readonly layers: number;
  readonly heads: number;
  readonly dtype: string;
  /** Whether it came with a tokenizer. */
  readonly reads: boolean;
}

/** A token that might stand at a place: what the model says, and what settings make of that. */
export interface Choice {
  readonly id: number;
  readonly text: string;
  readonly before: number;
  readonly after: number;
}

/** The likeliest tokens at a place. */
export interface Choices {
  readonly choices: readonly Choice[];
  /** How many tokens may be drawn there at all. */
  readonly possible: number;
}

/** A model that was held in some way, and what it did. */
export interface Side {
  readonly dtype: string;
  /** Of its weights. */
  readonly bytes: number;
  readonly bitsPerLetter: number;
  readonly tokensPerSecond: number;
  readonly text: string;
}

/** Answers by question. */
export interface Answers {
  start: Machine;
  load: LoadedModel;
  reading: ReadingNote;
  attend: Attention;
  lens: Lens;
  choices: Choices;
  side: Side;
  tokens: Tokens;
  write: { readonly finishReason: string; readonly tokensPerSecond: number };
  table: ColumnSummary;
  fit: ColumnSummary;
  presets: Preset[];
  predict: TableAnswer;
  explain: Moved;
  keep: Uint8Array<ArrayBuffer>;
  carry: { readonly model: Carried; readonly radius: number | null };
}

/** What comes before an answer, by question. */
export type Piece<Q extends Question> = Q["do"] extends "load" ? Loading
  : Q["do"] extends "fit" ? Fitting
  : Written;

/** What the worker sends. */
export type Reply =
  | { readonly id: number; readonly piece: Written | Loading | Fitting }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string; readonly name: string };

/** What a page sends. */
export type Request =
  | { readonly id: number; readonly question: Question }
  | { readonly id: number; readonly cancel: true };
