/** Training in the tab: the lesson and the archive on every runtime, then the page in Chromium, whose numbers are Deno's. */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { crc32 as zlibCrc32 } from "node:zlib";
import { GPT2 } from "../mod.ts";
import { crc32, zip } from "../src/files/zip.ts";
import { Lesson, type LessonOptions } from "../web/train/lesson.ts";
import { fromHash, longestShared, mostShared, ranges, toHash } from "../web/train/settings.ts";
import { readPlan } from "../web/train/operations.ts";
import { texts } from "../web/train/texts.ts";
import { noBrowser, says, shows, TestSite, violations } from "./_browser.ts";
import { after, before, describe, it } from "./_suite.ts";

const skip = noBrowser;
const rhyme = "Jack and Jill went up the hill to fetch a pail of water.\n".repeat(6);
const options: LessonOptions = {
  text: rhyme,
  layers: 1,
  width: 32,
  context: 32,
  steps: 60,
  lr: 0.01,
  seed: 3,
};

/** The files of an archive whose entries are stored. */
function unzip(archive: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength), files = new Map();
  const end = archive.length - 22;
  assertStrictEquals(view.getUint32(end, true), 0x06054b50);
  let row = view.getUint32(end + 16, true);
  for (let i = 0; i < view.getUint16(end + 8, true); i++) {
    assertStrictEquals(view.getUint32(row, true), 0x02014b50);
    const size = view.getUint32(row + 24, true), length = view.getUint16(row + 28, true);
    const at = view.getUint32(row + 42, true);
    assertStrictEquals(view.getUint32(at, true), 0x04034b50);
    const name = new TextDecoder().decode(archive.subarray(row + 46, row + 46 + length));
    const bytes = archive.subarray(at + 30 + length, at + 30 + length + size);
    assertStrictEquals(view.getUint32(row + 16, true), zlibCrc32(bytes), name);
    files.set(name, bytes);
    row += 46 + length;
  }
  assertStrictEquals(row, end);
  return files;
}

/** Loads an unpacked archive as a model's folder. */
async function loadArchive(files: Map<string, Uint8Array>): Promise<GPT2> {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-archive-"));
  try {
    for (const [name, bytes] of files) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), bytes);
    }
    return await GPT2.load(join(folder, "my-gpt"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("an archive", () => {
  it("holds what was put in, with the checksums of zlib", () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
    assertStrictEquals(crc32(bytes), zlibCrc32(bytes));
    const files = unzip(
      Uint8Array.from(
        zip([{ name: "a/ä.txt", bytes }, { name: "b", bytes: new Uint8Array(0) }])
          .flatMap((piece) => [...piece]),
      ),
    );
    assertEquals([...files.keys()], ["a/ä.txt", "b"]);
    assertEquals(files.get("a/ä.txt"), bytes);
  });
});

describe("a lesson", () => {
  it("lowers the loss, writes, and gives a folder that loads and writes the same", async () => {
    const lesson = new Lesson(options), losses: number[] = [];
    assert(await lesson.run(({ loss }) => void losses.push(loss), new AbortController().signal));
    assertStrictEquals(losses.length, 60);
    assert(losses[59] < 0.5 * losses[0], `${losses[0]} → ${losses[59]}`);
    const sample = await lesson.sample(40), prompt = rhyme.slice(0, 12);
    assert(sample.startsWith(prompt) && sample.length === 52, sample);
    const files = new Map((await lesson.files()).map(({ name, bytes }) => [name, bytes]));
    using model = await loadArchive(files);
    const again = await model.complete(prompt, {
      maxNewTokens: 40,
      temperature: 0.8,
      seed: 3,
      contextOverflow: "slide",
    });
    assertStrictEquals(prompt + again, sample);
    lesson.model.dispose();
  });

  it("stops when asked", async () => {
    const lesson = new Lesson({ ...options, steps: 1000 }), stop = new AbortController();
    assertStrictEquals(
      await lesson.run(({ step }) => step === 3 ? stop.abort() : undefined, stop.signal),
      false,
    );
    lesson.model.dispose();
  });

  it("refuses a text that is too short, in a sentence", () => {
    assertThrows(() => new Lesson({ ...options, text: "short" }), Error, "5 characters; 64 are the least");
  });
});

describe("a link", () => {
  it("holds any settings and a text; what is not known or cannot be is named and left out", () => {
    const plain = fromHash("");
    for (let i = 0; i < 50; i++) {
      const settings = { ...plain.settings };
      for (const name of Object.keys(ranges) as (keyof typeof ranges)[]) {
        const [least, most, step] = ranges[name];
        settings[name] = least + step * (i * 7 % ((most - least) / step + 1));
      }
      const choice = Object.keys(texts)[i % 3], own = i % 2 ? `own & ünd #${i}=\n` : null;
      const model = i % 3 ? Uint16Array.from({ length: 50 * i }, (_, k) => k * 977) : null;
      const read = fromHash(`#${toHash(settings, choice, own ?? texts[choice](), model)}`);
      assertEquals(read, { settings, choice, text: own, model, ignored: [] });
    }
    const long = "x".repeat(longestShared + 1);
    assertEquals(fromHash(toHash(plain.settings, plain.choice, long)), plain);
    const bad = {
      layers: "9",
      width: "17",
      context: "",
      steps: "1e9",
      rate: "x",
      seed: "-1",
      choice: "toString",
    };
    const names = [...Object.keys(bad), "text", "what", "model"];
    for (const model of ["", "A", "AAAA", "AA!A", "A".repeat(4 * mostShared)]) {
      assertEquals(fromHash(`model=${model}`).ignored, ["model"], model.slice(0, 5));
    }
    assertEquals(fromHash(new URLSearchParams({ ...bad, text: long, what: "1", model: "A" }).toString()), {
      ...plain,
      ignored: names,
    });
  });
});

describe("the files of a model", () => {
  it("are those that save writes", async () => {
    const lesson = new Lesson(options), folder = mkdtempSync(join(tmpdir(), "ferrotype-files-"));
    try {
      await lesson.model.save(folder);
      for (const { name, bytes } of await lesson.files()) {
        assertEquals(
          new Uint8Array(readFileSync(join(folder, name.replace("my-gpt/", "")))),
          bytes,
          name,
        );
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
      lesson.model.dispose();
    }
  });
});

describe("a model in a link", () => {
  it("comes back within the precision of its numbers, and writes the same; of another size it is refused", async () => {
    const lesson = new Lesson(options), other = new Lesson(options);
    await lesson.run(() => {}, new AbortController().signal);
    const bits = await lesson.half();
    assertStrictEquals(bits.length, lesson.parameters);
    other.takeHalf(bits);
    assertEquals(await other.half(), bits);
    const [mine, its] = [lesson.model.parameters(), other.model.parameters()];
    for (let i = 0; i < mine.length; i++) {
      const [a, b] = [await mine[i].data(), await its[i].data()] as Float32Array[];
      a.forEach((value, k) =>
        assert(Math.abs(value - b[k]) <= Math.abs(value) / 1024 + 1e-7, `${value}, ${b[k]}`)
      );
    }
    const written = await other.write("Jack and J", 40);
    lesson.takeHalf(bits);
    assertStrictEquals((await lesson.write("Jack and J", 40)).slice(10), written.slice(10));
    assertThrows(() => other.takeHalf(bits.slice(1)), Error, "settings and this text make one of");
    lesson.dispose();
    other.dispose();
  });
});

describe("a step, operation by operation", () => {
  for (const [layers, width, context] of [[1, 16, 16], [3, 32, 32], [2, 64, 64]]) {
    it(`${layers} blocks of width ${width}: every line of the plan, in its part, with shapes and what it is for`, async () => {
      const given = { ...options, layers, width, context }, lesson = new Lesson(given);
      const inside = await lesson.look({ view: "step", sentence: "", layer: 0 });
      const plan = "plan" in inside ? inside.plan : "", operations = readPlan(plan);
      assertStrictEquals(`asked for: ${operations.length} operations`, plan.split("\n")[0]);
      const parts = operations.map(({ part }) => part);
      assertEquals([...new Set(parts)], ["forward", "loss", "backward", "optimizer"]);
      assertEquals(
        parts,
        parts.toSorted((a, b) => parts.indexOf(a) - parts.indexOf(b)),
        "one part after the other",
      );
      for (const { text, gives, line, part } of operations) {
        assert(text.length > 10 && !text.startsWith("Part of the way"), line);
        assert(gives.length > 0, line);
        assert(part === "optimizer" || !text.startsWith("AdamW"), line);
      }
      const of = (part: string, name: string) =>
        operations.filter((one) => one.part === part && one.name === name);
      assertStrictEquals(of("forward", "attention").length, layers);
      assertEquals(
        of("forward", "attention").map(({ where }) => where),
        Array.from({ length: layers }, (_, i) => `block ${i + 1}, attention`),
      );
      assertEquals(
        of("backward", "attentionBackward").map(({ where }) => where),
        Array.from({ length: layers }, (_, i) => `block ${layers - i}, attention`),
      );
      // Products: four a block and the scores forward; two for each of them back.
      assertStrictEquals(of("forward", "matmul").length, 4 * layers + 1);
      assertStrictEquals(of("backward", "matmul").length, 2 * (4 * layers + 1));
      const wider = of("forward", "matmul").filter(({ text }) => /four times as wide/.test(text));
      assertEquals(wider.map(({ gives }) => gives[0].shape.at(-1)), new Array(layers).fill(4 * width));
      const qkv = of("forward", "matmul").filter(({ text }) => /queries/.test(text));
      assertEquals(qkv.map(({ gives }) => gives[0].shape), new Array(layers).fill([8 * context, 3 * width]));
      const moved = of("optimizer", "sub").map(({ gives }) => gives[0].shape.reduce((a, b) => a * b, 1));
      assertStrictEquals(moved.reduce((a, b) => a + b, 0), lesson.parameters, "every weight moves");
      lesson.dispose();
    });
  }

  it("looking at it changes nothing of what is learnt", async () => {
    const losses: number[][] = [];
    for (const looks of [false, true]) {
      const lesson = new Lesson({ ...options, steps: 12 }), mine: number[] = [];
      await lesson.run(async ({ step, loss }) => {
        mine.push(loss);
        if (looks && step === 4) await lesson.look({ view: "step", sentence: "", layer: 0 });
      }, new AbortController().signal);
      losses.push(mine);
      lesson.dispose();
    }
    assertEquals(losses[1], losses[0]);
  });
});

describe("the training page", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  it("a link holds the model up to a size; a step is played operation by operation", { skip }, async () => {
    await site.open(
      "train/#choice=A+nursery+rhyme&layers=1&width=32&context=32&steps=50&seed=4",
      async (page) => {
        await shows(page, "#samples", /Step 50/);
        await page.click('[data-view="step"]');
        await shows(page, ".op-title", /^1 of \d+: lt, embeddings$/);
        await page.locator(".op button", { hasText: "Backward" }).click();
        await shows(page, ".op-title", /: crossEntropyBackward, the end$/);
        await page.locator(".op button", { hasText: "Next" }).click();
        await shows(page, ".op-text", /^The gradient goes back through the weights/);
        assertEquals(await page.locator(".operand .mono").allTextContents(), [
          "256 × 32",
          "32 × 32",
          "256 × 32",
        ]);
        assertEquals(await violations(page), []);
        const last = await page.locator("#samples li p").first().textContent();
        await page.click("#share");
        await says(page, /holds the model too, all [\d,]+ weights/);
        await page.reload();
        // It waits, and writes as it did: the numbers of the link are rounded, the letters the same.
        await shows(page, "#samples", /Before the first step/);
        await says(page, /the model of the link/);
        const first = await page.locator("#samples li p").first().textContent();
        assertStrictEquals(first?.slice(0, 40), last?.slice(0, 40));
        await page.click("#step");
        await shows(page, "#facts", /^step 1 .*paused/);
        await page.getByLabel("Width", { exact: true }).fill("48");
        await page.click("#share");
        await says(page, /The model is left out: it is of other settings/);
        await page.click("#go");
        await shows(page, "#samples", /Step 50/);
        await page.getByLabel("Layers", { exact: true }).fill("4");
        await page.click("#go");
        await shows(page, "#facts", /^step \d/);
        await page.click("#share");
        await says(page, /more than the 40,000 of a link: download it/);
      },
      { context: { reducedMotion: "reduce" } },
    );
  });

  it("trains, samples, and gives the model that Deno trains", { skip }, async () => {
    await site.open("train/", async (page) => {
      await page.fill("#text", rhyme);
      for (
        const [label, value] of [["Layers", 1], ["Width", 32], ["Context, letters", 32], [
          "Steps",
          50,
        ]] as const
      ) {
        await page.getByLabel(label, { exact: true }).fill(String(value));
      }
      await page.click("#go");
      await says(page, /It has learnt/);
      assert(await page.locator("#samples li").count() >= 4);
      const shown = Number(/loss ([\d.]+)/.exec(await page.textContent("#facts") ?? "")![1]);
      // After training, too; what it writes is what the sample says.
      await page.fill("#prompt", rhyme.slice(0, 12));
      await page.click("#write button");
      await shows(page, "#written", /^Jack and Jil[^]{20}/);
      assertStrictEquals(
        await page.textContent("#written"),
        await page.locator("#samples li p").first().textContent(),
      );
      const [file] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
      using model = await loadArchive(unzip(new Uint8Array(readFileSync(await file.path()))));
      assertStrictEquals(model.config.nEmbd, 32);

      let last = NaN;
      const mine = new Lesson({ ...options, steps: 50, lr: 10 ** -2.5, seed: 1 });
      await mine.run(({ loss }) => void (last = loss), new AbortController().signal);
      assert(Math.abs(last - shown) < 0.01 * last, `${shown} in the page, ${last} here`);
      mine.model.dispose();
    });
  });

  it("shows what is inside, now and at each snapshot; what it was then writes, too", { skip }, async () => {
    await site.open("train/", async (page) => {
      const view = async (name: string): Promise<void> => await page.click(`[data-view=${name}]`);
      await page.locator("#map").waitFor();
      await view("attention");
      await shows(page, "#arcs-row", /^Token \d+, .*looks at .*mean of all heads$/);
      await page.locator(".heads button").nth(2).click();
      await page.fill("#sentence", "Jill€");
      await shows(page, "#inside-hint", /^Left out.*€$/);
      await page.focus("#arcs");
      await page.keyboard.press("ArrowLeft");
      await shows(page, "#arcs-row", /^Token 3, l, looks at [^;]*$/);
      await view("lens");
      await shows(page, "#lens-row", /^After l, 2 layers would say/);
      await page.focus("#lens");
      await page.keyboard.press("ArrowUp");
      await shows(page, "#lens-row", /^After l, layer 1 would say/);
      assertEquals(await page.locator("#lens td").count(), 12);
      await view("spread");
      await shows(page, "#parts", /Layer 2, MLP.*rms [\d.]+/);
      assertEquals(await violations(page), []);
      await page.click("#stop");
      await says(page, /^Stopped/);
      // Back to the model that knows nothing yet; it writes as it wrote then.
      await page.fill("#time", "0");
      await shows(page, "#inside-step", /^after step 0$/);
      await shows(page, "#when", /^step 0$/);
      const first = page.locator("#samples li").last();
      assertMatch(await first.getAttribute("class") ?? "", /seen/);
      await page.fill("#prompt", (await page.inputValue("#text")).slice(0, 12));
      await page.click("#write button");
      await shows(
        page,
        "#written",
        new RegExp(`^${/\w+ \w+/.exec(await page.inputValue("#prompt"))![0]}[^]{99}`),
      );
      assertStrictEquals(await page.textContent("#written"), await first.locator("p").textContent());
      await page.focus("#time");
      await page.keyboard.press("End");
      await shows(page, "#when", /newest/);
      // On to the playground, and the same as a file.
      const [file] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
      const archive = readFileSync(await file.path());
      await page.fill("#prompt", "Jill");
      await page.click("#open");
      await page.waitForURL(/playground/);
      await shows(page, "#model-name", /^my-gpt: 0\.1 million/);
      await page.locator(".token").nth(99).waitFor();
      const written = await page.textContent("#text");
      assertMatch(written ?? "", /^Jill/);
      // A visit of its own: in the same tab the page would begin again by itself.
      await page.goto("about:blank");
      await page.goto(`${await site.url()}playground/#prompt=Jill`);
      await shows(page, "#model-name", /^Shakespeare:/);
      await page.setInputFiles("#archive", { name: "it.zip", mimeType: "application/zip", buffer: archive });
      await shows(page, "#model-name", /^my-gpt: 0\.1 million/);
      await page.click("#go");
      await says(page, /^Wrote/);
      assertStrictEquals(await page.textContent("#text"), written);
      await page.setInputFiles("#archive", {
        name: "no.zip",
        mimeType: "application/zip",
        buffer: archive.subarray(0, 99),
      });
      await says(page, /no ZIP archive/);
    });
  });

  it("takes files and pastes of any size and kind, and asks before a model is lost", { skip }, async () => {
    await site.open("train/", async (page) => {
      await shows(page, "#facts", /^step/);
      // The rhyme is 250 letters.
      await shows(page, "#held", /^nothing held out: the text is short$/);
      const before = await page.inputValue("#text");
      const drop = (name: string, letters: string, times: number): Promise<void> =>
        page.evaluate(([name, letters, times]) => {
          const data = new DataTransfer();
          data.items.add(new File([letters.repeat(times)], name));
          dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }, [name, letters, times] as const);
      for (
        const [name, letters, said] of [
          ["model.zip", "PK\u0003\u0004\0\0", /^model\.zip is no text/],
          ["nothing.txt", "", /^nothing\.txt is empty/],
        ] as const
      ) {
        await drop(name, letters, 1);
        await says(page, said);
        assertStrictEquals(await page.inputValue("#text"), before);
      }
      // 20 MB: a million letters are learnt, and the box shows its beginning.
      await drop("large.txt", "The quick brown fox.\n", 1e6);
      await says(page, /^The first million letters/);
      await shows(page, "#count", /^1,000,000 letters$/);
      assertStrictEquals((await page.inputValue("#text")).length, 20_000);
      await page.click("#clear");
      await shows(page, "#count", /^0 letters$/);
      const paste = (selector: string, text: string): Promise<void> =>
        page.evaluate(([selector, text]) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", text);
          document.querySelector(selector)!.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
          );
        }, [selector, text] as const);
      await paste("#text", "Jack and Jill went up the hill. ".repeat(1000));
      await shows(page, "#count", /^32,000 letters$/);
      await paste("#sentence", "x".repeat(5000));
      await says(page, /^There is room for 200 letters/);
      assertStrictEquals((await page.inputValue("#sentence")).length, 200);
      await page.click("#go");
      await shows(page, "#facts", /^step [1-9]/);
      await page.click("#stop");
      await says(page, /^Stopped/);
      const asks = (): Promise<boolean> =>
        page.evaluate(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));
      assertStrictEquals(await asks(), true);
      await Promise.all([page.waitForEvent("download"), page.click("#download")]);
      await says(page, /^my-gpt\.zip/);
      assertStrictEquals(await asks(), false);
    });
  });

  it("a link opens what was chosen, with a note of what it left out", { skip }, async () => {
    await site.open("train/#choice=Arithmetic:+sums&steps=100&width=5", async (page) => {
      await says(page, /left out: width\./);
      assertStrictEquals(await page.getByLabel("Steps", { exact: true }).inputValue(), "100");
      assertStrictEquals(await page.inputValue("#text"), texts["Arithmetic: sums"]());
      await page.getByLabel("Seed", { exact: true }).fill("7");
      await page.fill("#text", rhyme);
      await page.click("#share");
      await says(page, /^The link is/);
      await page.reload();
      assertStrictEquals(await page.getByLabel("Seed", { exact: true }).inputValue(), "7");
      assertStrictEquals(await page.inputValue("#text"), rhyme);
    });
  });

  it("opens in training; pauses, goes one step, and starts again with another text", { skip }, async () => {
    await site.open("train/", async (page) => {
      const step = async () => Number(/step (\d+)/.exec(await page.textContent("#facts") ?? "")?.[1] ?? 0);
      await shows(page, "#facts", /step \d+ {2}loss [\d.]+ {2}[\d,]+ letters/);
      await page.getByLabel("Steps", { exact: true }).fill("2000");
      assert(await page.isVisible("#changed"));
      await page.selectOption("#choice", "Arithmetic: sums");
      await page.click("#go");
      assert(await page.isHidden("#changed"));
      await shows(page, "#held", /held out [\d.]+/);
      await page.click("#pause");
      await shows(page, "#facts", /paused/);
      const before = await step();
      // It answers a prompt while it waits, and stays at its step; then what it cannot write is said.
      await page.fill("#prompt", "12+3");
      await page.click("#write button");
      await shows(page, "#written", /^12\+3[^]{20}/);
      await page.fill("#prompt", "€");
      await page.click("#write button");
      await says(page, /€/);
      await page.click("#step");
      await shows(page, "#facts", new RegExp(`step ${before + 1} .*paused`));
      await page.click("#pause");
      await shows(page, "#facts", new RegExp(`^step (?!${before + 1} )(?!.*paused)`));
    });
  });

  it(
    "stops when asked, says when a text is too short, and where the engine is missing",
    { skip },
    async () => {
      await site.open("train/", async (page) => {
        await page.getByLabel("Steps", { exact: true }).fill("2000");
        await page.click("#go");
        await page.waitForSelector("#samples li");
        await page.click("#stop");
        await says(page, /^Stopped/);
        await page.fill("#text", "short");
        await page.click("#go");
        await says(page, /5 characters; 128 are the least/);
      });
      await site.open("train/", async (page) => {
        await page.click("#go");
        await says(page, /could not be loaded/);
      }, {
        expected: /worker|Failed to load/,
        before: (page) => page.route("**/worker-*.js", (route) => route.abort()),
      });
    },
  );
});
