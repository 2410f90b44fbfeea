/**
 * `ferrotype bench`: the figures of this machine, each beside the machine's own limit.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import { benchmark, diagnose, type Figure, setThreads } from "../../mod.ts";
import { onStop } from "../../src/platform/platform.ts";
import type { Command } from "../command.ts";
import { counted, note, print, printJson } from "../output.ts";

function line({ name, value, unit, limit }: Figure): string {
  const speed = `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ${unit}`;
  const share = limit
    ? `${(100 * limit.share).toFixed(1)} % of ${limit.name} (${
      limit.value >= 100 ? limit.value.toFixed(0) : limit.value.toFixed(2)
    })`
    : "";
  return `${name.padEnd(58)}${speed.padStart(18)}   ${share}`.trimEnd();
}

/** The command. */
export const bench: Command = {
  name: "bench",
  usage: "[options]",
  summary:
    "Measures this machine: products, decoding, prompts and training, beside the machine's own limits.",
  details:
    "Takes half a minute and 2 GB of memory, or with --small seconds. A share is the median of ratios measured\n" +
    "next to each other, so it holds on a machine that does other things too; a speed alone does not.",
  positionals: [0, 0],
  options: {
    small: { help: "leave out GPT-2 124M" },
    rounds: {
      value: "N",
      kind: whole(1, 1000),
      help: "rounds of which the median is taken (default 7)",
    },
    threads: { value: "N", kind: whole(1, 1024), help: "threads to use (default: all)" },
  },
  async run(values) {
    const threads = values.number("threads"), json = values.flag("json");
    if (threads !== undefined) setThreads(threads);
    const controller = new AbortController();
    const remove = onStop(() => controller.abort());
    try {
      const { runtime, system, cpu, threads: { used }, blas } = await diagnose();
      const machine = { runtime, system, cpu, threads: used, blas: blas.detail ?? null };
      const about = `${runtime}, ${system}${cpu ? `, ${cpu}` : ""}, ${counted(used, "thread")}`;
      const native = blas.available ? blas.detail : `no BLAS: ${blas.detail}`;
      await (json ? note : print)(`${about}; ${native}`);
      const figures: Figure[] = [], rounds = values.number("rounds");
      const options = {
        small: values.flag("small"),
        signal: controller.signal,
        ...(rounds ? { rounds } : {}),
      };
      for await (const figure of benchmark(options)) {
        figures.push(figure);
        await (json ? note : print)(line(figure));
      }
      if (json) await printJson({ machine, figures });
    } finally {
      remove();
    }
  },
};
