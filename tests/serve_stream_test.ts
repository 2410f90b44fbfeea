/**
 * Answers of `ferrotype serve` in pieces: together they are what the whole answer is, for every kind of request.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import type OpenAI from "openai";
import { type ChatTemplate, GPT2, loadChatTemplate } from "../mod.ts";
import { inFolder } from "./_gpt2.ts";
import { bundled, byteModel, chatml, post, withServer } from "./_serve.ts";

type Completion = OpenAI.CompletionCreateParamsNonStreaming;
type Logprobs = { tokens: string[]; token_logprobs: number[]; text_offset: number[] };

/** Asks for the same whole and in pieces; gives both, choice by choice. */
async function twice(client: OpenAI, body: Completion): Promise<[unknown[], unknown[], number]> {
  const whole = await client.completions.create(body);
  const found = whole.choices.map(() => ({
    text: "",
    finish: null as string | null,
    logprobs: { tokens: [], token_logprobs: [], text_offset: [] } as Logprobs,
  }));
  let chunks = 0;
  for await (const { choices } of await client.completions.create({ ...body, stream: true })) {
    for (const { index, text, finish_reason, logprobs } of choices) {
      chunks++;
      const one = found[index];
      assertStrictEquals(one.finish, null, "nothing follows an end");
      one.text += text;
      one.finish = finish_reason as string | null;
      for (const name of ["tokens", "token_logprobs", "text_offset"] as const) {
        one.logprobs[name].push(...(logprobs?.[name] ?? []) as never[]);
      }
    }
  }
  const expected = whole.choices.map(({ text, finish_reason, logprobs }) => ({
    text,
    finish: finish_reason,
    logprobs: {
      tokens: logprobs?.tokens ?? [],
      token_logprobs: logprobs?.token_logprobs ?? [],
      text_offset: logprobs?.text_offset ?? [],
    },
  }));
  return [expected, found, chunks];
}

describe("serve, piece by piece", () => {
  let model: GPT2, json: GPT2, template: ChatTemplate;
  before(async () => {
    model = await GPT2.load(bundled);
    json = byteModel(256);
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: chatml }));
      template = (await loadChatTemplate(folder))!;
    });
  });
  after(() => {
    model.dispose();
    json.dispose();
  });

  it("gives what the whole answer gives: several prompts and texts, echo, stops, log-probabilities", async () => {
    await withServer({}, async (_server, client) => {
      const base: Completion = {
        model: "shakespeare",
        prompt: "ROMEO:",
        max_tokens: 24,
        temperature: 0.8,
        seed: 2,
      };
      for (
        const more of [
          { prompt: ["ROMEO:", "JULIET:\nO"], n: 3 },
          { echo: true, n: 2 },
          { logprobs: 3 },
          { stop: ["e", "\n"], n: 4 },
          { stop: "t", logprobs: 1 },
          { max_tokens: 1 },
        ]
      ) {
        const [expected, found, chunks] = await twice(client, { ...base, ...more });
        assertEquals(found, expected, JSON.stringify(more));
        if (!("stop" in more)) assert(chunks > found.length, "in pieces");
      }
    }, model);
  });

  it("tells log-probabilities of a chat as the whole answer does", async () => {
    await withServer({ template }, async (_server, client) => {
      const body = {
        model: "shakespeare",
        messages: [{ role: "user" as const, content: "Speak." }],
        max_tokens: 9,
        temperature: 0.7,
        seed: 1,
        logprobs: true,
        top_logprobs: 2,
      };
      const whole = (await client.chat.completions.create(body)).choices[0];
      const content: unknown[] = [];
      let text = "", role: string | undefined;
      for await (
        const { choices: [choice] } of await client.chat.completions.create({ ...body, stream: true })
      ) {
        role ??= choice.delta.role;
        text += choice.delta.content ?? "";
        content.push(...choice.logprobs?.content ?? []);
      }
      assertEquals([role, text, content], ["assistant", whole.message.content, whole.logprobs?.content]);
    }, model);
  });

  it("is a stream of events: a line of JSON each, use of tokens at the end, then [DONE]", async () => {
    await withServer({}, async ({ url }) => {
      const ask = async (more: object): Promise<Record<string, unknown>[]> => {
        const body = JSON.stringify({ prompt: "A", max_tokens: 3, temperature: 0, stream: true, ...more });
        const response = await fetch(`${url}/v1/completions`, { ...post, body });
        assertMatch(response.headers.get("Content-Type") ?? "", /^text\/event-stream/);
        const events = (await response.text()).split("\n\n");
        assertEquals(events.splice(-2), ["data: [DONE]", ""]);
        return events.map((event) => JSON.parse(/^data: (\{.*\})$/.exec(event)![1]));
      };
      const told = await ask({ stream_options: { include_usage: true } }), last = told.pop()!;
      assertEquals([last.choices, last.usage], [[], {
        prompt_tokens: 1,
        completion_tokens: 3,
        total_tokens: 4,
      }]);
      assert(told.every(({ usage }) => usage === null));
      assert((await ask({})).every((event) => !Object.hasOwn(event, "usage")));
    }, model);
  });

  it("keeps a chat to a JSON schema, whole and in pieces", async () => {
    const schema = {
      type: "object",
      properties: {
        name: { type: "string", maxLength: 6 },
        age: { type: "integer", minimum: 1, maximum: 120 },
        tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
      },
      required: ["name", "age", "tags"],
      additionalProperties: false,
    };
    // deno-lint-ignore no-explicit-any
    const validate = new (Ajv2020 as any)({ strict: false }).compile(schema);
    const check = (text: string | null): void => {
      assert(validate(JSON.parse(text ?? "")), `${text}: ${JSON.stringify(validate.errors)}`);
    };
    await withServer({ template, name: "json" }, async (_server, client) => {
      for (let seed = 0; seed < 6; seed++) {
        const body = {
          model: "json",
          messages: [{ role: "user" as const, content: "Who?" }],
          max_completion_tokens: 120,
          seed,
          response_format: {
            type: "json_schema" as const,
            json_schema: { name: "person", schema, strict: true },
          },
        };
        const [choice] = (await client.chat.completions.create(body)).choices;
        check(choice.message.content);
        assertStrictEquals(choice.finish_reason, "stop");
        let text = "";
        for await (
          const { choices: [part] } of await client.chat.completions.create({ ...body, stream: true })
        ) {
          text += part.delta.content ?? "";
        }
        assertStrictEquals(text, choice.message.content);
      }
    }, json);
  });
});
