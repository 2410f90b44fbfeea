/**
 * Regular expressions as trees: the syntax of JavaScript's with the flag `u`, as far as what they match goes.
 *
 * Only shape counts here: a character class is kept as its source, captures are groups like others, and what stands
 * between characters (anchors, lookarounds) takes up nothing.
 *
 * @module
 */

/** A part of an expression. */
export type ExpressionNode =
  | { readonly kind: "character"; readonly source: string }
  | { readonly kind: "sequence"; readonly parts: readonly ExpressionNode[] }
  | { readonly kind: "choice"; readonly parts: readonly ExpressionNode[] }
  | { readonly kind: "repeat"; readonly part: ExpressionNode; readonly least: number; readonly most: number }
  | { readonly kind: "assertion"; readonly inner: ExpressionNode | null };

/** Why an expression is not read. */
export class UnreadableExpression extends Error {}

/** How deep groups may be nested. */
const deepest = 100;

class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): ExpressionNode {
    const node = this.#choice(0);
    if (this.#at < this.#source.length) throw new UnreadableExpression("a ) has no (");
    return node;
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source);
    if (found) this.#at += found[0].length;
    return found;
  }

  #choice(depth: number): ExpressionNode {
    if (depth > deepest) throw new UnreadableExpression("its groups are nested too deep");
    const parts = [this.#sequence(depth)];
    while (this.#take("|")) parts.push(this.#sequence(depth));
    return parts.length === 1 ? parts[0] : { kind: "choice", parts };
  }

  #sequence(depth: number): ExpressionNode {
    const parts: ExpressionNode[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at])) {
      const part = this.#atom(depth), repeat = this.#match(/(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/y);
      if (repeat === null) {
        parts.push(part);
        continue;
      }
      const [, sign, from, comma, to] = repeat;
      const least = sign === "+" ? 1 : from ? Number(from) : 0;
      const most = sign === "?" ? 1 : sign ? Infinity : to ? Number(to) : comma ? Infinity : least;
      parts.push({ kind: "repeat", part, least, most });
    }
    return { kind: "sequence", parts };
  }

  #atom(depth: number): ExpressionNode {
    if (this.#match(/\^|\$|\\[bB]/y)) return { kind: "assertion", inner: null };
    if (this.#match(/\\(?:[1-9]|k<)/y)) throw new UnreadableExpression("it refers back to what it matched");
    const group = this.#match(/\((?:\?(?:[:=!]|<[=!]|<[\p{L}\p{N}_$]+>|[a-z]*(?:-[a-z]+)?:))?/yu);
    if (group) {
      const inner = this.#choice(depth + 1);
      if (!this.#take(")")) throw new UnreadableExpression("a ( has no )");
      return /[=!]$/.test(group[0]) ? { kind: "assertion", inner } : inner;
    }
    const character = this.#match(
      /\[(?:\\.|[^\]\\])*\]|\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\dA-Fa-f]{4}|x[\dA-Fa-f]{2}|c[A-Za-z]|.)|[^()|*+?{}]/yus,
    );
    if (character === null) {
      throw new UnreadableExpression(`"${this.#source[this.#at]}" is not expected there`);
    }
    return { kind: "character", source: character[0] };
  }
}

/**
 * The tree of an expression.
 * @throws {UnreadableExpression} for what is none, or refers back to what it matched.
 */
export function parseExpression(source: string): ExpressionNode {
  return new Parser(source).parse();
}
