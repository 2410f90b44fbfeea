/** What the first layers alone would say: `hidden` with `depth`, of two families, against models of so many layers. */
import { assertEquals, assertThrows } from "@std/assert";
import { CausalLM, GPT2, manualSeed, OptionError } from "../mod.ts";
import { describe, it } from "./_suite.ts";

const sizes = { vocabSize: 23, nPositions: 16, nEmbd: 16, nHead: 2 };
const ids = [3, 1, 4, 1, 5, 9, 2, 6];

/** Models of 3 layers and of fewer, with the same weights. */
const families = {
  gpt2: (layers: number): GPT2 => new GPT2({ ...sizes, nLayer: layers }),
  llama: (layers: number): Promise<CausalLM> =>
    CausalLM.fromSizes("llama", {
      vocabSize: 23,
      contextLength: 16,
      width: 16,
      heads: 2,
      kvHeads: 1,
      layers,
    }),
};

describe("hidden with depth", () => {
  for (const [family, make] of Object.entries(families)) {
    it(`${family}: of so many layers it is what a model of them gives, to the bit`, async () => {
      manualSeed(7);
      using whole = await make(3);
      whole.eval();
      for (let depth = 0; depth <= 3; depth++) {
        using seen = whole.hidden(ids, { depth });
        using said = whole.logits(seen);
        using part = await make(Math.max(1, depth));
        part.eval();
        part.loadStateDict(whole.stateDict(), { strict: false });
        using expected = depth > 0 ? part.forward(ids) : null;
        if (expected) assertEquals(await said.data(), await expected.data(), `depth ${depth}`);
        assertEquals(seen.shape, [1, ids.length, 16]);
      }
    });
  }

  it("gpt2: of no layer it is the last norm of the embeddings", async () => {
    manualSeed(8);
    using model = families.gpt2(2);
    model.eval();
    using seen = model.hidden(ids, { depth: 0 });
    using tokens = model.wte.forward(model.ids(ids));
    using sum = tokens.add(model.wpe.weight.slice([0, ids.length]));
    using expected = model.ln_f.forward(sum);
    assertEquals(await seen.data(), await expected.data());
  });

  it("says when there are not so many layers, and that a cache goes with all of them", () => {
    using model = families.gpt2(2);
    using cache = model.createCache();
    assertThrows(() => model.hidden(ids, { depth: 3 }), OptionError, "GPT2 has 2 layers");
    assertThrows(() => model.hidden(ids, { depth: -1 }), OptionError, "depth");
    assertThrows(() => model.hidden(ids, { depth: 1, cache }), OptionError, "beside a cache");
  });
});
