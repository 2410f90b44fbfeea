/**
 * Fine-tuning data: lines of a file, which of their tokens are learned, rows of several examples, and runs that go on exactly.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BpeTokenizer,
  CausalLM,
  CharTokenizer,
  type ChatMessage,
  type ChatTemplate,
  CheckpointManager,
  distributed,
  type EncodedExample,
  evaluateExamples,
  type ExampleBatch,
  exampleBatches,
  type ExampleSet,
  FormatError,
  Generator,
  loadChatTemplate,
  manualSeed,
  nn,
  openExamples,
  openPreferences,
  optim,
  OptionError,
  type Tensor,
  Trainer,
} from "../mod.ts";
import { exampleBatch } from "../src/train/examples/batch.ts";
import { Lines } from "../src/train/examples/lines.ts";
import { openBytes, startHash } from "../src/platform/platform.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing, width } from "./_width.ts";

let folder = "", files = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-data-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const jsonl = (lines: readonly unknown[]): string => lines.map((line) => JSON.stringify(line)).join("\n");
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
function fileOf(text: string): string {
  const path = join(folder, `${++files}.jsonl`);
  writeFileSync(path, text);
  return path;
}

const letters = "\n !\"'(),-.:;<>?[]_{}|/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789é€😀";
const characters = new CharTokenizer(letters);
/** Learns pairs across words and spaces too, so that borders of parts fall within tokens. */
const pairs = BpeTokenizer.train("the cat sat on the mat. What is it? It is a cat. <|im_start|>".repeat(20), {
  vocabSize: 300,
});

async function aModel(family = "llama", more: object = {}): Promise<CausalLM> {
  manualSeed(7);
  const sizes = { vocabSize: 300, contextLength: 48, width: 8, layers: 2, heads: 1 };
  const model = await CausalLM.fromSizes(family, sizes, more);
  model.tokenizer = characters;
  return model as CausalLM;
}

async function templateOf(chat_template: string): Promise<ChatTemplate> {
  const config = { chat_template, eos_token: "<|im_end|>" };
  return (await loadChatTemplate({
    "tokenizer_config.json": bytesOf(JSON.stringify(config)) as Uint8Array<ArrayBuffer>,
  }))!;
}

/** The texts that are learned, one after the other, `·` where something between them is not. */
function learned(model: CausalLM, { ids, counts }: EncodedExample): string {
  const parts: string[] = [];
  ids.forEach((id, i) => {
    if (!counts[i]) return;
    if (!counts[i - 1]) parts.push("");
    parts[parts.length - 1] += model.tokenizer!.decode([id]);
  });
  return parts.join("·");
}

describe("lines of a file", () => {
  it("are read as they are wanted, whatever ends them and wherever a read ends", async () => {
    const random = new Generator(3), values: object[] = [];
    let text = "\ufeff";
    for (let i = 0; i < 3000; i++) {
      const value = { i, text: "é€😀\\n".repeat(random.integer(0, 120)) };
      values.push(value);
      text += JSON.stringify(value) + ["\n", "\r\n", "\n\n  \n"][random.integer(0, 3)];
    }
    const last = { i: -1, text: "no end" };
    text += JSON.stringify(last);
    assert(bytesOf(text).length > 2 ** 20 + 1);
    const path = fileOf(text), seen: unknown[] = [];
    const source = openBytes(bytesOf(text), path) as Parameters<typeof Lines.open>[0];
    const lines = await Lines.open(source, startHash("sha256"), (value) => void seen.push(value));
    assertEquals(seen, [...values, last]);
    assertStrictEquals(lines.length, values.length + 1);
    assertStrictEquals(lines.sha256, createHash("sha256").update(text).digest("hex"));
    const numbers = text.slice(1).split("\n").flatMap((line, i) => line.trim() ? [i + 1] : []);
    for (const i of [3000, 0, 1, 2999, 1500]) {
      assertEquals(
        lines.at(i),
        { value: [...values, last][i], where: `${path}, line ${numbers[i]}` } as never,
      );
    }
    await lines.close();
  });

  it("that are no examples are named with their number and what is wrong", async () => {
    const model = await aModel(), good = `{"prompt": "a", "completion": "b"}`;
    const bad: [string, RegExp][] = [
      ["{", /line 3 is not JSON/],
      ["[1]", /line 3 is \[1\], expected an object/],
      [
        '{"prompts": "a", "n": 1}',
        /line 3 has "prompts", "n", expected \{"text"\}, or \{"prompt", "completion"\}, or/,
      ],
      ['{"text": "a", "messages": []}', /line 3 is \{"text"\} and \{"messages"\} at once/],
      ['{"text": 5}', /line 3: text is 5, expected a text/],
      ['{"text": ""}', /line 3: text is "", expected a text with something in it/],
      ['{"prompt": "a", "completion": ""}', /line 3: completion is "", expected something to learn/],
      ['{"prompt": "a", "completion": 3}', /line 3: completion is 3, expected a text or a list of messages/],
      [
        '{"prompt": "a", "completion": [{"role": "user", "content": ""}]}',
        /line 3: prompt is a text and completion is a list/,
      ],
      ['{"prompt": "a", "completion": "b", "tools": [{}]}', /line 3: tools go with messages/],
      ['{"messages": []}', /line 3: messages is an empty list/],
      ['{"messages": [{"content": "a"}]}', /line 3: messages\[0\]\.role is undefined, expected who speaks/],
      ['{"messages": [{"role": "user", "content": "a"}]}', /line 3.*the assistant's/],
      ['{"messages": [{"role": "user"}]}', /line 3: messages\[0\]\.content is undefined, expected a text/],
      [
        '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}',
        /line 3: messages\[0\]\.content is \[/,
      ],
      [
        '{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]}',
        /line 3: messages\[0\]\.tool_calls\[0\]\.function\.arguments is not JSON/,
      ],
      [
        '{"messages": [{"role": "assistant", "content": "a"}], "tools": 1}',
        /line 3: tools is 1, expected a list/,
      ],
      ['{"messages": [{"role": "assistant", "content": "a"}], "tools": [1]}', /line 3: tools\[0\] is 1/],
    ];
    const chatTemplate = await templateOf("{{ messages[0].content }}");
    for (const [line, says] of bad) {
      const error = await assertRejects(
        () => openExamples(bytesOf(`${good}\n\n${line}\n${good}`), { model, chatTemplate }),
        FormatError,
      );
      assertMatch(error.message, says);
    }
    const messages = '{"messages": [{"role": "assistant", "content": "a"}]}';
    await assertRejects(
      () => openExamples(bytesOf(`${good}\n${messages}`), { model }),
      FormatError,
      "line 2 has messages, and the model came with no chat template",
    );
    // A Blob, which is read by waiting, is taken into memory.
    const blob = await openExamples(new Blob([good]), { model });
    assertStrictEquals(characters.decode(blob.at(0).ids), "ab");
    await assertRejects(() => openExamples(bytesOf("\n \n"), { model }), FormatError, "is empty");
    await assertRejects(
      () => openExamples(Uint8Array.of(0x22, 0xff, 0x22), { model }),
      FormatError,
      "line 1 is not UTF-8",
    );
    const bare = await aModel();
    bare.tokenizer = null;
    await assertRejects(() => openExamples(bytesOf(good), { model: bare }), OptionError, "has no tokenizer");
  });

  it("that cannot be encoded are named before anything begins, wherever they stand", async () => {
    const model = await aModel(), random = new Generator(12);
    const chatTemplate = await templateOf(
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" +
        "{{ m.content + '|' }}{% endfor %}",
    );
    const said = (role: string) => [{ role, content: "a" }, { role: "assistant", content: "b" }];
    const bad: [object, object, RegExp][] = [
      [{ prompt: "Say: ", completion: "ab" }, { prompt: "Say: ", completion: "日" }, /"日"/],
      [{ text: "ab" }, { text: "a日b" }, /"日"/],
      [{ messages: said("user") }, { messages: said("system") }, /no system, please/],
    ];
    for (const [good, line, says] of bad) {
      const at = random.integer(0, 60), lines = Array.from({ length: 60 }, (_, i) => i === at ? line : good);
      const error = await assertRejects(
        () => openExamples(bytesOf(jsonl(lines)), { model, chatTemplate }),
        FormatError,
        `, line ${at + 1}: `,
      );
      assertMatch(error.message, says);
    }
    for (const [name, text] of [["chosen", "日"], ["rejected", "b日"], ["prompt", "日"]]) {
      const good = { prompt: "a", chosen: "b", rejected: "c" }, at = random.integer(0, 40);
      const lines = Array.from({ length: 40 }, (_, i) => i === at ? { ...good, [name]: text } : good);
      const error = await assertRejects(
        () => openPreferences(bytesOf(jsonl(lines)), { model }),
        FormatError,
        `, line ${at + 1}: `,
      );
      assertMatch(error.message, /"日"/);
    }
  });

  it("are known to leave nothing to learn in short rows before any is read", async () => {
    const model = await aModel(), random = new Generator(4);
    const lines = Array.from({ length: 20 }, () => ({
      prompt: "p".repeat(random.integer(1, 30)),
      completion: "c".repeat(random.integer(1, 9)),
    }));
    const all = await openExamples(bytesOf(jsonl(lines)), { model });
    for (let n = 0; n < 20; n++) {
      const from = random.integer(0, 19), part = all.slice(from, from + random.integer(1, 6));
      const least = Math.min(...lines.slice(from, from + part.length).map(({ prompt }) => prompt.length));
      for (const blockSize of [least - 1, least, least + 1].filter((size) => size > 0)) {
        assertStrictEquals(part.fit(blockSize), blockSize >= least);
        const made = () => exampleBatches(part, { batchSize: 1, blockSize, device: "cpu", onWarning() {} });
        if (blockSize >= least) made().next();
        else assertThrows(made, OptionError, "cut to the rows, nothing is left to learn");
      }
    }
    const heard: { loaded: number; total: number }[] = [], bytes = bytesOf(jsonl(lines));
    await openExamples(bytes, { model, onProgress: (progress) => void heard.push(progress) });
    assertEquals(heard.at(-1), { loaded: bytes.length, total: bytes.length });
  });
});

describe("what is learned of an example", { skip: asksNothing }, () => {
  it("is the completion, the text, or all of it, and the end where there is one", async () => {
    const random = new Generator(8),
      words = ["the cat", " sat", "on ", "the", " mat.", "é€", "\n", "What is it?"];
    const some = (): string =>
      Array.from({ length: random.integer(1, 6) }, () => words[random.integer(0, 8)]).join("");
    const lines = Array.from({ length: 40 }, () => ({ prompt: some(), completion: some() }));
    const model = await aModel();
    for (const tokenizer of [characters, pairs]) {
      model.tokenizer = tokenizer;
      const end = tokenizer.eosTokenId;
      const part = await openExamples(fileOf(jsonl(lines)), { model });
      const all = await openExamples(bytesOf(jsonl(lines)), { model, trainOnPrompt: true });
      lines.forEach(({ prompt, completion }, i) => {
        const { ids, counts } = part.at(i);
        assertStrictEquals(ids.at(-1) === end, end !== undefined);
        const own = ids.slice(0, end === undefined ? undefined : -1);
        assertStrictEquals(tokenizer.decode(own), prompt + completion);
        assertEquals(own, tokenizer.encode(prompt + completion));
        const first = counts.indexOf(1);
        assert(counts.slice(first).every((n) => n === 1), "all that follows");
        // The first token that is learned is the one in which the completion begins.
        const before = tokenizer.decode(ids.slice(0, first)),
          upTo = tokenizer.decode(ids.slice(0, first + 1));
        assert(prompt.startsWith(before), `${prompt} | ${before}`);
        assert(upTo.length > prompt.length || tokenizer === pairs, `${prompt} | ${upTo}`);
        if (tokenizer === characters) assertStrictEquals(before, prompt);
        assertEquals(all.at(i), { ids, counts: ids.map(() => 1 as const) });
      });
      await part.close();
    }
    model.tokenizer = pairs;
    const text = await openExamples(bytesOf(jsonl([{ text: "the cat" }])), { model }),
      { ids, counts } = text.at(0);
    assertEquals([pairs.decode(ids.slice(0, -1)), ids.at(-1)], ["the cat", pairs.eosTokenId]);
    assertEquals(counts, ids.map(() => 1));
  });

  const chatml = "{% if tools %}<tools>{{ tools | length }}</tools>{% endif %}{% for m in messages %}" +
    "{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') }}{% if m.tool_calls %}" +
    "{{ '<call>' + m.tool_calls[0].name }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  // As Qwen3: thoughts stay with the answers behind the last question alone.
  const thinking = "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}" +
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}" +
    "{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' and loop.index0 > ns.last %}" +
    "{{ '<think>' + (m.reasoning_content or '') + '</think>' }}{% endif %}{{ (m.content | trim) + '<|im_end|>\\n' }}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  // As Llama 2: no header, and an end behind each answer.
  const plain = "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}" +
    "{% else %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}";
  const messages: ChatMessage[] = [
    { role: "user", content: "hi" },
    { role: "assistant", content: " yes ", reasoning_content: "first" },
    { role: "user", content: "yes yes" },
    { role: "assistant", content: "yes", reasoning_content: "second" },
  ];
  const turns: [string, string, string][] = [
    ["ChatML", chatml, " yes <|im_end|>\n·yes<|im_end|>\n"],
    ["thoughts of the last answer alone", thinking, "yes<|im_end|>\n·<think>second</think>yes<|im_end|>\n"],
    ["no headers", plain, "  yes  </s>· yes </s>"],
  ];
  for (const [name, template, expected] of turns) {
    it(`of a conversation is what the assistant says: ${name}`, async () => {
      const model = await aModel(), chatTemplate = await templateOf(template);
      const lines = [
        { messages, other: 1 },
        { prompt: messages.slice(0, 3), completion: messages.slice(3) },
        { messages: [...messages, { role: "user", content: "bye" }] },
      ];
      const examples = await openExamples(bytesOf(jsonl(lines)), { model, chatTemplate });
      assertStrictEquals(learned(model, examples.at(0)), expected);
      const whole = chatTemplate(messages, { addGenerationPrompt: false });
      assertStrictEquals(model.tokenizer!.decode(examples.at(0).ids), whole);
      assertStrictEquals(learned(model, examples.at(1)), expected.split("·")[1]);
      assertStrictEquals(
        learned(model, examples.at(2)).split("·").length,
        2,
        "a question at the end is read alone",
      );
      const all = await openExamples(bytesOf(jsonl(lines)), { model, chatTemplate, trainOnPrompt: true });
      assertStrictEquals(learned(model, all.at(0)), whole);
    });
  }

  it("is a call of a tool, too, with the tools before it", async () => {
    const model = await aModel(),
      chatTemplate = await templateOf(chatml),
      tools = [{ name: "a" }, { name: "b" }];
    const calls = [
      { role: "user", content: "what time" },
      { role: "assistant", content: null, tool_calls: [{ name: "clock" }] },
      { role: "tool", content: "five" },
      { role: "assistant", content: "it is five" },
    ];
    const examples = await openExamples(bytesOf(jsonl([{ messages: calls, tools }])), {
      model,
      chatTemplate,
    });
    assertStrictEquals(learned(model, examples.at(0)), "<call>clock<|im_end|>\n·it is five<|im_end|>\n");
    assert(model.tokenizer!.decode(examples.at(0).ids).startsWith("<tools>2</tools><|im_start|>user"));
  });

  it("is written as the server has it written: parts joined, arguments as values", async () => {
    const model = await aModel();
    const chatTemplate = await templateOf(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}" +
        "{{ c.function.name }}:{{ c.function.arguments.at }}{% endfor %}|{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    );
    const call = { type: "function", function: { name: "look", arguments: '{"at": "sky"}' } };
    const said = [
      { role: "user", content: [{ type: "text", text: "look " }, { type: "text", text: "up" }] },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", content: "blue" },
      { role: "assistant", content: "it is blue" },
    ];
    const examples = await openExamples(bytesOf(jsonl([{ messages: said }])), { model, chatTemplate });
    assertStrictEquals(
      model.tokenizer!.decode(examples.at(0).ids),
      "<user>look up|<assistant>look:sky|<tool>blue|<assistant>it is blue|",
    );
    assertStrictEquals(learned(model, examples.at(0)), "look:sky|·it is blue|");
  });

  it("is the model's own template's, where it came with one", async () => {
    const folder = join(import.meta.dirname!, "..", "web", "models", "shakespeare");
    const model = await CausalLM.load(folder),
      said = [{ role: "user", content: "a" }, { role: "assistant", content: "b" }];
    const config = await loadChatTemplate(folder);
    const attempt = openExamples(bytesOf(jsonl([{ messages: said }])), { model });
    if (!config) return void await assertRejects(() => attempt, FormatError, "no chat template");
    assertEquals(
      model.tokenizer!.decode((await attempt).at(0).ids),
      config(said, { addGenerationPrompt: false }),
    );
  });
});

/** Random examples, some of whose tokens count. */
function someExamples(count: number, longest: number, seed: number): ExampleSet & { list: EncodedExample[] } {
  const random = new Generator(seed);
  const list = Array.from({ length: count }, (): EncodedExample => {
    const length = random.integer(2, longest + 1), ids = Array.from({ length }, () => random.integer(0, 300));
    const from = random.integer(0, length);
    return { ids, counts: ids.map((_, i) => i >= from ? 1 : 0) };
  });
  return { list, length: count, sha256: "x", at: (i) => list[i], where: (i) => `example ${i}` };
}

const targetsOf = ({ counts }: EncodedExample): number => counts.slice(1).filter(Boolean).length;

/** The mean loss over all targets of `list`, each example alone, and its gradients. */
async function alone(model: CausalLM, list: readonly EncodedExample[]): Promise<[number, number[]]> {
  const all = list.reduce((sum, example) => sum + targetsOf(example), 0);
  model.zeroGrad();
  let loss = 0;
  for (const { ids, counts } of list) {
    const n = targetsOf({ ids, counts });
    if (!n) continue;
    const targets = ids.slice(1).map((id, i) => counts[i + 1] ? id : -100);
    const own = model.loss([ids.slice(0, -1)], [targets]).mul(n / all);
    own.backward();
    loss += await own.item();
  }
  return [loss, await gradients(model)];
}

async function gradients(model: CausalLM): Promise<number[]> {
  const found: number[] = [];
  for (const p of model.parameters()) {
    if (p.requiresGrad && p.grad) found.push(...await (p.grad as Tensor).data() as Float32Array);
  }
  return found;
}

function assertClose(got: readonly number[], want: readonly number[], tolerance: number, what: string): void {
  assertStrictEquals(got.length, want.length);
  got.forEach((x, i) => assertAlmostEquals(x, want[i], tolerance, `${what}, ${i}`));
}

describe("rows of several examples", { skip: asksNothing }, () => {
  for (const family of width(["gpt2", "llama", "gemma2", "mistral", "gpt_neox"], ["gpt2", "gemma2"])) {
    it(`${family}: give the loss and the gradients of the examples alone`, async () => {
      const model = await aModel(family), { list } = someExamples(7, 12, 5), random = new Generator(1);
      const rows: EncodedExample[][] = [[], [], []];
      for (const example of list) rows[random.integer(0, 3)].push(example);
      for (const row of rows) if (!row.length) row.push(list[0]);
      const [loss, expected] = await alone(model, rows.flat());
      for (const packed of [true, false]) {
        const own = packed ? rows : rows.flat().map((example) => [example]);
        const batch = exampleBatch(own, packed ? 48 : 11, { packed, weight: 1, device: "cpu" });
        model.zeroGrad();
        const got = batch.loss(model);
        got.backward();
        assertAlmostEquals(await got.item(), loss, 1e-6, `packed: ${packed}`);
        assertClose(await gradients(model), expected, 1e-6, `packed: ${packed}`);
      }
    });
  }

  it("with an adapter and label smoothing too", async () => {
    const model = await aModel(), { list } = someExamples(5, 10, 9);
    nn.lora(model, { rank: 2, alpha: 4, targets: "all-linear" });
    const packed = exampleBatch([list], 48, { packed: true, weight: 1, device: "cpu" });
    const padded = exampleBatch(list.map((one) => [one]), 12, {
      packed: false,
      weight: 1,
      device: "cpu",
    });
    const results: [number, number[]][] = [];
    for (const batch of [packed, padded]) {
      model.zeroGrad();
      const loss = batch.loss(model, { labelSmoothing: 0.1, zLoss: 0.01 });
      loss.backward();
      results.push([await loss.item(), await gradients(model)]);
    }
    assertAlmostEquals(results[0][0], results[1][0], 1e-6);
    assertClose(results[0][1], results[1][1], 1e-6, "with an adapter");
    assert(results[0][1].some((g) => g !== 0));
  });

  it("masks and positions of another form are refused", async () => {
    const model = await aModel(), ids = [[1, 2, 3]], targets = [[2, 3, 4]];
    const seen = model.forward(ids, { positionIds: [[0, 1, 2]] });
    assertEquals(await seen.toArray(), await model.forward(ids).toArray());
    assertThrows(
      () => model.forward(ids, { positionIds: [[0, 1, 3]] }),
      Error,
      "positionIds has 3, expected",
    );
    assertThrows(
      () => model.forward(ids, { positionIds: [[0, 1]] }),
      Error,
      "positionIds is i32 [batch, time]",
    );
    assertThrows(() => model.loss(ids, undefined, { positionIds: ids }), OptionError, "goes with targets");
    const mask = seen.gt(0);
    assertThrows(
      () => model.loss(ids, targets, { attentionMask: mask.reshape(1, 3, 300, 1) }),
      Error,
      "attentionMask of 4 dims is bool [batch, 1, time, positions], here [1, 1, 3, 3], not bool [1, 3, 300, 1]",
    );
  });
});

describe("batches of examples", { skip: asksNothing }, () => {
  const set = someExamples(23, 9, 4), learnable = set.list.filter((one) => targetsOf(one) > 0);
  const source = (pack: boolean, seed = 3, batchSize = 3) =>
    exampleBatches(set, { batchSize, blockSize: 16, pack, seed, device: "cpu" });
  /** The examples of a batch, as the ids that are read and predicted. */
  const examplesIn = async (batch: ExampleBatch): Promise<string[]> => {
    const ids = await batch.ids.toArray() as number[][],
      targets = await batch.targets.toArray() as number[][];
    const positions = batch.positionIds && await batch.positionIds.toArray() as number[][];
    const segments = batch.segments && await batch.segments.toArray() as number[][];
    return ids.flatMap((row, r) => {
      const starts = row.flatMap((_, i) =>
        (positions ? positions[r][i] === 0 && segments![r][i] > 0 : i === 0) ? [i] : []
      );
      return starts.map((start, s) => {
        const end = starts[s + 1] ?? row.length, own = targets[r].slice(start, end);
        return JSON.stringify([row.slice(start, start + 1), own.filter((id) => id !== -100)]);
      });
    }).sort();
  };
  const name = ({ ids, counts }: EncodedExample): string =>
    JSON.stringify([ids.slice(0, 1), ids.slice(1).filter((_, i) => counts[i + 1])]);

  for (const pack of [false, true]) {
    it(`hold every example once an epoch, ${pack ? "as many in a row as fit" : "one a row"}`, async () => {
      const data = source(pack), found: string[] = [];
      let rows = 0;
      while (found.length < 2 * learnable.length) {
        const batch = data.next();
        assertStrictEquals(batch.ids.shape[0], 3);
        if (pack) assertStrictEquals(batch.ids.shape[1], 16);
        rows += 3;
        found.push(...await examplesIn(batch));
      }
      const wanted = learnable.map(name).sort();
      // Batches do not end with epochs, so the second may be cut.
      const counts = new Map<string, number>();
      for (const one of found) counts.set(one, (counts.get(one) ?? 0) + 1);
      for (const one of wanted) assert((counts.get(one) ?? 0) >= 2, one);
      assertEquals([...counts.keys()].sort(), [...new Set(wanted)]);
      if (pack) assert(rows < 0.6 * found.length, `${rows} rows for ${found.length} examples`);
    });

    it(`go on in the middle of an epoch, ${pack ? "packed" : "padded"}`, async () => {
      const whole = source(pack), expected: string[][] = [];
      for (let i = 0; i < 12; i++) expected.push(await examplesIn(whole.next()));
      for (let stop = 0; stop < 12; stop += 5) {
        const first = source(pack), again = source(pack, 99);
        for (let i = 0; i < stop; i++) first.next();
        again.setState(JSON.parse(JSON.stringify(first.getState())));
        for (let i = stop; i < 12; i++) assertEquals(await examplesIn(again.next()), expected[i]);
      }
      const other = exampleBatches({ ...set, sha256: "y" }, { batchSize: 3, blockSize: 16 });
      assertThrows(() => other.setState(whole.getState()), OptionError, "are those of another file");
      for (const state of [null, {}, { ...whole.getState() as object, done: -1 }]) {
        assertThrows(() => source(pack).setState(state), OptionError);
      }
    });

    it(`and parts of them count as their targets do, ${pack ? "packed" : "padded"}`, async () => {
      const model = await aModel(), [steps, batches] = width([2, 3], [1, 2]);
      for (const parts of width([1, 2, 4], [4])) {
        const data = source(pack, 5, 4), plain = source(pack, 5, 4);
        for (let step = 0; step < steps; step++) {
          const start = data.getState();
          let loss = 0;
          model.zeroGrad();
          for (let index = 0; index < parts; index++) {
            data.setState(start);
            for (let i = 0; i < batches; i++) {
              const own = data.next({ index, count: parts }, batches).loss(model).mul(1 / (parts * batches));
              own.backward();
              loss += await own.item();
            }
          }
          const got = await gradients(model), names: string[] = [];
          for (let i = 0; i < batches; i++) names.push(...await examplesIn(plain.next(undefined, batches)));
          const list = names.map((one) => learnable.find((example) => name(example) === one)!);
          const [expected, grads] = await alone(model, list);
          assertAlmostEquals(loss, expected, 1e-6, `${parts} parts`);
          assertClose(got, grads, 1e-6, `${parts} parts`);
        }
      }
    });
  }

  it("tell of the first example that is too long, and refuse what leaves nothing", async () => {
    const heard: string[] = [],
      made = someExamples(6, 40, 2),
      long = {
        ...made,
        at: (i: number) => ({ ...made.at(i), counts: made.at(i).ids.map(() => 1 as const) }),
      },
      onWarning = (text: string): void => void heard.push(text);
    const data = exampleBatches(long, { batchSize: 2, blockSize: 5, onWarning, device: "cpu" });
    for (let i = 0; i < 6; i++) assert(data.next().ids.shape[1] <= 5);
    assertStrictEquals(heard.length, 1);
    assertMatch(heard[0], /^example \d has \d+ tokens, of which a row of 5 takes 6: the rest is left out/);
    const nothing: ExampleSet = {
      ...long,
      at: () => ({ ids: [1, 2, 3, 4, 5, 6, 7, 8], counts: [0, 0, 0, 0, 0, 0, 0, 1] }),
    };
    const empty = exampleBatches(nothing, { batchSize: 2, blockSize: 5, onWarning });
    assertThrows(() => empty.next(), OptionError, "of 6 examples, cut to the rows, nothing is left to learn");
    await assertRejects(
      async () => await evaluateExamples(await aModel(), nothing, { batchSize: 2, blockSize: 5, onWarning }),
      OptionError,
      "nothing is left to learn",
    );
    assertThrows(() => exampleBatches({ ...long, length: 0 }, { batchSize: 1, blockSize: 2 }), OptionError);
    assertThrows(
      () => exampleBatches(long, { batchSize: 2 ** 27, blockSize: 16 }),
      OptionError,
      "expected at most 16777216 rows of 16",
    );
  });

  it("are judged by the mean over all targets, however they lie", async () => {
    const model = await aModel("llama", { dropout: 0 }), [expected] = await alone(model, learnable);
    for (const pack of [false, true]) {
      for (const batchSize of [1, 4]) {
        const found = await evaluateExamples(model, set, { batchSize, blockSize: 16, pack });
        assertAlmostEquals(found.loss, expected, 1e-6);
        assertStrictEquals(found.targets, learnable.reduce((sum, one) => sum + targetsOf(one), 0));
      }
    }
  });
});

describe("a run on examples", () => {
  it("goes on bit for bit in the middle of an epoch, and not with another file", async () => {
    const lines = Array.from(
      { length: 30 },
      (_, i) => ({ prompt: `say ${i} `, completion: "yes ".repeat(1 + i % 4) }),
    );
    const path = fileOf(jsonl(lines));
    const run = async (where: string, directory: string, stopAfter?: number) => {
      const model = await aModel("llama", { dropout: 0.1 }), losses: number[] = [];
      const examples = await openExamples(where, { model });
      const trainer = new Trainer({
        model,
        data: exampleBatches(examples, { batchSize: 2, blockSize: 48, pack: true, seed: 6 }),
        loss: (batch) => batch.loss(model),
        optimizer: new optim.AdamW(model.parameters(), { lr: 0.01 }),
        steps: 8,
        gradAccum: 2,
        reportEvery: 1,
        onStep: ({ loss, tokensPerSecond }) => {
          losses.push(loss);
          assert(tokensPerSecond > 0);
        },
        checkpoints: new CheckpointManager(join(folder, directory)),
        ...(stopAfter === undefined ? {} : { stopAfter }),
      });
      await trainer.resume();
      await trainer.run();
      await examples.close();
      const weights = await Promise.all(model.parameters().map((p) => p.data()));
      return { losses, weights };
    };
    const whole = await run(path, "whole"),
      first = await run(path, "parts", 3),
      rest = await run(path, "parts");
    assertEquals([...first.losses, ...rest.losses], whole.losses);
    assertEquals(rest.weights, whole.weights);
    assert(whole.losses.at(-1)! < whole.losses[0]);
    await run(path, "other", 2);
    const changed = fileOf(jsonl([...lines.slice(0, -1), { prompt: "say ", completion: "no" }]));
    await assertRejects(() => run(changed, "other"), FormatError, "the examples are those of another file");
  });

  it("takes the steps that ranks take of it", async () => {
    await distributed.init();
    const results: number[][] = [];
    for (const parts of [undefined, 4]) {
      const model = await aModel(), losses: number[] = [];
      await new Trainer({
        model,
        data: exampleBatches(someExamples(20, 12, 3), { batchSize: 4, blockSize: 16, pack: true }),
        loss: (batch) => batch.loss(model),
        optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
        steps: 3,
        gradAccum: 2,
        reportEvery: 1,
        onStep: ({ loss }) => void losses.push(loss),
        ...(parts === undefined ? {} : { distributed, parts }),
      }).run();
      results.push(losses);
    }
    await distributed.destroy();
    assertClose(results[1], results[0], 1e-5, "losses");
  });
});
