/**
 * Work over a queue, which a Redis of its own keeps: whoever takes it and whatever happens to him, each piece is done, and recorded once.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { QueueAddress } from "../cli/queue/address.ts";
import { loadQueuePackages } from "../cli/queue/packages.ts";
import { type Piece, WorkQueue } from "../cli/queue/queue.ts";
import { isProcessAlive } from "../src/platform/platform.ts";
import { call, type Ended, fails, ferrotype, json } from "./_command.ts";
import { noRedis, password, type RedisServer, startRedis } from "./_redis.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until } from "./_wait.ts";
import { asksNothing, width } from "./_width.ts";

let folder = "", redis: RedisServer;
const at = (...names: string[]): string => join(folder, ...names);

describe("a queue", { skip: noRedis }, () => {
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-queue-"));
    redis = await startRedis();
    writeFileSync(at("t.txt"), "to be or not to be, that is the question. ".repeat(20));
    const requests = Array.from({ length: 12 }, (_, i) => ({
      custom_id: ["a:b", "7", 'quote "', "ü"][i] ?? `request ${i}`,
      url: "/v1/completions",
      body: { prompt: `ROMEO ${"abcdefghijkl"[i]}:`, max_tokens: i === 3 ? -1 : 4, seed: i },
    }));
    writeFileSync(at("in.jsonl"), requests.map((one) => `${JSON.stringify(one)}\n`).join(""));
  });
  after(async () => {
    await redis?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const address = (name: string, lease = 0.3): QueueAddress => ({
    ...{ command: "test", host: "127.0.0.1", port: redis.port, password, db: 0, name, lease },
    ...{ isSecure: false, where: `the queue ${name}` },
  });
  const joined = async (name: string, lease?: number): Promise<WorkQueue> => {
    const queue = await WorkQueue.open(address(name, lease));
    await queue.begin("what", "a test");
    await queue.join();
    return queue;
  };
  /** The next piece, once there is one. */
  const next = async (queue: WorkQueue): Promise<Piece> => {
    let piece: Piece | null = null;
    await until(async () => (piece = await queue.take()) !== null, "a piece of work", 50);
    return piece!;
  };

  it("gives each piece to one worker, that of a dead one to another, and records what comes of it once", async () => {
    await using stack = new AsyncDisposableStack();
    const [a, b] = [await joined("unit"), await joined("unit")];
    for (const queue of [a, b]) stack.defer(() => queue.close());
    await Promise.all([a.offer(["x", "y"]), b.offer(["y", "x"])]);
    const first = await next(a), second = await next(b);
    assertEquals([first.name, second.name].sort(), ["x", "y"]);
    assertStrictEquals(await a.take(), null);
    await second.done();
    await a.offer(["z"]);
    await a.offer(["now"], true);
    const third = await next(b);
    assertStrictEquals(third.name, "now");
    await third.giveBack();
    assertEquals([(await next(b)).name, (await next(b)).name].sort(), ["now", "z"]);
    // It dies with what it holds; whoever was at it may record it late, too.
    await a.close();
    const again = await next(b);
    assertStrictEquals(again.name, first.name);
    assertEquals([await b.once("r", "b"), await b.once("r", "late")], [true, false]);
    assertEquals([...await b.records(() => true)], [["what", "a test"], ["r", "b"]]);
    await again.done();
  });

  it("gives up what every worker dies of, and tells one that was not heard of that its piece is another's", async () => {
    await using stack = new AsyncDisposableStack();
    const watch = await joined("deadly");
    stack.defer(() => watch.close());
    await watch.offer(["poison"]);
    let deaths = 0;
    for (;; deaths++) {
      const victim = await joined("deadly");
      const piece = await next(victim);
      if (piece.isHopeless) {
        await piece.done();
        await victim.close();
        break;
      }
      await victim.close();
    }
    assertStrictEquals(deaths, 3);
    assertStrictEquals(await watch.isIdle(), true);
    await watch.offer(["slow"]);
    const held = await next(watch);
    // As if it had slept: Redis has forgotten that it holds it.
    const [, { Redis }] = await loadQueuePackages();
    const raw = new Redis(
      { host: "127.0.0.1", port: redis.port, password, db: 0, lazyConnect: false } as never,
    ) as unknown as { del(key: string): Promise<number>; disconnect(): void };
    await raw.del("ferrotype:deadly:slow:lock");
    raw.disconnect();
    await until(() => held.lost.aborted, "it is told");
    const other = await next(watch);
    assertStrictEquals(other.name, "slow");
    await held.done();
    await other.done();
    assertStrictEquals(await watch.isIdle(), true);
  });

  const sizes = "--block-size 4 --n-layer 1 --n-head 1 --n-embd 4 --batch-size 1 --steps 2".split(" ");
  const sweep = (out: string, ...more: string[]): string[] => [
    ...["sweep", at("t.txt"), "-o", at(out), "--search", "lr=log:1e-3..1e-1", ...sizes],
    ...["--queue", redis.url, "--lease", "2", ...more],
  ];
  interface Line {
    trial: number;
    status: string;
  }
  const lines = (path: string): Line[] =>
    readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));

  it("shares a sweep of 20 trials between two workers, of whom one is killed in the middle", async () => {
    // On one runtime as many as the name says.
    const trials = width(20, 4),
      out = "swept",
      args = sweep(out, "--trials", String(trials), "--method", "random");
    const recorded = (): string[] => {
      const all = existsSync(at(out, "trials")) ? readdirSync(at(out, "trials")) : [];
      return all.filter((name) => name.endsWith(".rung-0.json"));
    };
    let child = 0, left: string[] = [];
    const killed = ferrotype(args, {
      started: (worker) => {
        const timer = setInterval(() => {
          if (recorded().length < trials / 4) return;
          for (const name of readdirSync(at(out)).filter((name) => /^worker-\d+\.json$/.test(name))) {
            const { pid, children } = JSON.parse(readFileSync(at(out, name), "utf8")) as {
              pid: number;
              children: number[];
            };
            if (pid !== worker.pid || !children.some((one) => isProcessAlive(one))) continue;
            child = children[0];
            clearInterval(timer);
            worker.kill("SIGKILL");
          }
        }, 2);
        worker.on("close", () => {
          clearInterval(timer);
          const names = readdirSync(at(out, "trials")).filter((name) => /^\d+\.json$/.test(name));
          left = names.map((name) => name.slice(0, 4)).filter((trial) =>
            !recorded().includes(`${trial}.rung-0.json`)
          );
        });
      },
    });
    const [one, other]: Ended[] = await Promise.all([killed, ferrotype([...args, "--json"])]);
    assert(child > 0 && one.code !== 0, "it was killed while a trial of its ran");
    assert(left.length > 0);
    assertStrictEquals(other.code, 0, other.stderr);
    const told = JSON.parse(other.stdout) as { trials: number; failed: number; best: { folder: string } };
    assertEquals([told.trials, told.failed], [trials, 0]);
    const done = lines(at(out, "results.jsonl"));
    assertEquals(
      done.map(({ trial, status }) => [trial, status]),
      Array.from({ length: trials }, (_, trial) => [trial, "done"]),
    );
    for (const trial of left) assert(recorded().includes(`${trial}.rung-0.json`), `${trial} was taken up`);
    assert(existsSync(join(told.best.folder, "config.json")));
    // From any machine, into a folder that no worker had.
    const status = await json<{ trials: number; running: number }>(
      ["sweep", "-o", at("elsewhere"), "--queue", redis.url, "--queue-name", out, "--status"],
    );
    assertEquals([status.trials, status.running], [trials, 0]);
    assertEquals(lines(at("elsewhere", "results.jsonl")), done);
    await fails(2, [...args, "--clip", "2"], /was begun without --clip; it cannot go on with --clip 2/);
    await fails(
      2,
      [...args.with(3, at("swept2")), "--queue-name", out, "--seed", "3"],
      /the sweep in the queue swept at redis:\/\/127\.0\.0\.1:\d+\/0 was begun without --seed/,
    );
  });

  it("takes trials from rung to rung, of workers that share no folder", { skip: asksNothing }, async () => {
    const args = (out: string): string[] => {
      const asha = "--queue-name rungs --method asha --eta 2 --min-steps 1 --trials 2".split(" ");
      return sweep(out, ...asha);
    };
    const [one, other] = await Promise.all([ferrotype(args("here")), ferrotype(args("there"))]);
    assertEquals([one.code, other.code], [0, 0], one.stderr + other.stderr);
    const done = lines(at("here", "results.jsonl")) as (Line & { rungs: unknown[] })[];
    assertEquals(lines(at("there", "results.jsonl")), done);
    assertEquals(done.map(({ trial, status }) => [trial, status]), [0, 1].map((trial) => [trial, "done"]));
    assert(done.some(({ rungs }) => rungs.length === 2), "the best goes all the way");
  });

  const batch = (out: string, ...more: string[]): string[] => [
    ...["batch", at("in.jsonl"), "-o", at(out), "--queue", redis.url, "--lease", "2", ...more],
  ];

  it("shares the requests of a batch between workers with folders of their own, of whom one is killed", async () => {
    const name = ["--queue-name", "asked"];
    const part = (): string | undefined =>
      existsSync(at("one"))
        ? readdirSync(at("one")).find((name) => name.startsWith("part-queue-"))
        : undefined;
    await ferrotype(batch("one", ...name, "--max-batch", "1"), {
      started: (child) => {
        const timer = setInterval(() => {
          const own = part();
          if (own === undefined || readFileSync(at("one", own)).length === 0) return;
          clearInterval(timer);
          child.kill("SIGKILL");
        }, 2);
        child.on("close", () => clearInterval(timer));
      },
    });
    const status = async (out: string): Promise<number> =>
      (await json<{ answered: number }>([
        "batch",
        at("in.jsonl"),
        "-o",
        at(out),
        "--queue",
        redis.url,
        ...name,
        "--status",
      ]))
        .answered;
    assert(await status("none") >= 1);
    const both = await Promise.all(
      ["two", "three"].map((out) => ferrotype([...batch(out, ...name), "--json"])),
    );
    for (const { code, stdout, stderr } of both) {
      assertStrictEquals(code, 0, stderr);
      assertStrictEquals(JSON.parse(stdout).answered, 12);
    }
    const output = readFileSync(at("two", "output.jsonl"), "utf8");
    assertStrictEquals(readFileSync(at("three", "output.jsonl"), "utf8"), output);
    const found = output.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(
      found.map((line) => line.custom_id),
      readFileSync(at("in.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line).custom_id),
    );
    assertEquals(found.map((line) => line.response.status_code), found.map((_, i) => i === 3 ? 400 : 200));
    const parts = ["one", "two", "three"].flatMap((out) =>
      readdirSync(at(out)).filter((name) => name.startsWith("part-")).flatMap((name) =>
        readFileSync(at(out, name), "utf8").split("\n").filter((line) => line.endsWith("}"))
      )
    );
    const ids = parts.map((line) => JSON.parse(line).custom_id);
    assertStrictEquals(new Set(ids).size, ids.length, "none is recorded twice");
    assertStrictEquals(await status("none"), 12);
    assertStrictEquals(readFileSync(at("none", "output.jsonl"), "utf8"), output);
  });

  it("says what is wrong with it: in one sentence, without the password", async () => {
    const own = `127\\.0\\.0\\.1:${redis.port}/0`, plain = `redis://127.0.0.1:${redis.port}`;
    const asked = (url: string, ...more: string[]): string[] => [
      ...["batch", at("in.jsonl"), "-o", at("wrong"), "--queue", url, ...more],
    ];
    const one = (pattern: string): RegExp => new RegExp(`^ferrotype: batch: ${pattern}\\n$`);
    const tries: [number, string[], RegExp][] = [
      [1, asked(plain), one(`the queue wrong at redis://${own} wants a password; give it in the address.*`)],
      [
        1,
        asked(`redis://:secret@127.0.0.1:${redis.port}`),
        one(`the queue wrong at redis://${own} takes neither this.*`),
      ],
      [
        1,
        asked("redis://127.0.0.1:1"),
        one(".* cannot be reached \\(.*\\); is a server there \\(redis-server, .*"),
      ],
      [1, asked(`${redis.url}/99`), one('.* answers "ERR DB index is out of range"')],
      [2, asked("http://u:secret@h"), one('--queue is "http://…@h", expected redis://HOST:PORT/DATABASE.*')],
      [2, asked(redis.url, "--queue-name", "a:b"), /up to 100 letters, digits/],
    ];
    for (const [code, args, pattern] of tries) {
      const ended = await call(args);
      assertEquals([ended.code, ended.stdout], [code, ""], ended.stderr);
      assertMatch(ended.stderr, pattern);
      assert(!ended.stderr.includes("secret") && !ended.stderr.includes(encodeURIComponent(password)));
    }
    process.env.REDISCLI_AUTH = password;
    try {
      assertStrictEquals((await call(asked(plain, "--status"))).code, 0);
    } finally {
      delete process.env.REDISCLI_AUTH;
    }
    // What is somebody else's: jobs under this name, something that is no hash, jobs that come later, and other requests.
    const [{ Queue }, { Redis }] = await loadQueuePackages();
    const raw = new Redis(
      { host: "127.0.0.1", port: redis.port, password, maxRetriesPerRequest: null } as never,
    );
    const other = new Queue("theirs", { connection: raw, prefix: "ferrotype", skipVersionCheck: true });
    const job = { name: "mail", data: {}, opts: { jobId: "a", lifo: false, removeOnComplete: true } };
    await other.addBulk([job]);
    await fails(
      2,
      asked(redis.url, "--queue-name", "theirs"),
      /holds work that is none of this command's; name another/,
    );
    assertStrictEquals(await other.getJobCountByTypes("wait"), 1, "it is as it was");
    assertStrictEquals(await raw.exists("ferrotype-records:theirs"), 0);
    await (raw as unknown as { set(key: string, value: string): Promise<unknown> }).set(
      "ferrotype-records:text",
      "mine",
    );
    await fails(
      1,
      asked(redis.url, "--queue-name", "text"),
      /has something else under this name; give --queue-name/,
    );
    const queue = await joined("mixed");
    const mixed = new Queue("mixed", { connection: raw, prefix: "ferrotype", skipVersionCheck: true });
    await mixed.addBulk([job]);
    await assertRejects(() => queue.take(), Error, "holds work that is none of this command's");
    assertStrictEquals(await mixed.getJobCountByTypes("wait"), 1);
    await queue.close();
    writeFileSync(at("other.jsonl"), '{"custom_id":"b","url":"/v1/completions","body":{}}\n');
    await json(batch("kept", "--max-batch", "12"));
    const kept = ["-o", at("elsewhere kept"), "--queue", redis.url, "--queue-name", "kept"];
    await fails(
      2,
      ["batch", at("other.jsonl"), ...kept],
      /the queue kept at .* holds other requests; give --queue-name/,
    );
    await fails(
      2,
      ["batch", at("in.jsonl"), ...kept, "--model", at("nowhere")],
      /the queue kept at .* holds results with --model bundled, and this is with --model .*nowhere; give --queue-name/,
    );
    await fails(2, ["batch", at("in.jsonl"), ...kept, "--dtype", "q8"], /holds results without --dtype, and/);
    // What a queue brought counts without it.
    const brought = ["batch", at("in.jsonl"), "-o", at("brought")];
    const told = async (...more: string[]): Promise<number> =>
      (await json<{ answered: number }>([...brought, ...more])).answered;
    assertStrictEquals(await told("--queue", redis.url, "--queue-name", "kept", "--status"), 12);
    assertStrictEquals(await told("--status"), 12);
    assertStrictEquals(await told(), 12);
    assert(!existsSync(at("brought", "part-0.jsonl")), "none is asked again");
    await fails(2, [...brought, "--dtype", "q8"], /brought holds results without --dtype/);
    // A text that failed is no result there either: who comes next tries it again, and who asks needs no model.
    writeFileSync(at("good.txt"), "ROMEO: But soft!");
    const texts = ["eval", at("good.txt"), at("late.txt"), "-o", at("scores"), "--queue", redis.url];
    const ends = async (args: string[]): Promise<void> => {
      const { code, stderr } = await call(args);
      assertStrictEquals(code, 1, stderr);
      assertMatch(stderr, /^1 of 2 texts evaluated, 1 failed; .*\n.* 1 text of 2 failed; .*late\.txt.*\n$/);
    };
    await ends([...texts, "--block-size", "8"]);
    await ends([...texts, "--status"]);
    writeFileSync(at("late.txt"), "JULIET: What light?");
    assertStrictEquals((await json<{ evaluated: number }>([...texts, "--block-size", "8"])).evaluated, 2);
    assertStrictEquals((await json<{ evaluated: number }>([...texts, "--status"])).evaluated, 2);
    for (const one of [other, mixed]) await one.close();
    raw.disconnect();
  });

  it("waits for a server that is gone, and then ends with a sentence; one that has forgotten all is told again", async () => {
    const patient = await joined("gone", 6);
    await patient.offer(["x"]);
    const piece = await next(patient);
    await redis.stop();
    await redis.start();
    // Nothing is held any more, as nothing is known.
    await until(() => piece.lost.aborted, "it is told");
    assertStrictEquals(
      piece.lost.reason instanceof Error && /is gone/.test(piece.lost.reason.message),
      false,
    );
    assertStrictEquals(await patient.isIdle(), true);
    assertStrictEquals(await patient.read("what"), null);
    await patient.offer(["y"]);
    assertStrictEquals(await patient.read("what"), "a test");
    await patient.close();
    const short = address("gone"), queue = await joined("gone");
    const again = await next(queue);
    await redis.stop();
    await until(() => again.lost.aborted, "it is told");
    const sentence =
      `test: ${short.where} was there and is gone, for 0.3 seconds now; what is recorded in the folder stays`;
    assert((again.lost.reason as Error).message.startsWith(sentence), String(again.lost.reason));
    await assertRejects(() => queue.take(), Error, sentence);
    await queue.close();
    // The same of a command that trains: its trial saves, and the next call goes on.
    await redis.start();
    const args = sweep("stopped", "--trials", "1");
    const ended = await ferrotype(args, {
      started: () => {
        const timer = setInterval(() => {
          if (!existsSync(at("stopped", "trials", "0000.json"))) return;
          clearInterval(timer);
          void redis.stop();
        }, 2);
      },
    });
    assertStrictEquals(ended.code, 1, ended.stderr);
    assertMatch(
      ended.stderr,
      /^ferrotype: sweep: the queue stopped at .* was there and is gone, for 2 seconds now; [^\n]+\n$/,
    );
    await redis.start();
    const told = await json<{ trials: number; failed: number }>(args);
    assertEquals([told.trials, told.failed], [1, 0]);
  });
});
