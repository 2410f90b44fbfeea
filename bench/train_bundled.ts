/**
 * `deno task train:bundled`: makes `web/models/shakespeare` again, from the text of the shared data.
 *
 * About an hour on two cores. Stop it with Ctrl-C and start it again to go on. What it leaves beside the model
 * (settings, log, loss curve) is the record of how the model was made.
 *
 * @module
 */
import { argv, env, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { common } from "../cli/command.ts";
import { train } from "../cli/commands/train.ts";
import { main } from "../cli/main.ts";
import { exists } from "../src/platform/platform.ts";
import { ensurePackages } from "../tests/_install.ts";
import { readTask } from "../tools/task.ts";

// Where it reads and writes is this task's own; how it trains may be said.
const { out: _out, plot: _plot, ...further } = train.options, { json, verbose } = common;
readTask({
  name: "train:bundled",
  usage: "[options of ferrotype train]",
  summary: "Makes the bundled model again, in about an hour on two cores; goes on where it was stopped.",
  details: "Data: the folder that FERROTYPE_DATA names, or ../shared/data beside the repository.",
  options: { ...further, json, verbose },
});

const data = env.FERROTYPE_DATA ?? fileURLToPath(new URL("../../shared/data", import.meta.url));
const text = `${data}/text/tinyshakespeare.txt`;
if (!await exists(text)) {
  console.error(`train:bundled: there is no ${text}; say where the data are with FERROTYPE_DATA`);
  exit(1);
}
ensurePackages();
const out = fileURLToPath(new URL("../web/models/shakespeare", import.meta.url));

/** The sizes and rates of the bundled model. */
const recipe = [
  ["--n-layer", "4", "--n-head", "6", "--n-embd", "192", "--block-size", "128"],
  ["--batch-size", "16", "--steps", "5000", "--lr", "0.002", "--min-lr", "0.0001", "--warmup", "100"],
  ["--weight-decay", "0.1", "--seed", "1337", "--eval-every", "250", "--dtype", "bf16", "--force"],
].flat();

const resume = await exists(`${out}/checkpoints`) ? ["--resume"] : recipe;
exit(
  await main([
    "train",
    text,
    "-o",
    out,
    "--plot",
    `${out}/loss.svg`,
    ...resume,
    ...argv.slice(2),
  ]),
);
