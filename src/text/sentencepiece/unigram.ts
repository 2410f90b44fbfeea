/**
 * SentencePiece's unigram model: of all ways to cut a text into pieces, the likeliest (Kudo 2018), by Viterbi's algorithm.
 *
 * Sums are rounded to f32 as the original keeps them, so that equal cuts are told apart alike; the library of Hugging Face
 * keeps them in f64.
 *
 * @module
 */
import { finish, type Steps } from "../../core/steps.ts";

/** A tree of the pieces, by code unit. */
interface Node {
  id: number;
  next: Map<number, Node> | null;
}

/** How likely a piece is: natural logarithm. */
export interface UnigramPiece {
  /** Its text. */
  readonly text: string;
  /** Its id. */
  readonly id: number;
  /** Its score; that of texts of a user's own is worked out from their length. */
  readonly score: number | null;
}

/** What a character without a piece costs more than the least likely one. */
const unknownPenalty = 10;

/** Characters that make a step. */
const stepCharacters = 512;

/** Cuts texts. */
export class Unigram {
  readonly #root: Node = { id: -1, next: null };
  readonly #scores = new Map<number, number | null>();
  readonly #unknown: number;
  readonly #best: number;
  readonly #double: boolean;

  /** `double`: scores and sums are f64. */
  constructor(pieces: Iterable<UnigramPiece>, { double = false }: { double?: boolean } = {}) {
    this.#double = double;
    const round = double ? (x: number): number => x : Math.fround;
    let least = Infinity, most = -Infinity;
    for (const { text, id, score } of pieces) {
      let node = this.#root;
      for (let i = 0; i < text.length; i++) {
        node.next ??= new Map();
        const unit = text.charCodeAt(i);
        let next = node.next.get(unit);
        if (!next) node.next.set(unit, next = { id: -1, next: null });
        node = next;
      }
      node.id = id;
      this.#scores.set(id, score === null ? null : round(score));
      if (score === null) continue;
      least = Math.min(least, round(score));
      most = Math.max(most, round(score));
    }
    this.#unknown = round(least - unknownPenalty);
    this.#best = most;
  }

  /** The cut: each part's text and id, -1 for a character without a piece. `bytes` counts those of a text. */
  cut(text: string, bytes: (text: string) => number): { text: string; id: number }[] {
    return finish(this.cutSteps(text, bytes));
  }

  /** The same in steps. */
  *cutSteps(text: string, bytes: (text: string) => number): Steps<{ text: string; id: number }[]> {
    const length = text.length,
      total = this.#double ? new Float64Array(length + 1) : new Float32Array(length + 1);
    total.fill(-Infinity);
    const from = new Int32Array(length + 1).fill(-1), ids = new Int32Array(length + 1).fill(-1);
    total[0] = 0;
    let count = 0;
    for (let start = 0; start < length;) {
      const own = text.codePointAt(start)! > 0xffff ? 2 : 1;
      const offer = (end: number, id: number, score: number): void => {
        if (from[end] >= 0 && !(score > total[end])) return;
        total[end] = score;
        from[end] = start;
        ids[end] = id;
      };
      let isCovered = false;
      for (let node: Node | undefined = this.#root, end = start; end < length;) {
        node = node.next?.get(text.charCodeAt(end++));
        if (node === undefined) break;
        if (node.id < 0) continue;
        const score = this.#scores.get(node.id)!;
        offer(end, node.id, total[start] + (score ?? bytes(text.slice(start, end)) * this.#best - 0.1));
        if (end === start + own) isCovered = true;
      }
      if (!isCovered) offer(start + own, -1, total[start] + this.#unknown);
      start += own;
      if (++count % stepCharacters === 0) yield 16 * stepCharacters;
    }
    const parts: { text: string; id: number }[] = [];
    for (let end = length; end > 0; end = from[end]) {
      parts.push({ text: text.slice(from[end], end), id: ids[end] });
      if (++count % stepCharacters === 0) yield 2 * stepCharacters;
    }
    return parts.reverse();
  }
}
