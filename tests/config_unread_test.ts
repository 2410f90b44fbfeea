/**
 * Fields of a config.json that nothing reads: refused where they would change the numbers, told of where they are slips.
 */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CausalLM, GPT2 } from "../mod.ts";
import { FormatError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { unreadFields } from "../src/models/unread.ts";
import { familyNames, familyOf } from "../src/models/registry.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

describe("fields of a config.json that nothing reads", () => {
  const sized = (type: string): Record<string, unknown> =>
    familyOf(type, "").sized({ vocabSize: 40, contextLength: 64, width: 64, layers: 2, heads: 2 } as never);

  for (const type of familyNames) {
    it(`${type}: what would change the numbers is refused by name`, () => {
      const family = familyOf(type, "config.json");
      family.parse(sized(type), "config.json");
      const wrong = {
        clip_qkv: 8,
        quantization_config: { bits: 4 },
        alibi: true,
        ...(type === "mixtral" ? {} : { num_local_experts: 8 }),
        kv_lora_rank: 64,
      };
      for (const [name, value] of Object.entries(wrong)) {
        const error = assertThrows(
          () => family.parse({ ...sized(type), [name]: value }, "config.json"),
          FormatError,
        );
        assertMatch(error.message, new RegExp(`^config.json: ${name} `));
        for (const off of [null, {}]) {
          if (off === null || name === "quantization_config") {
            family.parse({ ...sized(type), [name]: off }, "config.json");
          }
        }
      }
    });
  }

  it("a slip is told with the name that was meant; other names are kept in silence", () => {
    const random = new Generator(42),
      read = ["n_head", "hidden_size", "rope_theta", "attention_bias", "num_hidden_layers"];
    for (let round = 0; round < 200; round++) {
      const meant = read[random.integer(0, read.length)],
        letters = [...meant],
        at = random.integer(1, letters.length - 1);
      if (random.uniform() < 0.5) letters.splice(at, 2, letters[at + 1], letters[at]);
      else letters.splice(at, 1);
      const name = letters.join("");
      if (read.includes(name)) continue;
      const said = unreadFields({ [name]: 1 }, new Set(read), "c", "gpt2");
      assertEquals(said.length, 1, name);
      assert(said[0].endsWith(`did you mean ${meant}?`), said[0]);
    }
    assertEquals(
      unreadFields(
        { _name_or_path: "x", transformers_version: "5", task_specific_params: { a: 1 } },
        new Set(read),
        "c",
        "x",
      ),
      [],
    );
  });

  it("a slip in a folder is heard by who loads it, and by nobody else", async () => {
    const folder = join(repository, "web/models/shakespeare"), given: Record<string, Uint8Array> = {};
    for (const name of readdirSync(folder).filter((name) => /json|safetensors/.test(name))) {
      given[name] = new Uint8Array(readFileSync(join(folder, name)));
    }
    const { layer_norm_epsilon, ...rest } = JSON.parse(new TextDecoder().decode(given["config.json"]));
    const config = { ...rest, layer_norm_epsilom: layer_norm_epsilon };
    given["config.json"] = new TextEncoder().encode(JSON.stringify(config));
    const heard: string[] = [], warned: unknown[] = [], { warn } = console;
    console.warn = (...text) => void warned.push(text);
    try {
      const options = { device: "reference", onWarning: (message: string) => heard.push(message) } as const;
      (await GPT2.load(given as never, options)).dispose();
      (await CausalLM.load(given as never, options)).dispose();
      assertEquals(heard.filter((message) => /layer_norm_epsilom is not read/.test(message)).length, 2);
      for (const type of familyNames) {
        const own: string[] = [], { bos_token_id: _, ...json } = sized(type);
        familyOf(type, "").parse({ ...json, bos_tokn_id: 4 }, "c", {}, (message) => own.push(message));
        assertEquals(own, ["c: bos_tokn_id is not read; did you mean bos_token_id?"], type);
      }
      assertEquals(warned, []);
    } finally {
      console.warn = warn;
    }
  });
});
