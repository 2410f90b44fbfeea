/**
 * Work that many workers share without a server: each takes every Nth piece, as a scheduler's array or `--share` says.
 *
 * @module
 */
import { FormatError } from "../../mod.ts";
import { kind } from "../../src/core/kinds.ts";
import { environment } from "../../src/platform/platform.ts";
import type { Option } from "../command.ts";

/** Which of how many workers this is. */
export interface Share {
  readonly index: number;
  readonly count: number;
}

const form = /^(\d{1,6})\/(\d{1,6})$/;

/** The option `--share`; `what` is what every Nth of is taken: "answers every Nth request". */
export function shareOption(what: string): Option {
  return {
    value: "I/N",
    kind: kind("which of how many workers this is, as 0/4", (x) => {
      const found = typeof x === "string" && form.exec(x);
      return !!found && Number(found[1]) < Number(found[2]);
    }),
    help: `this worker ${what} from the Ith, from 0 (default: as the array says, else all)`,
  };
}

/** What `--share` says, else the array; null where there is neither. */
export function shareOf(command: string, text: string | undefined): Share | null {
  if (text === undefined) return arrayShare(command);
  const [, index, count] = form.exec(text)!.map(Number);
  return { index, count };
}

const whole = (name: string): number | null => {
  const text = environment(name);
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
};

/**
 * This worker among those of an array: SLURM_ARRAY_TASK_ID with its COUNT and MIN, or Kubernetes' JOB_COMPLETION_INDEX, which
 * goes with JOB_COMPLETIONS (set it from the Job's spec). Null: there is no array.
 * @throws {FormatError} for an array whose size is not told.
 */
export function arrayShare(command: string): Share | null {
  const task = whole("SLURM_ARRAY_TASK_ID"), index = whole("JOB_COMPLETION_INDEX");
  if (task !== null) {
    const first = whole("SLURM_ARRAY_TASK_MIN") ?? 0, last = whole("SLURM_ARRAY_TASK_MAX");
    const step = whole("SLURM_ARRAY_TASK_STEP") ?? 1, count = whole("SLURM_ARRAY_TASK_COUNT");
    const even = last === null ? null : Math.floor((last - first) / step) + 1;
    const size = count ?? even, at = (task - first) / step;
    if (even !== null && size !== even) {
      throw new FormatError(
        `${command}: the array has ${size} tasks from ${first} to ${last}, expected them evenly apart (--array=0-7, 0-14:2), as each tells ` +
          "its share by its number; or give --share I/N",
      );
    }
    if (size !== null && Number.isInteger(at) && at >= 0 && at < size) return { index: at, count: size };
    throw new FormatError(
      `${command}: SLURM_ARRAY_TASK_ID is ${task}, and SLURM_ARRAY_TASK_COUNT and _MIN do not say of how many; give --share I/N`,
    );
  }
  if (index === null) return null;
  const count = whole("JOB_COMPLETIONS");
  if (count !== null && index < count) return { index, count };
  throw new FormatError(
    `${command}: JOB_COMPLETION_INDEX is ${index}, and JOB_COMPLETIONS does not say of how many; set it to the Job's completions, ` +
      "or give --share I/N",
  );
}
