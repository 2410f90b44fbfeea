/**
 * What a text must be, and what generation knows of it, whoever finds that out.
 *
 * @module
 */

/**
 * What a text must be.
 *
 * @category Generation
 */
export type ResponseFormat =
  /** Anything. */
  | { readonly type: "text" }
  /** A JSON object; one that a schema accepts where there is one. */
  | { readonly type: "json_object"; readonly schema?: unknown }
  /** JSON that a schema accepts; `schema`, or `json_schema.schema` as in OpenAI's API. */
  | {
    readonly type: "json_schema";
    readonly schema?: unknown;
    readonly json_schema?: { readonly schema?: unknown };
  }
  /** What a regular expression matches as a whole. */
  | { readonly type: "regex"; readonly pattern: string };

/**
 * A format, ready for a tokenizer.
 *
 * @category Generation
 */
export interface Constraint {
  /** Bytes of the shortest text. */
  readonly least: number;
  /**
   * Keeps one text to the format. `ends` are the tokens that end it.
   *
   * @throws {OptionError} when `maxNewTokens` are too few for any text.
   */
  follow(maxNewTokens: number, ends: readonly number[]): Follower;
}

/**
 * One text that is kept to a format. `ids` are those of the prompt, and what was made since.
 *
 * @category Generation
 */
export interface Follower {
  /**
   * Works towards the next token as far as the allowance of units goes. Default: to the end.
   *
   * @returns whether all is known that is needed for it.
   * @throws {OptionError} when the format allows too much at once to be followed.
   */
  advance(ids: readonly number[], allowance?: { units: number }): boolean;
  /** Whether all is known that is needed for the next token. */
  isKnown(ids: readonly number[]): boolean;
  /** Whether the text is whole and nothing can follow. */
  isOver(ids: readonly number[]): boolean;
  /** Excludes all tokens that may not come next. */
  apply(ids: readonly number[], logits: Float32Array): void;
}
