/**
 * `ferrotype serve`, asked by the official `openai` client over real connections on loopback.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import OpenAI from "openai";
import { type ChatTemplate, copyInto, full, GPT2, loadChatTemplate, manualSeed, nn } from "../mod.ts";
import { startServer } from "../cli/serve/server.ts";
import { dataPath } from "./_data.ts";
import { ferrotype, interrupt } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { bundled, chatml, post, refused, withServer } from "./_serve.ts";
import { patience, until } from "./_wait.ts";

describe("serve", () => {
  let model: GPT2, template: ChatTemplate;
  before(async () => {
    model = await GPT2.load(bundled);
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: chatml }));
      template = (await loadChatTemplate(folder))!;
    });
  });
  after(() => model.dispose());

  it("owns up to numbers of the model that are none: 500, not the request's mistake", async () => {
    const own = await GPT2.load(bundled), [name, weight] = own.namedParameters().at(-1)!;
    copyInto(full(weight.shape, NaN), weight.detach());
    const named = new RegExp(`logit of id \\d+ is NaN: weight ${name} has NaN at`);
    await withServer({ patience: 2 }, async (_, client) => {
      for (const more of [{}, { logprobs: 1 }, { temperature: 0 }]) {
        await refused(
          client.completions.create({ model: "shakespeare", prompt: "A", max_tokens: 2, ...more }),
          500,
          more.temperature === 0 ? new RegExp(`weight ${name} has NaN at`) : named,
        );
      }
    }, own);
    own.dispose();
  });

  it("lists its model and its health", async () => {
    await withServer({}, async ({ url }, client) => {
      const { data } = await client.models.list();
      assertEquals(data.map(({ id, owned_by }) => [id, owned_by]), [["shakespeare", "ferrotype"]]);
      assertStrictEquals((await client.models.retrieve("shakespeare")).object, "model");
      await refused(client.models.retrieve("gpt-5"), 404, /no model "gpt-5" here; there is "shakespeare"/);
      const health = await (await fetch(`${url}/health`)).json();
      assertEquals(health, { status: "ok", model: "shakespeare", active: 0, waiting: 0 });
      await refused(client.get("/nothing"), 404, /there is no GET \/v1\/nothing/);
    }, model);
  });

  it("completes, whole and streamed, what the model completes alone", async () => {
    const alone = await model.completion("ROMEO:", { maxNewTokens: 40, temperature: 0.7, topK: 0, seed: 5 });
    await withServer({}, async (_server, client) => {
      const body = { model: "shakespeare", prompt: "ROMEO:", max_tokens: 40, temperature: 0.7, seed: 5 };
      const { choices, usage, object } = await client.completions.create(body);
      assertStrictEquals(object, "text_completion");
      assertEquals([choices[0].text, choices[0].finish_reason], [alone.text, "length"]);
      assertEquals(usage, { prompt_tokens: 6, completion_tokens: 40, total_tokens: 46 });
      let text = "", finish: string | null = null, told;
      const stream = await client.completions.create({
        ...body,
        stream: true,
        stream_options: { include_usage: true },
      });
      for await (const { choices: [choice], usage } of stream) {
        if (choice) text += choice.text;
        finish = choice?.finish_reason ?? finish;
        told = usage ?? told;
      }
      assertEquals([text, finish, told], [alone.text, "length", usage]);
    }, model);
  });

  it("takes prompts of all kinds, several at a time, stops and biases", async () => {
    await withServer({}, async (_server, client) => {
      const body = { model: "shakespeare", max_tokens: 12, temperature: 0 };
      const ids = model.encode("JULIET:");
      const many = await client.completions.create({
        ...body,
        prompt: ["JULIET:", "ROMEO:"],
        n: 2,
        echo: true,
      });
      assertEquals(many.choices.map(({ index }) => index), [0, 1, 2, 3]);
      assert(many.choices[0].text.startsWith("JULIET:") && many.choices[3].text.startsWith("ROMEO:"));
      const byIds = await client.completions.create({ ...body, prompt: ids });
      assertStrictEquals(`JULIET:${byIds.choices[0].text}`, many.choices[1].text);
      const stopped = await client.completions.create({
        ...body,
        prompt: "ROMEO:\n",
        stop: [" "],
        max_tokens: 50,
      });
      assert(!stopped.choices[0].text.includes(" "));
      assertStrictEquals(stopped.choices[0].finish_reason, "stop");
      const a = model.encode("a")[0];
      const biased = await client.completions.create({ ...body, prompt: "x", logit_bias: { [a]: 100 } });
      assertStrictEquals(biased.choices[0].text, "a".repeat(12));
      const drawn = { ...body, prompt: "A", temperature: 1, seed: 3, n: 3 };
      const one = await client.completions.create(drawn), two = await client.completions.create(drawn);
      assertEquals(one.choices, two.choices);
      assertStrictEquals(new Set(one.choices.map(({ text }) => text)).size, 3);
    }, model);
  });

  it("serves adapters side by side, each by its name, as it would be alone", async () => {
    using adapted = await GPT2.load(bundled);
    for (const [i, name] of ["pirate", "poet"].entries()) {
      manualSeed(i);
      for (const p of nn.lora(adapted, { rank: 2, name }).parameters()) nn.init.normal(p, 0, 0.2);
    }
    const names = ["pirate", null, "poet", "pirate"],
      prompt = "ROMEO: what light through yonder window breaks?";
    const options = { maxNewTokens: 20, temperature: 0.7, topK: 0, seed: 5 }, alone: string[] = [];
    for (const name of names) {
      adapted.setAdapter(name);
      alone.push(await adapted.complete(prompt, options));
    }
    assertStrictEquals(new Set(alone).size, 3);
    adapted.setAdapter("poet");
    await withServer({ adapters: ["pirate", "poet"] }, async (_server, client) => {
      const { data } = await client.models.list();
      assertEquals(data.map(({ id }) => id), ["shakespeare", "pirate", "poet"]);
      const body = { prompt, max_tokens: 20, temperature: 0.7, seed: 5 };
      const answers = await Promise.all(
        names.map((name) => client.completions.create({ ...body, model: name ?? "shakespeare" })),
      );
      assertEquals(answers.map(({ choices }) => choices[0].text), alone);
      assertEquals(answers.map(({ model }) => model), ["pirate", "shakespeare", "poet", "pirate"]);
      const asked = { ...body, model: "shakespeare", lora: "poet" } as typeof body & { model: string };
      assertStrictEquals((await client.completions.create(asked)).choices[0].text, alone[2]);
      const ask = (more: object) => client.completions.create({ ...asked, ...more });
      await refused(ask({ model: "prose" }), 404, /there are "shakespeare", "pirate", "poet"/);
      await refused(ask({ lora: "prose" }), 404, /no adapter "prose" here; there are: "pirate", "poet"/);
      await refused(ask({ model: "pirate" }), 400, /model names the adapter "pirate", and lora "poet"/);
    }, adapted);
  });

  it("keeps texts to a format", async () => {
    await withServer({}, async (_server, client) => {
      const { choices } = await client.completions.create(
        {
          model: "shakespeare",
          prompt: "ROMEO:",
          max_tokens: 30,
          seed: 1,
          n: 5,
          response_format: { type: "regex", pattern: "(yes|no), (my|thy) [a-z]{3,12}[.!]" },
        } as OpenAI.CompletionCreateParamsNonStreaming,
      );
      for (const { text, finish_reason } of choices) {
        assertMatch(text, /^(yes|no), (my|thy) [a-z]{3,12}[.!]$/);
        assertStrictEquals(finish_reason, "stop");
      }
    }, model);
  });

  it("tells log-probabilities", async () => {
    await withServer({ template }, async (_server, client) => {
      const { choices: [choice] } = await client.completions.create({
        model: "shakespeare",
        prompt: "ROMEO:",
        max_tokens: 5,
        temperature: 0,
        logprobs: 2,
      });
      const { tokens, token_logprobs, top_logprobs, text_offset } = choice.logprobs!;
      assertStrictEquals(tokens!.join(""), choice.text);
      assertEquals(text_offset, [0, 1, 2, 3, 4]);
      token_logprobs!.forEach((value, i) => {
        assertStrictEquals(Object.keys(top_logprobs![i]).length, 2);
        assertStrictEquals(Math.max(...Object.values(top_logprobs![i])), value);
      });
      const chat = await client.chat.completions.create({
        model: "shakespeare",
        messages: [{ role: "user", content: "Speak." }],
        max_tokens: 4,
        temperature: 0,
        logprobs: true,
        top_logprobs: 1,
      });
      const content = chat.choices[0].logprobs!.content!;
      assertStrictEquals(content.map(({ token }) => token).join(""), chat.choices[0].message.content);
      assert(content.every(({ logprob, top_logprobs }) => top_logprobs[0].logprob === logprob));
    }, model);
  });

  it("chats by the model's template, and says so where there is none", async () => {
    const messages = [
      { role: "system" as const, content: "Be brief." },
      { role: "user" as const, content: [{ type: "text" as const, text: "Who art thou?" }] },
    ];
    const prompt = "SYSTEM:\nBe brief.\n\nUSER:\nWho art thou?\n\nASSISTANT:\n";
    const alone = await model.complete(prompt, { maxNewTokens: 20, doSample: false });
    const body = { model: "shakespeare", messages, max_completion_tokens: 20, temperature: 0 };
    await withServer({ template }, async (_server, client) => {
      const { choices: [choice], object } = await client.chat.completions.create(body);
      assertEquals([object, choice.message.role, choice.message.content], [
        "chat.completion",
        "assistant",
        alone,
      ]);
      let text = "";
      for await (
        const { choices: [{ delta }] } of await client.chat.completions.create({ ...body, stream: true })
      ) {
        text += delta.content ?? "";
      }
      assertStrictEquals(text, alone);
    }, model);
    await withServer({}, async (_server, client) => {
      await refused(client.chat.completions.create(body), 400, /has no chat template.*use \/v1\/completions/);
    }, model);
  });

  it("refuses what it cannot do, by the field's name", async () => {
    await withServer({ template, maxBody: 2000 }, async ({ url }, client) => {
      const ask = (more: object): Promise<unknown> =>
        client.completions.create(
          { model: "shakespeare", prompt: "A", max_tokens: 2, ...more } as never,
        ) as Promise<
          unknown
        >;
      await refused(ask({ temprature: 1 }), 400, /no field "temprature"; did you mean "temperature"/);
      await refused(ask({ temperature: 3 }), 400, /temperature is 3, expected a number from 0 to 2/);
      await refused(ask({ suffix: "x" }), 400, /suffix cannot be honoured/);
      await refused(ask({ best_of: 4 }), 400, /use n/);
      await refused(ask({ prompt: 5 }), 400, /prompt is a text/);
      await refused(ask({ prompt: "€" }), 400, /€/);
      await refused(ask({ stop: [""] }), 400, /stop/);
      await refused(ask({ logit_bias: { 9999: 1 } }), 400, /logit_bias/);
      await refused(ask({ model: "gpt-5" }), 404, /there is "shakespeare"/);
      await refused(ask({ max_tokens: 5000 }), 400, /positions of the model; ask for at most/);
      await refused(
        ask({ prompt: "a".repeat(400) }),
        400,
        /maximum context length is 128 tokens.*has 400 tokens/,
      );
      await refused(ask({ prompt: "a".repeat(3000) }), 413, /larger than 2000 bytes/);
      await refused(ask({ response_format: { type: "xml" } }), 400, /response_format.type is "xml"/);
      // Shakespeare's letters hold no braces.
      await refused(ask({ response_format: { type: "json_object" } }), 400, /tokenizer lacks characters/);
      const raw = await fetch(`${url}/v1/completions`, { ...post, body: "{no" });
      assertStrictEquals(raw.status, 400);
      assertMatch((await raw.json()).error.message, /the body is not JSON/);
    }, model);
  });

  it("lets nobody in without the key, and limits the queue", async () => {
    await withServer({ apiKey: "secret", maxBatch: 1, maxQueue: 1 }, async ({ url }, client) => {
      const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "guess", maxRetries: 0 });
      await refused(
        stranger.models.list() as unknown as Promise<unknown>,
        401,
        /API key is missing or wrong/,
      );
      assertStrictEquals((await fetch(`${url}/v1/models`)).status, 401);
      assertStrictEquals((await fetch(`${url}/health`)).status, 200);
      await refused(
        client.completions.create({ model: "shakespeare", prompt: "A", n: 3 }),
        429,
        /no more than 1 may; try again later/,
      );
    }, model);
  });

  it("answers each of many as if it were alone", async () => {
    await withServer({ maxBatch: 5 }, async ({ service }, client) => {
      const prompts = Array.from({ length: 12 }, (_, i) => "ROMEO:\nWhat is this?".slice(0, 3 + i));
      const body = { model: "shakespeare", max_tokens: 25, temperature: 0.9 };
      const found = await Promise.all(
        prompts.map((prompt, i) => client.completions.create({ ...body, prompt, seed: i })),
      );
      for (const [i, prompt] of prompts.entries()) {
        const alone = await model.complete(prompt, { maxNewTokens: 25, temperature: 0.9, topK: 0, seed: i });
        assertStrictEquals(found[i].choices[0].text, alone, prompt);
      }
      assertEquals(service.load, { active: 0, waiting: 0 });
    }, model);
  });

  it("drops a request whose client has left", async () => {
    await withServer({}, async ({ service }, client) => {
      const body = { model: "shakespeare", prompt: "A", max_tokens: 127, temperature: 0, n: 8 };
      const stream = await client.completions.create({ ...body, stream: true });
      for await (const _ of stream) break;
      stream.controller.abort();
      const controller = new AbortController();
      const whole = client.completions.create(body, { signal: controller.signal });
      const end = assertRejects(() => whole as unknown as Promise<unknown>);
      await until(() => service.load.active > 0, "work on it");
      controller.abort();
      await end;
      await until(() => service.load.active + service.load.waiting === 0, "an end of work");
    }, model);
  });

  it("finishes what runs before it stops", async () => {
    const server = await startServer({
      model,
      name: "m",
      template: null,
      maxBatch: 4,
      maxQueue: 4,
      host: "127.0.0.1",
      port: 0,
      apiKey: null,
      maxTexts: 4,
      maxBody: 1000,
      patience: 60,
      cors: ["*"],
      allowedHosts: [],
    });
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
    const running = client.completions.create({ model: "m", prompt: "A", max_tokens: 120, temperature: 0 });
    let isDone = false; // a fast machine may be done before the first look
    void running.then(() => isDone = true);
    while (server.service.load.active === 0 && !isDone) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const stopped = server.stop();
    assertStrictEquals((await running).usage?.completion_tokens, 120);
    await stopped;
    await assertRejects(() => fetch(`${server.url}/health`));
  });
});

describe("ferrotype serve", () => {
  it("prints where it is, guards the door, and ends when interrupted, after what runs", async () => {
    const open = await ferrotype(["serve", "--host", "0.0.0.0", "--port", "0"]);
    assertEquals([open.code, open.stdout], [2, ""]);
    assertMatch(open.stderr, /lets other machines in; give --api-key/);
    let answer: Promise<string> | undefined;
    const ended = await ferrotype(["serve", "--port", "0", "--threads", "1"], {
      started(child) {
        const late = setTimeout(() => child.kill("SIGKILL"), patience);
        child.on("close", () => clearTimeout(late));
        child.stdout.on("data", (line: string) => {
          const url = /serves bundled at (http:\/\/127\.0\.0\.1:\d+\/v1)\n$/.exec(line)?.[1];
          const client = new OpenAI({ baseURL: url!, apiKey: "none", maxRetries: 0 });
          answer = (async () => {
            const stream = await client.completions.create({
              model: "bundled",
              prompt: "ROMEO:",
              max_tokens: 100,
              temperature: 0,
              stream: true,
            });
            let text = "";
            for await (const { choices: [choice] } of stream) {
              if (text === "") interrupt(child);
              text += choice.text;
            }
            return text;
          })();
        });
      },
    });
    assertStrictEquals((await answer)?.length, 100, "what ran was finished");
    assertStrictEquals(ended.code, 0, ended.stderr);
  });
});

describe("chat templates", () => {
  it("come from a file of their own, or one of several by name; a model without one has none", async () => {
    await inFolder(async (folder) => {
      const at = (name: string, value: unknown): void =>
        writeFileSync(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));
      at("tokenizer_config.json", {
        bos_token: { content: "<s>" },
        chat_template: [{ name: "tools", template: "x" }, {
          name: "default",
          template: "{{ bos_token }}{{ messages[0].content }}",
        }],
      });
      assertStrictEquals((await loadChatTemplate(folder))!([{ role: "user", content: "hi" }]), "<s>hi");
      at("chat_template.jinja", "{{ messages | length }}");
      assertStrictEquals((await loadChatTemplate(folder))!([{ role: "user", content: "hi" }]), "1");
      at("chat_template.jinja", "{% if %}");
      await assertRejects(() => loadChatTemplate(folder), Error, "chat template does not parse");
    });
    assertStrictEquals(await loadChatTemplate(dataPath("gpt2-tiny")), null);
  });
});
