/**
 * `ferrotype doctor`: what this machine gives, and why not what it does not.
 *
 * @module
 */
import { diagnose } from "../../mod.ts";
import type { Command } from "../command.ts";
import { formatBytes, print, printJson } from "../output.ts";

/** The command. */
export const doctor: Command = {
  name: "doctor",
  usage: "",
  summary: "Tells which devices, instructions and threads this machine gives, and why not where it does not.",
  positionals: [0, 0],
  options: {},
  async run(values) {
    const found = await diagnose();
    if (values.flag("json")) return await printJson(found);
    const line = (name: string, text: string): Promise<void> => print(`${name.padEnd(18)}${text}`);
    await line("runtime", found.runtime);
    await line(
      "system",
      `${found.system}${found.cpu ? `, ${found.cpu}` : ""}${
        found.memory ? `, ${formatBytes(found.memory)}` : ""
      }`,
    );
    await line(
      "threads",
      `${found.threads.used} of ${found.threads.hardware}${
        found.threads.detail ? `: ${found.threads.detail}` : ""
      }`,
    );
    await line(
      "blas",
      `${found.blas.available ? "yes" : "no"}${found.blas.detail ? `: ${found.blas.detail}` : ""}`,
    );
    for (const [name, a] of Object.entries(found.wasm)) {
      await line(name, a.available ? "yes" : `no: ${a.detail ?? "the engine does not have it"}`);
    }
    for (const [name, a] of Object.entries(found.devices)) {
      await line(`device ${name}`, `${a.available ? "yes" : "no"}${a.detail ? `: ${a.detail}` : ""}`);
    }
  },
};
