/**
 * What pages and the engine's worker say to each other.
 *
 * @module
 */
import type { ColumnSummary, TableAnswer } from "./tables.ts";

/** Options of a text, as the playground sends them. */
export interface WriteOptions {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
  readonly stop: readonly string[];
}

/** What a page asks for. */
export type Question =
  | { readonly do: "start" }
  | { readonly do: "load"; readonly where: string }
  | { readonly do: "write"; readonly prompt: string; readonly options: WriteOptions }
  | { readonly do: "table"; readonly where: string }
  | { readonly do: "fit"; readonly csv: Blob }
  | { readonly do: "predict"; readonly row: Readonly<Record<string, string | number>> };

/** What the engine runs on. */
export interface Machine {
  readonly threads: number;
  /** Why there are no more; null when all is well. */
  readonly why: string | null;
}

/** A token that was written: its text, its probability, and what else it might have been. */
export interface Written {
  readonly text: string;
  readonly probability: number;
  readonly others: readonly { readonly text: string; readonly probability: number }[];
}

/** Answers by question. */
export interface Answers {
  start: Machine;
  load: { readonly parameters: number; readonly positions: number; readonly dtype: string };
  write: { readonly finishReason: string; readonly tokensPerSecond: number };
  table: ColumnSummary;
  fit: ColumnSummary;
  predict: TableAnswer;
}

/** What the worker sends. */
export type Reply =
  | { readonly id: number; readonly piece: Written }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string; readonly name: string };

/** What a page sends. */
export type Request =
  | { readonly id: number; readonly question: Question }
  | { readonly id: number; readonly cancel: true };
