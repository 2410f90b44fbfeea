/**
 * Tools over HTTP: what a model may call goes to its template, and what it writes comes back as OpenAI's calls, whole and in
 * pieces, in the ways of each family.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import type OpenAI from "openai";
import { BpeTokenizer, type ChatTemplate, GPT2, noGrad, tensor, zeros } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { ToolCallReader } from "../cli/serve/tool_calls.ts";
import { copyInto } from "../src/ops/mod.ts";
import { refused, withServer } from "./_serve.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

type Message = OpenAI.ChatCompletionMessageParam;

/** Ways to write calls, as the families do; some cannot have text before. */
const ways: Readonly<
  Record<string, { readonly before: boolean; write(calls: readonly [string, string][]): string }>
> = {
  hermes: {
    before: true,
    write: (calls) =>
      calls.map(([name, given]) => `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`)
        .join("\n"),
  },
  "hermes, ended by the text": {
    before: true,
    write: (calls) => ways.hermes.write(calls).replace(/\n<\/tool_call>$/, ""),
  },
  llama: {
    before: false,
    write: (calls) => calls.map(([name, given]) => `{"name": "${name}", "parameters": ${given}}`).join("; "),
  },
  "llama with a tag": { before: true, write: (calls) => `<|python_tag|>${ways.llama.write(calls)}` },
  mistral: {
    before: true,
    write: (calls) =>
      `[TOOL_CALLS] [${
        calls.map(([name, given]) => `{"name": "${name}", "arguments": ${given}}`).join(", ")
      }]`,
  },
  "mistral, whose marker is no text": {
    before: false,
    write: (calls) => ways.mistral.write(calls).replace("[TOOL_CALLS]", ""),
  },
  "later mistral": {
    before: true,
    write: (calls) => calls.map(([name, given]) => `[TOOL_CALLS]${name}[ARGS]${given}`).join(""),
  },
};

/** JSON text of an object, with what makes reading hard. */
function randomObject(random: Generator, depth = 0): string {
  const texts = ["}", '\\"', "]", "</tool_call", "{", "\\\\", "a b", "é", ";", "[TOOL_CALLS"];
  const value = (): string => {
    const kind = random.integer(0, depth > 2 ? 4 : 6);
    if (kind === 0) return `"${texts[random.integer(0, texts.length)]}"`;
    if (kind === 1) return "12345678901234567890.5e-7";
    if (kind === 2) return ["true", "null", "-0"][random.integer(0, 3)];
    if (kind === 3) return '""';
    if (kind === 4) return `[ ${Array.from({ length: random.integer(0, 3) }, value).join(" , ")}]`;
    return randomObject(random, depth + 1);
  };
  const space = [" ", "", "\n  "][random.integer(0, 3)];
  const members = Array.from(
    { length: random.integer(0, 4) },
    (_, i) => `${space}"k${i}"${space}:${space}${value()}`,
  );
  return `{${members.join(",")}${space}}`;
}

/** An answer read in pieces of random lengths. */
function read(random: Generator, answer: string, names: readonly string[], most?: number) {
  const reader = new ToolCallReader(names, most), calls: [string, string][] = [];
  let text = "";
  const take = (said: ReturnType<ToolCallReader["push"]>): void => {
    text += said.text;
    for (const { id, function: called } of said.calls) {
      assertMatch(id, /^[0-9a-z]{9}$/);
      calls.push([called.name, called.arguments]);
    }
  };
  for (let at = 0; at < answer.length;) {
    const length = 1 + random.integer(0, 9);
    take(reader.push(answer.slice(at, at += length)));
  }
  take(reader.end());
  assertStrictEquals(reader.count, calls.length);
  return { text, calls };
}

describe("calls of tools in a text", () => {
  const names = ["search", "get_time", "f"];
  for (const [way, { before, write }] of Object.entries(ways)) {
    it(`${way}: are read however the text comes, with arguments as they were written`, () => {
      const random = new Generator(77);
      for (let i = 0; i < 120; i++) {
        const calls = Array.from(
          { length: 1 + random.integer(0, 3) },
          (): [string, string] => [names[random.integer(0, 3)], randomObject(random)],
        );
        const said = before ? ["", "Let me see: [1] {x} <tool ", "for"][random.integer(0, 3)] : "";
        const answer = said + ["", "\n"][random.integer(0, 2)] + write(calls) +
          ["", "\n"][random.integer(0, 2)];
        // A text's end inside a tag stands for one call.
        const found = read(random, answer, names);
        assertEquals(found.calls, calls, answer);
        assertStrictEquals(found.text.trim(), said.trim(), answer);
        assertEquals(
          read(random, answer, names, 1).calls,
          calls.slice(0, 1),
          "no more than one is asked for",
        );
      }
    });
  }

  it("are none in what is no call: it comes as it was written", () => {
    const random = new Generator(78);
    const texts = [
      '{"name": "unknown", "parameters": {}}',
      '{"name": "f", "parameters": 3}',
      '{"answer": {"name": "f"}}',
      '[{"name": "f", "arguments": {}}, 4]',
      '{"name": "f", "parameters": {"a": 1}} and so on',
      '<tool_call>{"name": "f", "arguments": {"a": }}</tool_call> or so',
      "<tool_call>never ended",
      "[TOOL_CALLS] is how Mistral writes them",
      "<|python_tag|>print(1)",
      "a < b <to [TOOL <|py",
      "f(x) = x",
      "forty",
      "[",
      "[1, 2]",
      "{",
      '{"name": "f", "parameters": {"a": "',
    ];
    for (let i = 0; i < width(300, 100); i++) {
      const text = texts[i % texts.length];
      assertEquals(read(random, text, names), { text, calls: [] });
    }
  });
});

/** A template as Qwen's: tools, calls and answers are all written. */
const template: ChatTemplate = (messages, { tools } = {}) =>
  `${tools ? `T:${JSON.stringify(tools)}\n` : ""}${
    messages.map(({ role, content, tool_calls: calls, tool_call_id: id }) =>
      `${role}:${content}${calls ? JSON.stringify(calls) : ""}${id ?? ""}\n`
    ).join("")
  }A:`;

const tokenizer = BpeTokenizer.train("the quick brown fox ".repeat(9), { vocabSize: 270 });

/** A model whose weights are such that it writes `answer` behind `prompt`, whatever that says, and then ends. */
function writing(prompt: string, answer: string): GPT2 {
  const ids = tokenizer.encode(answer),
    from = tokenizer.encode(prompt).length - 1,
    end = tokenizer.eosTokenId!;
  const width = 2 * Math.ceil((from + ids.length + 80) / 2);
  const model = new GPT2({
    vocabSize: tokenizer.vocabSize,
    nPositions: width,
    nEmbd: width,
    nInner: 4,
    nLayer: 1,
    nHead: 2,
    tieWordEmbeddings: false,
    eosTokenId: end,
    bosTokenId: end,
  });
  const set = (name: string, at: (row: number) => number, scale: number): void => {
    const p = model.namedParameters().find(([own]) => own === name)![1], [rows] = p.shape;
    const values = new Float32Array(p.size), columns = p.shape[1];
    if (name === "wpe.weight") { for (let row = 0; row < rows; row++) values[row * columns + row] = scale; }
    else for (let column = 0; column < columns; column++) values[at(column) * columns + column] = scale;
    using made = tensor(values, { shape: p.shape });
    noGrad(() => copyInto(made, p));
  };
  for (const [name, p] of model.namedParameters()) {
    if (name === "ln_f.weight" || p.shape.length < 2 && name.endsWith("weight")) continue;
    using nothing = zeros(p.shape);
    noGrad(() => copyInto(nothing, p));
  }
  // A position says which token follows it.
  set("wpe.weight", (row) => row, 1);
  set("lm_head.weight", (position) => ids[position - from] ?? end, 1);
  model.tokenizer = tokenizer;
  model.generationConfig = { eosTokenId: end };
  return model.eval();
}

const weather: OpenAI.ChatCompletionTool = {
  type: "function",
  function: {
    name: "weather",
    description: "tells the weather",
    parameters: {
      type: "object",
      properties: { city: { $ref: "#/$defs/City" }, days: { type: "integer", minimum: 1, maximum: 9 } },
      required: ["city", "days"],
      additionalProperties: false,
      $defs: { City: { enum: ["Oslo", "Rome"] } },
    },
  },
};
const clock: OpenAI.ChatCompletionTool = { type: "function", function: { name: "clock" } };
const messages: Message[] = [{ role: "user", content: "How is it in Oslo?" }];
const base = { model: "shakespeare", temperature: 0, messages };

describe("serve, tools", () => {
  const prompt = template(messages as never, { tools: [weather, clock] as object[] });
  for (const way of ["hermes", "mistral, whose marker is no text"]) {
    const { before, write } = ways[way];
    it(`${way}: a model's calls are OpenAI's, whole and in pieces`, async () => {
      const given = '{"city": "Oslo", "days": 2}', said = before ? "I ask." : "";
      const calls: [string, string][] = [["weather", given], ["clock", "{}"]];
      using model = writing(prompt, `${said}${write(calls)}`);
      await withServer({ template, maxBody: 1 << 18 }, async (_server, client) => {
        const asked = { ...base, tools: [weather, clock] };
        const { choices: [{ message, finish_reason: why }] } = await client.chat.completions.create(asked);
        const found = message.tool_calls!.map((call) => call.type === "function" && call.function);
        const wanted = calls.map(([name, given]) => ({ name, arguments: given }));
        assertEquals(found, wanted);
        assertStrictEquals(message.content, said || null);
        assertStrictEquals(why, "tool_calls");
        const stream = client.chat.completions.stream(asked);
        const last = (await stream.finalChatCompletion()).choices[0];
        assertEquals(
          last.message.tool_calls!.map((call) =>
            call.type === "function" && { name: call.function.name, arguments: call.function.arguments }
          ),
          wanted,
        );
        assertStrictEquals(last.message.content ?? "", said);
        assertStrictEquals(last.finish_reason, "tool_calls");
        const one = await client.chat.completions.create({ ...asked, parallel_tool_calls: false });
        assertStrictEquals(one.choices[0].message.tool_calls!.length, 1);
        // Told not to call any, the model hears of none, and its words are words.
        const none = await client.chat.completions.create({ ...asked, tool_choice: "none", max_tokens: 5 });
        assertStrictEquals(none.choices[0].message.tool_calls, undefined);
      }, model);
    });
  }

  it("an answer without calls is text, and one that is cut off is as long as it is", async () => {
    using model = writing(prompt, 'It is {"cold"} <tool_call>{"name": "weather", "arg');
    await withServer({ template, maxBody: 1 << 18 }, async (_server, client) => {
      const asked = { ...base, tools: [weather, clock] };
      const { choices: [whole] } = await client.chat.completions.create({ ...asked, logprobs: true });
      assertStrictEquals(whole.message.content, 'It is {"cold"} <tool_call>{"name": "weather", "arg');
      assertStrictEquals(whole.finish_reason, "stop");
      const { choices: [cut] } = await client.chat.completions.create({ ...asked, max_tokens: 9 });
      assertStrictEquals(cut.finish_reason, "length");
      let text = "", tokens = 0;
      for await (
        const { choices: [choice] } of await client.chat.completions.create({
          ...asked,
          stream: true,
          logprobs: true,
        })
      ) {
        text += choice.delta.content ?? "";
        tokens += choice.logprobs?.content?.length ?? 0;
      }
      assertStrictEquals(text, whole.message.content);
      assertStrictEquals(tokens, whole.logprobs!.content!.length);
    }, model);
  });

  it("a call that is demanded is made, by any model, with arguments of its schema", async () => {
    using model = writing(prompt, "no");
    await withServer({ template, maxBody: 1 << 18 }, async (_server, client) => {
      const asked = { ...base, temperature: 1, tools: [weather, clock] };
      for (let seed = 0; seed < 4; seed++) {
        const { choices: [{ message }] } = await client.chat.completions.create({
          ...asked,
          seed,
          tool_choice: seed % 2 ? "required" : { type: "function", function: { name: "weather" } },
        });
        const [call, ...rest] = message.tool_calls!;
        assert(call.type === "function" && rest.length === 0 && message.content === null);
        const given = JSON.parse(call.function.arguments);
        if (seed % 2 === 0) assertStrictEquals(call.function.name, "weather");
        if (call.function.name === "clock") assertEquals(given, {});
        else assert(["Oslo", "Rome"].includes(given.city) && given.days >= 1 && given.days <= 9);
      }
    }, model);
  });

  it("calls and answers of earlier turns reach the template, arguments as values", async () => {
    const turns: Message[] = [
      ...messages,
      {
        role: "assistant",
        content: null,
        tool_calls: [{
          id: "abcdefghi",
          type: "function",
          function: { name: "clock", arguments: '{"a": [1]}' },
        }],
      },
      { role: "tool", tool_call_id: "abcdefghi", content: [{ type: "text", text: "noon" }] },
    ];
    const written = 'user:How is it in Oslo?\nassistant:[{"id":"abcdefghi","type":"function","function":' +
      '{"name":"clock","arguments":{"a":[1]}}}]\ntool:noonabcdefghi\nA:';
    using model = writing(written, "At noon.");
    await withServer({ template, maxBody: 1 << 18 }, async (_server, client) => {
      const { choices: [{ message }] } = await client.chat.completions.create({ ...base, messages: turns });
      assertStrictEquals(message.content, "At noon.");
    }, model);
  });

  it("what cannot be honoured is refused by its name", async () => {
    using model = writing(prompt, "no");
    const ask = (client: OpenAI, more: object) =>
      client.chat.completions.create(
        { ...base, tools: [weather], ...more } as OpenAI.ChatCompletionCreateParamsNonStreaming,
      );
    const strict = { ...weather, function: { ...weather.function, strict: true } };
    const call = (given: unknown) => ({
      messages: [{
        role: "assistant",
        content: "",
        tool_calls: [{ id: "a", function: { name: "f", arguments: given } }],
      }],
    });
    await withServer({ template, maxBody: 1 << 18 }, async (_server, client) => {
      const wrong: [object, RegExp][] = [
        [{ tools: [strict] }, /tools\[0\]\.function\.strict cannot be honoured/],
        [{ tools: [{ type: "retrieval" }] }, /tools\[0\] is .*expected/],
        [{ tools: [{ type: "function", function: { name: "a b" } }] }, /tools\[0\]\.function\.name/],
        [{ tools: [clock, clock] }, /two of the name "clock"/],
        [{ tools: [{ type: "function", function: { name: "f", parameters: [] } }] }, /parameters is/],
        [{ tool_choice: "perhaps" }, /tool_choice is "none", "auto"/],
        [{ tool_choice: { type: "function", function: { name: "other" } } }, /with one of weather/],
        [{ response_format: { type: "json_object" } }, /beside tools/],
        [{ tools: undefined, tool_choice: "required" }, /there are no tools/],
        [{ functions: [{ name: "f" }] }, /functions cannot be honoured: .*use tools/],
        [call("{"), /messages\[0\]\.tool_calls\[0\]\.function\.arguments/],
        [call([]), /messages\[0\]\.tool_calls\[0\]\.function\.arguments/],
        [{ messages: [{ role: "user", content: "", tool_calls: [] }] }, /belong to the role "assistant"/],
        [{ messages: [{ role: "tool", content: "x", tool_call_id: 4 }] }, /tool_call_id is 4/],
      ];
      for (const [more, message] of wrong) await refused(ask(client, more), 400, message);
      await ask(client, { tools: [strict], tool_choice: "required", max_tokens: 60 });
    }, model);
    const deaf: ChatTemplate = (messages) => messages.map(({ content }) => content).join("\n");
    await withServer({ template: deaf }, async (_server, client) => {
      await refused(ask(client, {}), 400, /tools cannot be honoured: the chat template of shakespeare/);
    }, model);
  });
});
