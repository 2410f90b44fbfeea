/**
 * Several ranks as one program, by Open MPI and MPICH: what collectives give, that ranks train as one process does, and that
 * whatever goes wrong on one ends all, with a sentence.
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
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { CausalLM, distributed, OptionError, setThreads, tensor } from "../mod.ts";
import { partSize } from "../src/train/batches.ts";
import { call } from "./_command.ts";
import { repository } from "./_data.ts";
import { dealOut } from "../src/distributed/zero.ts";
import { type MpiRun, mpiRuns, onRanks } from "./_mpi.ts";
import { type RanksResult, type RanksRun, trainOnRanks } from "./_ranks.ts";
import { inFewFiles } from "./_program.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing, isFull, width } from "./_width.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-ranks-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const deterministic = { deterministic: true, dropout: 0.1, options: { parts: 4, gradAccum: 2, ema: 0.9 } };

/** Runs of 2 ranks, in one job. What the runtime has no part in but for collectives, which all do the same way, is tried on one. */
const runs: RanksRun[] = [
  { name: "plain", steps: width(200, 30) },
  ...width<RanksRun[]>([
    { name: "zero 1", steps: 30, options: { zero: 1 } },
    { name: "zero 2", steps: 30, options: { zero: 2 } },
    { name: "bf16", steps: 30, options: { wire: "bf16" } },
  ], []),
  { name: "exact", steps: 10, ...deterministic },
];

/** What is said where ranks 1 and 0 call something else. */
const unlike = (one: string, zero: string): RegExp => {
  const [other, own] = [one, zero].map((text) => text.replaceAll(/[.[\]()]/g, "\\$&"));
  return new RegExp(
    `^ferrotype: distributed: rank 1 on .* calls ${other}, rank 0 on .* ${own}; every rank calls the same`,
    "m",
  );
};

/** What one process gives for the runs, by name. */
const known: Record<string, Promise<RanksResult>> = {};

async function trained(run: MpiRun, ranks: number, what: readonly RanksRun[]): Promise<RanksResult[]> {
  const results = join(folder, "results");
  const { code, stderr } = await onRanks(run, ranks, await inFewFiles("tests/_ranks.ts"), [
    "train",
    JSON.stringify(what),
    results,
  ]);
  assertStrictEquals(code, 0, stderr);
  return Array.from({ length: ranks }, (_, rank) => {
    const path = `${results}.${rank}.json`, found = JSON.parse(readFileSync(path, "utf8")) as RanksResult[];
    rmSync(path);
    return found;
  }).flat();
}

describe("a program that was started alone", () => {
  it("is rank 0 of 1, and its collectives change nothing", async () => {
    await assertRejects(() => distributed.barrier().then(() => {}), Error, "await distributed.init() first")
      .catch(() => {
        // What is not async throws at once.
        let said = "";
        try {
          void distributed.rank;
        } catch (error) {
          said = (error as Error).message;
        }
        assertMatch(said, /await distributed\.init\(\) first/);
      });
    await distributed.init();
    assertEquals([distributed.rank, distributed.size, distributed.library], [0, 1, null]);
    using t = tensor([1, 2]);
    assertEquals(await (await distributed.allReduce(t)).toArray(), [1, 2]);
    assertEquals(await (await distributed.allGather(t))[0].toArray(), [1, 2]);
    assertEquals(await (await distributed.reduceScatter(t)).toArray(), [1, 2]);
    await distributed.destroy();
    await distributed.init();
    await distributed.destroy();
  });

  it("says what stands where the ranks belong, and which number they do not divide", async () => {
    for (const bad of [{}, 2, "mpi", null]) {
      await assertRejects(
        () => CausalLM.load("nowhere", { distributed: bad as never }),
        OptionError,
        "expected the ranks: distributed, after await distributed.init()",
      );
    }
    assertThrows(
      () => partSize(3, { index: 0, count: 2 }),
      OptionError,
      "a batch has 3 rows (batchSize), expected a multiple of 2",
    );
  });

  it("deals parameters out so that no rank has more than its share and the largest one", () => {
    for (let seed = 1; seed < 200; seed++) {
      const ranks = 1 + seed % 7;
      const sizes = Array.from({ length: 1 + seed % 23 }, (_, i) => (seed * 7919 + i * i * 104729) % 1000);
      const owners = dealOut(sizes, ranks), load = Array.from({ length: ranks }, () => 0);
      owners.forEach((owner, i) => load[owner] += sizes[i]);
      const total = sizes.reduce((a, b) => a + b, 0);
      assertStrictEquals(load.reduce((a, b) => a + b, 0), total);
      assert(Math.max(...load) <= total / ranks + Math.max(...sizes));
    }
  });
});

for (const run of mpiRuns) {
  describe(`ranks by ${run.family}`, { skip: run.skip }, () => {
    // What the library has no part in is tried with one of the two.
    const isFirst = run.family === "Open MPI";
    const mine = isFirst ? runs : runs.filter(({ name }) => name === "exact");

    it("have collectives of every dtype", async () => {
      const { code, stdout, stderr } = await onRanks(run, 2, await inFewFiles("tests/_ranks.ts"), [
        "collectives",
      ]);
      assertEquals([code, stdout], [0, "all right\nall right\n"], stderr);
    });

    it(`train as one process does: losses to 1e-5 over ${mine[0].steps} steps, states divided or not; in fixed parts the same bits`, async () => {
      const found = await trained(run, 2, mine);
      await setThreads(1);
      await distributed.init();
      for (const one of mine) {
        const [a, b] = found.filter(({ name }) => name === one.name).sort((a, b) => a.rank - b.rank);
        assertEquals([a.losses, a.bits], [b.losses, b.bits], "ranks differ");
        const { zero: _, wire: __, ...options } = one.options ?? {},
          alone = await (known[one.name] ??= trainOnRanks({ ...one, options }));
        const tolerance = one.name === "bf16" ? 2e-2 : one.deterministic ? 0 : 1e-5;
        assertStrictEquals(a.losses.length, one.steps);
        alone.losses.forEach((loss, i) =>
          assertAlmostEquals(a.losses[i], loss, tolerance, `${one.name}, step ${i}`)
        );
        if (one.deterministic) assertStrictEquals(a.bits, alone.bits);
        if (one.name.startsWith("zero")) {
          assertStrictEquals(a.owned!.elements + b.owned!.elements, a.owned!.of);
        }
      }
      if (isFirst && isFull) {
        const [{ bits }] = found.filter(({ name }) => name === "exact");
        for (const four of await trained(run, 4, [runs.at(-1)!])) {
          assertStrictEquals(four.bits, bits, "4 ranks");
        }
      }
      await distributed.destroy();
    });

    const other: Record<string, RegExp> = {
      shape: unlike("allReduce (sum) of f32 [2, 3]", "allReduce (sum) of f32 [3, 2]"),
      op: unlike("allReduce (max) of f32 [4]", "allReduce (sum) of f32 [4]"),
      ids: unlike("a forward pass of shape [1, 3]", "the same with other values"),
      collective: unlike("barrier (or destroy)", "reduceScatter (sum) of f32 [4]"),
      hang: /^ferrotype: rank 1 on .* hangs: .*; rank 0 on .* waited \d+ s/m,
      data: /^ferrotype: rank 1 on .* has another place in the data \(.*\) than rank 0 on/m,
      diverge: /^ferrotype: the loss is (NaN|-?Infinity) \(rank 0 on .*\); take a lower learning rate/m,
    };
    const faults: Record<string, RegExp> = {
      kill: run.family === "MPICH" ? /PID \d+ RUNNING AT/ : /rank 1 .*signal 9/,
      ...(isFirst && isFull ? other : {}),
      // What the library itself notices it notices by either.
      ...(isFirst
        ? {
          exit: /^ferrotype: rank 1 on .* ended before distributed\.destroy\(\)/m,
          throw:
            /^ferrotype: rank 1 on .*: RangeError: what the program did; the job ends on all ranks\n\s+at /m,
          stop: /^ferrotype: rank 1 on .* does not answer .*; rank 0 on .* waited \d+ s/m,
        }
        // What MPICH would wait for, or answer with other numbers.
        : isFull
        ? {
          early: /^ferrotype: rank 1 on .* ended before distributed\.init\(\); the job ends on all ranks$/m,
          src: unlike("broadcast from rank 1 of f32 [4]", "broadcast from rank 0 of f32 [4]"),
        }
        : {}),
    };
    it("end all together when one throws, ends, calls something else, is killed, stopped, hangs, has other data or loses the way", async () => {
      await Promise.all(
        Object.entries(faults).map(async ([how, says]) => {
          const { code, stdout, stderr } = await onRanks(run, 2, await inFewFiles("tests/_ranks.ts"), [
            "fault",
            how,
          ]);
          assert(code !== 0, how);
          // MPICH tells on standard output of a process that was killed.
          assertMatch(stderr + stdout, says, how);
          assertStrictEquals(
            stderr.match(/^ferrotype: /gm)?.length ?? 0,
            how === "kill" ? 0 : 1,
            `${how}: ${stderr}`,
          );
        }),
      );
    });

    if (isFirst) {
      it("are told of an option that one was given and the others not", { skip: asksNothing }, async () => {
        const main = await inFewFiles("cli/main.ts");
        const args = [
          "train",
          join(folder, "no.txt"),
          "-o",
          join(folder, "no"),
          "--steps",
          "2",
          "--threads",
          "1",
        ];
        const other = [
          process.execPath,
          ..."Deno" in globalThis ? ["run", "-A", "--no-check"] : [],
          main,
          ...args,
        ];
        const { code, stderr } = await onRanks(run, 1, main, [
          ...args,
          ":",
          "-n",
          "1",
          ...other,
          "--clip",
          "2",
        ]);
        assert(code !== 0);
        assertMatch(
          stderr,
          /^ferrotype: rank 1 on .* has another --clip \(2\) than rank 0 on .* \(nothing\); start every rank/m,
        );
      });

      it("run the program of the guide; with other random numbers they are told of manualSeed", async () => {
        const guide = readFileSync(join(repository, "docs/guides/cluster.md"), "utf8");
        const [, block] = /^## In a program\n\n```ts\n([^`]+)```/m.exec(guide)!;
        const code = block.replace(
          '"@ferrotype/ferrotype"',
          JSON.stringify(pathToFileURL(join(repository, "mod.ts"))),
        );
        const started = (name: string, text: string): ReturnType<typeof onRanks> => {
          writeFileSync(join(folder, name), text);
          return onRanks(run, 2, join(folder, name), []);
        };
        const good = await started("guide.mjs", `${code}\nconsole.log(await t.toArray());\n`);
        assertEquals([good.code, good.stdout], [0, "[ 3 ]\n[ 3 ]\n"], good.stderr);
        const unseeded = code.replace(/^manualSeed.*\n/m, "")
          .replace(".run();", ".run().catch(({ message }) => console.log(message));");
        const { stdout } = await started("unseeded.mjs", unseeded);
        assertMatch(stdout, /has another random state .*; call manualSeed with the same seed on every rank/);
      });
      return;
    }

    it("leave a WebAssembly trap the error that it is", async () => {
      const { code, stdout, stderr } = await onRanks(run, 2, await inFewFiles("tests/_ranks.ts"), [
        "fault",
        "trap",
      ]);
      assertEquals([code, stdout], [0, "an error: RuntimeError\n".repeat(2)], stderr);
    });

    it("are what `ferrotype train` trains on, and a run of 2 goes on alone, bit for bit", {
      skip: asksNothing,
    }, async () => {
      const file = join(folder, "text.txt"),
        at = (name: string): string => join(folder, `${run.family}-${name}`);
      writeFileSync(file, "the cat sat on the mat. a dog ran to the hat. ".repeat(60));
      const begin = (out: string, ...more: string[]): string[] =>
        ["train", file, "-o", out, "--steps", "20", "--n-layer", "1", "--n-head", "2", "--n-embd", "16"]
          .concat(
            [
              "--block-size",
              "16",
              "--batch-size",
              "4",
              "--threads",
              "1",
              "--seed",
              "5",
              "--deterministic",
              ...more,
            ],
          );
      const first = await onRanks(
        run,
        2,
        await inFewFiles("cli/main.ts"),
        begin(at("two"), "--stop-after", "10", "--zero", "1", "--trace", at("trace.json")),
      );
      assertStrictEquals(first.code, 0, first.stderr);
      assertMatch(first.stderr, /^2 ranks by .*: rank 0 on .* \(process \d+\), rank 1 on/m);
      assertStrictEquals(first.stderr.match(/stopped after step 10/g)?.length, 1, "one rank speaks");
      const { traceEvents } = JSON.parse(readFileSync(at("trace.json"), "utf8")) as {
        traceEvents: { pid: number }[];
      };
      assertEquals(new Set(traceEvents.map(({ pid }) => pid)), new Set([0, 1]));
      const second = await call(["train", file, "-o", at("two"), "--resume", "--threads", "1"]);
      assertStrictEquals(second.code, 0, second.stderr);
      const whole = await call(begin(at("one")));
      assertStrictEquals(whole.code, 0, whole.stderr);
      const read = (name: string): Uint8Array => readFileSync(join(at(name), "model.safetensors"));
      assertEquals(read("two"), read("one"));
    });
  });
}
