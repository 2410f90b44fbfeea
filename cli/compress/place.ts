/**
 * Where a compressed model is written: nothing that is there is lost in silence.
 *
 * @module
 */
import type { CausalLM, DType } from "../../mod.ts";
import { readDir, stat } from "../../src/platform/platform.ts";
import { oneOf } from "../../src/core/kinds.ts";
import { type Option, UsageError, type Values } from "../command.ts";
import { openWeights } from "../commands/inspect.ts";
import { note } from "../output.ts";

/** How the model is stored. */
export const storedOption: Option = {
  value: "TYPE",
  kind: oneOf("f32", "f16", "bf16", "q8", "q4"),
  help: "how the model is stored (default f32)",
};

/** @throws {UsageError} where something in `out` would be lost. */
export async function demandRoomFor(command: string, out: string, force: boolean): Promise<void> {
  if (out === "") throw new UsageError(`${command}: where to write is a path, not ""`);
  const found = await stat(out);
  if (found && !found.isDirectory) {
    throw new UsageError(`${command}: ${out} is a file, and a model's folder is written; name another`);
  }
  if (force || !found || (await readDir(out)).length === 0) return;
  throw new UsageError(`${command}: ${out} holds files already; give --force to replace it, or name another`);
}

/** Writes a model; gives the bytes of its weights. */
export async function writeModel(model: CausalLM, out: string, values: Values): Promise<number> {
  model.eval();
  const dtype = (values.text("dtype") ?? "f32") as DType;
  await model.save(out, { dtype, onWarning: (message) => void note(message) });
  await using written = await openWeights(out);
  return written.names.reduce((sum, name) => sum + written.info(name).byteLength, 0);
}
