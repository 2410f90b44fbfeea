/**
 * Commands that are told to stop, by the user (Ctrl-C, SIGINT: 130; SIGQUIT: 131), by another program (SIGTERM: 143) or as the
 * terminal goes away (SIGHUP: 129), and commands that run out of disk: nothing half written stays.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Records } from "../cli/sharing/records.ts";
import { TrainingLog } from "../cli/training_log.ts";
import { FerrotypeError, saveSafetensors, zeros } from "../mod.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { call, type Ended, ferrotype } from "./_command.ts";
import { repository } from "./_data.ts";
import { inFolder, smallModel } from "./_gpt2.ts";
import { describe, it } from "./_suite.ts";
import { until } from "./_wait.ts";

const deafness = process.platform !== "linux"
  ? "what a program is deaf to is known on Linux"
  : runtimeName() === "node"
  ? "Node forgets what it is deaf to before it runs a program"
  : false;
const skip = process.platform === "win32" ? "signals of POSIX" : false;
/** Every command hears all of them in the one way that there is; each kind of work meets two. */
const stops = [["SIGINT", 130], ["SIGQUIT", 131], ["SIGTERM", 143], ["SIGHUP", 129]] as const;
const [ofUsers, ofOthers] = [stops.slice(0, 2), stops.slice(2)];
type StopSignal = typeof stops[number][0];

/** Runs a command and stops it as soon as `isDue` says so. It is held meanwhile, so that it gets no further. */
function stopped(
  args: readonly string[],
  signal: StopSignal,
  isDue: () => boolean,
): Promise<Ended> {
  return ferrotype(args, {
    started(child) {
      const pid = child.pid as number;
      const look = setInterval(() => {
        if (!isDue()) return;
        clearInterval(look);
        for (const each of ["SIGSTOP", signal, "SIGCONT"]) process.kill(pid, each);
      }, 1);
      child.on("close", () => clearInterval(look));
    },
  });
}

const isTemporary = (name: string): boolean => name.endsWith(".tmp");
const hasTemporary = (folder: string): boolean => existsSync(folder) && readdirSync(folder).some(isTemporary);

/** A run of training without an end. */
function longRun(folder: string): { text: string; out: string; begin: string[] } {
  const text = join(folder, "text.txt"), out = join(folder, "out");
  writeFileSync(text, "the cat sat on the mat. a dog ran to it. ".repeat(100));
  const sizes = ["--n-layer", "1", "--n-head", "1", "--n-embd", "8", "--block-size", "8", "--threads", "1"];
  const steps = ["--steps", "1000000", "--save-every", "1000000", "--eval-every", "1000000"];
  return { text, out, begin: ["train", text, "-o", out, ...sizes, ...steps] };
}

describe("a command that is told to stop", { skip }, () => {
  for (const [signal, status] of ofUsers) {
    it(`leaves nothing of a converted file (${signal})`, () =>
      inFolder(async (folder) => {
        // Many tensors: there is a turn of the event loop after each.
        const many = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`t${i}`, zeros([64, 64])]));
        await saveSafetensors(join(folder, "in.safetensors"), many);
        writeFileSync(join(folder, "out.safetensors"), "old");
        const args = ["convert", join(folder, "in.safetensors"), join(folder, "out.safetensors"), "--force"];
        const { code, stdout, stderr } = await stopped(args, signal, () => hasTemporary(folder));
        assertEquals([code, stdout, stderr], [status, "", "ferrotype: interrupted\n"]);
        assertEquals(readdirSync(folder).sort(), ["in.safetensors", "out.safetensors"]);
        assertEquals(readFileSync(join(folder, "out.safetensors"), "utf8"), "old");
      }));
  }

  for (const [signal, status] of ofOthers) {
    it(`leaves nothing of a converted folder, nor the folder (${signal})`, () =>
      inFolder(async (folder) => {
        const from = join(folder, "in"), to = join(folder, "new", "out");
        using model = smallModel({ nLayer: 200 });
        await model.save(from);
        const args = ["convert", from, to, "--shard-size", "10kB"];
        const { code, stderr } = await stopped(args, signal, () => hasTemporary(to));
        assertEquals([code, stderr], [status, "ferrotype: interrupted\n"]);
        assertEquals(readdirSync(folder), ["in"]);
      }));
  }

  for (const [signal, status] of stops) {
    it(`saves a training run, which goes on from there (${signal})`, () =>
      inFolder(async (folder) => {
        const { text, out, begin } = longRun(folder), log = join(out, "log.jsonl");
        const { code, stderr } = await stopped(
          begin,
          signal,
          () => existsSync(log) && readFileSync(log, "utf8").includes("\n"),
        );
        assertEquals(code, status, stderr);
        assertMatch(stderr, /interrupted after step (\d+); --resume goes on/);
        const step = Number(/after step (\d+)/.exec(stderr)![1]);
        assertEquals(readdirSync(join(out, "checkpoints")).filter((name) => /^step-/.test(name)), [
          `step-${String(step).padStart(8, "0")}`,
        ]);
        assert(!readdirSync(out).some(isTemporary) && existsSync(join(out, "model.safetensors")));
        const more = await call([
          "train",
          text,
          "-o",
          out,
          "--resume",
          "--threads",
          "1",
          "--stop-after",
          "1",
          "--json",
        ]);
        assertEquals(JSON.parse(more.stdout).step, step + 1, more.stderr);
      }));
  }

  it(
    "outlives its terminal where it was begun to (nohup)",
    { skip: deafness },
    () =>
      inFolder(async (folder) => {
        const { text, out, begin } = longRun(folder), log = join(out, "log.jsonl");
        const runtime = "Deno" in globalThis ? [process.execPath, "run", "-A"] : [process.execPath];
        const child = spawn("nohup", [...runtime, join(repository, "cli", "main.ts"), ...begin, "--quiet"], {
          stdio: "ignore",
        });
        const pid = child.pid as number;
        let hasEnded = false;
        const ended = new Promise((resolve) => child.on("close", resolve)).then(() => hasEnded = true);
        const lines = (): number => existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0;
        await until(() => lines() > 0, "a first step");
        process.kill(pid, "SIGHUP");
        const before = lines();
        await until(() => lines() > before + 2 || hasEnded, "a step after the signal");
        assert(!hasEnded);
        process.kill(pid, "SIGTERM");
        await ended;
        assertEquals(
          (await call(["train", text, "-o", out, "--resume", "--stop-after", "1", "--quiet"])).code,
          0,
        );
      }),
  );

  it("is gone after the second signal, whatever it does, and leaves no half of a checkpoint", () =>
    inFolder(async (folder) => {
      const text = join(folder, "text.txt"), out = join(folder, "out");
      writeFileSync(text, "the cat sat on the mat. ".repeat(100));
      const sizes = [
        "--n-layer",
        "60",
        "--n-head",
        "1",
        "--n-embd",
        "8",
        "--block-size",
        "8",
        "--threads",
        "1",
      ];
      const args = ["train", text, "-o", out, ...sizes, "--steps", "1000000", "--save-every", "1", "--quiet"];
      const { code } = await ferrotype(args, {
        started(child) {
          const look = setInterval(() => {
            if (!hasTemporary(join(out, "checkpoints"))) return;
            clearInterval(look);
            process.kill(child.pid as number, "SIGINT");
            setTimeout(() => child.exitCode ?? process.kill(child.pid as number, "SIGTERM"), 5);
          }, 1);
          child.on("close", () => clearInterval(look));
        },
      });
      assert(code === 143 || code === 130, `${code}`);
      assert(!hasTemporary(join(out, "checkpoints")) && !hasTemporary(out));
    }));
});

/** A file system of one megabyte at `folder`; null where none can be had. */
function smallDisk(folder: string): (() => void) | null {
  mkdirSync(folder);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status !== 0) return null;
  return () => void spawnSync("umount", [folder]);
}

describe("a disk that is full", () => {
  it("stops a run and each attempt to go on with it, and keeps no half of either", (t) =>
    inFolder(async (folder) => {
      const disk = join(folder, "disk"), unmount = smallDisk(disk);
      if (unmount === null) return t.skip("no file system can be mounted here");
      try {
        const text = join(folder, "text.txt"), out = join(disk, "out");
        writeFileSync(text, "the cat sat on the mat. a dog ran to it. ".repeat(100));
        const sizes = [
          "--n-layer",
          "2",
          "--n-head",
          "1",
          "--n-embd",
          "48",
          "--block-size",
          "8",
          "--threads",
          "1",
        ];
        const begin = ["train", text, "-o", out, ...sizes, "--steps", "3", "--save-every", "1", "--quiet"];
        // One checkpoint has room, with the model; two have not.
        const first = await call([...begin, "--stop-after", "1"]);
        assertEquals([first.code, first.stderr], [0, ""]);
        const left = (): string[] => readdirSync(disk, { recursive: true }).map(String).sort();
        const before = left();
        assert(!before.some((path) => /tmp/.test(path)), before.join());
        for (let again = 0; again < 3; again++) {
          const { code, stderr } = await call([
            "train",
            text,
            "-o",
            out,
            "--resume",
            "--threads",
            "1",
            "--quiet",
          ]);
          assertEquals(code, 1);
          assertMatch(stderr, /^ferrotype: Cannot write .*: the disk is full\n$/);
          assertEquals(left(), before);
        }
        const { code, stderr } = await call(["convert", out, join(disk, "copy")]);
        assertEquals(code, 1);
        assertMatch(stderr, /^ferrotype: Cannot write .*: the disk is full\n$/);
        assertEquals(left(), before);
      } finally {
        unmount();
      }
    }));

  it("is told with the name of what was written, also where lines are added, and of standard output", (t) =>
    inFolder(async (folder) => {
      const disk = join(folder, "disk"), unmount = smallDisk(disk);
      if (unmount === null) return t.skip("no file system can be mounted here");
      const full = openSync(join(disk, "full"), "w");
      try {
        const form = { command: "batch", output: "results.jsonl", begins: '{"id":', key: "id" };
        const records = new Records(disk, "one", form);
        await records.open();
        await records.add("a", { id: "a" });
        const log = new TrainingLog(join(disk, "log.jsonl")), line = "x".repeat(1 << 13);
        await log.add({ step: 1 });
        assertThrows(() => {
          for (;;) writeSync(full, new Uint8Array(1 << 12));
        });
        const reason = (path: string): string => `Cannot write ${path}: the disk is full`;
        const [one, two] = await Promise.all([
          assertRejects(() => records.add("b", { id: "b", line }), FerrotypeError),
          assertRejects(() => log.add({ step: 2, eval_weights: line }), FerrotypeError),
        ]);
        assertEquals([one.message, two.message], [
          reason(join(disk, "part-one.jsonl")),
          reason(join(disk, "log.jsonl")),
        ]);
        // What was there before is there, and goes on when there is room.
        truncateSync(join(disk, "full"));
        await records.open();
        await records.add("b", { id: "b" });
        await records.refresh();
        assertEquals([...records.lines.keys()], ["a", "b"]);
        assertThrows(() => {
          for (let at = 0;; at += 1 << 12) writeSync(full, new Uint8Array(1 << 12), 0, 1 << 12, at);
        });
        const runtime = "Deno" in globalThis ? ["run", "-A"] : [], to = openSync(join(disk, "out"), "w");
        const args = [...runtime, join(repository, "cli", "main.ts"), "completions", "bash"];
        const child = spawnSync(process.execPath, args, { stdio: ["ignore", to, "pipe"], encoding: "utf8" });
        closeSync(to);
        assertEquals([child.status, child.stderr], [1, `ferrotype: ${reason("standard output")}\n`]);
      } finally {
        closeSync(full);
        unmount();
      }
    }));
});
