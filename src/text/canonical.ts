/**
 * Unicode's normal forms in time that grows with the text.
 *
 * `String.prototype.normalize` puts each mark to its place among those before it one by one, so a letter with 100,000 marks,
 * which no language has and any sender can write, takes it half a minute, and one with a million an hour. Here long runs of
 * marks are put in order by counting first: what is left to do is little, and what comes out is the same.
 *
 * @module
 */

import { finish, type Steps } from "../core/steps.ts";

/** One of Unicode's normal forms. */
export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/**
 * Runs of marks longer than those that Unicode's own format of streams allows (UAX 15: 30). The two sound marks of half
 * width are letters until they are decomposed for compatibility.
 */
const longRuns = { plain: /\p{M}{32,}/gu, compatible: /[\p{M}\uff9e\uff9f]{32,}/gu };

/** Characters that nothing before them changes with or moves behind, so that a text may be cut before them. */
const starter = /[\0-\u02ff\u0400-\u0482\u3041-\u3096\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]/g;

/** About how many characters make a step. */
const stepCharacters = 4096;

/** A mark of the lowest class that moves, and one of the highest: what moves at all does so beside one of them. */
const lowest = "\u0334", highest = "\u0345";

/** Whether `b` goes before `a`, of two marks that are decomposed. */
const isAfter = (a: string, b: string): boolean => a !== b && (a + b).normalize("NFD") === b + a;

/** Marks in their canonical order: those between two that do not move, by their classes, and as they were in each. */
function* inOrder(run: string, form: "NFD" | "NFKD"): Steps<string> {
  const parts = new Map<string, readonly string[]>(), moving = new Set<string>();
  let count = 0;
  for (const mark of run) {
    if (++count % stepCharacters === 0) yield 2 * stepCharacters;
    if (parts.has(mark)) continue;
    const own = [...mark.normalize(form)];
    parts.set(mark, own);
    for (const one of own) if (isAfter(one, lowest) || isAfter(highest, one)) moving.add(one);
  }
  // By class; those of one class are neither after the other.
  const sorted = [...moving].sort((a, b) => Number(isAfter(a, b)) - Number(isAfter(b, a)));
  const classes = new Map<string, number>(), held: string[][] = [];
  for (const [i, mark] of sorted.entries()) {
    if (i === 0 || isAfter(mark, sorted[i - 1])) held.push([]);
    classes.set(mark, held.length - 1);
  }
  const out: string[] = [];
  let isHolding = false;
  const flush = (): void => {
    if (!isHolding) return;
    for (const list of held) {
      for (const mark of list) out.push(mark);
      list.length = 0;
    }
    isHolding = false;
  };
  for (const mark of run) {
    if (++count % stepCharacters === 0) yield 4 * stepCharacters;
    for (const one of parts.get(mark)!) {
      const at = classes.get(one);
      if (at === undefined) {
        flush();
        out.push(one);
      } else {
        held[at].push(one);
        isHolding = true;
      }
    }
  }
  flush();
  return out.join("");
}

/** The text in a normal form, as `text.normalize(form)` gives it. */
export function normalized(text: string, form: NormalForm): string {
  return hasLongRun(text, form) ? finish(normalizedSteps(text, form)) : text.normalize(form);
}

function runsFor(form: NormalForm): RegExp {
  return form === "NFKC" || form === "NFKD" ? longRuns.compatible : longRuns.plain;
}

function hasLongRun(text: string, form: NormalForm): boolean {
  const runs = runsFor(form);
  runs.lastIndex = 0;
  const has = runs.test(text);
  // Copies that look for all of them begin where it stands.
  runs.lastIndex = 0;
  return has;
}

/** The same in steps of some thousand characters; of a run of marks more than that go at once, but what they take is little. */
export function* normalizedSteps(text: string, form: NormalForm): Steps<string> {
  let out = "";
  for (let from = 0, to = 0; from < text.length; from = to) {
    starter.lastIndex = from + stepCharacters;
    to = starter.exec(text)?.index ?? text.length;
    let part = text.slice(from, to);
    if (hasLongRun(part, form)) {
      let done = 0, ordered = "";
      for (const { 0: run, index } of part.matchAll(runsFor(form))) {
        ordered += part.slice(done, index);
        ordered += yield* inOrder(run, form === "NFKC" || form === "NFKD" ? "NFKD" : "NFD");
        done = index + run.length;
      }
      part = ordered + part.slice(done);
    }
    out += part.normalize(form);
    yield to - from;
  }
  return out;
}
