/**
 * Fields of requests: what changes nothing is accepted from whatever client, what cannot be honoured is refused by name, and
 * nothing else is said. Asked by the official `openai` client where it knows the field.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type OpenAI from "openai";
import { type ChatTemplate, GPT2, loadChatTemplate, type LogitsProcessor } from "../mod.ts";
import { fieldNames, fields } from "../cli/serve/fields.ts";
import { parseBody, seedOf } from "../cli/serve/json_body.ts";
import { Problem } from "../cli/serve/problem.ts";
import { samplersComplaint } from "../cli/serve/samplers.ts";
import { unhonoured } from "../cli/serve/unhonoured.ts";
import { Generator } from "../src/core/random.ts";
import { countPenalty } from "../src/generate/processors/penalties.ts";
import { minP, temperature, topK, topP, typicalP } from "../src/generate/processors/warpers.ts";
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
        { repeat_last_n: 0 },
        { penalty_last_n: -1, repeat_last_n: -1 },
        { options: { repeat_last_n: 64, top_k: 0, temperature: 1, num_keep: 0, numa: false, main_gpu: 0 } },
        { options: { num_gpu: 1, num_thread: 4, num_batch: 512, use_mmap: true, low_vram: false } },
        { n_indent: 0, n_discard: 0, n_cache_reuse: 0, return_progress: false, grammar_lazy: false },
        { "speculative.n_max": 16, "speculative.p_min": 0.75, thinking_forced_open: false },
        { adaptive_target: -1, backend_sampling: false, n_predict: 3 },
        { watermark: false, details: false, decoder_input_details: false, return_full_text: false },
        { do_sample: false },
        { do_sample: true },
        { template: "", system: "", penalize_nl: true, typical: 1, ttl: 300, safe_prompt: false },
        { separate_reasoning: true, no_stop_trim: false, mode: "instruct", encoding_format: "float" },
        { epsilon_cutoff: 0, eta_cutoff: 0, smoothing_factor: 0, guidance_scale: 1, penalty_alpha: 0 },
        { dry_sequence_breakers: ["\n"], dry_penalty_last_n: -1, dynatemp_exponent: 2, keep_alive: -1 },
        { keep_alive: "1h30m", include_reasoning: true, reasoning: { effort: "none", exclude: true } },
        { repeat_penalty: 1, repeat_last_n: 64, penalize_nl: false, n_predict: -1, min_keep: 0, slot_id: -1 },
        { mirostat: 0, tfs_z: 1, cache_prompt: true, n_keep: 0, id_slot: -1, grammar: "" },
        { keep_alive: "5m", options: {}, think: false, raw: false },
        { stop: "", format: "", truncate: true, truncate_prompt_tokens: -1, audio: {} },
        { num_ctx: 100_000, route: "fallback", usage: { include: false }, reasoning: { enabled: false } },
        { samplers: ["top_k", "temperature"], usage: { include: true } },
        { provider: {}, transforms: [], extra_body: {} },
        { new_list: [], new_object: {} },
        { truncate_prompt_tokens: 128, options: { num_ctx: 128, mirostat: 0 }, extra_body: { store: false } },
        { chat_template_kwargs: { enable_thinking: false, thinking: false }, enable_thinking: false },
        { max_tokens: 3, max_completion_tokens: 3 },
        { samplers: ["penalties", "dry", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"] },
        { response_format: { type: "text", json_schema: null, schema: {} } },
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
            /there is no field stream_options\.include_obfuscation/,
          ],
          [{ samplers: ["top_k", "zzz"] }, /samplers cannot be honoured: there is no sampler "zzz" here/],
          [
            { samplers: ["temperature"], repetition_penalty: 1.5 },
            /leaves penalties out, and repetition_penalty is/,
          ],
          [{ samplers: ["top_k"] }, /leaves temperature out, and temperature is given/],
          [
            { samplers: ["top_p", "temperature"], top_p: 0.5, temperature: 0.5 },
            /temperature acts before top_p/,
          ],
          [{ truncate_prompt_tokens: 127 }, /truncate_prompt_tokens cannot be honoured/],
          [{ options: { num_ctx: 127 } }, /options cannot be honoured/],
          [{ options: { seed: 3 } }, /options cannot be honoured: fields stand in the request itself/],
          [{ chat_template_kwargs: { enable_thinking: true } }, /chat_template_kwargs cannot be honoured/],
          [
            { max_tokens: 5, max_completion_tokens: 3 },
            /max_tokens is 5, and max_completion_tokens.* is 3; give one/,
          ],
          [{ min_tokens: 50 }, /^400 min_tokens is 50, expected at most max_tokens, which is 3$/],
          [
            { response_format: { type: "text", schema: { type: "integer" } } },
            /response_format\.schema means nothing/,
          ],
          [{ temprature: 1 }, /no field "temprature"; did you mean "temperature"\?$/],
          [{ max_token: 1 }, /no field "max_token"; did you mean "max_tokens"\?$/],
          [{ zzz: 1 }, /there is no field "zzz"$/],
          // What belongs to something that is off is of its kind, too.
          [{ repeat_last_n: -5 }, /repeat_last_n is -5, expected a whole number from -1/],
          [{ penalty_last_n: "x" }, /penalty_last_n is "x", expected a whole number/],
          [
            { repeat_last_n: 3, penalty_last_n: 4 },
            /penalty_last_n is 4, and repeat_last_n.* is 3; give one/,
          ],
          [{ options: { repeat_last_n: 3 }, repetition_penalty: 2 }, /options cannot be honoured/],
          [{ mirostat_tau: "x" }, /mirostat_tau cannot be honoured: it is a number from 0/],
          [{ xtc_threshold: "x" }, /xtc_threshold cannot be honoured: it is a number from 0 to 1/],
          [{ dynatemp_exponent: "x" }, /dynatemp_exponent cannot be honoured: it is a number/],
          [{ dry_sequence_breakers: 5 }, /dry_sequence_breakers cannot be honoured: it is a text, or a list/],
          [{ dry_base: [], mirostat_eta: {} }, /(dry_base|mirostat_eta) cannot be honoured/],
          [{ keep_alive: {} }, /keep_alive cannot be honoured: it is seconds/],
          [{ keep_alive: "soon" }, /keep_alive cannot be honoured: it is seconds/],
          [{ include_reasoning: 3 }, /include_reasoning cannot be honoured: it is true or false/],
          [{ reasoning: { effort: "none", exclude: 5 } }, /reasoning\.exclude is 5, expected true or false/],
          [{ metadata: { a: 1 } }, /metadata cannot be honoured: it is an object of texts/],
          [{ penalize_nl: false, presence_penalty: 1 }, /penalize_nl cannot be honoured/],
          [{ do_sample: false, temperature: 0.5 }, /do_sample cannot be honoured: .* use temperature$/],
          [{ watermark: true }, /watermark cannot be honoured/],
          [{ n_predict: 7 }, /n_predict cannot be honoured: use max_tokens/],
          [{ system: "Be short." }, /system cannot be honoured/],
          // A schema that is missing would let anything pass, and so would a format that says so.
          [{ response_format: { type: "json_schema" } }, /"json_schema" has no schema/],
          [
            { response_format: { type: "json_schema", json_schema: { name: "x" } } },
            /"json_schema" has no schema/,
          ],
          [
            { response_format: { type: "text" }, format: "json" },
            /response_format says that the text may be anything, and format what it must be/,
          ],
          [
            { response_format: { type: "text" }, guided_regex: "a" },
            /response_format says that the text may be anything, and guided_regex/,
          ],
          // Names that share their ends alone are not near.
          [{ lazy_prompt: 1 }, /there is no field "lazy_prompt"$/],
          [{ answering_format: 1 }, /there is no field "answering_format"$/],
          [{ penalty_theta: 1 }, /there is no field "penalty_theta"$/],
          [{ cache_promt: true }, /no field "cache_promt"; did you mean "cache_prompt"\?$/],
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

  it("of objects in a request are as strict: one that is not known is refused by its path, wherever it stands", async () => {
    const schema = { type: "object", properties: { a: { type: "integer" } } };
    const bodies: readonly (readonly ["chat/completions" | "completions", Fields])[] = [
      ["completions", { prompt: "A", response_format: { type: "json_object", schema } }],
      ["completions", {
        prompt: "A",
        response_format: { type: "text" },
        stream: true,
        stream_options: { include_usage: true },
      }],
      ["completions", { prompt: "A", response_format: { type: "regex", pattern: "a" } }],
      ["completions", {
        prompt: "A",
        response_format: {
          type: "json_schema",
          json_schema: { name: "x", strict: true, description: "d", schema },
        },
      }],
      ["completions", { prompt: "A", structured_outputs: { json: schema } }],
      ["completions", {
        prompt: "A",
        reasoning: { enabled: false },
        usage: { include: false },
        thinking: { type: "disabled" },
      }],
      ["completions", { prompt: "A", options: { num_ctx: 9999 }, extra_body: { store: false } }],
      ["completions", {
        prompt: "A",
        chat_template_kwargs: { enable_thinking: false },
        logit_bias: { 1: 1 },
      }],
      ["chat/completions", {
        messages: [
          { role: "user", name: "u", content: [{ type: "text", text: "hi" }] },
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }],
          },
          { role: "tool", tool_call_id: "1", content: "2" },
        ],
        tools: [{
          type: "function",
          function: { name: "f", description: "d", parameters: schema, strict: false },
        }],
        tool_choice: { type: "function", function: { name: "f" } },
      }],
    ];
    // What is the caller's own, and is not read as fields.
    const free = new Set(["schema", "json", "parameters"]);
    let seen = 0;
    await withServer({ template }, async ({ url }) => {
      const ask = async (route: string, body: unknown): Promise<{ message: string; param: string }> => {
        const response = await fetch(`${url}/v1/${route}`, { ...post, body: JSON.stringify(body) });
        const answer = await response.json();
        assertStrictEquals(response.status, 400, JSON.stringify(body));
        return answer.error;
      };
      for (const [route, body] of bodies) {
        const walk = async (at: Fields, root: string): Promise<void> => {
          for (const [name, value] of Object.entries(at)) {
            if (typeof value !== "object" || value === null || free.has(name)) continue;
            if (!Array.isArray(value)) {
              const inside = value as Fields;
              inside.zzz_unknown = 1;
              const { message, param } = await ask(route, body);
              delete inside.zzz_unknown;
              assertStrictEquals(param, root || name, message);
              assertMatch(message, /zzz_unknown|cannot be honoured|logit_bias is/);
              seen++;
            }
            await walk(value as Fields, root || name);
          }
        };
        await walk(body, "");
      }
    }, model);
    assertStrictEquals(seen, 24);
  });

  it("of embeddings that change nothing are those of the other routes", async () => {
    await withServer({}, async ({ url }) => {
      const ask = async (more: Fields): Promise<{ status: number; body: string }> => {
        const body = JSON.stringify({ input: "A", ...more });
        const response = await fetch(`${url}/v1/embeddings`, { ...post, body });
        return { status: response.status, body: await response.text() };
      };
      const plain = await ask({});
      assertStrictEquals(plain.status, 200);
      for (
        const more of [
          { truncate: true },
          { truncate_prompt_tokens: -1 },
          { stream: false, echo: false, n: 1 },
          { top_k: 0, min_p: 0, frequency_penalty: 0, logprobs: false, repetition_penalty: 1 },
          {
            top_k: -1,
            ignore_eos: false,
            temperature: 1,
            response_format: { type: "text" },
            do_sample: false,
          },
          { repeat_last_n: 64, cache_prompt: false, options: { num_gpu: 1 }, stream_options: {} },
          { priority: 0, keep_alive: "5m", options: { num_ctx: 4096 } },
          { user: "u", safety_identifier: "u", store: false, stop: "", tools: [], unheard_of: null },
        ]
      ) assertEquals(await ask(more), plain, JSON.stringify(more));
      for (
        const [more, message] of [
          [{ truncate_prompt_tokens: 5 }, /truncate_prompt_tokens cannot be honoured/],
          [{ stream: true }, /stream belongs to \/v1\/completions and/],
          [{ n: 2 }, /n belongs to \/v1\/completions and/],
          [{ temperature: 0.5 }, /temperature belongs to \/v1\/completions and/],
          [{ inputs: "a" }, /there is no field \\"inputs\\"; did you mean \\"input\\"/],
          [{ zzz: 1 }, /there is no field \\"zzz\\"/],
        ] as [Fields, RegExp][]
      ) {
        const { status, body } = await ask(more);
        assertStrictEquals(status, 400);
        assertMatch(body, message);
      }
    }, model);
  });

  it("name samplers, which are accepted where they say what is done", () => {
    const random = new Generator(5), int = (n: number): number => Math.floor(random.uniform() * n);
    const processes: Record<string, { field: string; value: number; process: LogitsProcessor }> = {
      penalties: { field: "presence_penalty", value: 1, process: countPenalty(0, 1, 0) },
      temperature: { field: "temperature", value: 0.4, process: temperature(0.4) },
      top_k: { field: "top_k", value: 6, process: topK(6, 1) },
      top_p: { field: "top_p", value: 0.8, process: topP(0.8, 1) },
      min_p: { field: "min_p", value: 0.1, process: minP(0.1, 1) },
      typ_p: { field: "typical_p", value: 0.7, process: typicalP(0.7, 1) },
    };
    const order = Object.keys(processes),
      shuffled = (list: readonly string[]): string[] => {
        const rest = [...list], out: string[] = [];
        while (rest.length) out.push(...rest.splice(int(rest.length), 1));
        return out;
      };
    const letters: Record<string, string> = {
      penalties: "e",
      temperature: "t",
      top_k: "k",
      top_p: "p",
      min_p: "m",
      typ_p: "y",
    };
    assertStrictEquals(samplersComplaint("dkypmxt", { temperature: 0.5, top_k: 5 }), null);
    assertMatch(samplersComplaint("kfypmt", { repetition_penalty: 1.2 }) ?? "", /leaves penalties out/);
    assertMatch(samplersComplaint("ik", {}) ?? "", /no sampler "infill" here/);
    assertMatch(samplersComplaint("kzt", {}) ?? "", /no sampler has the letter "z"; there are etkpmydsxfi/);
    let accepted = 0;
    for (let turn = 0; turn < 400; turn++) {
      const acting = order.filter(() => random.uniform() < 0.4), list = shuffled(order);
      const body = Object.fromEntries(acting.map((name) => [processes[name].field, processes[name].value]));
      assertStrictEquals(samplersComplaint(order, body), null);
      if (acting.length) {
        const out = acting[int(acting.length)];
        assertMatch(
          samplersComplaint(order.filter((name) => name !== out), body) ?? "",
          new RegExp(`leaves ${out} out`),
        );
      }
      // A text of llama.cpp's letters is the list of what they stand for.
      const text = list.map((name) => letters[name]).join("");
      assertStrictEquals(samplersComplaint(text, body), samplersComplaint(list, body), text);
      if (samplersComplaint(list, body) !== null) continue;
      accepted++;
      const run = (names: readonly string[], logits: Float32Array): number[] => {
        for (const name of names) if (acting.includes(name)) processes[name].process([1, 2, 2], logits);
        return Array.from(logits, (x) => Math.round(x * 1e4));
      };
      for (let i = 0; i < 5; i++) {
        const logits = Float32Array.from({ length: 20 }, () => 4 * random.uniform());
        assertEquals(run(list, logits.slice()), run(order, logits.slice()), `${list} of ${acting}`);
      }
    }
    assert(accepted > 100);
  });

  it("are called by their own names in messages", async () => {
    await withServer({ template }, async (_server, client) => {
      for (
        const [more, param, message] of [
          [{ min_tokens: 50 }, "min_tokens", /min_tokens is 50, expected at most max_tokens, which is 3/],
          [
            { max_tokens: undefined, max_completion_tokens: 4, min_tokens: 5 },
            "min_tokens",
            /at most max_completion_tokens, which is 4/,
          ],
          [
            { guided_regex: "a{30}" },
            "guided_regex",
            /guided_regex: the shortest allowed text takes up to 30 tokens, and max_tokens is 3/,
          ],
          [
            {
              response_format: {
                type: "json_schema",
                json_schema: { schema: { type: "string", format: "color" } },
              },
            },
            "response_format",
            /response_format: .*format "color" is none/,
          ],
        ] as [Fields, string, RegExp][]
      ) {
        for (const ask of [complete, chat]) {
          const error = await assertRejects(() => ask(client, more), Error) as Error & { param?: string };
          assertMatch(error.message, message);
          assertStrictEquals(error.param, param);
          assert(!/[a-z][A-Z]/.test(error.message), error.message);
        }
      }
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

  it("say at how many last tokens penalties look", async () => {
    await withServer({}, async (_server, client) => {
      const text = async (more: Fields): Promise<string> =>
        (await complete(client, { prompt: "AAAA\n\nB", max_tokens: 24, ...more })).choices[0].text;
      for (
        const penalty of [{ repetition_penalty: 1.8 }, { frequency_penalty: 2 }, { presence_penalty: 2 }]
      ) {
        const plain = await text({}), whole = await text(penalty);
        assert(plain !== whole, JSON.stringify(penalty));
        assertStrictEquals(await text({ ...penalty, repeat_last_n: 0 }), plain);
        assertStrictEquals(await text({ ...penalty, penalty_last_n: 0 }), plain);
        assertStrictEquals(await text({ ...penalty, repeat_last_n: -1 }), whole);
        assertStrictEquals(await text({ ...penalty, repeat_last_n: 1000 }), whole);
        const near = await text({ ...penalty, repeat_last_n: 3 });
        assert(near !== plain && near !== whole, JSON.stringify(penalty));
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
      await long(chat(client, { messages: Array(129).fill({ role: "user", content: "" }) }), "messages");
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
          [{ response_format: { schema: {} } }, /^response_format has no type, expected "text"/],
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
    const named = (count: number): string => Array.from({ length: count }, (_, i) => `"n${i}":1`).join(",");
    assertThrows(() => parseBody(`{${named(513)}}`), Problem, "more than 512 fields");
    assertThrows(
      () => parseBody(`{"a":{${named(20_000)}},"b":{${named(20_000)}}}`),
      Problem,
      "32768 fields together",
    );
    assertStrictEquals(Object.keys(parseBody(`{"a":{${named(20_000)}}}`).a as object).length, 20_000);
    assertEquals(parseBody(`{"a":[${"1,".repeat(1000)}1]}`).a instanceof Array, true);
  });
});
