/**
 * JSON read where it lies, against `JSON.parse`, and names found in it, against a Map.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { FormatError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { refuseKey, scanJson } from "../src/files/json_scanner.ts";
import { NameTable } from "../src/files/name_table.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A value of random form, nested as deep as `depth`. */
function someValue(random: Generator, depth: number): unknown {
  switch (random.integer(0, depth > 0 ? 8 : 6)) {
    case 0:
      return null;
    case 1:
      return random.uniform() < 0.5;
    case 2:
      return random.integer(-100, 100) * 10 ** random.integer(-30, 30);
    case 3:
      return random.integer(0, 2 ** 31);
    case 4:
    case 5:
      return String.fromCodePoint(
        ...Array.from({ length: random.integer(0, 8) }, () => {
          const code = [0x80, 0x800, 0xd800, 0x110000 - 0xe000][random.integer(0, 4)];
          return code === 0x110000 - 0xe000 ? 0xe000 + random.integer(0, code) : random.integer(0, code);
        }),
      );
    case 6:
      return Array.from({ length: random.integer(0, 4) }, () => someValue(random, depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.integer(0, 4) }, (_, i) => [`k${i}`, someValue(random, depth - 1)]),
      );
  }
}

/** Whether the scanner takes it for JSON. */
function isTaken(bytes: Uint8Array): boolean {
  try {
    const scanner = scanJson(bytes, 0, "file", "text");
    scanner.skip();
    scanner.finish();
    return true;
  } catch (error) {
    assert(error instanceof FormatError, String(error));
    return false;
  }
}

function isParsed(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

describe("the JSON scanner", () => {
  it("takes what JSON.parse takes, and nothing else: random texts and their mutations", () => {
    const random = new Generator(21), pieces = `{}[]",:0123456789.-+eE\\u/bnrt \n\t\x00\x7f truefalsnl`;
    let refused = 0;
    const rounds = width(20_000, 5000);
    for (let round = 0; round < rounds; round++) {
      let bytes = encode(JSON.stringify(someValue(random, 3), null, random.integer(0, 3)));
      for (let edits = random.integer(0, 4); edits > 0 && bytes.length > 0; edits--) {
        const at = random.integer(0, bytes.length), kind = random.integer(0, 5);
        if (kind === 0) bytes = bytes.slice(0, at);
        else if (kind === 1) bytes[at] = random.integer(0, 256);
        else bytes[at] = pieces.charCodeAt(random.integer(0, pieces.length));
      }
      const parsed = isParsed(bytes);
      assertStrictEquals(isTaken(bytes), parsed, JSON.stringify(new TextDecoder().decode(bytes)));
      if (!parsed) refused++;
    }
    assert(refused > rounds / 5 && refused < 0.8 * rounds, `${refused}`);
  });

  it("reads whole numbers, and says why others are none", () => {
    const read = (text: string): number | string =>
      scanJson(encode(`[${text}]`).subarray(1), 0, "", "").wholeNumber();
    for (const n of [0, 7, 10, 123456789012345, 1234567890123456, Number.MAX_SAFE_INTEGER]) {
      assertStrictEquals(read(String(n)), n);
    }
    assertEquals([read("1e3"), read("5.0"), read("10E-1")], [1000, 5, 1]);
    assertEquals(
      ["-1", "-0", "0.5", "9007199254740992", "1e999", '"7"', "null", "[1,2]"].map(read),
      [
        "the negative number -1",
        "the negative number -0",
        "0.5, which is not a whole number",
        "9007199254740992, which overflows",
        "Infinity, which is not a whole number",
        '"7", which is not a number',
        "null, which is not a number",
        "[1,2], which is not a number",
      ],
    );
    for (const bad of ["01", "1.", ".5", "+1", "1e", "--1", "0x1"]) {
      let message = "";
      try {
        const scanner = scanJson(encode(`[${bad}]`), 0, "f", "text");
        scanner.items(1, () => void scanner.wholeNumber());
      } catch (error) {
        message = (error as Error).message;
      }
      assert(message.includes("is not JSON"), `${bad}: ${message}`);
    }
  });

  it("finds names as a Map does, escaped or not, and refuses one that is there", () => {
    const random = new Generator(5);
    for (let round = 0; round < 300; round++) {
      const letters = ["a", "b", "é", "漢", "😀", '"', "\\", "\n", "\u0000"];
      const names = Array.from(
        { length: random.integer(1, 60) },
        () =>
          Array.from({ length: random.integer(0, 5) }, () => letters[random.integer(0, letters.length)]).join(
            "",
          ),
      );
      // Any letter may be written as an escape.
      const written = names.map((name) =>
        `"${
          [...Array(name.length).keys()].map((i) => {
            const plain = JSON.stringify(name.charAt(i)).slice(1, -1);
            if (random.uniform() < 0.7 && !/[\ud800-\udfff]/.test(name.charAt(i))) return plain;
            return `\\u${name.charCodeAt(i).toString(16).padStart(4, "0")}`;
          }).join("")
        }"`
      );
      const bytes = encode(`[${written.join(",")}]`), scanner = scanJson(bytes, 0, "file", "list");
      const table = new NameTable(bytes, scanner), map = new Map<string, number>();
      let i = 0;
      scanner.items(1, () => {
        scanner.text();
        const name = names[i++], isNew = !map.has(name);
        if (isNew) map.set(name, map.size);
        assertStrictEquals(table.add(), isNew, name);
      });
      assertEquals(table.all(), [...map.keys()]);
      for (const [name, number] of map) assertEquals([table.find(name), table.at(number)], [number, name]);
      for (const name of ["", "x", "aaaaaa"]) assertStrictEquals(table.find(name), map.get(name) ?? -1);
    }
  });

  it("takes half of a surrogate pair for no name", () => {
    const bytes = encode('"\\ud800x"'), scanner = scanJson(bytes, 0, "file", "list");
    scanner.text();
    assertStrictEquals(new NameTable(bytes, scanner).add(), null);
    let message = "";
    try {
      refuseKey("\ud800x", true, { file: "f", what: "header", byte: 9 });
    } catch (error) {
      message = (error as Error).message;
    }
    assert(message.includes("is not valid Unicode"), message);
  });
});
