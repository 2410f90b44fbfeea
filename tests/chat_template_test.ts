/**
 * Chat templates: which of a model's files they come from, what they are given, and that a text begins once. Texts wanted are
 * those of Python's jinja2 as `apply_chat_template` of transformers sets it up.
 */
import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CharTokenizer,
  type ChatTemplate,
  encodeChat,
  FormatError,
  loadChatTemplate,
  loadTokenizer,
  OptionError,
  saveGguf,
  tensor,
  tokenizerFromJson,
} from "../mod.ts";
import {
  type Companions,
  companionsIn,
  companionsOfGguf,
  tokenizerBeside,
} from "../src/runtime/companions.ts";
import type { ModelFolder } from "../src/runtime/model_folder.ts";
import { BpeTokenizer } from "../src/text/mod.ts";
import { ggufChatTemplate } from "../src/runtime/chat.ts";
import { strftime } from "../src/runtime/strftime.ts";
import { describe, it } from "./_suite.ts";

const encoder = new TextEncoder();

function load(files: Readonly<Record<string, unknown>>): Promise<ChatTemplate | null> {
  return loadChatTemplate(Object.fromEntries(
    Object.entries(files).map(([name, value]) => [
      name,
      encoder.encode(typeof value === "string" ? value : JSON.stringify(value)),
    ]),
  ));
}

async function of(chat_template: unknown, config: object = {}): Promise<ChatTemplate> {
  return (await load({ "tokenizer_config.json": { chat_template, ...config } }))!;
}

const hi = [{ role: "user", content: "Hi" }];

describe("a chat template", () => {
  it("is the one of the configuration, or a file before it", async () => {
    assertStrictEquals(await load({ "tokenizer_config.json": {} }), null);
    assertStrictEquals(await load({}), null);
    const config = { chat_template: "config", bos_token: "<s>" };
    assertStrictEquals((await load({ "tokenizer_config.json": config }))!(hi), "config");
    assertStrictEquals((await load({ "chat_template.jinja": "file" }))!(hi), "file");
    const both = await load({
      "tokenizer_config.json": config,
      "chat_template.jinja": "file {{ bos_token }}",
    });
    assertStrictEquals(both!(hi), "file <s>");
  });

  it("of several is the one for tools where there are tools, or the one asked for", async () => {
    const list = ["default", "tool_use", "rag"].map((name) => ({
      name,
      template: `${name} {{ tools | length if tools }}`,
    }));
    const template = await of(list), tools = [{ type: "function" }];
    assertStrictEquals(template(hi), "default ");
    assertStrictEquals(template(hi, { tools }), "tool_use 1");
    assertStrictEquals(template(hi, { tools, template: "rag" }), "rag 1");
    assertThrows(
      () => template(hi, { template: "none" }),
      FormatError,
      'called "none"; it has default, tool_use, rag',
    );
    const files = await load({
      "chat_template.jinja": "own",
      "additional_chat_templates/tool_use.jinja": "with tools",
    });
    assertEquals([files!(hi), files!(hi, { tools })], ["own", "with tools"]);
    await assertRejects(() => of([{ name: "default" }]), FormatError, "the template of entry 0");
    await assertRejects(() => of([5]), FormatError, "entry 0 of chat_template");
    await assertRejects(() => of(5), FormatError, "chat_template");
  });

  it("is given what transformers gives it", async () => {
    const names = ["bos_token", "eos_token", "pad_token", "unk_token", "cls_token"];
    const tokens = await of(names.map((name) => `{{ ${name} is defined }} {{ ${name} }}|`).join(""), {
      bos_token: "<s>",
      eos_token: { content: "</s>" },
      pad_token: null,
    });
    assertStrictEquals(
      tokens(hi),
      "True <s>|True </s>|False |False |False |",
    );
    const older = await load({
      "tokenizer_config.json": { chat_template: "{{ bos_token }}{{ eos_token }}", bos_token: "<a>" },
      "special_tokens_map.json": { bos_token: "<b>", eos_token: "<c>" },
    });
    assertStrictEquals(older!(hi), "<b><c>");
    const what = await of(
      "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ enable_thinking is defined }} {{ messages[0].name }}",
    );
    assertStrictEquals(what([{ ...hi[0], name: "Bo" }]), "True True True False Bo");
    const given = {
      tools: [],
      documents: [{ title: "T", text: "t" }],
      addGenerationPrompt: false,
      variables: { enable_thinking: false },
    };
    assertStrictEquals(what(hi, given), "False False False True ");
    const now = new Date(2024, 6, 6, 15, 4, 5);
    assertStrictEquals((await of("{{ strftime_now('%d %b %Y') }}"))(hi, { now }), "06 Jul 2024");
    const refuses = await of("{{ raise_exception('roles must alternate') }}");
    assertThrows(() => refuses(hi), FormatError, "roles must alternate");
    assertThrows(() => refuses(hi, { tools: [5] as never }), OptionError, "tools");
    assertThrows(() => refuses(hi, { generationPrompt: true } as never), OptionError, "generationPrompt");
  });

  it("writes what families of models write", async () => {
    const chatml = await of(
      "{%- if tools %}\n{{- '<|im_start|>system\\n# Tools\\n' }}\n{%- for tool in tools %}\n{{- tool | tojson }}\n{%- endfor %}\n{{- '<|im_end|>\\n' }}\n{%- endif %}\n{%- for message in messages %}\n{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n{{- '<|im_start|>assistant\\n' }}\n{%- if enable_thinking is defined and enable_thinking is false %}\n{{- '<think>\\n\\n</think>\\n\\n' }}\n{%- endif %}\n{%- endif %}",
    );
    const tool = { name: "f", parameters: { é: [1, 2.5, true, null], 'a"b': "<&>" } };
    assertStrictEquals(
      chatml(hi, { tools: [tool], variables: { enable_thinking: false } }),
      '<|im_start|>system\n# Tools\n{"name": "f", "parameters": {"é": [1, 2.5, true, null], "a\\"b": "<&>"}}<|im_end|>\n' +
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    );
    const gemma = await of(
      "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
      { bos_token: "<bos>" },
    );
    assertStrictEquals(
      gemma([{ role: "user", content: " Hi\n" }, { role: "assistant", content: "Yo" }, {
        role: "user",
        content: "?",
      }]),
      "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYo<end_of_turn>\n<start_of_turn>user\n?<end_of_turn>\n<start_of_turn>model\n",
    );
    assertThrows(() => gemma([...hi, ...hi]), FormatError, "must alternate");
    assertThrows(() => gemma([{ role: "system", content: "x" }]), FormatError, "System role");
    const llama = await of(
      "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n        {%- set date_string = strftime_now('%d %b %Y') %}\n    {%- endif %}\n{%- endif %}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' + system_message + '<|eot_id|>' }}\n{%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}",
      { bos_token: "<|begin_of_text|>" },
    );
    assertStrictEquals(
      llama([{ role: "system", content: "S " }, ...hi], { now: new Date(2025, 0, 9) }),
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 09 Jan 2025\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    );
  });

  it("writes values as Python does", async () => {
    const template = await of("{{ v }} {{ v | string }} {{ none }} {{ x }}{{ x | trim }}{{ true }}");
    const v = { "it's": [1, 1.5, true, null, 'a"b', "é\n\u200b"], n: {} };
    const text = `{"it's": [1, 1.5, True, None, 'a"b', 'é\\n\\u200b'], 'n': {}}`;
    assertStrictEquals(template(hi, { variables: { v } }), `${text} ${text} None True`);
  });

  it("in a GGUF is given the tokens of the file", async () => {
    const notes = new Map<string, unknown>([
      ["tokenizer.chat_template", "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ messages[0].content }}"],
      ["tokenizer.chat_template.tool_use", "tools"],
      ["tokenizer.chat_templates", ["tool_use"]],
      ["tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>"]],
      ["tokenizer.ggml.bos_token_id", 1],
      ["tokenizer.ggml.eos_token_id", 2],
      ["tokenizer.ggml.padding_token_id", 99],
    ]);
    const template = (await ggufChatTemplate(notes, "x.gguf"))!;
    assertStrictEquals(template(hi), "<s></s>Hi");
    assertStrictEquals(template(hi, { tools: [{}] }), "tools");
    assertStrictEquals(await ggufChatTemplate(new Map(), "x.gguf"), null);
    await assertRejects(
      () => ggufChatTemplate(new Map([["tokenizer.chat_template", 5]]), "x.gguf"),
      FormatError,
      "x.gguf: tokenizer.chat_template",
    );
  });

  it("is found in a GGUF by its name, as content, or alone in a folder, with its tokenizer", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-chat-")), file = join(folder, "x.gguf");
    try {
      await saveGguf(file, { w: tensor([1, 2]) }, {
        metadata: {
          "tokenizer.ggml.model": "llama",
          "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "\u2581", "h", "i", "\u2581h"],
          "tokenizer.ggml.scores": Float32Array.of(0, 0, 0, -9, -9, -9, -1),
          "tokenizer.ggml.token_type": Int32Array.of(2, 3, 3, 1, 1, 1, 1),
          "tokenizer.ggml.bos_token_id": 1,
          "tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}",
        },
      });
      for (const where of [file, folder, new Blob([readFileSync(file)])]) {
        assertStrictEquals((await loadChatTemplate(where))!(hi), "<s>Hi");
        const tokenizer = await loadTokenizer(where);
        assertEquals(tokenizer.encode("hi"), [1, 6, 5]);
        assertEquals(await encodeChat(tokenizer, "<s>hi"), [1, 6, 5]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("is kept with the tokenizer: all templates, and the tokens that they name", async () => {
    const kept = (companions: Companions): Record<string, string> =>
      Object.fromEntries(
        tokenizerBeside(companions.tokenizer, companions, 64).map(({ name, content }) => [name, content("")]),
      );
    const texts: Record<string, string> = {
      "tokenizer.json": JSON.stringify(CharTokenizer.from("Hi").toJSON()),
      "tokenizer_config.json": JSON.stringify({ bos_token: "<s>", model_max_length: 5 }),
      "chat_template.jinja": "{{ bos_token }}own",
      "additional_chat_templates/tool_use.jinja": "{{ bos_token }}tools",
    };
    const folder = (files: Record<string, string>): ModelFolder => ({
      name: "here",
      text: (file) => Promise.resolve(files[file] ?? null),
      open: () => Promise.resolve(null),
    });
    const tokenizer = CharTokenizer.from("Hi");
    const notes = new Map<string, unknown>([
      ["tokenizer.chat_template", texts["chat_template.jinja"]],
      ["tokenizer.chat_template.tool_use", texts["additional_chat_templates/tool_use.jinja"]],
      ["tokenizer.ggml.tokens", ["<s>"]],
      ["tokenizer.ggml.bos_token_id", 0],
    ]);
    for (
      const companions of [
        await companionsIn(folder(texts), tokenizer),
        companionsOfGguf(notes, "x.gguf", tokenizer),
      ]
    ) {
      const template = (await load(kept(companions!)))!;
      assertEquals([template(hi), template(hi, { tools: [{}] })], ["<s>own", "<s>tools"]);
    }
    assertStrictEquals(companionsOfGguf(new Map(), "x.gguf", tokenizer), null);
  });

  it("makes a text that begins and ends once", async () => {
    const trained = BpeTokenizer.train("hi hi", { vocabSize: 258, specialTokens: ["<s>", "</s>"] });
    const json = trained.toJSON() as Record<string, unknown>, [bos, eos] = [256, 257];
    const put = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    const post_processor = {
      type: "TemplateProcessing",
      single: [put("<s>"), { Sequence: { id: "A", type_id: 0 } }, put("</s>")],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [bos] }, "</s>": { id: "</s>", ids: [eos] } },
    };
    const split = { type: "WhitespaceSplit" };
    for (
      const more of [{}, { pre_tokenizer: { type: "Sequence", pretokenizers: [split, json.pre_tokenizer] } }]
    ) {
      const tokenizer = await tokenizerFromJson({ ...json, ...more, post_processor });
      assertEquals(tokenizer.encode("hi").length, 4);
      const text = (await of("{{ bos_token }}{{ messages[0].content }}", { bos_token: "<s>" }))([
        { role: "user", content: "hi" },
      ]);
      const ids = await encodeChat(tokenizer, text);
      assertEquals(ids, [bos, ...tokenizer.encode("hi", { addSpecialTokens: false })]);
    }
    const stopped = AbortSignal.abort();
    await assertRejects(() => encodeChat(trained, "hi", { signal: stopped }));
  });
});

describe("strftime", () => {
  const format =
    "%a|%A|%b|%B|%C|%d|%D|%e|%F|%G|%H|%I|%j|%k|%l|%m|%M|%p|%r|%R|%S|%T|%u|%U|%V|%w|%W|%y|%Y|%%|%-d|%-m|%c|%z|%f|%?";
  // What Python 3.11 gives.
  const wanted: [number[], string][] = [
    [
      [2024, 7, 26, 15, 4, 5],
      "Fri|Friday|Jul|July|20|26|07/26/24|26|2024-07-26|2024|15|03|208|15| 3|07|04|PM|03:04:05 PM|15:04|05|15:04:05|5|29|30|5|30|24|2024|%|26|7|Fri Jul 26 15:04:05 2024||000000|%?",
    ],
    [
      [2021, 1, 1, 0, 0, 0],
      "Fri|Friday|Jan|January|20|01|01/01/21| 1|2021-01-01|2020|00|12|001| 0|12|01|00|AM|12:00:00 AM|00:00|00|00:00:00|5|00|53|5|00|21|2021|%|1|1|Fri Jan  1 00:00:00 2021||000000|%?",
    ],
    [
      [2024, 12, 30, 23, 1, 1],
      "Mon|Monday|Dec|December|20|30|12/30/24|30|2024-12-30|2025|23|11|365|23|11|12|01|PM|11:01:01 PM|23:01|01|23:01:01|1|52|01|1|53|24|2024|%|30|12|Mon Dec 30 23:01:01 2024||000000|%?",
    ],
  ];
  for (const [[year, month, day, hour, minute, second], text] of wanted) {
    it(`writes ${year}-${month}-${day} as Python does`, () => {
      assertStrictEquals(strftime(format, new Date(year, month - 1, day, hour, minute, second)), text);
    });
  }
});
