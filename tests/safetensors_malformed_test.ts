/**
 * Malformed safetensors are refused, with the tensor and the byte. The files are built by hand, so that none
 * depends on our own writer; random mutations of a valid one look for what nobody thought of.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { FormatError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { quantizedKey, readSafetensors } from "../src/files/mod.ts";
import { entry, f32, open, raw, save } from "./_safetensors.ts";
import { memorySource } from "./_sources.ts";
import { width } from "./_width.ts";

/** Opens, expects a FormatError that matches every pattern, and that the source was closed. */
async function refuses(bytes: Uint8Array, ...patterns: RegExp[]): Promise<void> {
  const source = memorySource(bytes, "bad.safetensors");
  {
    const error = await assertRejects(() => readSafetensors(source), Error);

    assert(error instanceof FormatError, `not a FormatError: ${error}`);

    for (const pattern of [/bad\.safetensors/, ...patterns]) assertMatch(error.message, pattern);

    assert(error.message.length < 800, "the message is too long to read");
  }
  assert(source.closed, "the source was left open");
  assert(
    source.reads.every(([offset, length]) => offset + length <= bytes.byteLength),
    "read beyond the file",
  );
}

describe("safetensors: malformed files are refused with the tensor and the byte", () => {
  const good = `{"a":${entry("F32", [2], [0, 8])}}`;
  const one = (dtype: unknown, shape: unknown, offsets: unknown): string =>
    `{"w":${entry(dtype, shape, offsets)}}`;
  const tensor = /tensor "w" \(header byte 9\)/;
  const cases: [string, Uint8Array, ...RegExp[]][] = [
    ["an empty file", new Uint8Array(0), /has 0 bytes, too few/],
    ["seven bytes", new Uint8Array(7), /has 7 bytes, too few/],
    ["header length 0", raw("", 8, 0n), /header length at byte 0 is 0/],
    ["header length 1", raw("{", 8), /header length at byte 0 is 1/],
    [
      "header length beyond the file",
      raw(good, 8, 5000n),
      /header of 5000 bytes at byte 8 reaches beyond the file/,
    ],
    ["header length one too long", raw(good, 0, BigInt(good.length + 1)), /reaches beyond the file/],
    ["header length above 100 MB", raw(good, 8, 100_000_001n), /100000001, above the limit/],
    ["header length 2^64 - 1", raw(good, 8, 2n ** 64n - 1n), /above the limit/],
    ["header length 2^63", raw(good, 8, 2n ** 63n), /above the limit/],
    ["a header cut short", raw(good, 8, BigInt(good.length - 3)), /header at byte 8 is not JSON/],
    ["a header that is not JSON", raw(`{"a":}`, 0), /not JSON/],
    ["a header that is a list", raw("[[]]", 0), /does not begin with \{/],
    ["a header that begins with a space", raw(` ${good}`, 8), /does not begin with \{/],
    ["text after the header", raw(`${good}x`, 8), /not JSON/],
    ["a header that is not UTF-8", raw(`{"a":1}`, 0).with(10, 0xff), /at byte 8 is not UTF-8/],
    ["zeros", new Uint8Array(64), /header length at byte 0 is 0/],
    [
      "nesting of 100,000 levels",
      raw(`{"w":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, 0),
      /nested deeper than 64/,
    ],
    ["nesting that never closes", raw(`{"w":${`{"x":`.repeat(50_000)}`, 0), /nested deeper than 64/],
    [
      "a name twice",
      raw(`{"w":${entry("U8", [1], [0, 1])},"w":${entry("U8", [1], [1, 2])}}`, 2),
      /"w" appears twice.*byte \d+/,
    ],
    [
      "a name twice, once escaped",
      raw(`{"w":${entry("U8", [1], [0, 1])},"\\u0077":${entry("U8", [1], [1, 2])}}`, 2),
      /appears twice/,
    ],
    [
      "a field twice",
      raw(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"dtype":"I8"}}`, 1),
      /"dtype" appears twice in "w", at byte \d+/,
    ],
    [
      "a metadata key twice",
      raw(`{"__metadata__":{"k":"1","k":"2"}}`, 0),
      /"k" appears twice in "__metadata__"/,
    ],
    ["__metadata__ twice", raw(`{"__metadata__":{},"__metadata__":{}}`, 0), /"__metadata__" appears twice/],
    [
      "__proto__ as a name",
      raw(`{"__proto__":${entry("U8", [1], [0, 1])}}`, 1),
      /"__proto__" is not allowed.*byte 9/,
    ],
    [
      "__proto__ in escapes",
      raw(`{"\\u005f_proto__":${entry("U8", [1], [0, 1])}}`, 1),
      /"__proto__" is not allowed/,
    ],
    [
      "__proto__ in an entry",
      raw(`{"w":{"__proto__":{"dtype":"U8"},"shape":[1],"data_offsets":[0,1]}}`, 1),
      /"__proto__" is not allowed in "w"/,
    ],
    ["__proto__ in the metadata", raw(`{"__metadata__":{"__proto__":"x"}}`, 0), /"__proto__" is not allowed/],
    [
      "half a surrogate pair as a name",
      raw(`{"\\ud800":${entry("U8", [1], [0, 1])}}`, 1),
      /not valid Unicode/,
    ],
    [
      "metadata that is a list",
      raw(`{"__metadata__":["x"]}`, 0),
      /__metadata__ is \["x"\], not an object of strings/,
    ],
    ["metadata that is null", raw(`{"__metadata__":null}`, 0), /not an object of strings/],
    ["metadata that is a number", raw(`{"__metadata__":{"k":1}}`, 0), /"k" is 1, not a string/],
    ["an entry that is null", raw(`{"w":null}`, 0), tensor, /entry is null, not an object/],
    ["an entry that is a list", raw(`{"w":[1]}`, 0), tensor, /not an object/],
    ["no dtype", raw(`{"w":{"shape":[1],"data_offsets":[0,1]}}`, 1), tensor, /unknown dtype nothing/],
    ["an unknown dtype", raw(one("F33", [1], [0, 4]), 4), tensor, /unknown dtype "F33"; the format has BOOL/],
    ["a dtype in lower case", raw(one("f32", [1], [0, 4]), 4), tensor, /unknown dtype "f32"/],
    ["a dtype of every object", raw(one("constructor", [1], [0, 4]), 4), tensor, /unknown dtype/],
    ["a dtype that is a number", raw(one(32, [1], [0, 4]), 4), tensor, /unknown dtype 32/],
    ["no shape", raw(`{"w":{"dtype":"U8","data_offsets":[0,1]}}`, 1), tensor, /shape is not a list/],
    ["a shape that is an object", raw(one("U8", { length: 1 }, [0, 1]), 1), tensor, /shape is not a list/],
    [
      "a negative dimension",
      raw(one("F32", [-2, -1], [0, 8]), 8),
      tensor,
      /shape holds the negative number -2/,
    ],
    [
      "minus zero as a dimension",
      raw(`{"w":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}`, 0),
      tensor,
      /negative number -0/,
    ],
    [
      "a fractional dimension",
      raw(one("F32", [0.5, 4], [0, 8]), 8),
      tensor,
      /shape holds 0\.5, which is not a whole number/,
    ],
    [
      "a dimension that is text",
      raw(one("F32", ["2"], [0, 8]), 8),
      tensor,
      /shape holds "2", which is not a number/,
    ],
    ["a dimension that is null", raw(one("F32", [null], [0, 8]), 8), tensor, /shape holds null/],
    [
      "a dimension of 1e999",
      raw(`{"w":{"dtype":"U8","shape":[1e999],"data_offsets":[0,1]}}`, 1),
      tensor,
      /shape holds Infinity/,
    ],
    ["a dimension of 2^53", raw(one("U8", [2 ** 53], [0, 8]), 8), tensor, /which overflows/],
    [
      "dimensions whose product is 2^64",
      raw(one("F32", [2 ** 32, 2 ** 32], [0, 0]), 0),
      tensor,
      /number of elements overflows/,
    ],
    [
      "dimensions that overflow before a zero",
      raw(one("F32", [2 ** 40, 2 ** 40, 0], [0, 0]), 0),
      tensor,
      /overflows/,
    ],
    [
      "elements whose bytes overflow",
      raw(one("F64", [2 ** 51], [0, 0]), 0),
      tensor,
      /number of bytes overflows/,
    ],
    ["no offsets", raw(`{"w":{"dtype":"U8","shape":[1]}}`, 1), tensor, /data_offsets is not a list/],
    ["one offset", raw(one("U8", [1], [1]), 1), tensor, /data_offsets has 1 numbers/],
    ["three offsets", raw(one("U8", [1], [0, 1, 1]), 1), tensor, /data_offsets has 3 numbers/],
    [
      "a negative offset",
      raw(one("U8", [1], [-1, 0]), 1),
      tensor,
      /data_offsets holds the negative number -1/,
    ],
    ["a fractional offset", raw(one("U8", [1], [0, 1.5]), 2), tensor, /data_offsets holds 1\.5/],
    ["an end before the begin", raw(one("U8", [1], [1, 0]), 1), tensor, /\[1, 0\] end before they begin/],
    [
      "an end beyond the file",
      raw(one("F32", [3], [0, 12]), 8),
      tensor,
      /end at byte \d+, beyond the file of \d+ bytes/,
    ],
    ["a claim of a terabyte", raw(one("F32", [2 ** 38], [0, 2 ** 40]), 8), tensor, /beyond the file/],
    [
      "too few bytes for the shape",
      raw(one("F32", [3], [0, 8]), 8),
      tensor,
      /shape \[3\] of F32 takes 12 bytes, but data_offsets \[0, 8\] hold 8/,
    ],
    ["too many bytes for the shape", raw(one("F16", [3], [0, 8]), 8), tensor, /takes 6 bytes/],
    ["an empty shape with two numbers", raw(one("F32", [], [0, 8]), 8), tensor, /takes 4 bytes/],
    ["bits that fill no byte", raw(one("F4", [3], [0, 2]), 2), tensor, /do not fill whole bytes/],
    [
      "tensors that overlap",
      raw(`{"v":${entry("U8", [4], [0, 4])},"w":${entry("U8", [4], [2, 6])}}`, 6),
      /tensor "w" .* begins at byte \d+ and overlaps: tensor "v" ends at byte/,
    ],
    [
      "two tensors on the same bytes",
      raw(`{"v":${entry("U8", [4], [0, 4])},"w":${entry("U8", [4], [0, 4])}}`, 4),
      /tensor "w" .* overlaps/,
    ],
    [
      "a hole between tensors",
      raw(`{"v":${entry("U8", [2], [0, 2])},"w":${entry("U8", [2], [4, 6])}}`, 6),
      /tensor "w" .* leaves a hole of 2 bytes: tensor "v" ends at byte/,
    ],
    [
      "a hole before the first",
      raw(one("U8", [2], [1, 3]), 3),
      tensor,
      /leaves a hole of 1 bytes: the data start at byte/,
    ],
    [
      "bytes after the last",
      raw(one("U8", [2], [0, 2]), 3),
      /tensor "w", the last, ends at byte \d+, but the file has \d+ bytes/,
    ],
    ["bytes after no tensor", raw("{}", 3), /the header ends at byte 10, but the file has 13 bytes/],
    ["a file cut in its data", raw(one("F32", [3], [0, 12]), 12).subarray(0, -1), tensor, /beyond the file/],
    [
      "a quantised list that is not JSON",
      raw(`{"__metadata__":{"${quantizedKey}":"{"}}`, 0),
      /ferrotype\.quantized: the list of quantised tensors.* not JSON/,
    ],
    [
      "a quantised list of a missing tensor",
      raw(`{"__metadata__":{"${quantizedKey}":"{\\"x\\":{\\"dtype\\":\\"q8\\",\\"shape\\":[32]}}"}}`, 0),
      /tensor "x" is not in the file/,
    ],
    [
      "a quantised tensor of the wrong size",
      raw(
        `{"__metadata__":{"${quantizedKey}":"{\\"w\\":{\\"dtype\\":\\"q8\\",\\"shape\\":[64]}}"},"w":${
          entry("U8", [34], [0, 34])
        }}`,
        34,
      ),
      /tensor "w" \(byte \d+\): q8 \[64\] takes 68 bytes/,
    ],
    [
      "a quantised tensor with odd rows",
      raw(
        `{"__metadata__":{"${quantizedKey}":"{\\"w\\":{\\"dtype\\":\\"q4\\",\\"shape\\":[33]}}"},"w":${
          entry("U8", [18], [0, 18])
        }}`,
        18,
      ),
      /the last size 33 is not a multiple of 32/,
    ],
    [
      "a quantised tensor of another dtype",
      raw(
        `{"__metadata__":{"${quantizedKey}":"{\\"w\\":{\\"dtype\\":\\"q8\\",\\"shape\\":[32]}}"},"w":${
          entry("I8", [34], [0, 34])
        }}`,
        34,
      ),
      /holds 34 of I8/,
    ],
    [
      "a quantised tensor of no quantised dtype",
      raw(
        `{"__metadata__":{"${quantizedKey}":"{\\"w\\":{\\"dtype\\":\\"q5\\",\\"shape\\":[32]}}"},"w":${
          entry("U8", [34], [0, 34])
        }}`,
        34,
      ),
      /neither "q8" nor "q4"/,
    ],
    [
      "a quantised tensor with a negative size",
      raw(
        `{"__metadata__":{"${quantizedKey}":"{\\"w\\":{\\"dtype\\":\\"q8\\",\\"shape\\":[-32]}}"},"w":${
          entry("U8", [34], [0, 34])
        }}`,
        34,
      ),
      /not a list of whole numbers/,
    ],
    ...['[32],\\"transposed\\":true', '[1,32],\\"transposed\\":false'].map((rest): typeof cases[number] => [
      `a quantised tensor with shape ${rest}`,
      raw(
        `{"__metadata__":{"${quantizedKey}":"{\\"w\\":{\\"dtype\\":\\"q8\\",\\"shape\\":${rest}}}"},"w":${
          entry("U8", [34], [0, 34])
        }}`,
        34,
      ),
      /"transposed" is only ever true, and said of a matrix/,
    ]),
  ];
  for (const [name, bytes, ...patterns] of cases) it(name, () => refuses(bytes, ...patterns));

  it("no prototype is touched by a name", async () => {
    await refuses(raw(`{"__proto__":{"polluted":"yes"},"__metadata__":{"a":"b"}}`, 0));
    assertStrictEquals(({} as { polluted?: string }).polluted, undefined);
  });

  it("a length that the file's size does not cover is not allocated", async () => {
    const source = memorySource(raw(good, 8, 99_000_000n));
    await assertRejects(() => readSafetensors(source), FormatError);
    assertEquals(source.reads, [[0, 8]]);
  });

  it("long names are cut in messages", () => refuses(raw(`{"${"x".repeat(5000)}":1}`, 0), /x\.\.\."/));

  it("random mutations of a valid file give a FormatError or a valid file", async () => {
    const tensors = [f32("layer.weight", [2, 3], [1, 2, 3, 4, 5, 6]), f32("layer.bias", [3], [7, 8, 9])];
    tensors.push({ name: "ids", dtype: "i64", shape: [2], bytes: () => new Uint8Array(16) });
    tensors.push({ name: "q", dtype: "q8", shape: [1, 32], bytes: () => new Uint8Array(34) });
    const valid = await save(tensors, { metadata: { format: "pt" } });
    const headerEnd = valid.byteLength - 36 - 16 - 34;
    const random = new Generator(7), alphabet = new TextEncoder().encode(`{}[]",:0123456789.-eE\\u_ \n`);
    let refused = 0;
    const rounds = width(2000, 500);
    for (let round = 0; round < rounds; round++) {
      let bytes = valid.slice();
      for (let edits = random.integer(1, 4); edits > 0; edits--) {
        const at = random.integer(0, random.uniform() < 0.9 ? headerEnd : bytes.byteLength) %
          bytes.byteLength;
        switch (random.integer(0, 5)) {
          case 0:
            bytes[at] = random.integer(0, 256);
            break;
          case 1:
            bytes[at] = alphabet[random.integer(0, alphabet.length)];
            break;
          case 2:
            bytes[at] ^= 1 << random.integer(0, 8);
            break;
          case 3:
            bytes = bytes.slice(0, Math.max(at, 1));
            break;
          default: {
            // A stretch of the file, once more in another place.
            const from = random.integer(0, bytes.byteLength), length = random.integer(1, 40);
            const piece = bytes.slice(from, from + length);
            bytes = new Uint8Array([...bytes.subarray(0, at), ...piece, ...bytes.subarray(at)]);
            if (random.uniform() < 0.5 && bytes.byteLength > 8) {
              bytes[0] = Math.min(255, bytes[0] + piece.byteLength);
            }
          }
        }
      }
      try {
        const file = await open(bytes);
        let covered = file.bytesRead;
        for (const name of file.names) covered += (await file.view(name).bytes()).byteLength;
        assertStrictEquals(covered, bytes.byteLength, "a file that opens is covered by its tensors");
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        refused++;
      }
    }
    assert(refused > rounds / 2 && refused < rounds, `${refused} of ${rounds} were refused`);
  });
});
