/**
 * Whether an expression meets the whole of a text, in time in proportion to both: all ways are gone at once.
 *
 * @module
 */
import { type ExpressionNode, parseExpression } from "../../text/expression_syntax.ts";

/** States of an automaton at most. */
const mostStates = 5000;

/** A state: the character that is passed to the next ones, or null where they are reached by itself. */
interface State {
  readonly test: RegExp | null;
  readonly to: number[];
}

/** What tells whether a text is met. @throws {Error} for an expression that is none, is too large, or looks around. */
export function wholeMatch(source: string, flags: string): (text: string) => boolean {
  const states: State[] = [{ test: null, to: [] }];
  const state = (test: RegExp | null, to: number[]): number => {
    if (states.length >= mostStates) throw new Error(`it has more than ${mostStates} states`);
    return states.push({ test, to }) - 1;
  };
  /** The state before `node`, behind which `next` comes. */
  const before = (node: ExpressionNode, next: number): number => {
    switch (node.kind) {
      case "character":
        return state(new RegExp(`^(?:${node.source})$`, flags), [next]);
      case "sequence":
        return node.parts.reduceRight((at, part) => before(part, at), next);
      case "choice":
        return state(null, node.parts.map((part) => before(part, next)));
      case "repeat": {
        let at = next;
        if (node.most === Infinity) {
          at = state(null, [next]);
          states[at].to.push(before(node.part, at));
        } else for (let i = node.least; i < node.most; i++) at = state(null, [next, before(node.part, at)]);
        for (let i = 0; i < node.least; i++) at = before(node.part, at);
        return at;
      }
      case "assertion":
        throw new Error("it looks around itself");
    }
  };
  const start = before(parseExpression(source), 0), known = states.map(() => new Map<string, boolean>());
  const passes = (at: number, character: string): boolean => {
    let does = known[at].get(character);
    if (does === undefined) known[at].set(character, does = states[at].test!.test(character));
    return does;
  };
  const closure = (from: Iterable<number>): Set<number> => {
    const found = new Set(from);
    for (const at of found) {
      if (states[at].test === null) {
        for (const next of states[at].to) found.add(next);
      }
    }
    return found;
  };
  return (text) => {
    let here = closure([start]);
    for (const character of text) {
      const next: number[] = [];
      for (const at of here) if (states[at].test && passes(at, character)) next.push(...states[at].to);
      here = closure(next);
      if (here.size === 0) return false;
    }
    return here.has(0);
  };
}
