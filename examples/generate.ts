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
import { argv, stdout } from "node:process";
import { GPT2, useDeterministicAlgorithms } from "../mod.ts";

useDeterministicAlgorithms(true);
const prompt = argv[2] ?? "ROMEO:";
const model = await GPT2.load(new URL("../web/models/shakespeare/", import.meta.url));

stdout.write(prompt);
for await (const piece of model.generate(prompt, { maxNewTokens: 400, temperature: 0.8, seed: 1 })) {
  stdout.write(piece);
}
stdout.write("\n");
