/**
 * Lesson 6: what one may ask of generation.
 *
 * Names and defaults are those of Hugging Face. An option that does not exist, or that others make meaningless, is an
 * error: nothing is silently ignored.
 */
import { GPT2, OptionError } from "../mod.ts";

const model = await GPT2.load(new URL("../web/models/shakespeare/", import.meta.url));
const prompt = "ROMEO:\n",
  show = (name: string, text: string): void => console.log(`${name}: ${JSON.stringify(text)}`);

show("greedy", await model.complete(prompt, { doSample: false, maxNewTokens: 40 }));
show("sampled", await model.complete(prompt, { temperature: 0.8, topP: 0.9, seed: 7, maxNewTokens: 40 }));
show(
  "the same seed",
  await model.complete(prompt, { temperature: 0.8, topP: 0.9, seed: 7, maxNewTokens: 40 }),
);
show("four beams", await model.complete(prompt, { numBeams: 4, maxNewTokens: 20 }));
show("one line", await model.complete(prompt, { stop: "\n", seed: 1, maxNewTokens: 100 }));

// A processor of your own sees the text so far and changes the logits: here no letter e.
const e = model.encode("e")[0];
const noE = (_ids: readonly number[], logits: Float32Array): void => void (logits[e] = -Infinity);
show("without e", await model.complete(prompt, { logitsProcessors: [noE], seed: 1, maxNewTokens: 40 }));

// The key-value cache can be kept: the second call computes what is new, and no more.
using cache = model.createCache();
const first = await model.completion(prompt, { cache, seed: 1, maxNewTokens: 20 });
const second = await model.completion("\n\nJULIET:\n", { cache, seed: 2, maxNewTokens: 20 });
show("a dialogue", `${first.text} / ${second.text}`);
console.log(`${cache.length} positions computed for ${cache.ids.length} tokens`);

// Stopping: leave the loop, or abort a signal.
let pieces = 0;
for await (const _ of model.generate(prompt, { maxNewTokens: 1000, seed: 1 })) if (++pieces === 5) break;
const signal = AbortSignal.timeout(50);
const cancelled = await model.complete(prompt, { maxNewTokens: 1e6, signal }).catch((error: Error) =>
  error.name
);
console.log(`${pieces} pieces, then ${cancelled}`);

try {
  await model.complete(prompt, { doSample: false, temperature: 0.8 });
} catch (error) {
  if (error instanceof OptionError) console.log(error.message);
}
