/**
 * `ferrotype sweep`: trials are processes that train, each begun and recorded once, whatever happens to whoever began them.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

import { leastMemory } from "../cli/sweep/fit.ts";
import { readSpace } from "../cli/sweep/space.ts";
import { runOptions } from "../cli/train_options.ts";
import { isProcessAlive } from "../src/platform/platform.ts";
import { call, fails, ferrotype, json, output } from "./_command.ts";
import { after, describe, it } from "./_suite.ts";
import { until } from "./_wait.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrotype-sweep-"));
const at = (...names: string[]): string => join(folder, ...names);
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(at("t.txt"), "to be or not to be, that is the question. ".repeat(20));
const sizes = "--block-size 4 --n-layer 1 --n-head 1 --batch-size 1".split(" ");
const sweep = (
  out: string,
  ...more: string[]
): string[] => ["sweep", at("t.txt"), "-o", at(out), ...sizes, ...more];

interface Line {
  trial: number;
  parameters: Record<string, unknown>;
  status: string;
  loss: number | null;
  step: number;
  steps: number;
  error: string | null;
  model_parameters: number;
  rungs: { step: number; loss: number }[];
}
interface Told {
  trials: number;
  failed: number;
  running: number;
  not_begun: { parameters: object; why: string }[];
  best: { trial: number; loss: number; parameters: object; folder: string };
}
const lines = (out: string): Line[] =>
  readFileSync(at(out, "results.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));

describe("ferrotype sweep", () => {
  it("begins what fits, records each trial once, keeps the best one's model, and draws and tells what it found", async () => {
    const space = { lr: { log: [1e-3, 1e-1] }, momentum: { range: [0, 0.9] }, "n-embd": [4, 6, 4096] };
    writeFileSync(at("space.json"), JSON.stringify(space));
    const args = sweep(
      "tpe",
      ...["--space", at("space.json"), "--search", "optimizer=adamw,sgd", "--steps", "4"],
      ...["--trials", "3", "--jobs", "2", "--max-parameters", "5000"],
    );
    const told = await json<Told>([...args, "--plot", at("p.svg")]), done = lines("tpe");
    assertEquals(done.map(({ trial }) => trial), [0, 1, 2]);
    assertEquals([told.trials, told.failed, told.running], [3, 0, 0]);
    for (const { parameters, steps, step, status, loss, model_parameters: size } of done) {
      assertEquals([steps, step, status], [4, 4, "done"]);
      assertEquals("momentum" in parameters, parameters.optimizer === "sgd", "it has no effect beside adamw");
      assert(parameters["n-embd"] !== 4096 && size < 5000 && loss! > 0);
    }
    for (const { why } of told.not_begun) {
      assertMatch(why, /^it has [\d,]+ parameters, and --max-parameters is 5000$/);
    }
    const best = done.reduce((a, b) => b.loss! < a.loss! ? b : a);
    assertEquals([told.best.trial, told.best.loss], [best.trial, best.loss]);
    assertEquals(readdirSync(at("tpe", "trials")).filter((name) => !name.endsWith(".json")), [
      String(best.trial).padStart(4, "0"),
    ]);
    const config = JSON.parse(await output(["inspect", told.best.folder, "--json"]));
    assertStrictEquals(config.parameters ?? best.model_parameters, best.model_parameters);
    assertMatch(readFileSync(at("p.svg"), "utf8"), /^<svg/);
    await fails(
      2,
      args,
      /holds a sweep already; go on with --resume, give --force .*, or name another folder/,
    );
    const before = readFileSync(at("tpe", "results.jsonl"), "utf8");
    assertEquals((await json<Told>([...args, "--resume"])).best, told.best);
    assertStrictEquals(readFileSync(at("tpe", "results.jsonl"), "utf8"), before);
    await fails(
      2,
      [...args, "--resume", "--clip", "2"],
      /was begun without --clip; it cannot go on with --clip 2/,
    );
    await fails(
      2,
      [...args, "--resume", "--method", "random"],
      /was begun with --method "tpe"; it cannot go on/,
    );
    const { stdout } = await call(["sweep", "-o", at("tpe"), "--status"]);
    assertMatch(stdout, new RegExp(`^1 +${best.trial} +${best.loss!.toFixed(4)} +4 `, "m"));
  });

  it("is shared by an array's workers, of whom one that is killed goes on where it was, to the rungs of asha", async () => {
    const args = (share: string): string[] =>
      sweep(
        "asha",
        ...[
          "--method",
          "asha",
          "--eta",
          "2",
          "--min-steps",
          "10",
          "--steps",
          "40",
          "--search",
          "lr=log:1e-3..1e-1",
        ],
        ...["--n-embd", "4", "--trials", "3", "--keep-all", "--share", share],
      );
    // Killed while its first trial trains, which ends with it.
    let child = 0;
    await ferrotype(args("1/2"), {
      started: (worker) => {
        const timer = setInterval(() => {
          if (!existsSync(at("asha", "worker-1.json"))) return;
          const { children } = JSON.parse(readFileSync(at("asha", "worker-1.json"), "utf8")) as {
            children: number[];
          };
          if (children.length === 0) return;
          child = children[0];
          clearInterval(timer);
          worker.kill("SIGKILL");
        }, 2);
        worker.on("close", () => clearInterval(timer));
      },
    });
    assert(child > 0);
    await until(() => isProcessAlive(child) !== true, "the trial ends with its worker");
    assertEquals(readdirSync(at("asha", "trials")).filter((name) => name.endsWith(".json")), ["0001.json"]);
    const [one, other] = await Promise.all([ferrotype(args("0/2")), ferrotype(args("1/2"))]);
    assertEquals([one.code, other.code], [0, 0], one.stderr + other.stderr);
    const done = lines("asha");
    assertEquals(
      done.map(({ trial, status }) => [trial, status]),
      [0, 1, 2].map((trial) => [trial, "done"]),
    );
    for (const { rungs, step } of done) {
      assertEquals(rungs.map((rung) => rung.step), [10, 20, 40].slice(0, rungs.length));
      assertStrictEquals(step, rungs.at(-1)!.step);
      assert(rungs.every(({ loss }, i) => i === 0 || loss <= rungs[i - 1].loss), "the least loss so far");
    }
    // Whoever is last takes the best all the way, whose trial it ever was.
    assert(done.some(({ rungs }) => rungs.length === 3));
    const trained = JSON.parse(readFileSync(at("asha", "trials", "0001", "training.json"), "utf8"));
    assertStrictEquals(trained.lr, done[1].parameters.lr);
  });

  for (
    const [third, how] of [[false, "which end in good order"], [true, "which are killed by a third"]] as const
  ) {
    it(`leaves nothing half written after a second signal, nor do its trials, ${how}`, {
      skip: process.platform === "win32" ? "signals of POSIX" : false,
    }, async () => {
      const out = third ? "three" : "two", trial = at(out, "trials", "0000");
      const half = (): string[] =>
        existsSync(trial)
          ? readdirSync(trial, { recursive: true }).map(String).filter((n) => n.endsWith(".tmp"))
          : [];
      let child = 0, seen = 0;
      const long = ["--steps", "1000000", "--save-every", "1", "--search", "lr=1e-3,1e-4", "--n-embd", "8"];
      // Many small tensors take long to write.
      const args = sweep(out, ...long).map((arg, i, all) => all[i - 1] === "--n-layer" ? "40" : arg);
      const { code, stderr } = await ferrotype([...args, "--threads", "1"], {
        started(parent) {
          const timer = setInterval(() => {
            if (half().length === 0) return;
            child = JSON.parse(readFileSync(at(out, "worker-0.json"), "utf8")).children[0];
            // Held, so that it gets no further than it is.
            process.kill(child, "SIGSTOP");
            seen = half().length;
            if (seen === 0) return void process.kill(child, "SIGCONT");
            clearInterval(timer);
            process.kill(parent.pid!, "SIGINT");
            setTimeout(() => {
              process.kill(parent.pid!, "SIGTERM");
              if (!third) process.kill(child, "SIGCONT");
              else setTimeout(() => process.kill(parent.pid!, "SIGINT"), 50);
            }, 50);
          }, 1);
          parent.on("close", () => clearInterval(timer));
        },
      });
      assert(seen > 0);
      assertStrictEquals(code, third ? 130 : 143, stderr);
      assert(isProcessAlive(child) !== true);
      assertEquals(half(), []);
    });
  }

  it("records why a trial failed, and goes on; with none that did well it fails", async () => {
    // Windows of 2000 tokens are more than the text has: known when it is read, and not before.
    const args = ["sweep", at("t.txt"), "-o", at("bad"), "--search", "block-size=2000,3000", "--n-embd", "4"];
    const { code, stderr, stdout } = await call([...args, "--trials", "1", "--steps", "2"]);
    assertStrictEquals(code, 1);
    assertMatch(stdout, /1 trial failed \(0\): train: .* has \d+ tokens to learn from/);
    assertMatch(stderr, /^ferrotype: sweep: 1 trial and all failed; the first: train: /m);
    assertStrictEquals(lines("bad")[0].loss, null);
  });

  it("removes and replaces nothing that it did not make, wherever in its folder it is", async () => {
    const args = (out: string, ...more: string[]): string[] =>
      sweep(
        out,
        ...["--search", "lr=0.1,0.2,0.3", "--n-embd", "4", "--steps", "2"],
        ...(more.includes("--trials") ? [] : ["--trials", "2"]),
        ...more,
      );
    const put = (out: string, path: string): void => {
      mkdirSync(dirname(at(out, path)), { recursive: true });
      writeFileSync(at(out, path), "mine");
    };
    const mine = (out: string, path: string): string => readFileSync(at(out, path), "utf8");
    // In the way of a new one: refused before anything is done, and with --force only where a sweep would write.
    const inTheWay: [path: string, forced: boolean][] = [
      ["results.jsonl", true],
      ["worker-0.json", true],
      ["trials", false],
      ["trials/0001.json", true],
      ["trials/0000/config.json", true],
      ["trials/0000/notes.txt", false],
      ["trials/0001/checkpoints/notes.txt", false],
      ["trials/0001/checkpoints/step-00000001/mine/model.safetensors", false],
    ];
    for (const [i, [path, forced]] of inTheWay.entries()) {
      const out = `own${i}`;
      put(out, path);
      const { code, stderr } = await call(args(out));
      assertStrictEquals(code, 2, stderr);
      assertMatch(stderr, /is there already.*, and this sweep did not make it; move it away, give --force /);
      assertStrictEquals(mine(out, path), "mine");
      assertEquals(readdirSync(at(out)), [path.split("/")[0]]);
      if (forced) continue;
      const hard = await call(args(out, "--force"));
      assertStrictEquals(hard.code, 2, hard.stderr);
      assertStrictEquals(mine(out, path), "mine");
    }
    // Beside it, and in trials while and after they run.
    for (const path of ["notes.txt", "trials/notes.txt", "trials/7/notes.txt"]) put("own", path);
    assertStrictEquals((await call(args("own", "--keep-all"))).code, 0);
    for (const trial of ["0000", "0001"]) put("own", `trials/${trial}/checkpoints/notes.txt`);
    const again = await call(args("own", "--resume"));
    assertStrictEquals(again.code, 0, again.stderr);
    const worse = (await json<Told>(["sweep", "-o", at("own"), "--status"])).best.trial === 0
      ? "0001"
      : "0000";
    assertEquals(readdirSync(at("own", "trials", worse)), ["checkpoints"]);
    assertEquals(readdirSync(at("own", "trials", worse, "checkpoints")), ["notes.txt"]);
    await fails(
      2,
      args("own", "--force"),
      /notes.txt is there, where a trial would be removed, and is no part/,
    );
    for (const trial of ["0000", "0001"]) rmSync(at("own", "trials", trial, "checkpoints", "notes.txt"));
    // One that turns up later, where a trial that is not begun would be.
    put("own", "trials/0002/notes.txt");
    await fails(2, args("own", "--resume", "--trials", "3"), /0002 is there already, and this sweep did not/);
    rmSync(at("own", "trials", "0002"), { recursive: true });
    const replaced = await call(args("own", "--force", "--trials", "1"));
    assertStrictEquals(replaced.code, 0, replaced.stderr);
    for (const path of ["notes.txt", "trials/notes.txt", "trials/7/notes.txt"]) {
      assertStrictEquals(mine("own", path), "mine");
    }
    assertStrictEquals(lines("own").length, 1);
  });

  it("says what of a space cannot be", async () => {
    const tries: [string[], RegExp][] = [
      [[], /there is nothing to search; give --search NAME=VALUES/],
      [["--search", "lr"], /--search is "lr", expected NAME=VALUES/],
      [["--search", "n-layr=1,2"], /train has no option "n-layr"; did you mean "n-layer"\?/],
      [["--search", "vocab-size=0,300"], /vocab-size cannot be searched, as a loss is told for each token/],
      [["--search", "lr=0..x"], /lr is "x", expected a number from 0/],
      [["--search", "lr=log:0..1"], /lr begins at 0, expected a number above 0/],
      [["--search", "n-embd=8..4"], /n-embd goes from 8 to 4, expected the lower first/],
      [["--search", "n-embd=8,8"], /n-embd has the value 8 twice/],
      [["--search", "n-embd=8..64/0"], /n-embd has steps of 0, expected a number above 0/],
      [["--search", "lr=0.1", "--search", "lr=0.2"], /lr is given twice/],
      [["--search", "lr=0.1,0.2", "--lr", "1"], /--lr is searched and given/],
      [["--search", "lr=0.1", "--val-fraction", "0"], /--val-fraction 0 holds nothing out/],
      [
        ["--search", "lr=0.1", "--momentum", "0.5"],
        /--momentum has no effect because --optimizer adamw has none/,
      ],
      [
        ["--search", "momentum=0.5,0.9", "--search", "optimizer=adam,lion"],
        /--search momentum has no effect because --optimizer (?:adam|lion) has none/,
      ],
      [["--search", "lora=2,4"], /--search lora has no effect because an adapter stands beside/],
      [["--search", "dora=true,false"], /--search dora has no effect because there is no --lora RANK/],
      [
        ["--search", "n-embd=4096", "--max-parameters", "10"],
        /nothing of the space can be trained; --n-embd 4096: it has/,
      ],
      [
        ["--search", "n-head=3"],
        /nothing of the space can be trained; --n-head 3: --n-head is 3, expected a divisor/,
      ],
      [["--search", "steps=5,9", "--method", "asha"], /do not search steps/],
      [["--search", "lr=0.1", "--resume"], /holds no sweep; leave --resume out/],
    ];
    const plain = ["sweep", at("t.txt"), "-o", at("none")];
    for (const [more, pattern] of tries) {
      const { code, stderr } = await call([...plain, ...more]);
      assertMatch(stderr, pattern);
      assert(code === 2 || code === 1, stderr);
      assertStrictEquals(existsSync(at("none")), false, more.join(" "));
    }
    process.env.OMPI_COMM_WORLD_RANK = "0";
    process.env.OMPI_COMM_WORLD_SIZE = "2";
    try {
      await fails(2, [...plain, "--search", "lr=0.1"], /trials are processes of their own; start it alone/);
    } finally {
      delete process.env.OMPI_COMM_WORLD_RANK;
      delete process.env.OMPI_COMM_WORLD_SIZE;
    }
  });
});

describe("a space as options and files write it", () => {
  it("is the same in both", () => {
    const flags = [
      "n-layer=6,2,4",
      "dropout=0..0.3",
      "n-embd=64..256/32",
      "lr=log:1e-4..1e-2",
      "pack=true,false",
    ];
    const json = {
      "n-layer": [6, 2, 4],
      dropout: { range: [0, 0.3] },
      "n-embd": { range: [64, 256], step: 32 },
      lr: { log: [1e-4, 1e-2] },
      pack: { values: [true, false] },
    };
    const space = readSpace(null, flags, runOptions);
    assertEquals(readSpace({ path: "s.json", text: JSON.stringify(json) }, [], runOptions), space);
    assertEquals(space["n-layer"], { kind: "list", values: [2, 4, 6] });
    assertEquals(space.pack, { kind: "choice", values: [true, false] });
    assertEquals(readSpace(null, ["warmup=0..9"], runOptions).warmup, {
      ...{ kind: "range", from: 0, to: 9, log: false },
      step: 1,
    });
    for (
      const bad of [
        "[]",
        "{",
        '{"lr": {"low": 1}}',
        '{"lr": {"range": [1]}}',
        '{"lr": []}',
        '{"lr": {"values": 3}}',
      ]
    ) {
      assertThrows(() => readSpace({ path: "s.json", text: bad }, [], runOptions), Error, "s.json");
    }
  });
});

describe("the memory of a trial", () => {
  it("grows with what training needs", () => {
    const settings = {
      ...{ "batch-size": 4, "block-size": 8, "n-layer": 2, "n-embd": 16, "vocab-size": 0, momentum: 0 },
      ...{ ema: null, optimizer: "adamw" },
    };
    const bytes = (more: object): number => leastMemory({ ...settings, ...more } as never, 1000, 65);
    assertStrictEquals(bytes({}), 4 * (4 * 1000 + 32 * (2 * 16 * 8 + 65)));
    assertStrictEquals(bytes({ ema: 0.9 }) - bytes({}), 4000);
    assertStrictEquals(bytes({}) - bytes({ optimizer: "sgd" }), 8000);
  });
});
