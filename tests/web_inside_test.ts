/** What the training page shows of a model's inside, and its snapshots, against the library and plain numbers. */
import { assert, assertAlmostEquals, assertEquals, assertStrictEquals } from "@std/assert";
import { deflateRawSync } from "node:zlib";
import { noGrad, tensor } from "../mod.ts";
import { type Guess, logitLens } from "../web/engine/lens.ts";
import { unzip, zip } from "../src/files/zip.ts";
import { histogram, idleUnits, type Inside, type View } from "../web/train/inside.ts";
import { Lesson, type LessonOptions } from "../web/train/lesson.ts";
import { plane } from "../web/train/pca.ts";
import { describe, it } from "./_suite.ts";

const rhyme = "Jack and Jill went up the hill to fetch a pail of water.\n".repeat(6);
const options: LessonOptions = {
  ...{ text: rhyme, layers: 2, width: 16, context: 16, steps: 30, lr: 0.01, seed: 3 },
};

/** Numbers from a generator of its own, so that each runtime tries the same. */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) / 2 ** 32 - 0.5;
}

/** The eigenvalues of a symmetric matrix, the largest first: Jacobi's rotations, in f64. */
function eigenvalues(a: number[][]): number[] {
  const n = a.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(a[p][q]) < 1e-14) continue;
        const t = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const tan = Math.sign(t || 1) / (Math.abs(t) + Math.hypot(t, 1)),
          c = 1 / Math.hypot(tan, 1),
          s = tan * c;
        for (let k = 0; k < n; k++) {
          [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
        }
        for (let k = 0; k < n; k++) {
          [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
        }
      }
    }
  }
  return a.map((row, i) => row[i]).sort((x, y) => y - x);
}

describe("the plane of points", () => {
  it("holds as much of the spread as any plane can; its directions are at right angles", async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const next = random(seed), count = 5 + 7 * seed, width = 3 + 2 * seed;
      // Axes of different length, turned by sums of each other.
      const rows = Array.from({ length: count }, () => {
        const raw = Array.from({ length: width }, (_, i) => next() * 3 ** -i);
        return raw.map((x, i) => 2 + x + 0.7 * raw[(i + 1) % width] - 0.4 * raw[(i + 2) % width]);
      });
      const means = rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / count);
      const centred = rows.map((row) => row.map((x, i) => x - means[i]));
      const spread = means.map((_, i) =>
        means.map((_, j) => centred.reduce((sum, row) => sum + row[i] * row[j], 0))
      );
      const values = eigenvalues(spread), all = values.reduce((sum, x) => sum + x, 0);
      using points = tensor(rows);
      const found = await plane(points), { axes } = found;
      assertAlmostEquals(found.share, (values[0] + values[1]) / all, 2e-3);
      const dot = (a: 0 | 1, b: 0 | 1): number =>
        means.reduce((sum, _, i) => sum + axes[2 * i + a] * axes[2 * i + b], 0);
      assertAlmostEquals(dot(0, 0), 1, 1e-4);
      assertAlmostEquals(dot(1, 1), 1, 1e-4);
      assertAlmostEquals(dot(0, 1), 0, 1e-4);
      centred.forEach((row, i) =>
        assertAlmostEquals(found.points[2 * i], row.reduce((sum, x, k) => sum + x * axes[2 * k], 0), 1e-3)
      );
      // From where it was, it stays.
      const again = await plane(points, axes);
      again.axes.forEach((x, i) => assertAlmostEquals(x, axes[i], 2e-2));
    }
    using same = tensor([[1, 2, 3], [1, 2, 3]]);
    assertEquals([...(await plane(same)).points], [0, 0, 0, 0]);
  });
});

describe("how numbers spread", () => {
  it("counts each number once, what is far at the ends", () => {
    const next = random(5), list = Float32Array.from({ length: 1000 }, next);
    list[3] = 100;
    list[4] = -100;
    const { rms, counts } = histogram([list.subarray(0, 300), list.subarray(300)]);
    assertAlmostEquals(rms, Math.sqrt(list.reduce((sum, x) => sum + x * x, 0) / 1000), 1e-6);
    assertStrictEquals(counts.reduce((sum, n) => sum + n, 0), 1000);
    assertEquals([counts[0], counts.at(-1)], [1, 1]);
    assertEquals(histogram([new Float32Array(3)]).counts[16], 3);
  });

  it("names units that never speak, and units that never choose", () => {
    const next = random(6), units = 6;
    const values = Float32Array.from(
      { length: 40 * units },
      (_, i) => i % units === 2 ? 1e-5 : i % units === 4 ? 3.5 : next(),
    );
    assertEquals(idleUnits(values, units), { dead: [2], saturated: [4] });
    values[units + 2] = 0.9;
    values[units + 4] = 1;
    assertEquals(idleUnits(values, units), { dead: [], saturated: [] });
  });
});

describe("inside a lesson", () => {
  const look = async (
    lesson: Lesson,
    view: View,
    step: number | null = null,
    sentence = "Jill€ up",
  ): Promise<Inside> => await lesson.look({ view, sentence, layer: 1 }, step);

  it("shows what the library computes, and what it left out of the sentence", async () => {
    const lesson = new Lesson(options), { model } = lesson, ids = model.encode("Jill up");
    const seen = await look(lesson, "attention");
    assert("attention" in seen);
    assertStrictEquals(seen.left, "€");
    using expected = model.attentions(ids, { layers: [1] })[0];
    assertEquals(seen.attention.weights, await expected.data());
    assertEquals(seen.attention.tokens, [..."Jill up"]);
    const lens = await look(lesson, "lens");
    assert("lens" in lens);
    assertStrictEquals(lens.lens.guesses.length, 3);
    using shares = noGrad(() => model.forward(ids).softmax());
    const rows = await shares.toArray() as number[][][];
    for (const [place, row] of rows[0].entries()) {
      const first = lens.lens.guesses[2][place][0] as Guess;
      assertAlmostEquals(first.probability, Math.max(...row), 1e-5);
      assertStrictEquals(first.text, model.tokenizer!.decode([row.indexOf(Math.max(...row))]));
    }
    // Longer than the table: its end.
    assertStrictEquals((await logitLens(model, ids, 100)).guesses[0][0].length, model.vocabSize);
    const map = await look(lesson, "map"), positions = await look(lesson, "positions");
    assert("map" in map && "map" in positions);
    assertEquals([map.map.names.length, positions.map.names.length], [model.vocabSize, 16]);
    // A sentence of which nothing is known is replaced by the text's beginning.
    const other = await look(lesson, "attention", null, "€");
    assert("attention" in other && other.attention.tokens.join("").startsWith("Jack"));
    lesson.dispose();
  });

  it("finds units that were made dead and saturated, and the gradients of the loss", async () => {
    const lesson = new Lesson(options), { model } = lesson, bias = model.h[1].mlp.c_fc.bias;
    const values = Array.from({ length: bias.size }, (_, i) => i === 5 ? -30 : i === 9 ? 30 : 0);
    using planted = tensor(values);
    model.loadStateDict({ "h.1.mlp.c_fc.bias": planted }, { strict: false });
    const found = await look(lesson, "spread");
    assert("spread" in found);
    const names = found.spread.map(({ name }) => name);
    assertEquals(names, [
      ...[
        "Embeddings",
        "Layer 1, attention",
        "Layer 1, MLP",
        "Layer 2, attention",
        "Layer 2, MLP",
        "Last norm",
      ],
    ]);
    assertEquals(found.spread.map(({ dead }) => dead), [[], [], [], [], [5], []]);
    assertEquals(found.spread.map(({ saturated }) => saturated), [[], [], [], [], [9], []]);
    assert(found.spread.every(({ gradients }) => gradients.rms > 0), "a part without gradients");
    assert(model.parameters().every(({ grad }) => grad === null), "gradients were left behind");
    const numbers = found.spread.reduce(
      (sum, { weights }) => sum + weights.counts.reduce((a, b) => a + b),
      0,
    );
    assertStrictEquals(numbers, lesson.parameters);
    lesson.dispose();
  });

  it("who looks, writes and goes back changes nothing of the run; a snapshot is the model of its step", async () => {
    const plain: number[] = [], seen: number[] = [], texts: string[] = [];
    const one = new Lesson(options), two = new Lesson(options), { signal } = new AbortController();
    await one.run(async ({ loss, step }) => {
      plain.push(loss);
      if (step === 8) texts.push(await one.write("Jack", 30));
    }, signal);
    await two.keep(0);
    await two.run(async ({ loss, step }) => {
      seen.push(loss);
      if (two.isDue(step)) await two.keep(step);
      for (const view of ["map", "attention", "lens", "spread"] as const) {
        await look(two, view, step % 3 ? null : 0);
      }
    }, signal);
    assertEquals(seen, plain);
    assertEquals(two.snapshots.map(({ step }) => step), [0, 1, 2, 4, 8, 10, 20, 30]);
    assertStrictEquals(await two.write("Jack", 30, 8), texts[0]);
    assertStrictEquals(await two.write("Jack", 30), await one.write("Jack", 30));
    assertStrictEquals(two.at(7), two.model);
    one.dispose();
    two.dispose();
  });

  it("keeps few snapshots of a long run, the first among them", async () => {
    const lesson = new Lesson({ ...options, layers: 1, width: 8 });
    lesson.sample = () => Promise.resolve("");
    for (let step = 0; step <= 150; step++) {
      await lesson.keep(step);
      assert(lesson.snapshots.length <= 40);
      assertStrictEquals(lesson.snapshots.at(-1)!.step, step);
    }
    assertStrictEquals(lesson.snapshots[0].step, 0);
    assert(lesson.snapshots.length >= 20);
    lesson.dispose();
  });
});

describe("an archive that is read", () => {
  const text = "to be or not to be ".repeat(40), bytes = new TextEncoder().encode(text);

  /** The archive of one entry, packed by deflate. */
  function packed(size = bytes.length): Blob {
    const body = Uint8Array.from(deflateRawSync(bytes)), pieces = zip([{ name: "a/b.txt", bytes: body }]);
    const [head, , list] = pieces.map((piece) => new DataView(piece.buffer));
    head.setUint16(8, 8, true);
    list.setUint16(10, 8, true);
    list.setUint32(24, size, true);
    return new Blob(pieces);
  }
  const failing = async (blob: Blob): Promise<string> =>
    await unzip(blob).then(() => "", (error: Error) => error.message);

  it("gives its files and their paths, packed or not, whatever follows it in the file", async () => {
    const archive = zip([{ name: "my/ä.txt", bytes }, { name: "my/", bytes: new Uint8Array(0) }]);
    for (const blob of [new Blob(archive), packed()]) {
      const [file, ...more] = await unzip(blob);
      assertEquals(more, []);
      assertStrictEquals(await file.text(), text);
      assert(["my/ä.txt", "a/b.txt"].includes(file.webkitRelativePath), file.webkitRelativePath);
    }
  });

  it("says what is wrong with any other, and takes no memory for what it claims", async () => {
    const whole = new Uint8Array(await new Blob(zip([{ name: "a", bytes }])).arrayBuffer());
    assert((await failing(new Blob(["no archive"]))).includes("no list of files"));
    assert((await failing(new Blob([whole.slice(0, -1)]))).includes("no list of files"));
    assert((await failing(packed(3))).includes("3 bytes"));
    assert((await failing(packed(4e9))).includes("4000000000 bytes"));
    // Any byte of head, list or end may be another: files, or a sentence.
    const next = random(9),
      places = [...Array(31).keys(), ...Array.from({ length: 69 }, (_, i) => whole.length - 1 - i)];
    for (const place of places) {
      const changed = whole.slice();
      changed[place] ^= 1 + Math.floor((next() + 0.5) * 255);
      const message = await failing(new Blob([changed]));
      assert(message === "" || message.startsWith("This is no ZIP archive"), `byte ${place}: ${message}`);
    }
  });
});
