/**
 * Writing safetensors: the reference implementation's layout, shards and their index, and reading them back.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "node:test";
import { FormatError, OptionError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import {
  castTensor,
  planSafetensors,
  quantizedKey,
  readSafetensors,
  type TensorToSave,
} from "../src/files/mod.ts";
import { f32, headerOf, inMemory, open, save, tensorsOf } from "./_safetensors.ts";
import { memorySource } from "./_sources.ts";

describe("safetensors: writing", () => {
  it("sorts by dtype and name, leaves no holes, aligns the data to 8 bytes", async () => {
    const tensors: TensorToSave[] = [
      { name: "flag", dtype: "bool", shape: [3], bytes: () => new Uint8Array([1, 0, 1]) },
      { name: "half", dtype: "f16", shape: [1], bytes: () => new Uint8Array(2) },
      f32("z", [1], [1]),
      { name: "ids", dtype: "i64", shape: [1], bytes: () => new Uint8Array(8) },
      f32("a", [2], [2, 3]),
      { name: "brain", dtype: "bf16", shape: [1], bytes: () => new Uint8Array(2) },
    ];
    const bytes = await save(tensors, { metadata: { format: "pt" } });
    const header = headerOf(bytes);
    assertEquals(Object.keys(header), ["__metadata__", "ids", "a", "z", "brain", "half", "flag"]);
    const dataStart = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    assertStrictEquals(dataStart % 8, 0);
    let at = 0;
    for (const name of ["ids", "a", "z", "brain", "half", "flag"]) {
      assertStrictEquals(header[name].data_offsets[0], at);
      at = header[name].data_offsets[1];
    }
    assertStrictEquals(dataStart + at, bytes.byteLength);
  });

  it("writes the bytes of the reference implementation's own test", async () => {
    const bytes = await save([f32("attn0", [1, 1, 2, 3], [0, 1, 2, 3, 4, 5])]);
    const header = `{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       `;
    const expected = new Uint8Array([
      72,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...new TextEncoder().encode(header),
      ...new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer),
    ]);
    assertEquals(bytes, expected);
    assertEquals(
      await save([]),
      new Uint8Array([8, 0, 0, 0, 0, 0, 0, 0, 123, 125, 32, 32, 32, 32, 32, 32]),
    );
  });

  it("reads back what it wrote, bit for bit, and writes the same again", async () => {
    const random = new Generator(3),
      noise = (n: number): Uint8Array => new Uint8Array(n).map(() => random.integer(0, 256));
    const tensors: TensorToSave[] = (
      [
        ["f64", [3], 24],
        ["f32", [2, 2], 16],
        ["f16", [5], 10],
        ["bf16", [1, 3], 6],
        ["i64", [], 8],
        ["i32", [2], 8],
        ["i16", [3], 6],
        ["i8", [3], 3],
        ["u8", [0, 4], 0],
        ["bool", [2], 2],
        ["q8", [2, 64], 136],
        ["q4", [3, 32], 54],
        ["u16", [2], 4],
        ["f8_e4m3", [3], 3],
      ] as const
    ).map(([dtype, shape, size]) => {
      const bytes = noise(size);
      return { name: `t.${dtype}`, dtype, shape, bytes: () => bytes };
    });
    const metadata: Record<string, string> = { format: "pt", note: 'line\nline "quoted" é' };
    const first = await save(tensors, { metadata });
    const file = await open(first);
    assertEquals({ ...file.metadata }, metadata);
    for (const { name, dtype, shape, bytes } of tensors) {
      const info = file.info(name);
      assertEquals([info.dtype, info.shape], [dtype, shape]);
      assertEquals(await file.view(name).bytes(), bytes());
    }
    assertEquals([file.info("t.q8").diskDType, headerOf(first)["t.q8"].shape], ["U8", [2, 68]]);
    const again = file.names.map((name) => {
      const view = file.view(name);
      return { name, dtype: view.dtype, shape: view.shape, bytes: () => view.bytes() };
    });
    assertEquals(await save(again, { metadata: file.metadata }), first);
  });

  it("casts on the way out, and quantised weights come back as what they are", async () => {
    const values = Float32Array.from({ length: 64 }, (_, i) => Math.cos(i * 1.7));
    const w = f32("w", [2, 32], values);
    const file = await open(await save([castTensor(w, "q8"), castTensor({ ...w, name: "h" }, "bf16")]));
    assertStrictEquals(file.info("w").dtype, "q8");
    assertEquals(file.info("w").shape, [2, 32]);
    const back = new Float32Array((await file.view("w").read("f32")).buffer as ArrayBuffer);
    for (let i = 0; i < 64; i++) assert(Math.abs(back[i] - values[i]) <= 0.5 / 127 + 1e-3, `value ${i}`);
    assertEquals(await file.view("w").rows(1, 2).read("f32"), new Uint8Array(back.slice(32).buffer));
    const blocks = await file.view("w").rows(1, 2).bytes();
    assertStrictEquals(blocks.byteLength, 34);
    assertThrows(
      () => castTensor(f32("odd", [33], new Float32Array(33)), "q8"),
      Error,
      '"odd" has shape [33]; q8 takes a last size',
    );
    const flat = await open(await save([castTensor({ ...w, shape: [64] }, "q4")]));
    assertStrictEquals(flat.view("w").rows(32, 64).byteLength, 18);
    assertThrows(() => flat.view("w").rows(16, 48), Error, "cut only between 32 values");
  });

  it("refuses what the format cannot hold", async () => {
    const named = (name: string): TensorToSave => f32(name, [1], [1]);
    for (const name of ["__metadata__", "__proto__", "\ud800"]) {
      assertThrows(() => planSafetensors([named(name)]), FormatError);
    }
    assertThrows(() => planSafetensors([named("a"), named("a")]), Error, '"a": it is given twice');
    assertThrows(() => planSafetensors([f32("a", [-1], [])]), FormatError);
    assertThrows(() => planSafetensors([f32("a", [1.5], [])]), FormatError);
    assertThrows(() => planSafetensors([f32("a", [2 ** 30, 2 ** 30], [])]), Error, "overflow");
    assertThrows(() => planSafetensors([{ ...named("a"), dtype: "f33" as "f32" }]), Error, "not a dtype");
    assertThrows(() => planSafetensors([{ ...named("a"), dtype: "q8" }]), Error, "not a multiple of 32");
    assertThrows(() => planSafetensors([], { metadata: { k: 1 as unknown as string } }), OptionError);
    assertThrows(() => planSafetensors([], { metadata: { [quantizedKey]: "{}" } }), OptionError);
    assertThrows(() => planSafetensors([], { shardSize: 0 }), OptionError);
    assertThrows(() => planSafetensors([], { shardSize: NaN }), OptionError);
    await assertRejects(
      () => save([f32("a", [2], [1])]),
      Error,
      '"a", f32 [2], takes 8 bytes, but 4 were given',
    );
  });

  it("asks for one tensor's bytes at a time and hands them on uncopied", async () => {
    const given = [new Uint8Array(4), new Uint8Array(4)], asked: number[] = [];
    const tensors = given.map((bytes, i): TensorToSave => ({
      name: `t${i}`,
      dtype: "f32",
      shape: [1],
      bytes() {
        asked.push(i);
        return bytes;
      },
    }));
    const chunks = planSafetensors(tensors).files[0].chunks();
    await chunks.next();
    assertEquals(asked, []);
    for (const [i, bytes] of given.entries()) {
      assertStrictEquals((await chunks.next()).value, bytes);
      assertStrictEquals(asked.length, i + 1);
    }
    assert((await chunks.next()).done);
  });
});

describe("safetensors: shards", () => {
  const tensors = [
    f32("a", [4], [1, 2, 3, 4]),
    f32("b", [2], [5, 6]),
    f32("c", [8], [1, 1, 2, 3, 5, 8, 13, 21]),
    f32("d", [1], [9]),
  ];
  const index = (weight_map: unknown): Uint8Array =>
    new TextEncoder().encode(JSON.stringify({ metadata: {}, weight_map }));

  it("fills files in the order given, with Hugging Face's names and index", async () => {
    const { files, totalSize } = planSafetensors(tensors, { shardSize: 24, metadata: { format: "pt" } });
    assertEquals(files.map(({ name }) => name), [
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
      "model.safetensors.index.json",
    ]);
    assertEquals(files.map((file) => file.tensors.map(({ name }) => name)), [
      ["a", "b"],
      ["c"],
      ["d"],
      [],
    ]);
    assertStrictEquals(totalSize, 60);
    const written = await inMemory(files);
    assertEquals(JSON.parse(new TextDecoder().decode(written.get("model.safetensors.index.json"))), {
      metadata: { total_size: 60 },
      weight_map: {
        a: "model-00001-of-00003.safetensors",
        b: "model-00001-of-00003.safetensors",
        c: "model-00002-of-00003.safetensors",
        d: "model-00003-of-00003.safetensors",
      },
    });
    assertStrictEquals(planSafetensors(tensors, { shardSize: 60 }).files.length, 1);
    assertStrictEquals(
      planSafetensors(tensors, { fileName: "x.safetensors", shardSize: 59 }).files[0].name,
      "x-00001-of-00002.safetensors",
    );
  });

  it("open through the index like one file", async () => {
    const { files } = planSafetensors([
      ...tensors,
      castTensor(f32("q", [32], new Float32Array(32).fill(1)), "q8"),
    ], {
      shardSize: 24,
      metadata: { format: "pt" },
    });
    const written = await inMemory(files), sources = new Map<string, ReturnType<typeof memorySource>>();
    const indexSource = memorySource(
      written.get("model.safetensors.index.json")!,
      "model.safetensors.index.json",
    );
    await using file = await readSafetensors(indexSource, (name) => {
      const source = memorySource(written.get(name)!, name);
      sources.set(name, source);
      return Promise.resolve(source);
    });
    assertEquals(file.names, ["a", "b", "c", "d", "q"]);
    assertEquals({ ...file.metadata }, { format: "pt" });
    assertStrictEquals(file.info("q").dtype, "q8");
    assertStrictEquals(file.info("c").file, "model-00002-of-00004.safetensors");
    assert(indexSource.closed);
    const before = file.bytesRead;
    assertStrictEquals(
      before,
      [...written.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0) - 60 - 34,
    );
    const c = new Float32Array((await file.view("c").bytes()).buffer as ArrayBuffer);
    assertEquals([...c], [1, 1, 2, 3, 5, 8, 13, 21]);
    assertStrictEquals(file.bytesRead, before + 32);
    assertStrictEquals((await tensorsOf(file)).size, 5);
    await file.close();
    assert([...sources.values()].every(({ closed }) => closed));
  });

  const refusals: [string, Uint8Array, RegExp][] = [
    ["an index without a weight_map", new TextEncoder().encode(`{"metadata":{}}`), /no "weight_map"/],
    ["an index that is not JSON", new TextEncoder().encode(`{"weight_map":`), /not JSON/],
    [
      "a weight_map with a name twice",
      new TextEncoder().encode(`{"weight_map":{"a":"x","a":"y"}}`),
      /"a" appears twice in "weight_map"/,
    ],
    [
      "a shard in another folder",
      index({ a: "../secret.safetensors" }),
      /not the name of a file beside the index/,
    ],
    ["a shard by absolute path", index({ a: "/etc/passwd" }), /not the name/],
    ["a shard by URL", index({ a: "https://example.com/x" }), /not the name/],
    ["a shard that is a number", index({ a: 1 }), /mapped to number/],
    ["a tensor that its shard lacks", index({ a: "one", missing: "one" }), /"missing" should be in "one"/],
  ];
  for (const [name, bytes, pattern] of refusals) {
    it(`refuse ${name}`, async () => {
      const shard = memorySource(await save([tensors[0]]), "one");
      assertMatch(
        (await assertRejects(
          () =>
            readSafetensors(
              memorySource(bytes, "model.safetensors.index.json"),
              () => Promise.resolve(shard),
            ),
          FormatError,
        )).message,
        pattern,
      );
    });
  }

  it("close what was opened when one of them is bad", async () => {
    const opened: ReturnType<typeof memorySource>[] = [], one = await save([tensors[0]]);
    const from = memorySource(index({ a: "one", b: "two" }), "model.safetensors.index.json");
    await assertRejects(
      () =>
        readSafetensors(from, (name) => {
          const source = memorySource(name === "one" ? one : new Uint8Array(4), name);
          opened.push(source);
          return Promise.resolve(source);
        }),
      Error,
      "two has 4 bytes, too few",
    );
    assertStrictEquals(opened.length, 2);
    assert(from.closed && opened.every(({ closed }) => closed));
  });

  it("say that an index needs its folder", async () => {
    await assertRejects(
      () => readSafetensors(memorySource(index({ a: "one" }))),
      Error,
      "open it by path or URL",
    );
  });
});
