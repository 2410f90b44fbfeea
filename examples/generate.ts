/**
 * Text from the model that ships with the repository.
 *
 * The same seed prints the same text on Deno, Bun and Node, because deterministic mode leaves out the few
 * instructions whose last bit differs between runtimes.
 *
 *     deno run -A examples/generate.ts "ROMEO:"
 *     bun examples/generate.ts "ROMEO:"
 *     node examples/generate.ts "ROMEO:"
 */
import { argv, exit, stdout } from "node:process";
import { GPT2, useDeterministicAlgorithms } from "../mod.ts";

useDeterministicAlgorithms(true);
const prompt = argv[2] ?? "ROMEO:";
if (prompt.startsWith("-") || argv.length > 3) {
  console.error("usage: generate [PROMPT]; the command `ferrotype generate` has options");
  exit(prompt === "--help" || prompt === "-h" ? 0 : 2);
}
const model = await GPT2.load(new URL("../web/models/shakespeare/", import.meta.url));

stdout.write(prompt);
for await (const piece of model.generate(prompt, { maxNewTokens: 400, temperature: 0.8, seed: 1 })) {
  stdout.write(piece);
}
stdout.write("\n");
