/**
 * GGUF files: values to the bit, notes of every kind, parts, writing, and files that are not what they say.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "./_suite.ts";
import { FormatError, openGguf, OptionError, randn, saveGguf, tensor, zeros } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { dequantize, type GgufType, ggufTypes, quantize, writableTypes } from "../src/files/gguf/mod.ts";
import { call } from "./_command.ts";
import { dataPath } from "./_data.ts";
import { asksNothing, width } from "./_width.ts";

const bytesOf = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floatsOf = (text: string): Float32Array => new Float32Array(bytesOf(text).buffer);
const bits = (x: Float32Array): Uint32Array => new Uint32Array(x.buffer, x.byteOffset, x.length);

interface Recorded {
  ggml_type: number;
  block_size: number;
  type_size: number;
  source_f32: string;
  bytes: string;
  dequantised_f32: string;
}

const recorded = (type: GgufType): Recorded =>
  JSON.parse(readFileSync(dataPath("quants", `${type}.json`), "utf8"));
const blockTypes = (Object.keys(ggufTypes) as GgufType[]).filter((type) => ggufTypes[type].values > 1);
/** Types whose reference quantisers are exact everywhere. */
const exact: GgufType[] = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"];

describe("the blocks of GGUF", { skip: asksNothing }, () => {
  for (const type of blockTypes) {
    it(`${type} are ggml's values, to the bit`, () => {
      const { ggml_type, block_size, type_size, bytes, dequantised_f32 } = recorded(type);
      assertEquals(ggufTypes[type].id, ggml_type);
      assertEquals([ggufTypes[type].values, ggufTypes[type].bytes], [block_size, type_size]);
      const wanted = floatsOf(dequantised_f32), out = new Float32Array(wanted.length);
      dequantize(type, bytesOf(bytes), out);
      assertEquals(bits(out), bits(wanted));
    });
  }

  for (const type of writableTypes) {
    it(`${type} are written as ggml writes them`, () => {
      const { bytes, source_f32, dequantised_f32 } = recorded(type), x = floatsOf(source_f32);
      const out = new Uint8Array(x.length / ggufTypes[type].values * ggufTypes[type].bytes);
      quantize(type, x, out);
      if (exact.includes(type)) return assertEquals(out, bytesOf(bytes).subarray(0, out.length));
      // Where ggml searches for a scale, ours is as good.
      const error = (y: Float32Array): number => Math.hypot(...x.map((v, i) => v - y[i]));
      const ours = new Float32Array(x.length);
      dequantize(type, out, ours);
      assert(error(ours) < 1.01 * error(floatsOf(dequantised_f32)), `${error(ours)}`);
    });
  }
});

describe("a GGUF file", () => {
  let folder = "";
  before(() => folder = mkdtempSync(join(tmpdir(), "ferrotype-gguf-")));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("of another program opens with its header alone", async () => {
    await using file = await openGguf(dataPath("families", "llama3.gguf"));
    assertStrictEquals(file.metadata.get("general.architecture"), "llama");
    assertEquals(file.info("token_embd.weight").type, "F32");
    const { bytesRead } = file;
    using weight = await file.tensor("output_norm.weight");
    assertEquals(file.bytesRead - bytesRead, file.info("output_norm.weight").byteLength);
    assertStrictEquals(weight.shape.length, 1);
  });

  it("with a large header is read little further than that", async () => {
    const path = join(folder, "large.gguf"), weights = zeros([5 << 20], { dtype: "f32" });
    for (const count of [1_100_000, 1_300_000, 2_500_000]) {
      await saveGguf(path, { weights }, { metadata: { counts: new Int32Array(count) } });
      await using file = await openGguf(path);
      const header = file.info("weights").begin;
      assert(header > 4 << 20 && file.bytesRead >= header, `${header}`);
      assert(file.bytesRead < 2 * header, `${file.bytesRead} bytes were read for a header of ${header}`);
    }
    weights.dispose();
  });

  it("gives back what was written: every dtype, every kind of note", { skip: asksNothing }, async () => {
    const path = join(folder, "all.gguf"), x = randn([6, 256], { seed: 3 });
    const metadata = {
      "general.architecture": "test",
      whole: 7,
      negative: -7,
      fraction: 0.5,
      yes: true,
      big: 2n ** 63n,
      typed: { type: "u64", value: 12 },
      texts: ["a", "", "é€😀"],
      numbers: [1, 2, 70000],
      floats: new Float32Array([0.25, -1]),
      lists: [["a"], ["b", "c"]],
      bools: [true, false],
      // As long as vocabularies are.
      vocabulary: Array.from({ length: 200_000 }, (_, i) => `▁${i}`),
      counts: Array.from({ length: 200_000 }, (_, i) => i),
    } as const;
    const tensors = {
      f32: x,
      f16: x.to({ dtype: "f16" }),
      bf16: x.to({ dtype: "bf16" }),
      q8: x.to({ dtype: "q8" }),
      q4: x.to({ dtype: "q4" }),
      i32: tensor([[1, -2]], { dtype: "i32" }),
      scalar: tensor(3),
    };
    await saveGguf(path, tensors, { metadata });
    await using file = await openGguf(path);
    assertEquals(file.names, Object.keys(tensors));
    for (const [name, t] of Object.entries(tensors)) {
      using read = await file.tensor(name);
      assertEquals([read.dtype, [...read.shape]], [t.dtype, [...t.shape]], name);
      assertEquals(await read.data(), await t.data(), name);
    }
    const { metadata: notes } = file;
    for (
      const key of [
        "whole",
        "negative",
        "fraction",
        "yes",
        "big",
        "texts",
        "bools",
        "lists",
        "vocabulary",
      ] as const
    ) {
      assertEquals(notes.get(key), metadata[key] as never, key);
    }
    assertStrictEquals(notes.get("typed"), 12);
    assertEquals([...notes.get("numbers") as Uint32Array], [1, 2, 70000]);
    assertEquals(notes.get("counts"), Uint32Array.from(metadata.counts));
    assertEquals([...notes.get("floats") as Float32Array], [0.25, -1]);
  });

  it(
    "is written in any type that there is, vectors as f32, and read as any dtype",
    { skip: asksNothing },
    async () => {
      const x = randn([4, 512], { seed: 5 }),
        odd = randn([3, 40], { seed: 6 }),
        v = randn([512], { seed: 7 });
      for (
        const type of ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q6_k", "mxfp4"]
      ) {
        const path = join(folder, `${type}.gguf`);
        await saveGguf(path, { x, odd, v }, { dtype: type });
        await using file = await openGguf(path);
        const { values } = ggufTypes[type.toUpperCase() as GgufType];
        assertStrictEquals(file.info("x").type, type.toUpperCase());
        assertStrictEquals(file.info("odd").type, 40 % values === 0 ? type.toUpperCase() : "F16");
        assertStrictEquals(file.info("v").type, "F32");
        using wide = await file.tensor("x", { dtype: "f32" }),
          narrow = await file.tensor("x", { dtype: "f16" });
        const difference = await wide.sub(x).square().mean().item();
        assert(difference < 0.03, `${type}: ${difference}`);
        const between = await narrow.to({ dtype: "f32" }).sub(wide).abs().max().item();
        assert(between < 0.01, `${type}: ${between}`);
      }
    },
  );

  it("is shown by inspect, from its header alone", { skip: asksNothing }, async () => {
    const { code, stdout } = await call(["inspect", dataPath("families", "qwen3.gguf"), "--json"]);
    assertStrictEquals(code, 0);
    const shown = JSON.parse(stdout);
    assertStrictEquals(shown.metadata["general.architecture"], "qwen3");
    assert(shown.tensors.length > 10 && shown.bytes_read <= 65536);
    assertStrictEquals(shown.tensors[0].dtype, "F32");
  });

  /** A model in two parts, with notes of every length. */
  async function inParts(name: string): Promise<string[]> {
    const paths = [1, 2].map((no) => join(folder, `${name}-0000${no}-of-00002.gguf`));
    for (const [i, path] of paths.entries()) {
      await saveGguf(path, { [`t${i}`]: randn([2, 64], { seed: i }) }, {
        dtype: "q8_0",
        metadata: {
          "split.no": { type: "u16", value: i },
          "split.count": { type: "u16", value: 2 },
          "split.tensors.count": { type: "i32", value: 2 },
          ...(i > 0 ? {} : {
            "general.architecture": "x",
            few: [1, 2, 3],
            flags: [true, false],
            many: Array.from({ length: 1000 }, (_, k) => `token ${k}`),
            template: "a\n\u001b[31mb",
            big: 2n ** 60n,
          }),
        },
      });
    }
    return paths;
  }

  it("is shown by inspect whatever it is called and wherever it lies: parts, an address, long notes", {
    skip: asksNothing,
  }, async () => {
    const [first, second] = await inParts("shown");
    const { stdout } = await call(["inspect", first, "--json"]), shown = JSON.parse(stdout);
    assertEquals([shown.format, shown.version, shown.files], ["gguf", 3, [first, second]]);
    assertEquals(
      shown.tensors,
      [first, second].map((file, i) => ({
        name: `t${i}`,
        dtype: "Q8_0",
        shape: [2, 64],
        bytes: 136,
        file,
      })),
    );
    const { few, flags, many, template, big } = shown.metadata;
    assertEquals([few, flags, template, big], [
      [1, 2, 3],
      [true, false],
      "a\n\u001b[31mb",
      String(2n ** 60n),
    ]);
    assertEquals(many, { length: 1000, first: ["token 0", "token 1", "token 2", "token 3"] });
    const listed = (await call(["inspect", first])).stdout;
    assertMatch(listed, /^t1 +Q8_0 +\[2, 64\] +136 bytes$/m);
    assertMatch(listed, /^# many: \["token 0", .*… 1,000 in all\]$/m);
    assertMatch(listed, /^# template: a\\n\\u001b\[31mb$/m);
    assertMatch(listed, /^2 tensors, 256 numbers, 272 bytes in 2 files; read /m);

    // By its first bytes where the name says nothing, and by ranges of an address.
    const bytes = readFileSync(dataPath("families", "llama3.gguf")), ranges: string[] = [];
    const plain = join(folder, "blob");
    writeFileSync(plain, bytes);
    assertStrictEquals(JSON.parse((await call(["inspect", plain, "--json"])).stdout).format, "gguf");
    const server = createServer((request, response) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      ranges.push(request.headers.range ?? request.method!);
      if (from === undefined) {
        return void response.writeHead(200, { "content-length": bytes.length }).end(bytes);
      }
      const end = Math.min(Number(to) + 1, bytes.length);
      response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${bytes.length}` });
      response.end(bytes.subarray(Number(from), end));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      for (const path of ["x.gguf?download=true", "resolve/abc"]) {
        const url = `http://127.0.0.1:${port}/${path}`,
          { stdout } = await call(["inspect", url, "--json"]);
        const { tensors, bytes_read } = JSON.parse(stdout);
        assert(tensors.length === 22 && bytes_read <= 65536, path);
      }
      assert(ranges.every((range) => range.startsWith("bytes=") || range === "HEAD"), ranges.join(" "));
    } finally {
      server.close();
    }
    // A Blob is read as it is needed, too.
    await using blob = await openGguf(new Blob([bytes]));
    assert(blob.names.length === 22 && blob.bytesRead <= 65536);
  });

  it("in parts opens as one", async () => {
    const parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"].map((name) => join(folder, name));
    for (const [i, path] of parts.entries()) {
      const metadata = {
        "split.no": { type: "u16", value: i },
        "split.count": { type: "u16", value: 2 },
        "split.tensors.count": { type: "i32", value: 2 },
      } as const;
      await saveGguf(path, { [`t${i}`]: tensor([i, i + 1]) }, { metadata });
    }
    await using file = await openGguf(parts[0]);
    assertEquals(file.names, ["t0", "t1"]);
    using t1 = await file.tensor("t1");
    assertEquals(await t1.toArray(), [1, 2]);
    assertMatch(
      (await assertRejects(() => openGguf(parts[1]), FormatError)).message,
      /not the first of 2 parts/,
    );
    // The parts of another model, or in another order, are not taken for this one's.
    const [other] = await inParts("other");
    const right = readFileSync(parts[1]);
    writeFileSync(parts[1], readFileSync(other));
    assertMatch(
      (await assertRejects(() => openGguf(parts[0]), FormatError)).message,
      /m-00002-of-00002\.gguf should say it is part 1 of 2 .* says 0 of 2/,
    );
    writeFileSync(parts[1], right);
    await saveGguf(parts[1], { t1: tensor([1]), more: tensor([1]) }, {
      metadata: { "split.no": { type: "u16", value: 1 }, "split.count": { type: "u16", value: 2 } },
    });
    assertMatch(
      (await assertRejects(() => openGguf(parts[0]), FormatError)).message,
      /hold 2 tensors \(split\.tensors\.count\), and they hold 3/,
    );
    const alone = await assertRejects(() => openGguf(new Blob([readFileSync(parts[0])])), FormatError);
    assertMatch(alone.message, /named as such|by path or URL/);
    rmSync(parts[1]);
    await assertRejects(() => openGguf(parts[0]));
  });

  it("refuses notes and types that the format does not hold", async () => {
    const path = join(folder, "no.gguf"), x = tensor([1]);
    await assertRejects(() => saveGguf(path, { x }, { dtype: "q9" }), OptionError, "q9");
    await assertRejects(
      () => saveGguf(path, { x }, { metadata: { a: ["b", 1] as never } }),
      OptionError,
      "mixes",
    );
    await assertRejects(() => saveGguf(path, { x }, { metadata: { a: 2 ** 60 } }), OptionError, "bigint");
    await assertRejects(() => saveGguf(path, { x }, { meta: {} } as never), OptionError, "meta");
  });

  it("that is damaged says so, and never takes more than it has", async () => {
    const path = join(folder, "small.gguf");
    await saveGguf(path, { a: randn([3, 32], { seed: 1 }), b: tensor([1, 2]) }, {
      metadata: { "general.architecture": "x", texts: ["a", "b"], nested: [["a"], ["b"]], n: 5 },
      dtype: "q8_0",
    });
    const good = readFileSync(path), random = new Generator(11);
    let refused = 0;
    const rounds = width(3000, 300);
    for (let round = 0; round < rounds; round++) {
      let bytes = new Uint8Array(good);
      const kind = Math.floor(random.uniform() * 4), at = Math.floor(random.uniform() * bytes.length);
      if (kind === 0) bytes = bytes.slice(0, at);
      else if (kind === 1) bytes[at] = Math.floor(random.uniform() * 256);
      else if (kind === 2) bytes.fill(255, at, at + 8);
      else {new DataView(bytes.buffer).setBigUint64(
          Math.min(at, bytes.length - 8),
          BigInt(2) ** BigInt(at % 64),
          true,
        );}
      try {
        await using file = await openGguf(bytes);
        for (const name of file.names) {
          await file.view(name).read(ggufTypes[file.info(name).type].dtype ?? "f32");
        }
      } catch (error) {
        assert(error instanceof FormatError, `round ${round}: ${(error as Error).stack}`);
        refused++;
      }
    }
    assert(refused > rounds / 3, `${refused}`);
  });

  it("says how much it holds, and what is too much to read is refused before it is made", async () => {
    /** A header of this many notes and tensors; `fill` gives what follows. */
    const header = (
      tensors: bigint,
      notes: bigint,
      fill: (at: (type: number, value: bigint | number) => void) => void,
    ) => {
      const bytes = new Uint8Array(1 << 25), view = new DataView(bytes.buffer);
      let at = 24;
      view.setUint32(0, 0x46554747, true);
      view.setUint32(4, 3, true);
      view.setBigUint64(8, tensors, true);
      view.setBigUint64(16, notes, true);
      fill((size, value) => {
        if (size === 8) view.setBigUint64(at, BigInt(value), true);
        else if (size === 4) view.setUint32(at, Number(value), true);
        else bytes[at] = Number(value);
        at += size;
      });
      return bytes;
    };
    const refused = async (bytes: Uint8Array, text: RegExp) =>
      assertMatch((await assertRejects(() => openGguf(bytes), FormatError)).message, text);
    await refused(header(0n, 2n ** 21n, () => {}), /2097152 notes are said; 1048576 of each/);
    await refused(header(2n ** 62n, 0n, () => {}), /more than any file holds|do not fit/);
    // One note: a list of lists, each of nothing, 12 bytes a list.
    await refused(
      header(0n, 1n, (put) => {
        put(8, 1);
        put(1, 97);
        put(4, 9);
        put(4, 9);
        put(8, 2_000_000);
      }),
      /is the 1048577th array/,
    );
    // Truth values take eight times their bytes when they are a list.
    await refused(
      header(0n, 1n, (put) => {
        put(8, 1);
        put(1, 97);
        put(4, 9);
        put(4, 7);
        put(8, 20_000_000);
      }),
      /there are 20000000 texts, truth values and lists/,
    );
  });

  it("names what it does not read", async () => {
    const path = join(folder, "type.gguf");
    await saveGguf(path, { a: randn([1, 256], { seed: 1 }) }, { dtype: "q4_k" });
    const bytes = new Uint8Array(readFileSync(path)), view = new DataView(bytes.buffer);
    const at = [...bytes.keys()].find((i) =>
      i % 4 >= 0 && i + 4 < bytes.length && view.getUint32(i, true) === 12
    )!;
    view.setUint32(at, 18, true);
    writeFileSync(path, bytes);
    assertMatch(
      (await assertRejects(() => openGguf(path), FormatError)).message,
      /"a" is IQ3_XXS \(type 18\)/,
    );
    assertMatch(
      (await assertRejects(() => openGguf(new Uint8Array(64)), FormatError)).message,
      /no GGUF at byte 0/,
    );
  });
});
