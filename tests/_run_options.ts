/**
 * The options of `tests/run.ts`, which `tests/ok.ts` hands on.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import type { Options } from "../cli/command.ts";
import { whole } from "../src/core/kinds.ts";
import { namesOf } from "../tools/task.ts";
import { runtimeKinds } from "./_runtimes.ts";

/** How many processes at a time, when nothing is said: two more than there are cores, for some wait. */
export const defaultJobs: number = Math.min(availableParallelism() + 2, 6);

/** Each with its help. */
export const runOptions: Options = {
  runtime: {
    value: "A,B",
    kind: namesOf(runtimeKinds.map(({ name }) => name)),
    help: "only on these: deno, bun, node",
  },
  all: {
    help:
      "every file on every runtime, each in a process of its own, also what asks nothing of its runtime and ran on another",
  },
  jobs: {
    value: "N",
    kind: whole(1, 256),
    help: "processes at a time (default: two more than there are cores, at most 6)",
  },
  "no-install": {
    help: "install nothing that is missing (packages, runtimes; where CI is set, rivals) with npm",
  },
  times: { help: "the processor time of each process of tests, longest first" },
  record: {
    help:
      "each file in a process of its own, and tests/times.json says afterwards what it took: what takes longest is begun first",
  },
  verbose: { help: "everything that the test processes print" },
};
