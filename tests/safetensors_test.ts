/**
 * Reading safetensors: what is read, and how little of it.
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
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { FerrotypeError, FormatError, ShapeError } from "../src/core/errors.ts";
import { convertBytes, planSafetensors, readSafetensors, type SafetensorsFile } from "../src/files/mod.ts";
import { dataPath, readDataBytes } from "./_data.ts";
import { entry, f32, inMemory, open, raw, save, tensorsOf } from "./_safetensors.ts";
import { fileSource, memorySource } from "./_sources.ts";

describe("safetensors: reading", () => {
  it("gives names, metadata, shapes, dtypes and byte ranges from the header", async () => {
    const header = `{"b":${entry("BF16", [3], [8, 14])},"__metadata__":{"k":"v"},"a":${
      entry("F32", [2, 1], [0, 8])
    }}`;
    await using file = await open(raw(header, 14));
    assertEquals(file.names, ["a", "b"]);
    assertEquals({ ...file.metadata }, { k: "v" });
    const dataStart = 8 + header.length;
    assertEquals(file.info("b"), {
      name: "b",
      dtype: "bf16",
      diskDType: "BF16",
      shape: [3],
      file: "test.safetensors",
      begin: dataStart + 8,
      end: dataStart + 14,
      byteLength: 6,
    });
    assertEquals([...await file.view("b").bytes()], [8, 9, 10, 11, 12, 13]);
    assert(file.has("a") && !file.has("c"));
  });

  it("reads the header and the tensors asked for, nothing else", async () => {
    const header = `{"a":${entry("U8", [100], [0, 100])},"b":${entry("U8", [4, 5], [100, 120])}}`;
    const source = memorySource(raw(header, 120));
    const file = await readSafetensors(source);
    const opened = 8 + header.length;
    assertStrictEquals(file.bytesRead, opened);
    assertEquals(source.reads, [[0, 8], [8, header.length]]);
    await file.view("b").bytes();
    assertStrictEquals(file.bytesRead, opened + 20);
    assertEquals([...await file.view("b").rows(1, 3).bytes()], [
      105,
      106,
      107,
      108,
      109,
      110,
      111,
      112,
      113,
      114,
    ]);
    assertStrictEquals(file.bytesRead, opened + 30);
    assertEquals(source.reads.slice(2), [[opened + 100, 20], [opened + 105, 10]]);
    assertEquals(file.view("b").rows(1, 3).shape, [2, 5]);
    assertEquals(await file.view("b").rows(2, 2).bytes(), new Uint8Array(0));
    for (const [begin, end] of [[-1, 2], [3, 2], [0, 5], [0.5, 1]]) {
      assertThrows(() => file.view("b").rows(begin, end), ShapeError);
    }
  });

  it("reads into memory it is given, shared memory too, and refuses too little of it", async () => {
    const file = await open(raw(`{"a":${entry("U8", [3], [0, 3])}}`, 3));
    const memory = new Uint8Array(new SharedArrayBuffer(8)).fill(9);
    const bytes = await file.view("a").bytes(memory.subarray(2));
    assertStrictEquals(bytes.byteLength, 3);
    assertEquals([...memory], [9, 9, 0, 1, 2, 9, 9, 9]);
    assertThrows(() => file.view("a").bytes(new Uint8Array(2)), ShapeError);
  });

  it("reads single numbers, empty tensors, files without tensors and padded headers", async () => {
    const header = `{"n":${entry("I64", [], [0, 8])},"e":${entry("F32", [0, 7], [0, 0])},"z":${
      entry("U8", [0], [8, 8])
    }}   `;
    const file = await open(raw(header, 8));
    assertEquals(file.names, ["e", "n", "z"]);
    assertStrictEquals((await file.view("e").bytes()).byteLength, 0);
    assertStrictEquals((await file.view("n").bytes()).byteLength, 8);
    assertThrows(() => file.view("n").rows(0, 1), ShapeError);
    assertEquals((await open(raw("{}", 0))).names, []);
  });

  it("takes names that are also properties of every object", async () => {
    const names = ["constructor", "toString", "hasOwnProperty", "length", "0", "ключ", "😀"];
    const file = await open(await save(names.map((name, i) => f32(name, [1], [i]))));
    for (const [i, name] of names.entries()) {
      assertStrictEquals(new Float32Array((await file.view(name).bytes()).buffer as ArrayBuffer)[0], i);
    }
    assertThrows(() => file.info("valueOf"), FormatError);
    assertMatch(
      String(assertThrows(() => file.view("missing"))),
      /there is no tensor "missing"; there are .* and 2 more/,
    );
  });

  it("knows dtypes it does not compute with, and says so when asked to convert them", async () => {
    const dtypes = ["U16", "U32", "U64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "C64"];
    const sizes = [2, 4, 8, 1, 1, 1, 8];
    let at = 0;
    const entries = dtypes.map((dtype, i) => `"${dtype}":${entry(dtype, [1], [at, at += sizes[i]])}`);
    entries.push(`"F4":${entry("F4", [2], [at, at += 1])}`, `"F6":${entry("F6_E2M3", [4], [at, at += 3])}`);
    const file = await open(raw(`{${entries.join(",")}}`, at));
    for (const [i, name] of dtypes.entries()) {
      assertStrictEquals((await file.view(name).bytes()).byteLength, sizes[i]);
      assertMatch(
        String(await assertRejects(() => file.view(name).read("f32"))),
        new RegExp(`"${name}" of .* is ${name.toLowerCase()}, which is read as raw bytes only`),
      );
    }
    assertThrows(() => file.view("F4").rows(0, 1), Error, "whole bytes");
  });

  it("cannot be read once it is closed", async () => {
    const source = memorySource(raw(`{"a":${entry("U8", [3], [0, 3])}}`, 3));
    const file = await readSafetensors(source), view = file.view("a");
    await file.close();
    await file.close();
    assert(source.closed);
    assertMatch((await assertRejects(() => view.bytes(), FerrotypeError)).message, /closed/);
  });

  it("converts while reading, piece by piece", async () => {
    const n = (1 << 20) + 4096 + 32, values = new Float32Array(n).map((_, i) => Math.sin(i));
    const file = await open(await save([f32("w", [n / 32, 32], values)]));
    for (const dtype of ["f16", "bf16", "q8", "q4", "f64"] as const) {
      const whole = new Uint8Array(
        dtype === "q8" ? n / 32 * 34 : dtype === "q4" ? n / 32 * 18 : dtype === "f64" ? n * 8 : n * 2,
      );
      convertBytes("f32", dtype, new Uint8Array(values.buffer), whole);
      assert(equal(await file.view("w").read(dtype), whole), dtype);
    }
    const row = await file.view("w").rows(7, 8).read("f64");
    assertEquals([...new Float64Array(row.buffer as ArrayBuffer)], [...values.subarray(224, 256)]);
  });
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

describe("safetensors: a 500 MB file", () => {
  it("opens from its header, reads one tensor, holds nothing else", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-"));
    try {
      const path = join(folder, "sparse.safetensors"), count = 125, rows = 1000;
      const names = Array.from({ length: count }, (_, i) => `h.${i}.weight`);
      const size = rows * 1000 * 4;
      const header = `{${
        names.map((name, i) => `"${name}":${entry("F32", [rows, 1000], [i * size, (i + 1) * size])}`).join(
          ",",
        )
      }}`;
      const head = raw(header, 0), total = head.byteLength + count * size;
      assertStrictEquals(count * size, 500_000_000);
      const handle = openSync(path, "w");
      ftruncateSync(handle, total);
      writeSync(handle, head, 0, head.byteLength, 0);
      const row = Float32Array.from({ length: 1000 }, (_, i) => i / 8);
      writeSync(handle, new Uint8Array(row.buffer), 0, 4000, head.byteLength + 77 * size + 5 * 4000);
      closeSync(handle);
      await using file = await readSafetensors(await fileSource(path));
      assertStrictEquals(file.bytesRead, head.byteLength);
      const view = file.view("h.77.weight");
      assertEquals(new Float32Array((await view.rows(5, 6).bytes()).buffer as ArrayBuffer), row);
      assertStrictEquals(file.bytesRead, head.byteLength + 4000);
      assertStrictEquals(
        (await view.bytes()).buffer.byteLength,
        size,
        "the result holds the tensor and nothing more",
      );
      assertStrictEquals(file.bytesRead, head.byteLength + 4000 + size);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("safetensors: the recorded GPT-2", () => {
  const load = async (...parts: string[]): Promise<SafetensorsFile> =>
    await readSafetensors(await fileSource(dataPath("gpt2-tiny", ...parts)));

  it("opens and is written again byte for byte", async () => {
    await using file = await load("model.safetensors");
    assertStrictEquals(file.names.length, 28);
    assertEquals({ ...file.metadata }, { format: "pt" });
    assertEquals(file.info("wte.weight").shape, [512, 32]);
    const tensors = file.names.toReversed().map((name) => {
      const view = file.view(name);
      return { name, dtype: view.dtype, shape: view.shape, bytes: () => view.bytes() };
    });
    assertEquals(
      await save(tensors, { metadata: file.metadata }),
      readDataBytes("gpt2-tiny", "model.safetensors"),
    );
  });

  it("the variants hold the same weights, at odd offsets and under other names", async () => {
    await using model = await load("model.safetensors");
    await using old = await load("variants", "old-buffers.safetensors");
    await using prefixed = await load("variants", "prefixed.safetensors");
    assertStrictEquals(old.info(old.names[0]).begin % 2, 1, "the data begin at an odd byte");
    for (const name of model.names) {
      const expected = await model.view(name).bytes();
      const bytes = await old.view(name).bytes();
      assertEquals(bytes, expected, name);
      assertStrictEquals(bytes.byteOffset % 4, 0, "ready for a Float32Array");
      assertEquals(await prefixed.view(`transformer.${name}`).bytes(), expected, name);
      assertEquals(await old.view(name).read("f16"), await model.view(name).read("f16"), name);
    }
    assertStrictEquals(prefixed.info("transformer.h.0.attn.bias").dtype, "u8");
    assertEquals(prefixed.info("transformer.h.1.attn.masked_bias").shape, []);
    for await (const { info, bytes } of old.read()) {
      const wide = new Uint8Array(info.byteLength * 2);
      convertBytes("f32", "f64", bytes, wide);
      assertStrictEquals(
        new Float64Array(wide.buffer)[0],
        new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true),
      );
    }
  });

  it("shards of it open through the index on disk", async () => {
    await using model = await load("model.safetensors");
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-"));
    try {
      const tensors = model.names.map((name) => {
        const view = model.view(name);
        return { name, dtype: view.dtype, shape: view.shape, bytes: () => view.bytes() };
      });
      const { files } = planSafetensors(tensors, { metadata: model.metadata, shardSize: 50_000 });
      assert(files.length > 3);
      for (const [name, bytes] of await inMemory(files)) writeFileSync(join(folder, name), bytes);
      await using file = await readSafetensors(
        await fileSource(join(folder, "model.safetensors.index.json")),
        (name) => fileSource(join(folder, name)),
      );
      assertEquals(file.names.toSorted(), model.names.toSorted());
      const expected = await tensorsOf(model);
      for (const [name, bytes] of await tensorsOf(file)) assertEquals(bytes, expected.get(name), name);
      await file.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
