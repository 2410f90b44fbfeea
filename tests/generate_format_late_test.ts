/** A part of the library, as pages take it: formats are fetched with the first text that follows one. */
import { assertMatch } from "@std/assert";
import { join } from "node:path";
import { it } from "node:test";
import { GPT2 } from "../src/runtime/gpt2.ts"; // not mod.ts, which knows formats from the beginning
import { repository } from "./_data.ts";

it("texts follow a format that was not known before: alone, in a batch, several of one prompt", async () => {
  const responseFormat = { type: "regex", pattern: "[A-Z]{4}: [a-z]+ [a-z]+\\." } as const;
  const options = { maxNewTokens: 24, responseFormat, seed: 1 },
    pattern = new RegExp(`^${responseFormat.pattern}$`);
  const folder = join(repository, "web/models/shakespeare");
  const model = await GPT2.load(folder);
  try {
    assertMatch(await model.complete("\n", options), pattern);
    for (const text of await model.completeBatch(["\n", "O"], options)) assertMatch(text.text, pattern);
    for (const { text } of await model.completions("\n", { ...options, numReturnSequences: 2 })) {
      assertMatch(text, pattern);
    }
  } finally {
    model.dispose();
  }
});
