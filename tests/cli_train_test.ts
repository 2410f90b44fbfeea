/**
 * `ferrotype train` as one calls it: what it writes, that it stops and goes on exactly, what it refuses.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openSafetensors } from "../mod.ts";
import { call, fails, ferrotype, interrupt, json, output } from "./_command.ts";
import { repository } from "./_data.ts";
import { findRuntimes, type FoundRuntime, runtimeKinds } from "./_runtimes.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

interface Result {
  out: string;
  parameters: number;
  steps: number;
  step: number;
  loss: number;
  best_loss: number;
  finished: boolean;
  interrupted: boolean;
  seconds: number;
}

/** About 5 kB of words in an order that can be learned. */
const text = Array.from(
  { length: 240 },
  (_, i) => ["the cat sat on", "a dog ran to", "one bird flew by"][i * i % 3],
)
  .join(" the mat.\n");

let folder = "", file = "";
const at = (...path: string[]): string => join(folder, ...path);
/** A run of a second. One thread: the steps are too small to be shared. */
const sizes = [
  [
    "--n-layer",
    "1",
    "--n-head",
    "2",
    "--n-embd",
    "16",
    "--block-size",
    "16",
    "--batch-size",
    "4",
    "--threads",
    "1",
  ],
  ["--dropout", "0.1", "--lr", "0.01", "--seed", "5"],
].flat();
/** An option is given once: `more` says it in place of the usual. */
const begin = (out: string, ...more: string[]): string[] => [
  ...["train", file, "-o", at(out)],
  ...sizes.filter((_, i) => !more.includes(sizes[i - i % 2])),
  ...more,
];
const resume = (
  out: string,
  ...more: string[]
): string[] => ["train", file, "-o", at(out), "--threads", "1", "--resume", ...more];

/** The log without what depends on the clock. */
function log(out: string): Record<string, number>[] {
  return readFileSync(at(out, "log.jsonl"), "utf8").trim().split("\n").map((line) => {
    const { tokens_per_second, ...rest } = JSON.parse(line);
    assert(tokens_per_second === undefined || tokens_per_second > 0);
    return rest;
  });
}

function assertSame(out: string, expected: string): void {
  assertEquals(log(out), log(expected));
  for (
    const name of [
      "model.safetensors",
      "config.json",
      "tokenizer.json",
      "training.json",
      "generation_config.json",
    ]
  ) {
    assertEquals(readFileSync(at(out, name)), readFileSync(at(expected, name)), name);
  }
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
  file = at("text.txt");
  writeFileSync(file, text);
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe("ferrotype train", () => {
  const steps = ["--steps", "60", "--eval-every", "20"];

  it("writes a model that speaks, and says what it does on standard error", async () => {
    const { code, stdout, stderr } = await ferrotype(begin("whole", ...steps));
    assertEquals([code, stdout], [0, ""]);
    const lines = stderr.trim().split("\n");
    assertMatch(lines[0], /^[\d,]+ parameters; [\d,]+ tokens to learn from, [\d,]+ held out; 60 steps$/);
    assertEquals(lines.slice(1, 4).map((line) => /^step (\d+): held-out loss [\d.]+/.exec(line)?.[1]), [
      "20",
      "40",
      "60",
    ]);
    assertMatch(lines[4], /^done in \d+ s; best held-out loss [\d.]+; wrote /);
    assertStrictEquals(lines.length, 5);
    assert(!stderr.includes("\r") && !stderr.includes("\x1b"), "no progress bar in a pipe");
    assertEquals(
      readdirSync(at("whole")).sort(),
      [
        "checkpoints",
        "config.json",
        "generation_config.json",
        "log.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
      ],
    );
    const entries = log("whole"),
      losses = entries.filter((e) => e.loss !== undefined),
      held = entries.filter((e) => e.eval_loss !== undefined);
    assertEquals(losses.map((e) => e.step), [10, 20, 30, 40, 50, 60]);
    assertEquals(held.map((e) => e.step), [20, 40, 60]);
    assert(held[2].eval_loss < held[0].eval_loss && losses[5].loss < losses[0].loss);
    const spoken = await output(["generate", "the ", "--model", at("whole"), "-n", "12", "--seed", "1"]);
    assertMatch(spoken, /^the [\s\S]{12}\n$/);
  });

  it("stopped and resumed is what it would have been", async () => {
    const first = await json<Result>(begin("parts", ...steps, "--stop-after", "13"));
    assertEquals([first.step, first.finished, first.interrupted, first.steps, first.best_loss], [
      13,
      false,
      false,
      60,
      null,
    ]);
    await json(resume("parts", "--stop-after", "30"));
    const last = await json<Result>(resume("parts"), ferrotype);
    assertEquals([last.step, last.finished, last.out], [60, true, at("parts")]);
    assertSame("parts", "whole");
    assertStrictEquals(last.best_loss, Math.min(...log("whole").map((e) => e.eval_loss ?? Infinity)));
    // Nothing is left to do, and nothing is done.
    assertStrictEquals((await json<Result>(resume("parts"))).step, 60);
    assertSame("parts", "whole");
  });

  it("interrupted by Ctrl-C saves, ends with 130, and goes on exactly", async () => {
    // Too long to end before it hears; what is compared stops a little later.
    const long = ["--steps", "100000", "--eval-every", "100000"];
    const running = ferrotype(begin("interrupted", ...long), {
      started: (child) => {
        const timer = setInterval(() => {
          if (
            !existsSync(at("interrupted", "log.jsonl")) ||
            !readFileSync(at("interrupted", "log.jsonl")).length
          ) return;
          clearInterval(timer);
          interrupt(child);
        }, 5);
        child.on("close", () => clearInterval(timer));
      },
    });
    const { code, stdout, stderr } = await running;
    assertEquals([code, stdout], [130, ""], stderr);
    const step = Number(/interrupted after step (\d+); --resume goes on/.exec(stderr)?.[1]);
    assert(step >= 10, stderr);
    await call(resume("interrupted", "--stop-after", "25"));
    await call(begin("uninterrupted", ...long, "--stop-after", String(step + 25)));
    assertStrictEquals(log("interrupted").at(-1)!.step, log("uninterrupted").at(-1)!.step);
    assertSame("interrupted", "uninterrupted");
  });

  it("is quiet when told", async () => {
    const { code, stdout, stderr } = await call(begin("quiet", "--steps", "2", "--quiet"));
    assertEquals([code, stdout, stderr], [0, "", ""]);
  });

  it("goes on from another model, with its tokenizer", { skip: asksNothing }, async () => {
    const other = at("other.txt");
    writeFileSync(other, text.replaceAll("cat", "rat").slice(0, 1500));
    // A character that the model's tokenizer does not have is told with its place in the file, held out or not.
    for (const place of [10, 1450]) {
      const odd = at("odd.txt");
      writeFileSync(odd, `${text.slice(0, place)}日${text.slice(place, 1500)}`);
      await fails(
        1,
        ["train", odd, "-o", at("odd"), "--init", at("whole"), "--block-size", "16", "--steps", "1"],
        new RegExp(`odd\\.txt: the character "日" .* at position ${place} is`),
      );
    }
    // The first model may be gone when the run is resumed.
    cpSync(at("whole"), at("base"), { recursive: true });
    const tune = [
      "train",
      other,
      "-o",
      at("tuned"),
      "--init",
      at("base"),
      "--block-size",
      "16",
      "--steps",
      "30",
      "--eval-every",
      "30",
      "--threads",
      "1",
    ];
    assertStrictEquals((await call([...tune, "--stop-after", "10"])).code, 0);
    rmSync(at("base"), { recursive: true });
    const again = ["train", other, "-o", at("tuned"), "--resume", "--threads", "1"];
    const { finished, parameters } = await json<Result>(again);
    assertEquals([finished, parameters], [
      true,
      JSON.parse(await output(["inspect", at("whole"), "--json"])).parameters,
    ]);
    assertEquals(
      readFileSync(at("tuned", "tokenizer.json")),
      readFileSync(at("whole", "tokenizer.json")),
    );
    // Fine-tuning begins where training ended, not anew.
    assert(log("tuned")[0].loss < log("whole")[3].loss);
    assertStrictEquals(JSON.parse(readFileSync(at("tuned", "config.json"), "utf8")).resid_pdrop, 0);
  });

  it(
    "trains an adapter beside a model, stops and goes on, and refuses another model",
    { skip: asksNothing },
    async () => {
      cpSync(at("whole"), at("under"), { recursive: true });
      const tune = (out: string): string[] => [
        ...[
          "train",
          file,
          "-o",
          at(out),
          "--init",
          at("under"),
          "--lora",
          "2",
          "--lora-targets",
          "c_attn,c_fc",
        ],
        ...[
          "--lora-dropout",
          "0.1",
          "--dora",
          "--steps",
          "20",
          "--eval-every",
          "10",
          "--threads",
          "1",
          "--quiet",
        ],
        ...["--optimizer", "muon", "--lora-alpha", "3", "--block-size", "16"],
      ];
      await output(tune("adapter"));
      await output([...tune("adapter-parts"), "--stop-after", "7"]);
      const again = ["train", file, "-o", at("adapter-parts"), "--resume", "--threads", "1", "--quiet"];
      await output(again);
      for (const name of ["adapter_model.safetensors", "adapter_config.json"]) {
        assertEquals(readFileSync(at("adapter-parts", name)), readFileSync(at("adapter", name)), name);
      }
      assert(!existsSync(at("adapter", "model.safetensors")));
      const { r, lora_alpha, target_modules, use_dora } = JSON.parse(
        readFileSync(at("adapter", "adapter_config.json"), "utf8"),
      );
      assertEquals([r, lora_alpha, target_modules, use_dora], [2, 3, ["c_attn", "c_fc"], true]);
      const held = log("adapter").filter((e) => e.eval_loss !== undefined);
      assert(held[1].eval_loss < held[0].eval_loss);
      await fails(2, [...again, "--lora", "3"], /begun with --lora 2; it cannot go on with 3/);
      await fails(2, [...again, "--rslora"], /begun without --rslora/);
      await fails(2, tune("adapter"), /holds a run already/);
      const ask = ["logits", "--model", at("under"), "--prompt-ids", "1,2,3"];
      const plain = await json<{ last: number[] }>(ask),
        changed = await json<{ last: number[] }>([...ask, "--lora", at("adapter")]);
      assert(plain.last.some((x, i) => Math.abs(x - changed.last[i]) > 1e-4));
      cpSync(at("quiet"), at("under"), { recursive: true, force: true });
      await fails(2, again, /holds other weights than those that the adapter was begun beside/);
    },
  );

  it("optimizers of every kind and schedules: stopped and resumed is what it would have been", {
    skip: asksNothing,
  }, async () => {
    const schedules = ["step", "exponential", "noam", "wsd"], names = ["sgd", "lion", "muon", "adafactor"];
    for (const [i, optimizer] of names.entries()) {
      const more = ["--optimizer", optimizer, "--schedule", schedules[i], "--steps", "8", "--quiet"];
      if (i % 2) more.push("--label-smoothing", "0.1", "--z-loss", "0.01");
      const own = ["--lr", "0.002", "--val-fraction", "0", "--save-every", "3"];
      await output(begin(`${optimizer}-whole`, ...more, ...own));
      await output(begin(`${optimizer}-parts`, ...more, ...own, "--stop-after", "7"));
      await output(resume(`${optimizer}-parts`, "--quiet"));
      assertSame(`${optimizer}-parts`, `${optimizer}-whole`);
    }
  });

  it(
    "averages weights, goes through epochs and stops early: stopped and resumed is what it would have been",
    { skip: asksNothing },
    async () => {
      const more = ["--ema", "0.9", "--shuffle", "epoch", "--patience", "2", "--min-delta", "0.5", "--quiet"];
      const long = [...more, "--steps", "40", "--eval-every", "4"];
      const whole = await json<Result & { stopped_early: boolean }>(begin("averaged", ...long));
      assertEquals([whole.finished, whole.stopped_early, whole.interrupted], [true, true, false]);
      assert(whole.step < 40);
      await output(begin("averaged-parts", ...long, "--stop-after", "5"));
      await output(resume("averaged-parts", "--quiet"));
      assertSame("averaged-parts", "averaged");
      assertStrictEquals((await json<Result>(resume("averaged-parts", "--quiet"))).step, whole.step);
      // What is written is what was judged: the average of the best checkpoint.
      const { best_loss } = whole, entries = log("averaged").filter((e) => e.eval_loss !== undefined);
      const best = entries.find((e) => e.eval_loss === best_loss)!;
      const saved = at("averaged", "checkpoints", `step-${String(best.step).padStart(8, "0")}`);
      const model = await openSafetensors(at("averaged", "model.safetensors"));
      const average = await openSafetensors(join(saved, "ema.safetensors"));
      const weights = await openSafetensors(join(saved, "model.safetensors"));
      for (const name of average.names) {
        const [a, b, c] = await Promise.all(
          [average, model, weights].map((file) => file.view(name).read("f32")),
        );
        assertEquals(a, b, name);
        assert(String(a) !== String(c), name);
      }
      await Promise.all([model, average, weights].map((file) => file.close()));
      await fails(2, resume("averaged", "--ema", "0.5"), /begun with --ema 0\.9; it cannot go on with 0\.5/);
      await fails(
        2,
        resume("averaged", "--shuffle", "random"),
        /begun with --shuffle epoch; it cannot go on/,
      );
    },
  );

  it("learns from examples, packed or not: stopped and resumed is what it would have been", {
    skip: asksNothing,
  }, async () => {
    const base = at("whole"),
      lines = (n: number): string =>
        Array.from(
          { length: n },
          (_, i) =>
            `{"prompt": "the ${i % 3 ? "cat" : "dog"}", "completion": " sat on${
              i === 19 ? " the mat" : ""
            }"}\n`,
        ).join("");
    const examples = at("examples.jsonl");
    writeFileSync(examples, `\n${lines(20)}`);
    cpSync(base, at("based"), { recursive: true });
    const tune = (out: string, ...more: string[]): string[] =>
      ["train", "--data", examples, "-o", at(out), "--init", at("based"), "--threads", "1", "--steps", "9"]
        .concat(
          ["--batch-size", "2", "--eval-every", "3", "--grad-accum", "2", "--dropout", "0.1", ...more],
        );
    const again = (
      out: string,
      ...more: string[]
    ): string[] => [
      "train",
      "--data",
      examples,
      "-o",
      at(out),
      "--threads",
      "1",
      "--resume",
      "--quiet",
      ...more,
    ];
    for (
      const pack of [[], ["--pack", "--train-on-prompt"], [
        "--pack",
        "--lora",
        "2",
        "--lora-targets",
        "c_attn",
      ]]
    ) {
      const name = `examples-${pack.join("")}-`,
        own = pack.includes("--lora") ? pack : [...pack, "--ema", "0.5"];
      const asked = tune(`${name}whole`, ...own).filter((word, i, all) =>
        !own.includes("--lora") || (word !== "--dropout" && all[i - 1] !== "--dropout")
      );
      const { stderr, code } = await call(asked);
      assertStrictEquals(code, 0, stderr);
      assertMatch(stderr, /; 18 examples to learn from, 2 held out; 9 steps/);
      // Of what is too long the first is told of, and that once, though every evaluation finds it.
      assertStrictEquals(
        stderr.match(/warning: .*, line 21 has 22 tokens.*: the rest is left out/g)?.length,
        1,
      );
      await output([
        ...asked.map((word) => word.replace(`${name}whole`, `${name}parts`)),
        "--stop-after",
        "4",
      ]);
      await output(again(`${name}parts`));
      const file = own.includes("--lora") ? "adapter_model.safetensors" : "model.safetensors";
      assertEquals(readFileSync(at(`${name}parts`, file)), readFileSync(at(`${name}whole`, file)), name);
      assertEquals(log(`${name}parts`), log(`${name}whole`));
      const held = log(`${name}whole`).filter((e) => e.eval_loss !== undefined);
      assertStrictEquals(held.length, 3);
      assert(held[2].eval_loss < held[0].eval_loss);
    }
    await fails(2, again("examples--parts", "--pack"), /begun without --pack/);
    await fails(
      2,
      ["train", file, "-o", at("examples--parts"), "--resume"],
      /begun with examples; name them with --data/,
    );
    await fails(
      2,
      resume("whole").with(1, "--data").toSpliced(2, 0, examples),
      /begun with a text; leave out --data/,
    );
    await fails(2, ["train", "-o", at("x")], /give a TEXTFILE or examples with --data FILE\n/);
    await fails(2, ["train", file, "--data", examples, "-o", at("x")], /not both/);
    await fails(2, ["train", "--data", examples, "-o", at("x")], /name it with --init MODEL/);
    await fails(
      2,
      tune("x", "--patience", "2", "--val-fraction", "0.01"),
      /nothing is held out; take a larger/,
    );
    writeFileSync(examples, lines(19));
    await fails(
      2,
      again("examples--parts"),
      /examples\.jsonl is not the examples that the run was begun on .*, or it was changed/,
    );
    writeFileSync(examples, `${lines(3)}{"prompt": 5}\n`);
    await fails(1, tune("x"), /examples\.jsonl, line 4 has "prompt", expected/);
    // What the tokenizer has no tokens for, or no row has room for, is named before anything is written.
    writeFileSync(examples, `${lines(17)}{"prompt": "a", "completion": "日"}\n${lines(2)}`);
    await fails(1, tune("x"), /examples\.jsonl, line 18: the character "日"/);
    const long = `{"prompt": "${"the cat ".repeat(9)}", "completion": "sat"}\n`;
    writeFileSync(examples, lines(18) + long + long);
    await fails(
      2,
      tune("x"),
      /the 2 examples held out, cut to --block-size 16, nothing is left to learn; take/,
    );
    assert(!existsSync(at("x")));
  });

  it("other families by their sizes", { skip: asksNothing }, async () => {
    const more = ["--family", "llama", "--n-kv-head", "1", "--n-inner", "24", "--steps", "3", "--quiet"];
    await output(begin("llama", ...more));
    const config = JSON.parse(readFileSync(at("llama", "config.json"), "utf8"));
    assertEquals([config.model_type, config.num_key_value_heads, config.intermediate_size], ["llama", 1, 24]);
    await fails(2, begin("no", "--n-kv-head", "1", "--steps", "3"), /as many heads of keys as of queries/);
  });

  it("learns a vocabulary, accumulates gradients, stores bf16", { skip: asksNothing }, async () => {
    const more = [
      "--vocab-size",
      "270",
      "--grad-accum",
      "2",
      "--schedule",
      "linear",
      "--clip",
      "0",
      "--steps",
      "4",
      "--dtype",
      "bf16",
      "--val-fraction",
      "0",
    ];
    const { best_loss, finished } = await json<Result>(begin("words", ...more));
    assertEquals([best_loss, finished], [null, true]);
    const { tensors } = JSON.parse(await output(["inspect", at("words"), "--json"]));
    assertEquals(tensors.find((t: { name: string }) => t.name === "wte.weight"), {
      name: "wte.weight",
      dtype: "bf16",
      shape: [270, 16],
      bytes: 270 * 16 * 2,
      file: tensors[0].file,
    });
    const { eos_token_id } = JSON.parse(readFileSync(at("words", "config.json"), "utf8"));
    assertStrictEquals(typeof eos_token_id, "number");
  });

  const vega = existsSync(join(repository, "node_modules", "vega-lite"))
    ? false
    : "vega-lite is not installed; run npm install";
  it("draws the loss curve", { skip: asksNothing || vega }, async () => {
    await call(begin("drawn", "--steps", "20", "--eval-every", "10", "--plot", at("loss.svg")));
    const svg = readFileSync(at("loss.svg"), "utf8");
    assertMatch(svg, /^<svg [^>]*xmlns/);
    assert(svg.includes("held out") && svg.includes("text.txt") && svg.includes("loss, nats a token"));
  });

  it("refuses what cannot go together", { skip: asksNothing }, async () => {
    await fails(2, ["train", file], /say where to write with -o DIR/);
    await fails(2, begin("whole", ...steps), /holds a run already; go on with --resume/);
    await fails(2, resume("nothing"), /training\.json is not there; no run was begun/);
    await fails(2, resume("whole", "--lr", "3"), /begun with --lr 0\.01; it cannot go on with 3/);
    await fails(
      2,
      ["train", join(repository, "LICENSE"), "-o", at("whole"), "--resume"],
      /is not the text that the run was begun on \(text\.txt\)/,
    );
    await fails(
      2,
      ["train", file, "-o", at("x"), "--init", at("whole"), "--n-layer", "2"],
      /--n-layer has no effect because it is the model's own with --init/,
    );
    await fails(
      2,
      ["train", file, "-o", at("x"), "--init", at("whole"), "--block-size", "32"],
      /--block-size 32 is more than the 16 positions/,
    );
    await fails(
      2,
      begin("x", "--steps", "2", "--warmup", "50"),
      /--warmup is 50, expected at most the 2 of --steps/,
    );
    await fails(2, begin("whole/../whole", ...steps), /holds a run already/);
    await fails(
      2,
      begin("x", "--block-size", "100000"),
      /has [\d,]+ tokens to learn from, and a window of --block-size/,
    );
    await fails(
      2,
      begin("x", "--batch-size", "1000000000"),
      /--batch-size is 1000000000, expected at most \d+ windows/,
    );
    const empty = at("empty.txt");
    writeFileSync(empty, "");
    await fails(
      2,
      ["train", empty, "-o", at("x")],
      /train: .*empty\.txt is empty; there is nothing to learn from/,
    );
    await fails(2, begin("x", "--n-head", "3"), /--n-head is 3, expected a divisor of --n-embd 16/);
    assert(!existsSync(at("x")));
  });
});

describe("ferrotype train --deterministic", () => {
  const steps = ["--steps", "30", "--eval-every", "10"];
  const { found } = findRuntimes(runtimeKinds, false),
    others = found.filter(({ path }) => path !== process.execPath);
  const skip = others.length === 0 ? "no other runtime is here" : false;
  const elsewhere = ({ kind, path }: FoundRuntime, args: readonly string[]): void => {
    const run = kind.name === "deno" ? ["run", "-A", "--no-check"] : [];
    const { status, stderr } = spawnSync(path, [...run, join(repository, "cli", "main.ts"), ...args], {
      encoding: "utf8",
    });
    assertStrictEquals(status, 0, stderr);
    assert(!stderr.includes("warning"), stderr);
  };

  it("goes on elsewhere with the same bits", { skip }, async () => {
    await output(begin("same", ...steps, "--deterministic", "--quiet"));
    await output(begin("moved", ...steps, "--deterministic", "--quiet", "--stop-after", "7"));
    for (const [i, runtime] of others.entries()) {
      elsewhere(runtime, resume("moved", "--quiet", ...i + 1 < others.length ? ["--stop-after", "9"] : []));
    }
    assertSame("moved", "same");
    assertStrictEquals(JSON.parse(readFileSync(at("same", "training.json"), "utf8")).deterministic, true);
  });

  it("is what a run is from its beginning, on the cpu device", { skip: asksNothing }, async () => {
    await output(begin("plain", ...steps, "--stop-after", "1", "--quiet"));
    await fails(2, resume("plain", "--deterministic"), /begun without --deterministic/);
    await fails(
      2,
      begin("x", ...steps, "--deterministic", "--device", "reference").filter((word, i, all) =>
        word !== "--threads" && all[i - 1] !== "--threads"
      ),
      /--deterministic has no effect because it belongs to the cpu device/,
    );
    assert(!existsSync(at("x")));
  });

  it("goes on with the arithmetic that it was begun with, and says when it cannot", async () => {
    await output(begin("other", ...steps, "--stop-after", "1", "--quiet"));
    const checkpoints = at("other", "checkpoints");
    /** The newest state, with `change` made in its arithmetic. */
    const held = (change: (text: string) => string): string => {
      const names = readdirSync(checkpoints).filter((name) => /^step-/.test(name)).sort();
      const file = join(checkpoints, names.at(-1)!, "state.json"),
        saved = JSON.parse(readFileSync(file, "utf8"));
      assertMatch(saved.state.arithmetic, /^cpu: /);
      const arithmetic = change(saved.state.arithmetic);
      writeFileSync(file, JSON.stringify({ ...saved, state: { ...saved.state, arithmetic } }));
      return arithmetic;
    };
    // As another measurement would have chosen it on this machine; without a library there is nothing to choose.
    const chosen = held((text) => text.replace(/products from \d+/, "products from 12345"));
    const quiet = await ferrotype(resume("other", "--stop-after", "1", "--quiet"));
    assertStrictEquals(quiet.code, 0, quiet.stderr);
    assert(!quiet.stderr.includes("other arithmetic"), quiet.stderr);
    assertStrictEquals(held((text) => text), chosen);
    held(() => "cpu: of another kind");
    const { code, stderr } = await ferrotype(resume("other", "--stop-after", "1", "--quiet"));
    assertStrictEquals(code, 0, stderr);
    assertMatch(
      stderr,
      /^warning: this run was begun with other arithmetic \(cpu: of another kind\) than it goes on with/m,
    );
  });
});
