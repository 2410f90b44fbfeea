/**
 * Fields of requests: what changes nothing is accepted from whatever client, what cannot be honoured is refused by name, and
 * nothing else is said. Asked by the official `openai` client where it knows the field.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type OpenAI from "openai";
import { type ChatTemplate, GPT2, loadChatTemplate } from "../mod.ts";
import { fieldNames, fields } from "../cli/serve/fields.ts";
import { parseBody, seedOf } from "../cli/serve/json_body.ts";
import { Problem } from "../cli/serve/problem.ts";
import { unhonoured } from "../cli/serve/unhonoured.ts";
import { Generator } from "../src/core/random.ts";
import { output } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { bundled, byteModel, chatml, post, refused, withServer } from "./_serve.ts";
import { width } from "./_width.ts";

type Fields = Record<string, unknown>;

describe("serve, fields", () => {
  let model: GPT2, json: GPT2, template: ChatTemplate;
  before(async () => {
    model = await GPT2.load(bundled);
    json = byteModel(600);
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: chatml }));
      template = (await loadChatTemplate(folder))!;
    });
  });
  after(() => {
    model.dispose();
    json.dispose();
  });
  const base = { model: "shakespeare", max_tokens: 3, temperature: 0 };
  const messages = [{ role: "user" as const, content: "hi" }];
  const complete = (client: OpenAI, more: Fields): Promise<OpenAI.Completion> =>
    client.completions.create({ ...base, prompt: "A", ...more } as OpenAI.CompletionCreateParamsNonStreaming);
  const chat = (client: OpenAI, more: Fields): Promise<OpenAI.ChatCompletion> =>
    client.chat.completions.create(
      { ...base, messages, ...more } as OpenAI.ChatCompletionCreateParamsNonStreaming,
    );

  it("with values that change nothing give what the request gives without them", async () => {
    await withServer({ template }, async (_server, client) => {
      const plain = (await complete(client, {})).choices, said = (await chat(client, {})).choices;
      const both: Fields[] = [
        { store: false },
        { metadata: {} },
        { metadata: { run: "7" } },
        { user: "u" },
        { safety_identifier: "u" },
        { prompt_cache_key: "k" },
        { prompt_cache_retention: "24h" },
        { service_tier: "default" },
        { service_tier: "auto" },
        { parallel_tool_calls: false },
        { parallel_tool_calls: true },
        { tools: [] },
        { tool_choice: "none" },
        { tool_choice: "auto" },
        { functions: [], function_call: "none" },
        { modalities: ["text"] },
        { prediction: { type: "content", content: "x" } },
        { reasoning_effort: "none" },
        { verbosity: "medium" },
        { logit_bias: {} },
        {
          stop: null,
          seed: null,
          n: null,
          top_p: null,
          audio: null,
          tools: null,
          web_search_options: null,
          unheard_of: null,
        },
        { stream: false, stream_options: null },
        { stream_options: { include_usage: false } },
        // Nothing ends a text of this model early.
        { min_tokens: 2 },
        { min_tokens: 2, ignore_eos: true },
        { n: 1, best_of: 1, top_p: 1, presence_penalty: 0, frequency_penalty: 0, logprobs: false },
        { response_format: { type: "text" } },
        {
          top_k: -1,
          min_p: 0,
          repetition_penalty: 1,
          use_beam_search: false,
          length_penalty: 1,
          stop_token_ids: [],
        },
        {
          skip_special_tokens: true,
          ignore_eos: false,
          include_stop_str_in_output: false,
          guided_decoding_backend: "auto",
        },
        {
          mirostat: 0,
          mirostat_tau: 5,
          mirostat_eta: 0.1,
          dry_multiplier: 0,
          dry_base: 1.75,
          xtc_threshold: 0.1,
        },
        { repeat_penalty: 1, repeat_last_n: 64, penalize_nl: false, n_predict: -1, min_keep: 0, slot_id: -1 },
        { mirostat: 0, tfs_z: 1, cache_prompt: true, n_keep: 0, id_slot: -1, grammar: "" },
        { keep_alive: "5m", options: {}, think: false, raw: false },
        { stop: "", format: "", truncate: true, truncate_prompt_tokens: -1, audio: {} },
        { num_ctx: 100_000, route: "fallback", usage: { include: false }, reasoning: { enabled: false } },
        { samplers: ["top_k", "temperature"], usage: { include: true } },
        { provider: {}, transforms: [], extra_body: {} },
        { new_list: [], new_object: {} },
      ];
      for (const more of both) {
        assertEquals((await complete(client, more)).choices, plain, JSON.stringify(more));
        assertEquals((await chat(client, more)).choices, said, JSON.stringify(more));
      }
      for (const more of [{ suffix: "" }, { echo: false }, { prompt: "A", best_of: null }]) {
        assertEquals((await complete(client, more)).choices, plain, JSON.stringify(more));
      }
      for (
        const more of [{ logprobs: false, top_logprobs: 0 }, { echo: false }, {
          max_tokens: undefined,
          max_completion_tokens: 3,
        }]
      ) {
        assertEquals((await chat(client, more)).choices, said, JSON.stringify(more));
      }
    }, model);
  });

  it("that change something and cannot be honoured are refused by name, with a hint only where one is near", async () => {
    await withServer({ template }, async (_server, client) => {
      for (
        const [more, message] of [
          [{ store: true }, /store cannot be honoured: nothing is stored here/],
          [{ tools: [{ type: "function", function: { name: "f" } }] }, /tools cannot be honoured/],
          [{ tool_choice: "required" }, /tool_choice cannot be honoured/],
          [{ service_tier: "flex" }, /service_tier cannot be honoured/],
          [{ modalities: ["text", "audio"] }, /modalities cannot be honoured/],
          [{ reasoning_effort: "high" }, /reasoning_effort cannot be honoured/],
          [{ reasoning: { enabled: true } }, /reasoning cannot be honoured/],
          [{ num_ctx: 4 }, /num_ctx cannot be honoured: the context is as long as the model's/],
          [{ samplers: ["top_k"], top_p: 0.5 }, /samplers cannot be honoured/],
          [{ route: "other" }, /route cannot be honoured/],
          [{ truncate_prompt_tokens: 3 }, /truncate_prompt_tokens cannot be honoured/],
          [{ verbosity: "low" }, /verbosity cannot be honoured/],
          [{ web_search_options: {} }, /web_search_options cannot be honoured/],
          [{ repeat_penalty: 1.2 }, /repeat_penalty cannot be honoured: use repetition_penalty/],
          [{ mirostat: 2 }, /mirostat cannot be honoured/],
          [{ skip_special_tokens: false }, /skip_special_tokens cannot be honoured/],
          [{ grammar: 'root ::= "a"' }, /grammar cannot be honoured: .*guided_regex/],
          [{ n: 2, best_of: 3 }, /best_of cannot be honoured: .*use n/],
          [
            { stream: true, stream_options: { include_obfuscation: true } },
            /stream_options\.include_obfuscation cannot/,
          ],
          [{ temprature: 1 }, /no field "temprature"; did you mean "temperature"\?$/],
          [{ max_token: 1 }, /no field "max_token"; did you mean "max_tokens"\?$/],
          [{ zzz: 1 }, /there is no field "zzz"$/],
          [{ prompt_template_id: 4 }, /there is no field "prompt_template_id"$/],
        ] as [Fields, RegExp][]
      ) {
        await refused(complete(client, more), 400, message);
        await refused(chat(client, more), 400, message);
      }
      await refused(chat(client, { echo: true }), 400, /echo belongs to \/v1\/completions/);
      await refused(complete(client, { messages }), 400, /messages belongs to \/v1\/chat\/completions/);
      await refused(complete(client, { suffix: "x" }), 400, /suffix cannot be honoured/);
      await refused(chat(client, { top_logprobs: 2 }), 400, /top_logprobs belong to logprobs: true/);
      await refused(chat(client, { messages: null }), 400, /messages is missing/);
    }, model);
  });

  it("are all looked at: no name of the tables, with any value, is passed over or ends in an error of the server", async () => {
    await withServer({ template, maxBatch: 4 }, async ({ url }) => {
      const random = new Generator(11), int = (n: number): number => Math.floor(random.uniform() * n);
      const values: unknown[] = [
        null,
        true,
        false,
        0,
        1,
        -1,
        3.5,
        1e300,
        -(2 ** 63),
        "",
        "a",
        "json",
        "none",
        [],
        [1],
        ["a"],
        [null],
        [[]],
        {},
        { type: "text" },
        { a: 1 },
        { type: "json_schema" },
        [{}],
        { json: {} },
        { 1: 1 },
        { include_usage: true },
      ];
      const names = [...new Set([...Object.keys(fields), ...Object.keys(unhonoured), "nothing_known"])];
      for (let i = 0; i < width(400, 100); i++) {
        const route = random.uniform() < 0.5 ? "completions" : "chat/completions";
        const own = route === "completions" ? { prompt: "A" } : { messages };
        const given = Object.fromEntries(
          Array.from({ length: 1 + int(3) }, () => [names[int(names.length)], values[int(values.length)]]),
        );
        const asked = { max_tokens: 2, temperature: 0, ...own, ...given }, text = JSON.stringify(asked);
        const response = await fetch(`${url}/v1/${route}`, { ...post, body: text });
        const answer = await response.text();
        assert([200, 400, 404].includes(response.status), `${response.status} ${text}: ${answer}`);
        if (response.status === 200) continue;
        const { error } = JSON.parse(answer);
        assertStrictEquals(error.type, "invalid_request_error");
        assert(error.message.length > 8 && error.message.length < 1200, text);
      }
    }, model);
  });

  it("seeds are whole numbers of 64 bits, each its own draws", async () => {
    await withServer({}, async ({ url }, client) => {
      const drawn = async (seed: number): Promise<string> =>
        (await complete(client, { seed, temperature: 1, max_tokens: 12 })).choices[0].text;
      const alone = await model.complete("A", { seed: 42, maxNewTokens: 12, temperature: 1, topK: 0 });
      assertStrictEquals(await drawn(42), alone);
      const texts = new Set<string>();
      for (const seed of [-1, -2, -(2 ** 63), 2 ** 53, 2 ** 60]) {
        const text = await drawn(seed);
        assertStrictEquals(await drawn(seed), text);
        texts.add(text);
      }
      assertStrictEquals(texts.size, 5);
      // Digits that a double does not hold are heard too.
      const raw = async (seed: string): Promise<string> => {
        const body = `{"prompt":"A","max_tokens":12,"seed":${seed}}`;
        return (await (await fetch(`${url}/v1/completions`, { ...post, body })).json()).choices[0].text;
      };
      assert(await raw("9223372036854775807") !== await raw("9223372036854775806"));
      assertStrictEquals(await raw("-9223372036854776000"), await drawn(-(2 ** 63)));
      const several = await complete(client, { seed: -5, n: 3, temperature: 1, max_tokens: 12 });
      assertStrictEquals(new Set(several.choices.map(({ text }) => text)).size, 3);
      for (const seed of [1.5, 2 ** 64, -(2 ** 64), "7"]) {
        await refused(complete(client, { seed }), 400, /seed is .* a whole number of 64 bits/);
      }
    }, model);
    const numbers = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const value = -1 - i, found = seedOf(`{"seed":${value}}`, value);
      assert(Number.isSafeInteger(found) && found >= 0);
      numbers.add(found);
    }
    assertStrictEquals(numbers.size, 1000);
    assertStrictEquals(seedOf("", 5), 5);
    for (const text of ["9223372036854775808", "-9223372036854775809", "9223372036854775900"]) {
      assertThrows(() => seedOf(`{"seed":${text}}`, Number(text)), Problem, `seed is ${text}`);
    }
  });

  it("a prompt of nothing begins at the beginning, and a path may end with a slash", async () => {
    await withServer({ name: "bytes" }, async ({ url }, client) => {
      const ask = async (prompt: unknown): Promise<string> =>
        (await complete(client, { model: "bytes", prompt })).choices[0].text;
      // The configuration names no token that begins a text; the tokenizer has GPT-2's.
      const begun = await ask("<|endoftext|>");
      for (const prompt of [undefined, null, ""]) assertStrictEquals(await ask(prompt), begun);
      for (const path of ["/v1/models/", "/v1/models/bytes/", "/health/"]) {
        const response = await fetch(url + path);
        assertStrictEquals(response.status, 200, path);
        await response.body?.cancel();
      }
      const body = JSON.stringify({ prompt: "a", max_tokens: 2, temperature: 0 });
      const answers = await Promise.all(["/v1/completions", "/v1/completions/"].map(async (path) => {
        return (await (await fetch(url + path, { ...post, body })).json()).choices;
      }));
      assertEquals(answers[0], answers[1]);
    }, json);
  });

  it("a prompt that does not fit is told so as OpenAI tells it", async () => {
    await withServer({ template }, async (_server, client) => {
      const long = (status: Promise<unknown>, param: string): Promise<void> =>
        status.then(
          () => assert(false, "it fits"),
          (error: Error & { code?: unknown; param?: unknown; status?: unknown; type?: unknown }) => {
            assertEquals([error.status, error.code, error.param, error.type], [
              400,
              "context_length_exceeded",
              param,
              "invalid_request_error",
            ]);
            assertMatch(error.message, /maximum context length is 128 tokens/);
          },
        );
      const text = "a".repeat(200), endless = "a".repeat(50_000);
      await long(complete(client, { prompt: text }), "prompt");
      await long(complete(client, { prompt: endless }), "prompt");
      await long(complete(client, { prompt: Array(200).fill(3) }), "prompt");
      await long(complete(client, { prompt: ["a", text] }), "prompt");
      await long(complete(client, { max_tokens: 128 + 1 }), "max_tokens");
      await long(chat(client, { messages: [{ role: "user", content: text }] }), "messages");
      await long(chat(client, { messages: [{ role: "user", content: endless }] }), "messages");
    }, model);
  });

  it("formats are heard in the words of every server", async () => {
    const schema = {
      type: "object",
      properties: { ok: { type: "boolean" } },
      required: ["ok"],
      additionalProperties: false,
    };
    await withServer({ template, name: "bytes" }, async (_server, client) => {
      for (
        const [more, expected] of [
          [
            { response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema } } },
            /^\{"ok": ?(true|false)\}$/,
          ],
          [{ response_format: { type: "json_object", schema } }, /^\{"ok": ?(true|false)\}$/],
          [{ guided_json: schema }, /^\{"ok": ?(true|false)\}$/],
          [{ guided_json: JSON.stringify(schema) }, /^\{"ok": ?(true|false)\}$/],
          [{ structured_outputs: { json: schema } }, /^\{"ok": ?(true|false)\}$/],
          [{ json_schema: schema }, /^\{"ok": ?(true|false)\}$/],
          [{ format: schema }, /^\{"ok": ?(true|false)\}$/],
          [{ format: "json" }, /^\{.*\}$/s],
          [{ guided_regex: "[a-c]{3}-\\d" }, /^[a-c]{3}-\d$/],
          [{ structured_outputs: { regex: "[a-c]{3}-\\d" } }, /^[a-c]{3}-\d$/],
          [{ guided_choice: ["yes (a)", "no"] }, /^(yes \(a\)|no)$/],
          [{ structured_outputs: { choice: ["up", "down"] } }, /^(up|down)$/],
        ] as [Fields, RegExp][]
      ) {
        for (let seed = 0; seed < 3; seed++) {
          const asked = { model: "bytes", max_tokens: 60, temperature: 1.2, seed, ...more };
          assertMatch(
            (await chat(client, asked)).choices[0].message.content ?? "",
            expected,
            JSON.stringify(more),
          );
        }
      }
      for (
        const [more, message] of [
          [{ guided_json: "{no" }, /guided_json is "\{no", which is no JSON/],
          [{ guided_regex: "a", guided_json: schema }, /guided_json and guided_regex both say/],
          [{ structured_outputs: { regex: "a", json: {} } }, /structured_outputs has/],
          [{ structured_outputs: { grammar: "x" } }, /structured_outputs has/],
          [{ response_format: { type: "yaml" } }, /type is "yaml", expected/],
          [{
            response_format: {
              type: "json_schema",
              json_schema: { schema: { type: "string", format: "color" } },
            },
          }, /format "color" is none/],
        ] as [Fields, RegExp][]
      ) await refused(chat(client, { model: "bytes", ...more }), 400, message);
    }, json);
  });

  it("are all named by --help, with their limits", async () => {
    const text = await output(["serve", "--help"]);
    for (const name of [...fieldNames("completions"), ...fieldNames("chat")]) {
      const line = text.split("\n").find((line) => line.startsWith(`  ${name} `));
      assert(line?.includes(fields[name].expected), `${name}: ${line}`);
    }
    for (const option of ["--max-body", "--max-texts", "--max-queue", "--max-batch", "--patience"]) {
      assert(text.includes(option));
    }
    assertMatch(text, /262144 values, 128 deep.*131072 characters.*2048 ways/s);
    assertEquals(parseBody(`{"a":[${"1,".repeat(1000)}1]}`).a instanceof Array, true);
  });
});
