/**
 * `ferrotype batch`: requests of a file, answered once each, by one worker or several, whatever happens to them.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import process from "node:process";
import { readRequests } from "../cli/batch/requests.ts";
import { arrayShare } from "../cli/sharing/share.ts";
import { call, fails, ferrotype, json } from "./_command.ts";
import { repository } from "./_data.ts";

let folder = "", input = "";
const count = 12;
const id = (i: number): string => `request ${i} "ü"`;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-batch-"));
  input = join(folder, "in.jsonl");
  const lines = Array.from({ length: count }, (_, i) => {
    // One asks for what cannot be.
    const body = { prompt: `ROMEO ${"abcdefghijkl"[i]}:`, max_tokens: i === 3 ? -1 : 4 + i, seed: i };
    return JSON.stringify({ custom_id: id(i), method: "POST", url: "/v1/completions", body });
  });
  writeFileSync(input, `${lines.join("\n")}\n`);
});
after(() => rmSync(folder, { recursive: true, force: true }));

interface Line {
  custom_id: string;
  response: { status_code: number; body: { choices?: { text: string }[]; error?: { message: string } } };
}

const read = (path: string): Line[] =>
  readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const texts = (lines: readonly Line[]): unknown[] =>
  lines.map(({ custom_id, response }) => [custom_id, response.status_code, response.body.choices?.[0].text]);

describe("ferrotype batch", () => {
  it("answers every request once, in the order of the input, and one that cannot be with its status", async () => {
    const out = join(folder, "alone");
    assertEquals(await json(["batch", input, "-o", out]), {
      out,
      requests: count,
      answered: count,
      errors: 1,
      finished: true,
      output: join(out, "output.jsonl"),
    });
    const lines = read(join(out, "output.jsonl"));
    assertEquals(lines.map(({ custom_id }) => custom_id), Array.from({ length: count }, (_, i) => id(i)));
    assertEquals(lines.map(({ response }) => response.status_code), lines.map((_, i) => i === 3 ? 400 : 200));
    assertMatch(lines[3].response.body.error!.message, /max_tokens/);
    const before = readFileSync(join(out, "part-0.jsonl"));
    const { stderr } = await call(["batch", input, "-o", out]);
    assertMatch(stderr, /answered, 1 with an error \(the first: .*max_tokens/);
    assertEquals(readFileSync(join(out, "part-0.jsonl")), before, "what is answered is not asked again");
  });

  it("is shared by workers, of whom one that is killed goes on where it was, and gives what one worker gives", async () => {
    const out = join(folder, "shared"), part = join(out, "part-1.jsonl");
    // Killed as soon as it has answered one; what it was writing is cut off in the middle.
    const killed = await ferrotype(["batch", input, "-o", out, "--share", "1/2", "--max-batch", "1"], {
      started: (child) => {
        const timer = setInterval(() => {
          if (!existsSync(part) || readFileSync(part).length === 0) return;
          clearInterval(timer);
          child.kill("SIGKILL");
        }, 2);
        child.on("close", () => clearInterval(timer));
      },
    });
    assert(killed.code !== 1, killed.stderr);
    appendFileSync(part, '{"custom_id":"request 11');
    const first = await json<{ answered: number; finished: boolean }>([
      "batch",
      input,
      "-o",
      out,
      "--share",
      "0/2",
    ]);
    assert(!first.finished || killed.code === 0);
    assert(!existsSync(join(out, "output.jsonl")) || killed.code === 0);
    const status = await json<{ answered: number }>(["batch", input, "-o", out, "--status"]);
    assertStrictEquals(status.answered, first.answered);
    assertEquals(
      (await json<{ finished: boolean }>(["batch", input, "-o", out, "--share", "1/2"])).finished,
      true,
    );
    assertEquals(texts(read(join(out, "output.jsonl"))), texts(read(join(folder, "alone", "output.jsonl"))));
    const all = [...read(part), ...read(join(out, "part-0.jsonl"))].map(({ custom_id }) => custom_id);
    assertEquals(all.sort(), Array.from({ length: count }, (_, i) => id(i)).sort(), "each is recorded once");
  });

  it("is what eval does with many texts: alone, as an array's workers, and again where one was missing", async () => {
    const paths = ["a", "b", "c"].map((name) => join(folder, `${name}.txt`)), out = join(folder, "texts");
    paths.slice(0, 2).forEach((path, i) =>
      writeFileSync(path, `ROMEO:\nBut soft! ${"What light? ".repeat(3 + i)}`)
    );
    const args = ["eval", ...paths, "-o", out, "--block-size", "16"];
    const told = (answer: object): unknown[] => {
      const { evaluated, failed, finished } = answer as Record<string, unknown>;
      return [evaluated, failed, finished];
    };
    // As Slurm starts the second of two.
    Object.assign(process.env, {
      SLURM_ARRAY_TASK_ID: "5",
      SLURM_ARRAY_TASK_MIN: "3",
      SLURM_ARRAY_TASK_STEP: "2",
    });
    process.env.SLURM_ARRAY_TASK_COUNT = "2";
    try {
      assertEquals(told(await json(args)), [1, 0, false]);
    } finally {
      for (const name of ["ID", "MIN", "STEP", "COUNT"]) delete process.env[`SLURM_ARRAY_TASK_${name}`];
    }
    assertEquals(told(await json([...args.slice(0, 6), "--status"])), [1, 0, false]);
    // The third cannot be read: the exit status says so, and nothing of it is recorded.
    const { code, stderr, stdout } = await call([...args, "--share", "0/2", "--json"]);
    assertEquals([code, told(JSON.parse(stdout))], [1, [2, 1, false]]);
    assertMatch(stderr, /^ferrotype: eval: 1 text of 3 failed; the first: .*c\.txt.*\n$/);
    assert(!existsSync(join(out, "results.jsonl")));
    // Nor of one that the model's tokenizer has no word for, which names no file itself.
    writeFileSync(paths[2], "ROMEO: 日本\n");
    const again = await call(args);
    assertStrictEquals(again.code, 1);
    assertMatch(again.stderr, /^2 of 3 texts evaluated, 1 failed; .*$/m);
    assertMatch(again.stderr, /^ferrotype: eval: 1 text of 3 failed; the first: \S*c\.txt: .*日/m);
    writeFileSync(paths[2], "ROMEO:\nBut soft!");
    assertEquals(told(await json(args)), [3, 0, true]);
    const lines = readFileSync(join(out, "results.jsonl"), "utf8").trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    assertEquals(lines.map(({ file }) => file), paths);
    const one = await json<{ loss: number; tokens: number }>(["eval", paths[0], "--block-size", "16"]);
    assertEquals([lines[0].loss, lines[0].tokens], [one.loss, one.tokens]);
    const good = [...paths.slice(0, 2), "-o", join(folder, "good")];
    const all = await json<Record<string, number>>(["eval", ...good, "--block-size", "16"]);
    const tokens = lines[0].tokens + lines[1].tokens;
    assertStrictEquals(all.tokens, tokens);
    assertAlmostEquals(
      all.loss,
      (lines[0].loss * lines[0].tokens + lines[1].loss * lines[1].tokens) / tokens,
      1e-12,
    );
    await fails(2, ["eval", ...paths], /3 texts are given; say with -o DIR where their lines go/);
    await fails(2, ["eval", paths[0], paths[0], "-o", out], /a\.txt is given twice/);
  });

  it("records what was asked beside what came of it, and refuses another, before a model is loaded", async () => {
    const two = ["m", "n"].map((name) => join(folder, `${name}.txt`)), copy = join(folder, "copy");
    for (const path of two) writeFileSync(path, "ROMEO:\nBut soft! What light?");
    const bundled = join(repository, "web", "models", "shakespeare");
    cpSync(bundled, copy, { recursive: true });
    const sum = join(folder, "sum"), asked = join(folder, "asked"), dtype = ["--dtype", "f32"];
    const evaluated = ["eval", ...two, "-o", sum, "--model", copy, "--block-size", "16"];
    await json(evaluated);
    const few = join(folder, "few.jsonl");
    const request = (prompt: string): string =>
      `${
        JSON.stringify({ custom_id: "a", url: "/v1/completions", body: { prompt, max_tokens: 2, seed: 1 } })
      }\n`;
    writeFileSync(few, request("ROMEO"));
    const answered = ["batch", few, "-o", asked, "--model", copy];
    await json(answered);
    const files = (): string[] =>
      [sum, asked].flatMap((out) =>
        readdirSync(out).sort().map((name) => readFileSync(join(out, name), "utf8"))
      );
    const before = files();
    const nowhere = ["--model", join(folder, "nowhere")];
    const tries: [string[], RegExp][] = [
      [
        [...evaluated.slice(0, 7), "--block-size", "17"],
        /--block-size 16, and this is with --block-size 17; name/,
      ],
      [evaluated.slice(0, 7), /sum holds results with --block-size 16, and this is without --block-size/],
      [[...evaluated, "--stride", "4"], /results without --stride, and this is with --stride 4/],
      [[...evaluated, "--fraction", "0.5"], /without --fraction, and this is with --fraction 0\.5/],
      [[...evaluated, "--cache-dtype", "q8"], /without --cache-dtype/],
      [[...evaluated, "--lora", copy], /without --lora, and this is with --lora \S*copy/],
      [[...evaluated, ...dtype], /without --dtype, and this is with --dtype f32/],
      [
        [...evaluated.slice(0, 5), ...nowhere, "--block-size", "16"],
        /--model \S*copy, and this is with --model \S*nowhere/,
      ],
      [
        [...answered, ...dtype],
        /asked holds results without --dtype, and this is with --dtype f32; name another folder/,
      ],
      [[...answered.slice(0, 4), ...nowhere], /--model \S*copy, and this is with --model \S*nowhere/],
      [[...answered, "--name", "b"], /without --name, and this is with --name b/],
      [["eval", ...two, "-o", asked], /holds what batch made; name another folder/],
    ];
    for (const [args, says] of tries) await fails(2, args, says);
    // The same model elsewhere is the same; other requests under the same names are not.
    assertEquals(
      (await json<{ evaluated: number }>([
        ...evaluated.slice(0, 5),
        "--model",
        bundled,
        "--block-size",
        "16",
      ])).evaluated,
      2,
    );
    writeFileSync(few, request("JULIET"));
    await fails(2, answered, /asked holds other requests; name another folder/);
    await fails(2, ["batch", few, "-o", asked, "--status"], /asked holds other requests/);
    // One that was trained further in its place: some byte of its weights is another.
    writeFileSync(few, request("ROMEO"));
    const weights = join(copy, "model.safetensors"), bytes = readFileSync(weights);
    bytes[bytes.length - 3] ^= 1;
    writeFileSync(weights, bytes);
    for (const args of [evaluated, answered]) {
      await fails(2, args, /results with --model \S*copy as it was, and its files have changed/);
    }
    assertEquals(files(), before, "nothing is written");
    rmSync(join(asked, "settings.json"));
    await fails(2, answered, /asked holds results, and no settings\.json that says what of/);
    // A model that cannot be loaded says nothing of the folder.
    const fresh = join(folder, "fresh");
    assertStrictEquals((await call(["batch", few, "-o", fresh, ...nowhere])).code, 1);
    assertStrictEquals((await json<{ answered: number }>(["batch", few, "-o", fresh])).answered, 1);
    // Of what the whole holds nothing is asked again, though no worker's file is there.
    rmSync(join(fresh, "part-0.jsonl"));
    assertStrictEquals(
      (await json<{ answered: number }>(["batch", few, "-o", fresh, "--status"])).answered,
      1,
    );
    assertStrictEquals((await json<{ answered: number }>(["batch", few, "-o", fresh])).answered, 1);
    assert(!existsSync(join(fresh, "part-0.jsonl")));
    writeFileSync(few, "\n");
    await fails(2, ["batch", few, "-o", join(folder, "empty")], /few\.jsonl holds no request/);
    assert(!existsSync(join(folder, "empty")));
  });

  it("is shared by the workers of an Indexed Job, of whom the last writes the whole", async () => {
    const out = join(folder, "job"), ended: unknown[] = [];
    try {
      process.env.JOB_COMPLETIONS = "3";
      for (const index of [2, 0, 1]) {
        process.env.JOB_COMPLETION_INDEX = String(index);
        ended.push((await json<{ answered: number }>(["batch", input, "-o", out])).answered);
      }
    } finally {
      delete process.env.JOB_COMPLETIONS;
      delete process.env.JOB_COMPLETION_INDEX;
    }
    assertEquals(ended, [4, 8, 12]);
    assertEquals(texts(read(join(out, "output.jsonl"))), texts(read(join(folder, "alone", "output.jsonl"))));
  });

  it("knows its place in an array", () => {
    const names = [
      "SLURM_ARRAY_TASK_ID",
      "SLURM_ARRAY_TASK_COUNT",
      "SLURM_ARRAY_TASK_MIN",
      "SLURM_ARRAY_TASK_MAX",
    ]
      .concat("SLURM_ARRAY_TASK_STEP", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS");
    const given = (values: Record<string, string>): void => {
      for (const name of names) delete process.env[name];
      Object.assign(process.env, values);
    };
    try {
      given({});
      assertEquals(arrayShare("batch"), null);
      given({ SLURM_ARRAY_TASK_ID: "3", SLURM_ARRAY_TASK_COUNT: "4", SLURM_ARRAY_TASK_MIN: "1" });
      assertEquals(arrayShare("batch"), { index: 2, count: 4 });
      // A list such as 1,4,9: the second has no share, so the first has none either.
      for (const task of [1, 4, 9]) {
        given({
          SLURM_ARRAY_TASK_ID: `${task}`,
          SLURM_ARRAY_TASK_COUNT: "3",
          SLURM_ARRAY_TASK_MIN: "1",
          SLURM_ARRAY_TASK_MAX: "9",
          SLURM_ARRAY_TASK_STEP: "1",
        });
        assertThrows(() => arrayShare("batch"), Error, "3 tasks from 1 to 9");
      }
      given({
        SLURM_ARRAY_TASK_ID: "6",
        SLURM_ARRAY_TASK_MIN: "2",
        SLURM_ARRAY_TASK_MAX: "9",
        SLURM_ARRAY_TASK_STEP: "2",
      });
      assertEquals(arrayShare("batch"), { index: 2, count: 4 });
      given({ JOB_COMPLETION_INDEX: "0", JOB_COMPLETIONS: "3" });
      assertEquals(arrayShare("batch"), { index: 0, count: 3 });
      given({ JOB_COMPLETION_INDEX: "0" });
      assertThrows(() => arrayShare("batch"), Error, "JOB_COMPLETIONS");
      given({ SLURM_ARRAY_TASK_ID: "3" });
      assertThrows(() => arrayShare("batch"), Error, "SLURM_ARRAY_TASK_COUNT");
    } finally {
      given({});
    }
  });

  it("refuses lines that are no requests, by their number, and calls that say nothing", async () => {
    const good = '{"custom_id":"a","url":"/v1/completions","body":{}}';
    for (
      const [line, says] of [
        ["{", "line 2 is not JSON"],
        ["[]", "line 2 is"],
        ["{}", "line 2: custom_id is"],
        [good, 'line 2: custom_id "a" is that of line 1 too'],
        ['{"custom_id":"b","url":"/v1/embeddings","body":{}}', 'line 2: url is "/v1/embeddings"'],
        ['{"custom_id":"b","method":"GET","url":"/v1/completions","body":{}}', 'line 2: method is "GET"'],
        ['{"custom_id":"b","url":"/v1/completions","body":[]}', "line 2: body is"],
        ['{"custom_id":"b","url":"/v1/completions","body":{"stream":true}}', "line 2: body.stream"],
      ]
    ) assertThrows(() => readRequests(`${good}\n${line}`, "x"), Error, says);
    await fails(2, ["batch", input], /say where to write/);
    await fails(2, ["batch", input, "-o", "x", "--share", "2/2"], /which of how many workers/);
    assertStrictEquals((await call(["batch", input, "-o", join(folder, "none"), "--status"])).code, 0);
  });
});
