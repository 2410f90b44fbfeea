/**
 * The command as one calls it: every command's output, its exit status, its errors.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStrictEquals } from "@std/assert";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "./_suite.ts";
import { copyInto, full } from "../mod.ts";
import { commands } from "../cli/commands/mod.ts";
import { version } from "../cli/version.ts";
import { call, type Ended, fails, ferrotype, interrupt, json, output } from "./_command.ts";
import { dataPath, repository } from "./_data.ts";
import { assertNear, inFolder, loadTiny, makeFolder, readGolden, tinyFolder } from "./_gpt2.ts";
import { asksNothing } from "./_width.ts";

const tiny = ["--model", tinyFolder];

interface Generated {
  model: string;
  device: string;
  dtype: string;
  prompt_ids: number[];
  ids: number[];
  text: string;
  finish_reason: string;
  timings: Record<string, number>;
}

interface Inspected {
  tensors: { name: string; dtype: string; shape: number[]; bytes: number; file: string }[];
  metadata: Record<string, string>;
  parameters: number;
  bytes: number;
  bytes_read: number;
}

interface Logits {
  shape: number[];
  last: number[];
  logits: number[][];
  loss: number;
}

describe("ferrotype", () => {
  it("tells what it can do", async () => {
    const overview = await output(["--help"]);
    for (const { name, summary } of commands) {
      assert(overview.includes(`  ${name} `) && overview.includes(summary));
    }
    assertMatch(await output(["help", "generate"]), /^ferrotype generate \[PROMPT\]/);
    assertMatch(await output(["tokenizer", "train", "--help"]), /^ferrotype tokenizer train TEXTFILE/);
    assertStrictEquals(await output(["--version"]), `${version}\n`);
    assertEquals(await call([]), { code: 2, stdout: "", stderr: overview });
  });

  it("says in one line what is wrong with a call, and ends with 2", async () => {
    await fails(2, ["generat"], /there is no command "generat"; did you mean "generate"\?/, ferrotype);
    await fails(2, ["tokenizer", "trian"], /"tokenizer" needs one of: tokenizer train/);
    await fails(2, ["generate", "--temprature", "1"], /no option --temprature; did you mean --temperature\?/);
    await fails(
      2,
      ["generate", "a", "--device", "cpu", "--threads", "0"],
      /--threads is a whole number from 1/,
    );
  });

  it("says in one line what failed, and ends with 1; more with --verbose", async () => {
    const gone = ["inspect", "/no/such/file.safetensors"];
    await fails(1, gone, /no such file/, ferrotype);
    const { code, stderr } = await call([...gone, "--verbose"]);
    assertStrictEquals(code, 1);
    assertMatch(stderr, /^ferrotype: [^\n]+\n[^\n]*no such file[^\n]*\n\s+at |^ferrotype: [^\n]+\n.*@/);
  });

  it("tells what the machine gives, and needs nothing but its own files", async () => {
    await inFolder(async (folder) => {
      for (const name of ["mod.ts", "deno.json", "package.json", "cli", "src"]) {
        cpSync(join(repository, name), join(folder, name), { recursive: true });
      }
      const file = join(folder, "cli", "main.ts");
      assertMatch(
        await output(["doctor"], (args) => ferrotype(args, { cwd: folder, file })),
        /^runtime +\w+ \d/,
      );
    });
    const found = await json<{
      threads: { hardware: number; used: number };
      wasm: Record<string, { available: boolean }>;
      devices: Record<string, { available: boolean; detail?: string }>;
    }>(["doctor"]);
    assert(found.threads.used >= 1 && found.threads.used <= found.threads.hardware);
    assert(Object.keys(found.wasm).length > 2);
    assertEquals([found.devices.cpu.available, found.devices.reference.available], [true, true]);
    for (const { available, detail } of Object.values(found.devices)) assert(available || detail);
  });
});

describe("ferrotype generate", () => {
  it("continues a prompt, from an argument or standard input", async () => {
    const options = ["-n", "6", ...tiny];
    const process = await ferrotype(["generate", "The end", ...options]);
    assertEquals([process.code, process.stderr], [0, ""]);
    const text = process.stdout;
    assert(text.startsWith("The end") && text.endsWith("\n") && text.length > 10);
    for (const args of [["generate"], ["generate", "-", "--temperature", "0"]]) {
      assertStrictEquals(
        await output([...args, ...options], (a) => ferrotype(a, { input: "The end" })),
        text,
      );
    }
    const found = await json<Generated>(["generate", "The end", ...options], ferrotype);
    assertStrictEquals(`The end${found.text}\n`, text);
    assertEquals(
      Object.keys(found),
      ["model", "device", "dtype", "prompt_ids", "ids", "text", "finish_reason", "timings"],
    );
    const { model, device, dtype, ids, finish_reason } = found;
    assertEquals([model, device, dtype, ids.length, finish_reason], [
      tinyFolder,
      "cpu",
      "f32",
      6,
      "length",
    ]);
    assertEquals(
      Object.keys(found.timings),
      ["load_ms", "prefill_ms", "prefill_tokens_per_second", "decode_tokens_per_second"],
    );
    assert(Object.values(found.timings).every((n) => n > 0));
    assertMatch(
      (await call(["generate", "The end", ...options, "--verbose"])).stderr,
      /^loaded in \d+ ms; prompt 3 tokens/,
    );
  });

  it("takes ids, and every option of generation", async () => {
    const golden = readGolden(), [ids] = golden.prompts.single.ids;
    const run = (...args: string[]): Promise<Generated> => {
      const tokens = args.includes("-n") ? [] : ["-n", "40"];
      return json(["generate", "--prompt-ids", ids.join(","), ...tokens, ...tiny, ...args]);
    };
    const sampling = ["--temperature", "0.9", "--top-k", "40", "--top-p", "0.95", "--min-p", "0.01"];
    const greedy = await run(), one = await run(...sampling, "--seed", "3");
    assertEquals([greedy.ids, greedy.prompt_ids], [golden.greedy.new_ids, ids]);
    assertEquals((await run(...sampling, "--seed", "3")).ids, one.ids);
    const other = await run(...sampling, "--seed", "4", "--device", "reference", "--dtype", "bf16");
    assertEquals([other.dtype, other.device], ["bf16", "reference"]);
    for (const found of [one, other]) assertNotEquals(found.ids, greedy.ids);
    assertNotEquals(one.ids, other.ids);
    assertNotEquals((await run("--repetition-penalty", "1.5")).ids, greedy.ids);
    assertStrictEquals((await run("--num-beams", "2", "-n", "3", "--threads", "1")).ids.length, 3);
    assertStrictEquals((await run("-n", "0")).ids.length, 0);
    const free = await json<Generated>(["generate", "The", "-n", "20", ...tiny]),
      stop = free.text.slice(4, 7);
    const stopped = await json<Generated>([
      "generate",
      "The",
      "-n",
      "20",
      "--stop",
      stop,
      "--stop",
      "\u0001",
      ...tiny,
    ]);
    assertStrictEquals(stopped.finish_reason, "stop");
    assertStrictEquals(stopped.text, free.text.slice(0, free.text.indexOf(stop)));
  });

  it("gives as many texts as the model's own file asks for, unless it is told", async () => {
    await inFolder(async (folder) => {
      cpSync(tinyFolder, folder, { recursive: true });
      const own = { num_beams: 3, num_return_sequences: 2, max_new_tokens: 4 };
      writeFileSync(join(folder, "generation_config.json"), JSON.stringify(own));
      const call = ["generate", "The", "--model", folder, "--json"];
      const { sequences } = await json<{ sequences: unknown[] }>(call);
      assertStrictEquals(sequences.length, 2);
      for (const more of [["--num-return-sequences", "1"], ["--num-beams", "1"]]) {
        assert(!("sequences" in await json<object>([...call, ...more])), more.join(" "));
      }
    });
  });

  it("refuses what makes no sense, and then prints nothing else", async () => {
    await fails(2, ["generate", "a", "--prompt-ids", "1", ...tiny], /not both/);
    await fails(
      2,
      ["generate", "--prompt-ids", "1,x", ...tiny],
      /whole numbers such as 15,27,3; "x" is not one/,
    );
    await fails(2, ["generate", ...tiny], /there is no prompt/, ferrotype);
    await fails(
      2,
      ["generate", "a", "--num-beams", "2", "--top-k", "5", ...tiny],
      /--top-k acts only when sampling, which --num-beams 2 excludes/,
    );
    await fails(1, ["generate", "a ".repeat(80), ...tiny], /the model takes 64; shorten it/);
    await fails(1, ["generate", "--prompt-ids", "512", ...tiny], /512 is outside the vocabulary of 512/);
    await fails(1, ["generate", "a", "--model", "/no/such/model"], /neither a folder here nor a repository/);
    const file = join(repository, "README.md");
    await fails(
      1,
      ["generate", "a", "--model", file],
      /README\.md" is a file, expected a folder with config\.json/,
    );
  });

  it("ends quietly when nobody reads any more", async () => {
    const { code, stderr } = await ferrotype(["generate", "The", "-n", "100000", ...tiny], {
      started: (child) => child.stdout.once("data", () => child.stdout.destroy()),
    });
    assertEquals([code, stderr], [0, ""]);
  });

  it("ends with 130 when interrupted", async () => {
    const { code, stderr } = await ferrotype(["generate", "The", "-n", "1000000", ...tiny], {
      started: (child) => child.stdout.once("data", () => interrupt(child)),
    });
    assertEquals([code, stderr], [130, "ferrotype: interrupted\n"]);
  });
});

describe("ferrotype logits and eval", { skip: asksNothing }, () => {
  it("gives the recorded logits and loss", async () => {
    const { prompts, full_logits: { logits: [rows] } } = readGolden(), [ids] = prompts.single.ids;
    const args = ["logits", "--prompt-ids", ids.join(" "), ...tiny], expected = prompts.single.last_logits[0];
    const last = await json<Logits>(args, ferrotype);
    assertEquals(Object.keys(last), ["shape", "last"]);
    assertEquals(last.shape, [1, 7, 512]);
    assertNear(last.last, expected, 1e-4, "last logits");
    const full = await json<Logits>([...args, "--full", "--loss", "--device", "reference"]);
    assertNear(full.logits.flat(), rows.flat(), 1e-4, "all logits");
    const losses = ids.slice(1).map((id, i) =>
      Math.log(rows[i].reduce((sum, v) => sum + Math.exp(v), 0)) - rows[i][id]
    );
    assertNear([full.loss], [losses.reduce((a, b) => a + b) / 6], 1e-5, "loss");
    const text = await output([...args, "--loss"]), best = expected.indexOf(Math.max(...expected));
    assertMatch(text, new RegExp(`^loss [\\d.]+\n +${best} +-?[\\d.]+ +"`));
    assertStrictEquals(text.trimEnd().split("\n").length, 11);
    await fails(2, ["logits", ...tiny], /give a prompt/);
  });

  it("names the weight behind logits that are no numbers", async () => {
    const model = await loadTiny(), [name, weight] = model.namedParameters().at(-1)!;
    copyInto(full(weight.shape, NaN), weight.detach());
    await inFolder(async (folder) => {
      await model.save(join(folder, "model"));
      for (const more of [[], ["--json"], ["--json", "--full"]]) {
        await fails(
          1,
          ["logits", "--prompt-ids", "1 2 3", "--model", join(folder, "model"), ...more],
          new RegExp(`logits: at position 0 the logit of id 0 is NaN: weight ${name} has NaN at \\[0`),
        );
      }
    });
    model.dispose();
  });

  it("judges a model on a text", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "text.txt"), text = "To be, or not to be: that is the question. ".repeat(5);
      writeFileSync(file, text);
      const found = await json<Record<string, number>>([
        "eval",
        file,
        "--block-size",
        "32",
        "--stride",
        "8",
        ...tiny,
      ], ferrotype);
      assertEquals(
        Object.keys(found),
        ["model", "loss", "perplexity", "bits_per_byte", "tokens", "bytes", "block_size"],
      );
      const { loss, perplexity, bits_per_byte, tokens, bytes } = found;
      assertStrictEquals(bytes, text.length);
      assertNear(
        [perplexity, bits_per_byte],
        [Math.exp(loss), loss * tokens / Math.LN2 / bytes],
        1e-6,
        "figures",
      );
      assertMatch(
        await output(["eval", file, "--fraction", "0.5", ...tiny]),
        /^loss [\d.]+ nats a token; perplexity [\d.]+; [\d.]+ bits a byte; \d+ tokens\n$/,
      );
      await fails(2, ["eval", file, "--block-size", "65", ...tiny], /at most the model's 64 positions/);
      writeFileSync(file, Uint8Array.of(0xff, 0xfe));
      await fails(1, ["eval", file, ...tiny], /is not UTF-8 text/);
    });
  });
});

describe("ferrotype tokenize", { skip: asksNothing }, () => {
  it("goes from text to ids and back", async () => {
    const text = "The end, naïvely: 😀\n";
    const { ids, tokens, count } = await json<{ ids: number[]; tokens: string[]; count: number }>([
      "tokenize",
      text,
      ...tiny,
    ]);
    assertEquals([count, tokens.length, tokens[0]], [ids.length, ids.length, "The"]);
    const piped = await output(["tokenize", ...tiny], (args) => ferrotype(args, { input: text }));
    assertStrictEquals(piped, `${ids.join(",")}\n`);
    assertStrictEquals(await output(["tokenize", "--decode", piped.trim(), ...tiny]), text);
    assertStrictEquals(await output(["tokenize", "<|endoftext|>", ...tiny]), "511\n");
    assertMatch(await output(["tokenize", "<|endoftext|>", "--no-special", ...tiny]), /^\d+,\d+/);
  });

  it("learns from a text", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "text.txt"), out = join(folder, "tokenizer");
      writeFileSync(file, "the cat and the hat and the bat ".repeat(20));
      const train = (...args: string[]): string[] => ["tokenizer", "train", file, "-o", out, ...args];
      const found = await json<Record<string, number>>(train("--vocab-size", "270"), ferrotype);
      assertEquals([found.vocab_size, found.characters], [270, 640]);
      assert(found.tokens < 320);
      assertEquals(readdirSync(out).sort(), ["tokenizer.json", "tokenizer_config.json"]);
      const text = "the rat and the cat", ids = await output(["tokenize", text, "--model", out]);
      assertStrictEquals(await output(["tokenize", "--decode", ids.trim(), "--model", out]), `${text}\n`);
      assertMatch((await call(train("--vocab-size", "0"))).stderr, /9 tokens; 1\.00 characters a token/);
      await fails(
        2,
        train("--vocab-size", "0", "--min-frequency", "3"),
        /--min-frequency has no effect because a tokenizer of characters/,
      );
    });
  });
});

describe("ferrotype explain", { skip: asksNothing }, () => {
  it("prints the program of a decoding step, and of a training step of any size", async () => {
    const step = await output(["explain", ...tiny]);
    assertMatch(step, /asked for: \d+ operations[^]*attentionStep[^]*done in each run[^]*memory: /);
    const { plan, device } = await json<{ plan: string[]; device: string }>(
      ["explain", ...tiny, "--train", "--batch-size", "2", "--block-size", "9"],
    );
    assertStrictEquals(device, "cpu");
    assertMatch(plan.join("\n"), /crossEntropyBackward\(%\d+ f32\[16, 512\]/);
    await fails(2, ["explain", ...tiny, "--batch-size", "2"], /a decoding step is of one id/);
  });
});

describe("ferrotype inspect and convert", { skip: asksNothing }, () => {
  it("reads a header and no more", async () => {
    const found = await json<Inspected>(["inspect", dataPath("gpt2-tiny", "model.safetensors")], ferrotype);
    assertEquals([found.tensors.length, found.parameters, found.bytes], [28, 43_904, 4 * 43_904]);
    assert(found.bytes_read < 4000);
    const { dtype, shape, bytes } = found.tensors.find((t) =>
      t.name === "wpe.weight"
    ) as Inspected["tensors"][0];
    assertEquals([dtype, shape, bytes], ["f32", [64, 32], 8192]);
    const listed = await output(["inspect", tinyFolder]);
    assertMatch(listed, /^wpe\.weight +f32 +\[64, 32\] +8\.19 kB$/m);
    assertMatch(listed, /^28 tensors, 43,904 numbers, 175\.6 kB; read [\d.]+ kB$/m);
  });

  it("copies a model in another dtype or in shards", async () => {
    await inFolder(async (folder) => {
      const at = (name: string): string => join(folder, name),
        file = dataPath("gpt2-tiny", "model.safetensors");
      const last = async (model: string): Promise<number[]> =>
        (await json<Logits>(["logits", "--prompt-ids", "1,2,3", "--model", model])).last;
      const { stdout, stderr }: Ended = await ferrotype(["convert", tinyFolder, at("f16"), "--dtype", "f16"]);
      assertEquals([stdout, /^wrote .*f16 \([\d.]+ kB of weights in 1 file\)\n$/.test(stderr)], [
        "",
        true,
      ]);
      const { bytes, files } = await json<{ bytes: number; files: number }>([
        "convert",
        tinyFolder,
        at("shards"),
        "--shard-size",
        "50kB",
      ]);
      assert(bytes === 4 * 43_904 && files > 3);
      await call(["convert", file, at("bf16.safetensors"), "--dtype", "bf16"]);
      const half = await json<Inspected>(["inspect", at("f16")]),
        bf16 = await json<Inspected>(["inspect", at("bf16.safetensors")]);
      for (const [found, dtype] of [[half, "f16"], [bf16, "bf16"]] as const) {
        for (const t of found.tensors) {
          assertStrictEquals(t.dtype, t.shape.length > 1 ? dtype : "f32", t.name);
        }
      }
      assertEquals(bf16.metadata, { format: "pt" });
      assert(!readdirSync(at("shards")).includes("model.safetensors"));
      assertStrictEquals(
        JSON.parse(readFileSync(join(at("f16"), "config.json"), "utf8")).torch_dtype,
        "float16",
      );
      assertNear(await last(at("f16")), await last(tinyFolder), 0.03, "f16");
      assertEquals(await last(at("shards")), await last(tinyFolder));
    });
  });

  it("replaces what is there with --force alone", async () => {
    await inFolder(async (folder) => {
      const at = (...names: string[]): string => join(folder, ...names);
      const tensors = dataPath("gpt2-tiny", "model.safetensors"), half = ["--dtype", "f16"];
      const dtypeOf = async (path: string) =>
        (await json<Inspected>(["inspect", path])).tensors.find(({ shape }) => shape.length > 1)!.dtype;
      await call(["convert", tinyFolder, at("model")]);
      await call(["convert", tensors, at("one.safetensors")]);
      const before = readdirSync(folder, { recursive: true }).sort();
      for (const [from, to] of [[tinyFolder, at("model")], [tensors, at("one.safetensors")]]) {
        await fails(
          2,
          ["convert", from, to, ...half],
          / already; give --force to replace it, or name another$/m,
        );
        assertStrictEquals(await dtypeOf(to), "f32");
        await call(["convert", from, to, ...half, "--force"]);
        assertStrictEquals(await dtypeOf(to), "f16");
      }
      // An empty folder holds nothing that could be lost.
      mkdirSync(at("empty"));
      await call(["convert", tinyFolder, at("empty")]);
      for (const force of [[], ["--force"]]) {
        for (const to of [at("one.safetensors"), at("new.safetensors")]) {
          await fails(
            2,
            ["convert", tinyFolder, to, ...force],
            /is a model's folder, and so is what comes of it/,
          );
        }
        await fails(2, ["convert", tensors, at("model"), ...force], /is a file, and so is what comes of it/);
      }
      assertEquals(
        readdirSync(folder, { recursive: true }).filter((name) => !String(name).startsWith("empty")).sort(),
        before,
      );
    });
  });

  it("trains no tokenizer into the folder of a model, but with --force", async () => {
    await inFolder(async (folder) => {
      const text = join(folder, "text.txt"), model = join(folder, "model"), out = ["-o", model];
      const words = ["tokenizer", "train", text, ...out, "--vocab-size", "0"];
      writeFileSync(text, "to be or not to be\n");
      await call(["convert", tinyFolder, model]);
      const saved = readFileSync(join(model, "config.json"), "utf8"), names = readdirSync(model).sort();
      await fails(2, words, /model holds a model, which reads texts with its own tokenizer; give --force/);
      await fails(2, ["train", text, ...out, "--block-size", "4"], /holds a model already; give --force/);
      assertEquals(readdirSync(model).sort(), names);
      await call([...words, "--force"]);
      assertStrictEquals(readFileSync(join(model, "config.json"), "utf8"), saved);
      assertEquals(
        await json<{ ids: number[] }>(["tokenize", "--model", model, "to be"]).then(({ ids }) => ids.length),
        5,
      );
    });
  });

  it("takes no empty path for the folder that it is called in", async () => {
    await fails(2, ["convert", tinyFolder, ""], /^ferrotype: convert: OUT is a path, not ""$/m);
    await fails(2, ["convert", "", "out"], /^ferrotype: convert: IN is a path, not ""$/m);
    for (const { name, options } of commands) {
      for (const [option, { value = "" }] of Object.entries(options)) {
        if (!/\b(DIR|FILE|MODEL)\b/.test(value)) continue;
        await fails(
          2,
          [...name.split(" "), `--${option}=`],
          new RegExp(`^ferrotype: --${option} is a (path|name and a folder, .*), not ""$`, "m"),
        );
      }
    }
  });

  it("refuses sizes that no machine has, before it takes memory or time", async () => {
    await inFolder(async (folder) => {
      const text = join(folder, "text.txt"),
        words = ["train", text, "-o", join(folder, "out"), "--steps", "1"];
      writeFileSync(text, "to be or not to be ".repeat(100));
      await fails(
        2,
        [...words, "--n-layer", "1000000000"],
        /^ferrotype: --n-layer is a whole number from 1 to 65536/m,
      );
      await fails(
        2,
        [...words, "--grad-accum", "1e12"],
        /^ferrotype: --grad-accum is a whole number from 1 to 65536/m,
      );
      await fails(
        1,
        [...words, "--n-embd", "1000000"],
        /^ferrotype: train: a GPT-2 of these sizes has more than \d+ parameters, expected at most \d+, which cpu can hold/m,
      );
      await fails(2, [...words, "--batch-size", "1000000000"], /expected at most \d+ windows/);
      assertEquals(readdirSync(folder), ["text.txt"]);
    });
  });

  it("says of an empty text that it is empty", async () => {
    await inFolder(async (folder) => {
      const text = join(folder, "text.txt"), out = ["-o", join(folder, "out")];
      writeFileSync(text, "");
      await fails(
        2,
        ["train", text, ...out],
        /^ferrotype: train: .*text\.txt is empty; there is nothing to learn from$/m,
      );
      await fails(2, ["eval", text], /^ferrotype: eval: .*text\.txt is empty; there is nothing to predict$/m);
      await fails(
        2,
        ["tokenizer", "train", text, ...out],
        /^ferrotype: tokenizer train: .*text\.txt is empty;/m,
      );
      assertEquals(readdirSync(folder), ["text.txt"]);
    });
  });

  it("refuses what is no model", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder, { model_type: "lama" });
      await fails(
        1,
        ["convert", folder, join(folder, "out")],
        /model_type is "lama".* the nearest of those there are is "llama"/,
      );
      await fails(
        2,
        ["convert", tinyFolder, join(folder, "out"), "--shard-size", "big"],
        /a size such as 500MB/,
      );
      await fails(1, ["inspect", join(folder, "config.json")], /config\.json/);
    });
  });
});
