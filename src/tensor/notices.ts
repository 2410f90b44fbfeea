/**
 * What must be said before values are believed: faults that a device notes down while it works, and tells when it is asked.
 *
 * A device that answers late (WebGPU), and a compiled function, cannot throw where the fault is made. What looks for faults
 * there leaves a question here; the next read of a value on that device asks it and throws what it says.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";

/** Looks at what was noted down, forgets it, and throws what is to be said of it. */
export type Question = () => Promise<void>;

const open = new Map<Backend, Set<Question>>();

/** `question` is asked with the next read of values of `backend`; once, however often it was left. */
export function askAtNextRead(backend: Backend, question: Question): void {
  const questions = open.get(backend) ?? new Set();
  open.set(backend, questions.add(question));
}

/** The answers to all questions of `backend`; null when there are none. Throws the first that says something. */
export function answerNotices(backend: Backend): Promise<void> | null {
  const questions = open.get(backend);
  if (!questions) return null;
  open.delete(backend);
  return Promise.allSettled([...questions].map((question) => question())).then((answers) => {
    for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
  });
}
