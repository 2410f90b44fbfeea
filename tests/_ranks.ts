/**
 * What `distributed_test.ts` runs on several ranks. The first argument says what; results of training go to a file a rank.
 *
 * @module
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { writeFileSync } from "node:fs";
import process from "node:process";
import {
  CheckpointManager,
  distributed,
  type DType,
  Generator,
  GPT2,
  manualSeed,
  ones,
  optim,
  randomBatches,
  setThreads,
  tensor,
  Trainer,
  type TrainerOptions,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { offsetOf } from "../src/distributed/memory.ts";

/** One training run of a test. */
export interface RanksRun {
  readonly name: string;
  readonly steps: number;
  readonly deterministic?: boolean;
  readonly dropout?: number;
  readonly directory?: string;
  readonly resume?: boolean;
  readonly seed?: number;
  readonly lr?: number;
  readonly options?: Partial<TrainerOptions>;
}

/** Losses, and a fingerprint of the weights, or of their average. */
export interface RanksResult {
  readonly name: string;
  readonly rank: number;
  readonly losses: number[];
  readonly bits: string;
  readonly owned: { elements: number; of: number } | null;
}

/** Trains a small model over the ranks that there are. */
export async function trainOnRanks(run: RanksRun): Promise<RanksResult> {
  useDeterministicAlgorithms(run.deterministic ?? false);
  manualSeed(3);
  const p = run.dropout ?? 0;
  const model = new GPT2({
    vocabSize: 32,
    nPositions: 8,
    nEmbd: 16,
    nLayer: 1,
    nHead: 2,
    residPdrop: p,
    embdPdrop: p,
    attnPdrop: p,
  });
  const ids = Int32Array.from({ length: 2000 }, (_, i) => (i * i * 7 + (i >> 3)) % 32), losses: number[] = [];
  const trainer = new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 8, blockSize: 8, seed: run.seed ?? 1 }),
    optimizer: new optim.AdamW(model.parameters(), { lr: run.lr ?? 1e-3 }),
    steps: run.steps,
    clip: 1,
    reportEvery: 1,
    onStep: ({ loss }) => void losses.push(loss),
    distributed,
    ...(run.directory === undefined ? {} : { checkpoints: new CheckpointManager(run.directory) }),
    ...run.options,
  });
  if (run.resume) await trainer.resume();
  await trainer.run();
  let bits = 0x811c9dc5;
  await trainer.averaged(async () => {
    for (const t of model.parameters()) {
      const { buffer, byteOffset, byteLength } = await t.data();
      for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) {
        bits = Math.imul(bits ^ byte, 0x01000193);
      }
    }
  });
  return {
    name: run.name,
    rank: distributed.rank,
    losses,
    bits: (bits >>> 0).toString(16),
    owned: trainer.ownedState,
  };
}

/** Every collective, of every dtype that it takes. */
async function collectives(): Promise<void> {
  const { rank, size } = distributed, total = size * (size + 1) / 2;
  for (const dtype of ["f32", "f16", "bf16", "i32", "i64", "u8"] as DType[]) {
    using t = tensor(Array.from({ length: 1001 }, () => rank + 1), { dtype });
    assertEquals(await distributed.allReduce(t), t);
    assertEquals(new Set(await t.to({ dtype: "f32" }).toArray() as number[]), new Set([total]), dtype);
    using m = tensor([rank, -rank + 5], { dtype });
    await distributed.allReduce(m, { op: "max" });
    assertEquals(await m.to({ dtype: "f32" }).toArray(), [size - 1, 5], dtype);
    using b = tensor([[rank, 7], [rank, 8]], { dtype });
    await distributed.broadcast(b.transpose(0, 1), { src: size - 1 });
    assertEquals(await b.to({ dtype: "f32" }).toArray(), [[size - 1, 7], [size - 1, 8]], dtype);
  }
  // Large ones go in blocks, with a rest that ranks do not divide.
  for (const [dtype, count] of [["f32", 1_200_001], ["i64", 150_003], ["u8", 1_100_001]] as const) {
    for (const op of ["sum", "max"] as const) {
      using t = tensor(Int32Array.from({ length: count }, (_, i) => (i + rank) % 60), { dtype: "i32" });
      using large = t.to({ dtype });
      await distributed.allReduce(large, { op });
      const found = await large.to({ dtype: "i32" }).data() as Int32Array;
      const bad = found.findIndex((value, i) => {
        const each = Array.from({ length: size }, (_, r) => (i + r) % 60);
        return value !== (op === "max" ? Math.max(...each) : each.reduce((a, b) => a + b));
      });
      assertEquals(bad, -1, `${dtype} ${op}`);
    }
  }
  using mean = tensor([rank, 1]);
  await distributed.allReduce(mean, { op: "avg" });
  assertEquals(await mean.toArray(), [(size - 1) / 2, 1]);
  // A number that is none anywhere is none everywhere, also where MPI would leave it to chance.
  for (const op of ["max", "min"] as const) {
    using n = tensor([rank, rank === 1 ? NaN : 3, rank === 0 ? NaN : 3, Infinity], { dtype: "bf16" });
    await distributed.allReduce(n, { op });
    assertEquals(await n.toArray(), [op === "max" ? size - 1 : 0, NaN, NaN, Infinity]);
    const own = await distributed.reduceScatter(
      tensor(Array.from({ length: size }, () => rank === 1 ? NaN : 7)),
      { op },
    );
    assertEquals(await own.toArray(), [NaN]);
  }
  for (const t of [await distributed.allReduce(ones([0, 3])), ...await distributed.allGather(ones([0, 3]))]) {
    assertEquals(t.shape, [0, 3]);
  }
  await assertRejects(
    () =>
      distributed.reduceScatter(
        Array.from({ length: size }, (_, i) => ones([3], { dtype: i ? "i32" : "f32" })),
      ),
    Error,
    "f32 [3] and i32 [3]",
  );
  const all = await distributed.allGather(tensor([[rank, 10 * rank]]));
  assertEquals(
    await Promise.all(all.map((t) => t.toArray())),
    Array.from({ length: size }, (_, r) => [[r, 10 * r]]),
  );
  const mine = await distributed.reduceScatter(Array.from({ length: size }, (_, r) => tensor([r + rank, 1])));
  assertEquals(await mine.toArray(), [size * rank + total - size, size]);
  const part = await distributed.reduceScatter(tensor(Array.from({ length: 2 * size }, (_, i) => i)), {
    op: "avg",
  });
  assertEquals(await part.toArray(), [2 * rank, 2 * rank + 1]);
  await assertRejects(() => distributed.broadcast(mean, { src: size }), Error, `src is ${size}`);
  await assertRejects(
    () => distributed.allReduce(tensor([1], { dtype: "i32" }), { op: "avg" }),
    Error,
    "floating",
  );
  assertAlmostEquals((await mean.toArray() as number[])[1], 1);
  await halves();
  await distributed.barrier();
  assert(distributed.hosts.length === size && distributed.library !== null);
}

/** 16 bits a number on the wire: each rank's numbers are rounded, and their sum, by at most 2^-8 of each, and that is reached. */
async function halves(): Promise<void> {
  const { rank, size, messenger } = distributed;
  const random = new Generator(7), count = 5000;
  const all = Array.from(
    { length: size },
    (_, r) =>
      Float32Array.from(
        { length: count },
        (_, i) => i === 0 ? (r ? 0 : 1 + 2 ** -8) : random.normal() * 2 ** (i % 40 - 20),
      ),
  );
  using t = tensor(all[rank]);
  messenger!.wait(
    messenger!.post({ operation: "bf16AllReduce", type: "f32", from: offsetOf(t), count }),
  );
  const found = await t.data() as Float32Array;
  found.forEach((sum, i) => {
    const each = all.map((one) => one[i]), exact = each.reduce((a, b) => a + b, 0);
    const sizes = each.reduce((a, b) => a + Math.abs(b), 0);
    assert(Math.abs(sum - exact) <= 2 ** -8 * (sizes * (1 + 2 ** -8) + Math.abs(exact)), `${each}: ${sum}`);
  });
  assertEquals(found[0], 1);
}

/** What goes wrong on rank 1, in the middle. */
async function fault(how: string): Promise<void> {
  await distributed.barrier();
  const isOne = distributed.rank === 1;
  if (how === "trap") {
    // (func (export "f") (i32.store (i32.const -16) (i32.const 1))) in a module with one page.
    const bytes = [
      0,
      97,
      115,
      109,
      1,
      0,
      0,
      0,
      1,
      4,
      1,
      96,
      0,
      0,
      3,
      2,
      1,
      0,
      5,
      3,
      1,
      0,
      1,
      7,
      5,
      1,
      1,
      102,
      0,
      0,
    ]
      .concat([10, 11, 1, 9, 0, 65, 112, 65, 1, 54, 2, 0, 11]);
    const { f } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes))).exports;
    try {
      (f as () => void)();
    } catch (error) {
      console.log(`an error: ${(error as Error).constructor.name}`);
    }
  }
  // Calls that differ between ranks.
  const different: Record<string, (one: boolean) => Promise<unknown>> = {
    shape: (one) => distributed.allReduce(ones(one ? [2, 3] : [3, 2])),
    op: (one) => distributed.allReduce(ones([4]), { op: one ? "max" : "sum" }),
    // What a model over ranks asks before each pass.
    ids: (one) => {
      const { messenger } = distributed;
      messenger!.wait(messenger!.post({ operation: "forward", count: one ? 1 : 2, shape: [1, 3] }));
      return Promise.resolve();
    },
    src: (one) => distributed.broadcast(ones([4]), { src: one ? 1 : 0 }),
    collective: async (one) => one ? await distributed.destroy() : await distributed.reduceScatter(ones([4])),
  };
  if (how in different) await different[how](isOne);
  if (isOne && how === "exit") process.exit(0);
  if (isOne && how === "throw") throw new RangeError("what the program did");
  if (isOne && how === "kill") process.kill(process.pid, "SIGKILL");
  if (isOne && how === "stop") process.kill(process.pid, "SIGSTOP");
  // deno-lint-ignore no-empty
  if (isOne && how === "hang") { for (;;) {} }
  if (how === "data") await trainOnRanks({ name: how, steps: 3, seed: isOne ? 2 : 1 });
  if (how === "diverge") await trainOnRanks({ name: how, steps: 20, lr: 1e30 });
  await distributed.allReduce(tensor([1]));
}

if (import.meta.main ?? /_ranks\.m?[jt]s$/.test(process.argv[1] ?? "")) {
  const [, , what, ...rest] = process.argv;
  await setThreads(1);
  // Ends before it has met the others: on which rank it is, only the launcher has told so far.
  const launched = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;
  if (rest[0] === "early" && launched === "1") process.exit(0);
  // Where a rank is to be missed it is missed soon; elsewhere a busy machine may keep one waiting.
  await distributed.init({ timeout: /^(hang|stop)$/.test(rest[0] ?? "") ? 1 : 120 });
  if (what === "collectives") await collectives();
  else if (what === "fault") {
    try {
      await fault(rest[0]);
    } catch (error) {
      if (!distributed.isCommon(error)) throw error;
      if (distributed.rank === 0) {
        console.error(`ferrotype: ${(error as Error).message}`);
        distributed.abort(null);
      }
      // The first rank ends all.
      await new Promise((go) => setTimeout(go, 20_000));
    }
  } else {
    // Long lines of several ranks would run into one another on the launcher's one output.
    const results: RanksResult[] = [];
    for (const run of JSON.parse(rest[0]) as RanksRun[]) results.push(await trainOnRanks(run));
    writeFileSync(`${rest[1]}.${distributed.rank}.json`, JSON.stringify(results));
  }
  await distributed.destroy();
  await distributed.destroy();
  await assertRejects(() => distributed.init(), Error, "MPI was ended by destroy()");
  if (what === "collectives") console.log("all right");
  process.exit(0);
}
