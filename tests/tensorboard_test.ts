/**
 * Event files for TensorBoard: checksums against published vectors, and files read back by a decoder of the test's own.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CausalLM, nn, OptionError, peakFlops, SummaryWriter } from "../mod.ts";
import { flopsPerToken } from "../cli/utilisation.ts";
import { crc32c, maskedCrc } from "../src/train/event_file.ts";
import { output } from "./_command.ts";
import { after, before, describe, it } from "./_suite.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-board-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** CRC-32C bit by bit, from the definition. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}

/** The fields of a message: number, kind on the wire, value. */
function fieldsOf(bytes: Uint8Array): [number, number | bigint | Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    found: [number, number | bigint | Uint8Array][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint()), kind = tag & 7;
    if (kind === 0) found.push([tag >> 3, varint()]);
    else if (kind === 1) found.push([tag >> 3, view.getFloat64(at, true)]), at += 8;
    else if (kind === 5) found.push([tag >> 3, view.getFloat32(at, true)]), at += 4;
    else {
      assertStrictEquals(kind, 2);
      const length = Number(varint());
      found.push([tag >> 3, bytes.subarray(at, at += length)]);
    }
  }
  assertStrictEquals(at, bytes.length);
  return found;
}

interface ReadEvent {
  step: number;
  wallTime: number;
  version?: string;
  isStart?: boolean;
  scalars: Record<string, number>;
}

/** The events of a file, every checksum looked at. */
function eventsIn(file: Uint8Array): ReadEvent[] {
  const events: ReadEvent[] = [], view = new DataView(file.buffer, file.byteOffset, file.length);
  const masked = (bytes: Uint8Array): number => {
    const crc = BigInt(slowCrc(bytes));
    return Number(((crc >> 15n | crc << 17n & 0xffffffffn) + 0xa282ead8n) & 0xffffffffn);
  };
  const text = (bytes: unknown): string => new TextDecoder().decode(bytes as Uint8Array);
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true)), data = file.subarray(at + 12, at + 12 + length);
    assertStrictEquals(view.getUint32(at + 8, true), masked(file.subarray(at, at + 8)));
    assertStrictEquals(view.getUint32(at + 12 + length, true), masked(data));
    at += 16 + length;
    const event: ReadEvent = { step: 0, wallTime: 0, scalars: {} };
    for (const [number, value] of fieldsOf(data)) {
      if (number === 1) event.wallTime = value as number;
      else if (number === 2) event.step = Number(value);
      else if (number === 3) event.version = text(value);
      else if (number === 7) {
        event.isStart = fieldsOf(value as Uint8Array).some(([n, v]) => n === 1 && v === 1n);
      } else {
        assertStrictEquals(number, 5);
        for (const [one, entry] of fieldsOf(value as Uint8Array)) {
          assertStrictEquals(one, 1);
          const fields = new Map(fieldsOf(entry as Uint8Array));
          event.scalars[text(fields.get(1))] = fields.get(2) as number;
        }
      }
    }
    events.push(event);
  }
  return events;
}

const filesIn = (directory: string): ReadEvent[][] =>
  readdirSync(directory).sort().map((name) => {
    assertMatch(name, /^events\.out\.tfevents\.\d{10}\./);
    return eventsIn(readFileSync(join(directory, name)));
  });

describe("the utilisation of a machine", () => {
  it("counts the operations of a token as they are", async () => {
    const sizes = { vocabSize: 30, contextLength: 16, width: 8, layers: 3, heads: 2 };
    // GPT-2: 12 · width² a layer, and the embedding as the head; positions are looked up.
    const gpt2 = await CausalLM.fromSizes("gpt2", sizes);
    const layers = 12 * 64 * 3, attention = 12 * 3 * 8 * 10;
    assertStrictEquals(flopsPerToken(gpt2, 10), 6 * (layers + 30 * 8) + attention);
    nn.lora(gpt2, { rank: 2, alpha: 4, targets: ["c_attn"] });
    assertStrictEquals(
      flopsPerToken(gpt2, 10),
      4 * (layers + 30 * 8) + 6 * 3 * (2 * 8 + 2 * 24) + attention,
    );
    // A head of its own is multiplied, the embedding is looked up.
    const untied = await CausalLM.fromSizes("gpt_neox", { ...sizes, heads: 1 });
    assertStrictEquals(flopsPerToken(untied, 10), 6 * (layers + 30 * 8) + attention);
  });

  it("has a limit that is measured", async () => {
    const peak = await peakFlops();
    assert(peak > 1e8 && Number.isFinite(peak), String(peak));
  });
});

describe("event files", () => {
  it("have the checksums of RFC 3720, masked as TensorFlow's", () => {
    const vectors: [Uint8Array, number][] = [
      [new Uint8Array(32), 0x8a9136aa],
      [new Uint8Array(32).fill(255), 0x62a8ab43],
      [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
      [Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
      [new TextEncoder().encode("123456789"), 0xe3069283],
      [new Uint8Array(0), 0],
    ];
    for (const [bytes, crc] of vectors) assertEquals([crc32c(bytes), slowCrc(bytes)], [crc, crc]);
    // The first bytes of any event file are a length of 24, and a3 7f 4b 22.
    const length = new Uint8Array(8);
    length[0] = 24;
    assertStrictEquals(maskedCrc(length), 0x224b7fa3);
    for (let seed = 1; seed < 60; seed++) {
      const bytes = Uint8Array.from({ length: seed }, (_, i) => Math.imul(seed, i + 7919) >>> 5 & 255);
      assertStrictEquals(crc32c(bytes), slowCrc(bytes));
    }
  });

  it("give back what was noted", async () => {
    const directory = join(folder, "noted", "below"), board = new SummaryWriter(directory);
    const noted: [string, number, number][] = [];
    for (let step = 0; step < 300; step += 7) {
      for (const tag of ["loss", "rate/é", "x".repeat(200)]) {
        noted.push([tag, Math.sin(step) * 10 ** (step % 9), step * 2 ** 20]);
      }
      if (step % 2) await board.flush();
    }
    noted.push(["loss", NaN, 1], ["loss", Infinity, 2], ["loss", 0, 2 ** 40]);
    for (const [tag, value, step] of noted) board.addScalar(tag, value, step, 1.5 + step);
    await Promise.all([board.flush(), board.flush(), board.close()]);
    await board.close();
    const [[first, ...events], ...others] = filesIn(directory);
    assertEquals([first.version, first.step, others], ["brain.Event:2", 0, []]);
    assertEquals(
      events.map(({ step, scalars, wallTime }) => [...Object.entries(scalars)[0], step, wallTime]),
      noted.map(([tag, value, step]) => [tag, Math.fround(value), step, 1.5 + step]),
    );
    assertThrows(() => board.addScalar("loss", 1, 2), Error, "it is closed");
    assertThrows(() => new SummaryWriter(folder).addScalar("loss", 1, -1), OptionError, "the step");
    assertThrows(() => new SummaryWriter(folder, { purgeStep: 0.5 }), OptionError, "purgeStep");
  });

  it("say from where a run goes on", async () => {
    const directory = join(folder, "again"), board = new SummaryWriter(directory, { purgeStep: 41 });
    board.addScalar("loss", 0.5, 50);
    await board.close();
    const [[first, start, one]] = filesIn(directory);
    assertEquals([first.version, first.step], ["brain.Event:2", 41]);
    assertEquals([start.isStart, start.step], [true, 41]);
    assertEquals([one.scalars, one.step], [{ loss: 0.5 }, 50]);
  });

  it("are what `ferrotype train --tensorboard` writes, as its log has it", async () => {
    const text = join(folder, "text.txt"), out = join(folder, "run"), directory = join(folder, "board");
    writeFileSync(text, "the cat sat on the mat. a dog ran to the hat. ".repeat(40));
    const train = [
      "train",
      text,
      "-o",
      out,
      "--threads",
      "1",
      "--tensorboard",
      directory,
      "--mfu",
      "--quiet",
    ];
    const sizes = [
      "--n-layer",
      "1",
      "--n-head",
      "1",
      "--n-embd",
      "8",
      "--block-size",
      "8",
      "--batch-size",
      "2",
    ];
    await output([...train, ...sizes, "--steps", "40", "--eval-every", "20", "--stop-after", "25"]);
    await output([...train, "--resume"]);
    const [first, second, ...others] = filesIn(directory);
    assertEquals(others, []);
    assertEquals(second.filter(({ isStart }) => isStart).map(({ step }) => step), [26]);
    const shown = [...first.filter(({ step }) => step < 26), ...second].flatMap(
      ({ scalars, step, wallTime }) => {
        assert(wallTime > 1.6e9);
        return Object.entries(scalars).map(([tag, value]): [string, number, number] => [tag, step, value]);
      },
    );
    const wanted = readFileSync(join(out, "log.jsonl"), "utf8").trim().split("\n").flatMap((line) => {
      const { step, ...rest } = JSON.parse(line) as Record<string, number>;
      return Object.entries(rest).map(([tag, value]): [string, number, number] => [tag, step, value]);
    });
    assertEquals(shown.map(([tag, step]) => [tag, step]), wanted.map(([tag, step]) => [tag, step]));
    shown.forEach(([, , value], i) => assertAlmostEquals(value, wanted[i][2], 1e-6 * Math.abs(wanted[i][2])));
    assertEquals(
      new Set(shown.map(([tag]) => tag)),
      new Set(["loss", "lr", "grad_norm", "tokens_per_second", "mfu", "eval_loss"]),
    );
  });
});
