/**
 * Whether a regular expression can take for ever.
 *
 * A backtracking engine tries all ways in which a text can be matched before it says that there is none. Where a text
 * can be gone through in a loop in two ways, the ways double with each character. Both kinds of this are found on the
 * automaton of the expression (Weber and Seidl 1991): a loop that a word leads through in two ways (exponentially many),
 * and a loop that a word stays in, leads out of, and stays in the next one by (a power of the length). Neither matters
 * once the match is made. Lookarounds count as what may always fail, so an expression that passes is
 * safe, and one that is refused might have been.
 *
 * @module
 */
import { type ExpressionNode, parseExpression, UnreadableExpression } from "./expression_syntax.ts";

/** The largest automaton, and the most steps of the search through pairs and triples of its states. */
const mostStates = 5000, mostEdges = 100_000, mostSteps = 1_000_000;

/** A repetition up to this often is written out; a longer one counts as endless. */
const mostCopies = 8;

/** Code points that stand for all: every letter a tokenizer tells apart has one of its kind among them. */
function sampleOf(source: string): number[] {
  const points = new Set<number>();
  for (let code = 0; code < 0x250; code++) points.add(code);
  for (let code = 0x250; code < 0x3400; code += 16) points.add(code);
  for (
    const code of [0x3400, 0x4e00, 0x9fff, 0xac00, 0xd7a3, 0xe000, 0xf900, 0xfe0f, 0xfeff, 0xff11, 0xfffd]
  ) {
    points.add(code);
  }
  for (const code of [0x10000, 0x1d400, 0x1f600, 0x20000, 0xe0001, 0xf0000, 0x10ffff]) points.add(code);
  for (const character of source) {
    const code = character.codePointAt(0)!;
    for (const near of [code - 1, code, code + 1]) points.add(near);
  }
  for (const [, hex] of source.matchAll(/\\(?:u\{?|x)([\dA-Fa-f]+)/g)) {
    const code = parseInt(hex, 16);
    for (const near of [code - 1, code, code + 1]) points.add(near);
  }
  return [...points].filter((code) => code >= 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
}

/** Whether something can be passed without a character: no, always, or where a lookaround allows it. */
type Passing = "no" | "always" | "held";

/** A part of the automaton. */
interface Fragment {
  /** States that begin it. */
  readonly first: readonly number[];
  /** States that end it, and whether what lies behind them may still fail on a lookaround. */
  readonly last: ReadonlyMap<number, boolean>;
  /** Whether it matches nothing, too. */
  readonly empty: Passing;
}

const nothing: Fragment = { first: [], last: new Map(), empty: "always" };

/** All ends; one that is held in one way and free in another is free. */
function ends(...lists: readonly (Iterable<readonly [number, boolean]>)[]): Map<number, boolean> {
  const all = new Map<number, boolean>();
  for (const list of lists) {
    for (const [state, held] of list) all.set(state, held && (all.get(state) ?? true));
  }
  return all;
}

/** Glushkov's automaton of an expression: a state for each character in it. */
class Automaton {
  /** For each state which of the sample it takes. */
  readonly takes: Uint8Array[] = [];
  /** For each state which may come next, and in how many ways: `(a+)+` goes from a to a in two. */
  readonly next: Map<number, number>[] = [];
  /** Whether a part that may match nothing is repeated a number of times: which times it does is open. */
  isOpen = false;
  #edges = 0;
  /** Expressions inside lookarounds, which are matched on their own. */
  readonly inner: ExpressionNode[] = [];
  readonly #sample: readonly string[];
  readonly #known = new Map<string, Uint8Array>();

  constructor(node: ExpressionNode, sample: readonly string[]) {
    this.#sample = sample;
    const { last } = this.#build(node);
    // Who is in a state in which the match is made will make it: the ways that lead through there are of no matter.
    const made = new Set([...last].flatMap(([state, held]) => held ? [] : [state]));
    for (const [state, after] of this.next.entries()) {
      for (const to of made) after.delete(to);
      if (made.has(state)) after.clear();
    }
  }

  #build(node: ExpressionNode): Fragment {
    switch (node.kind) {
      case "character":
        return this.#character(node.source);
      case "assertion":
        if (node.inner) this.inner.push(node.inner);
        return { ...nothing, empty: "held" };
      case "choice": {
        const parts = node.parts.map((part) => this.#build(part));
        const ways = parts.map(({ empty }) => empty);
        return {
          first: parts.flatMap(({ first }) => first),
          last: ends(...parts.map(({ last }) => last)),
          empty: ways.includes("always") ? "always" : ways.includes("held") ? "held" : "no",
        };
      }
      case "sequence":
        return node.parts.reduce((before, part) => this.#join(before, this.#build(part)), nothing);
      case "repeat":
        return this.#repeat(node.part, node.least, node.most);
    }
  }

  #character(source: string): Fragment {
    let takes = this.#known.get(source);
    if (takes === undefined) {
      let whole: RegExp;
      try {
        whole = new RegExp(`^(?:${source})$`, "us");
      } catch {
        throw new UnreadableExpression(`${source} is no character`);
      }
      takes = Uint8Array.from(this.#sample, (character) => whole.test(character) ? 1 : 0);
      this.#known.set(source, takes);
    }
    if (this.takes.length === mostStates) throw new UnreadableExpression("it is too long");
    this.takes.push(takes);
    this.next.push(new Map());
    const state = this.takes.length - 1;
    return { first: [state], last: new Map([[state, false]]), empty: "no" };
  }

  #connect(from: ReadonlyMap<number, boolean>, to: readonly number[]): void {
    for (const state of from.keys()) {
      this.#edges += to.length;
      if (this.#edges > mostEdges) throw new UnreadableExpression("it is too complicated to be sure of");
      for (const after of to) this.next[state].set(after, (this.next[state].get(after) ?? 0) + 1);
    }
  }

  #join(before: Fragment, after: Fragment): Fragment {
    this.#connect(before.last, after.first);
    const over = after.empty === "no" ? [] : before.last.entries(), holds = after.empty === "held";
    const both = [before.empty, after.empty];
    return {
      first: before.empty === "no" ? before.first : [...before.first, ...after.first],
      last: ends(after.last, Array.from(over, ([state, held]) => [state, held || holds] as const)),
      empty: both.includes("no") ? "no" : both.includes("held") ? "held" : "always",
    };
  }

  #repeat(part: ExpressionNode, least: number, most: number): Fragment {
    if (most === 0) return nothing;
    const copies = most <= mostCopies ? most : Math.max(1, Math.min(least, mostCopies));
    let all = nothing;
    for (let i = 0; i < copies; i++) {
      const one = this.#build(part);
      if (one.empty !== "no" && Math.max(least, most < Infinity ? most : 0) > mostCopies) this.isOpen = true;
      if (most > mostCopies && i === copies - 1) this.#connect(one.last, one.first);
      all = this.#join(all, i >= least ? { ...one, empty: "always" } : one);
    }
    return all;
  }
}

/** The states of each loop: strongly connected, and more than one or one that follows itself. */
function loops({ next }: Automaton): number[][] {
  const index = new Int32Array(next.length).fill(-1), low = new Int32Array(next.length);
  const stack: number[] = [], found: number[][] = [], on = new Set<number>();
  let count = 0;
  for (let root = 0; root < next.length; root++) {
    if (index[root] >= 0) continue;
    // Tarjan's search, without recursion.
    const work: { state: number; rest: Iterator<number> }[] = [];
    const enter = (state: number): void => {
      index[state] = low[state] = count++;
      stack.push(state);
      on.add(state);
      work.push({ state, rest: next[state].keys() });
    };
    enter(root);
    while (work.length) {
      const { state, rest } = work[work.length - 1], step = rest.next();
      if (!step.done) {
        if (index[step.value] < 0) enter(step.value);
        else if (on.has(step.value)) low[state] = Math.min(low[state], index[step.value]);
        continue;
      }
      work.pop();
      if (work.length) {
        const { state: above } = work[work.length - 1];
        low[above] = Math.min(low[above], low[state]);
      }
      if (low[state] !== index[state]) continue;
      const group: number[] = [];
      let member: number;
      do {
        member = stack.pop()!;
        on.delete(member);
        group.push(member);
      } while (member !== state);
      if (group.length > 1 || next[state].has(state)) found.push(group);
    }
  }
  return found;
}

/** Searches through tuples of states that a same word leads through. */
class Search {
  readonly #automaton: Automaton;
  readonly #meets = new Map<number, boolean>();
  #steps = 0;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
  }

  /** Whether some character is taken by all of these states. */
  meet(states: readonly number[]): boolean {
    if (++this.#steps > mostSteps) throw new UnreadableExpression("it is too complicated to be sure of");
    const { takes } = this.#automaton, key = states.reduce((all, state) => all * mostStates + state, 0);
    let found = this.#meets.get(key);
    if (found === undefined) {
      found = takes[states[0]].some((taken, i) =>
        taken === 1 && states.every((state) => takes[state][i] === 1)
      );
      this.#meets.set(key, found);
    }
    return found;
  }

  /** Whether `goal` holds for a tuple that `from` leads to in one step or more; of state i only `allowed[i]` are gone to. */
  reaches(
    from: readonly number[],
    allowed: readonly (ReadonlySet<number> | null)[],
    goal: (tuple: readonly number[]) => boolean,
  ): boolean {
    const seen = new Set<string>(), queue: (readonly number[])[] = [from];
    while (queue.length) {
      const tuple = queue.pop()!;
      let tuples: number[][] = [[]];
      for (const [i, state] of tuple.entries()) {
        const steps = [...this.#automaton.next[state].keys()].filter((to) => allowed[i]?.has(to) ?? true);
        tuples = tuples.flatMap((begun) => steps.map((to) => [...begun, to]));
      }
      for (const to of tuples) {
        if (!this.meet(to)) continue;
        const key = to.join();
        if (seen.has(key)) continue;
        seen.add(key);
        if (goal(to)) return true;
        queue.push(to);
      }
    }
    return false;
  }
}

function check(node: ExpressionNode, sample: readonly string[]): string | null {
  const automaton = new Automaton(node, sample), search = new Search(automaton), all = loops(automaton);
  const exponential = "a text can be gone through in exponentially many ways";
  if (automaton.isOpen) return exponential;
  for (const loop of all) {
    const inside = new Set(loop);
    for (const state of loop) {
      for (const [to, ways] of automaton.next[state]) if (ways > 1 && inside.has(to)) return exponential;
      // From the state to two different ones, and back from these to it, by the same words.
      const twofold = search.reaches(
        [state, state],
        [inside, inside],
        ([a, b]) =>
          a !== b && search.reaches([a, b], [inside, inside], ([c, d]) => c === state && d === state),
      );
      if (twofold) return exponential;
    }
  }
  for (const loop of all) {
    const first = new Set(loop);
    for (const other of all) {
      if (other === loop) continue;
      const second = new Set(other);
      for (const p of loop) {
        for (const q of other) {
          const through = search.reaches(
            [p, p, q],
            [first, null, second],
            ([a, b, c]) => a === p && b === q && c === q,
          );
          if (through) return "the ways through a text grow with a power of its length";
        }
      }
    }
  }
  for (const inner of automaton.inner) {
    const problem = check(inner, sample);
    if (problem !== null) return problem;
  }
  return null;
}

/** Why an expression (the source of one with the flag `u`) might take for ever on some text; null when it cannot. */
export function endlessReason(source: string): string | null {
  try {
    return check(parseExpression(source), sampleOf(source).map((code) => String.fromCodePoint(code)));
  } catch (error) {
    if (error instanceof UnreadableExpression) return error.message;
    throw error;
  }
}
