/**
 * Many texts at once: each is what it would be alone, whatever its neighbours are, whenever it comes and goes.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  Batcher,
  CancelledError,
  type GenerateOptions,
  GPT2,
  OptionError,
  resolveOptions,
  type Tensor,
  tensor,
  type TokensResult,
} from "../mod.ts";
import type { Constraint } from "../src/generate/constraint/format.ts";
import { dataPath } from "./_data.ts";
import { TableCache, TableModel } from "./_language_model.ts";

/** A table that takes a step of several texts, and tells of how many. */
class RowsModel extends TableModel {
  readonly rows: number[] = [];
  readonly #after: (text: readonly number[]) => number[];
  constructor(after: (text: readonly number[]) => number[], contextLength?: number) {
    super(after, contextLength);
    this.#after = after;
  }
  override forward(
    ids: readonly (readonly number[])[],
    { cache, lastOnly }: { cache: TableCache | readonly TableCache[]; lastOnly: boolean },
  ): Tensor {
    if (cache instanceof TableCache) return super.forward(ids, { cache, lastOnly });
    this.rows.push(ids.length);
    const values = ids.map(([id], i) => {
      cache[i].rows[0].push(id);
      cache[i].length++;
      return [this.#after(cache[i].rows[0])];
    });
    return tensor(values, { dtype: "f32", device: "reference" });
  }
}

/** The next token is the last one and one more, of ten; the tenth ends the text where that is asked for. */
const counting = (text: readonly number[]): number[] =>
  Array.from({ length: 10 }, (_, id) => id === (text.at(-1)! + 1) % 10 ? 5 : 0);

async function finish(
  batcher: Batcher<TableCache>,
  prompt: number[],
  { constraint, ...options }: GenerateOptions & { constraint?: Constraint } = {},
  client?: string,
): Promise<TokensResult> {
  const steps = batcher.submit(
    prompt,
    { ...resolveOptions(options), ...(constraint ? { constraint } : {}) },
    client,
  );
  for (;;) {
    const step = await steps.next();
    if (step.done) return step.value;
  }
}

describe("a batch", () => {
  it("gives each text what it has alone, and its own end", async () => {
    const model = new RowsModel(counting), batcher = new Batcher(model, { maxBatch: 3 });
    const found = await Promise.all([
      finish(batcher, [1, 2], { maxNewTokens: 3 }),
      finish(batcher, [6], { maxNewTokens: 9, eosTokenId: 9 }),
      finish(batcher, [3, 3, 3], { maxNewTokens: 1 }),
      finish(batcher, [0], { maxNewTokens: 0 }),
      finish(batcher, [4], { maxNewTokens: 4, stoppingCriteria: [(text) => text.at(-1) === 6] }),
    ]);
    assertEquals(found.map(({ ids, finishReason }) => [ids, finishReason]), [
      [[3, 4, 5], "length"],
      [[7, 8, 9], "eos"],
      [[4], "length"],
      [[], "length"],
      [[5, 6], "stop"],
    ]);
    assert(Math.max(...model.rows) > 1 && Math.max(...model.rows) <= 3);
    assertEquals(batcher.load, { active: 0, waiting: 0 });
    assert(model.caches.every(({ isDisposed }) => isDisposed));
  });

  it("lets others go on while a long prompt is computed", async () => {
    const model = new RowsModel(counting, 200), batcher = new Batcher(model, { prefillChunk: 10 });
    const order: string[] = [];
    const short = finish(batcher, [1], { maxNewTokens: 4, onToken: () => order.push("short") });
    const long = finish(batcher, new Array(55).fill(1), {
      maxNewTokens: 1,
      onToken: () => order.push("long"),
    });
    await Promise.all([short, long]);
    assertEquals(order, ["short", "short", "short", "short", "long"]);
    assertEquals(model.fed.filter((n) => n > 1), [10, 10, 10, 10, 10, 5]);
  });

  it("slides when positions are used up, as a text alone does", async () => {
    const model = new RowsModel(counting, 6);
    const { ids } = await finish(new Batcher(model), [1, 2, 3], { maxNewTokens: 12 });
    assertEquals(ids, [4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]);
  });

  it("serves the client who has least, each in its own order", async () => {
    const batcher = new Batcher(new RowsModel(counting), { maxBatch: 1 }), order: string[] = [];
    const ask = (name: string, client: string): Promise<unknown> =>
      finish(batcher, [1], { maxNewTokens: 1, onToken: () => order.push(name) }, client);
    await Promise.all([ask("a1", "a"), ask("a2", "a"), ask("b1", "b"), ask("a3", "a")]);
    // With one place nobody has more than another when it falls free: the order is that of coming.
    assertEquals(order, ["a1", "a2", "b1", "a3"]);
    const two = new Batcher(new RowsModel(counting), { maxBatch: 2 });
    const first = finish(two, [1], { maxNewTokens: 40, onToken: () => order.push("long") }, "a");
    order.length = 0;
    const rest = ["a", "a", "b"].map((client, i) =>
      finish(two, [1], { maxNewTokens: 1, onToken: () => order.push(`${client}${i}`) }, client)
    );
    await Promise.all([first, ...rest]);
    assertEquals(order.filter((name) => name !== "long"), ["b2", "a0", "a1"]);
  });

  /** A format that never finds out what may come next, or takes `turns` of so many units to; `did` hears of each. */
  const slowFormat = (turns: number, units = Infinity, did = () => {}): Constraint => ({
    least: 0,
    follow() {
      let left = turns, known = -1;
      return {
        advance(ids, allowance) {
          did();
          if (allowance) allowance.units = units === Infinity ? 0 : allowance.units - units;
          if (known !== ids.length && --left < 0) {
            known = ids.length;
            left = turns;
          }
          return known === ids.length;
        },
        isKnown: (ids) => known === ids.length,
        isOver: () => false,
        apply: () => {},
      };
    },
  });

  it("lets others go by texts whose formats take long, however many", async () => {
    const model = new RowsModel(counting), batcher = new Batcher(model, { maxBatch: 2 });
    const controller = new AbortController(), { signal } = controller;
    const slow = Array.from(
      { length: 7 },
      () => finish(batcher, [1], { maxNewTokens: 3, constraint: slowFormat(Infinity), signal }),
    );
    const ordinary = Array.from({ length: 5 }, (_, i) => finish(batcher, [i], { maxNewTokens: 2 }));
    const brief = finish(batcher, [8], { maxNewTokens: 2 });
    assertEquals((await Promise.all(ordinary)).map(({ ids }) => ids.length), [2, 2, 2, 2, 2]);
    assertEquals((await brief).ids, [9, 0]);
    // They take no place, and no memory, before their first token is known; and no more texts take a step than there are places.
    assertEquals(batcher.load, { active: 0, waiting: 7 });
    assert(Math.max(...model.rows) <= 2);
    const ended = Promise.allSettled(slow);
    controller.abort();
    await ended;
    assertEquals(batcher.load, { active: 0, waiting: 0 });
    assert(model.caches.every(({ isDisposed }) => isDisposed));
  });

  it("computes no more texts together than it may, when many formats are ready at once", async () => {
    const model = new RowsModel(counting), batcher = new Batcher(model, { maxBatch: 2 });
    const found = await Promise.all(
      Array.from(
        { length: 6 },
        (_, i) => finish(batcher, [i], { maxNewTokens: 4, ...i % 2 ? { constraint: slowFormat(3) } : {} }),
      ),
    );
    assertEquals(found.map(({ ids }) => ids.length), [4, 4, 4, 4, 4, 4]);
    assert(Math.max(...model.rows) <= 2);
  });

  it("ends a text whose format takes more work than it may", async () => {
    const batcher = new Batcher(new RowsModel(counting), { formatSeconds: 0 });
    const slow = finish(batcher, [1], { maxNewTokens: 3, constraint: slowFormat(Infinity) });
    await assertRejects(
      () => slow,
      OptionError,
      "finding out which tokens may follow took more than 0 seconds after 0 tokens; make the format simpler",
    );
    assertEquals((await finish(batcher, [1], { maxNewTokens: 2 })).ids, [2, 3]);
  });

  it("works first on formats that take little, whoever came before and however many they are", async () => {
    const batcher = new Batcher(new RowsModel(counting), { maxBatch: 2 }), slice = 20_000;
    const controller = new AbortController(), { signal } = controller, done = new Array(30).fill(0);
    const heavy = done.map((_, i) =>
      finish(batcher, [1], {
        maxNewTokens: 3,
        constraint: slowFormat(Infinity, slice, () => done[i]++),
        signal,
      })
    );
    const ended = Promise.allSettled(heavy);
    while (done.some((count) => count < 2)) await new Promise((resolve) => setTimeout(resolve));
    const before = done.reduce((sum, count) => sum + count, 0);
    const light = await finish(batcher, [1], { maxNewTokens: 3, constraint: slowFormat(2, slice) });
    assertEquals(light.ids, [2, 3, 4]);
    const others = done.reduce((sum, count) => sum + count, 0) - before;
    // Each of the others may have as much as it takes to be told from what is light, and no more.
    assert(others < 30 * 12, `${others} slices went to others`);
    controller.abort();
    await ended;
  });

  it("ends costly formats when all of them together take too long, and no others", async () => {
    const batcher = new Batcher(new RowsModel(counting), { maxBatch: 4, formatSeconds: 1e-3 });
    const costly = Array.from(
      { length: 40 },
      (_, i) => finish(batcher, [i % 10], { maxNewTokens: 3, constraint: slowFormat(Infinity, 1e6) }),
    );
    const plain = finish(batcher, [1], { maxNewTokens: 20 });
    const found = await Promise.allSettled(costly);
    const reasons = found.map((one) => one.status === "rejected" ? one.reason as OptionError : null);
    assert(reasons.every((reason) => reason instanceof OptionError));
    const early = reasons.filter((reason) => reason?.message.includes("with the formats of others"));
    // If each had its own time all would end by that.
    assert(early.length > 20, `${early.length} ended by the time of all`);
    assertEquals((await plain).ids.length, 20);
    assertEquals(batcher.load, { active: 0, waiting: 0 });
  });

  it("drops a text at once when it is cancelled or nobody listens", async () => {
    const model = new RowsModel(counting, 2000),
      batcher = new Batcher(model),
      controller = new AbortController();
    const cancelled = finish(batcher, [1], {
      maxNewTokens: 1000,
      signal: controller.signal,
      onToken: (id) => id === 5 && controller.abort(),
    });
    const left = batcher.submit([1], resolveOptions({ maxNewTokens: 1000 }));
    const other = finish(batcher, [1], { maxNewTokens: 20 });
    await left.next();
    await left.return(undefined as never);
    await assertRejects(() => cancelled, CancelledError);
    assertStrictEquals((await other).ids.length, 20);
    assertEquals(batcher.load, { active: 0, waiting: 0 });
    assert(model.caches.every(({ isDisposed }) => isDisposed));
    await assertRejects(() => finish(batcher, [1], { signal: AbortSignal.abort() }), CancelledError);
  });

  it("keeps one text's faults from the others", async () => {
    const batcher = new Batcher(new RowsModel(counting));
    const bad = finish(batcher, [1], {
      logitsProcessors: [() => {
        throw new Error("mine");
      }],
    });
    const good = finish(batcher, [1], { maxNewTokens: 5 });
    await assertRejects(() => bad, Error, "mine");
    assertStrictEquals((await good).ids.length, 5);
    assertThrows(() => batcher.submit([1], resolveOptions({ numBeams: 2 })), OptionError);
    assertThrows(() => batcher.submit([], resolveOptions({})), Error, "prompt is empty");
  });
});

describe("GPT-2 in batches", () => {
  const prompts = [[1, 2, 3, 4, 5, 6, 7], [9], [100, 50, 25], [7, 7, 7, 7], [300, 301], [3, 1, 4, 1, 5]];

  it("gives the same bits whoever is beside", async () => {
    for (const dtype of ["f32", "bf16", "q8", "q4"] as const) {
      using model = await GPT2.load(dataPath("gpt2-tiny"), { dtype });
      const options = { maxNewTokens: 25, outputLogits: true, eosTokenId: null };
      for (const sampled of [{}, { doSample: true, seed: 7, temperature: 1.3 }]) {
        const together = await model.completeBatch(prompts, { ...options, ...sampled });
        for (const [i, { ids, logits, text, promptIds }] of together.entries()) {
          const alone = await model.completion(prompts[i], { ...options, ...sampled });
          assertEquals([ids, text, promptIds], [alone.ids, alone.text, prompts[i]], `${dtype} ${i}`);
          logits!.forEach((row, k) => assertEquals(row, alone.logits![k], `${dtype} ${i} ${k}`));
        }
      }
    }
  });

  it("refuses what makes no sense", async () => {
    using model = await GPT2.load(dataPath("gpt2-tiny"));
    await assertRejects(() => model.completeBatch(prompts, { numBeams: 2 }), OptionError);
    await assertRejects(
      () => model.completeBatch(prompts, { doSample: true, numReturnSequences: 2 }),
      OptionError,
    );
    await assertRejects(
      () => model.completeBatch(prompts, { maxBatch: 0 }),
      Error,
      "Batcher: maxBatch is 0, expected a whole number from 1",
    );
    assertThrows(() => model.forward([[1], [2]], { cache: [] }), Error, "ids of 2 texts for 0 caches");
    using cache = model.createCache();
    assertThrows(() => model.forward([[1], [2]], { cache: [cache, cache] }), OptionError, "one cache twice");
  });
});
