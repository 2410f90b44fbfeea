/**
 * The index of a model whose tensors lie in several files, as Hugging Face writes it.
 *
 * `model.safetensors.index.json` holds `{ metadata: { total_size }, weight_map: { tensor: file } }`. The index decides
 * which file a tensor is read from; tensors of a shard that it does not list are not there. Shard names come from
 * outside, so they must be plain names of files beside the index.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { digestsOfIndex, type SetDigests } from "./digests.ts";
import { type JsonScanner, refuseKey, scanJson } from "./json_scanner.ts";
import { NameTable, withRoom } from "./name_table.ts";
import { quote } from "./quote.ts";

/** Opens a file that lies beside the index. */
export type OpenShard = (name: string) => Promise<ByteSource>;

/** The longest index that is read, in bytes: several times that of the largest models there are (10 MB). */
const maxIndexBytes = 64_000_000;

/** The most shards, and the most keys beside the map. */
const mostShards = 10_000, mostKeys = 1000;

/** The longest metadata of an index that are looked at, in bytes: those of so many shards. */
const longestMetadata = 2_000_000;

/** A checked index. */
export interface ShardIndex {
  /** The files, sorted by name. */
  readonly shards: readonly string[];
  /** How many tensors it maps. */
  readonly size: number;
  /** The tensors' names, in the order of the index. */
  names(): Iterable<string>;
  /** The file of a tensor; undefined where it maps none. */
  shardOf(name: string): string | undefined;
  /** What the writer noted of the shards. */
  readonly digests: SetDigests;
  /** The size of the index itself. */
  readonly bytes: number;
}

/**
 * Whether a file that begins with these bytes is JSON rather than a header length: a length whose upper half is text
 * would be far above any limit.
 */
export function looksLikeIndex(prefix: Uint8Array): boolean {
  if (prefix.byteLength < 8) return false;
  let first = 0;
  for (const byte of prefix) {
    if (byte !== 0x09 && byte !== 0x0a && byte !== 0x0d && byte < 0x20) return false;
    if (first === 0 && byte > 0x20) first = byte;
  }
  return first === 0x7b;
}

/**
 * Reads and checks an index.
 *
 * @throws {FormatError} when it is no index, or names a file outside its own folder.
 */
export async function readIndex(source: ByteSource): Promise<ShardIndex> {
  const { name: file, size } = source;
  if (size > maxIndexBytes) {
    throw new FormatError(
      `${file}: an index of ${counted(size, "byte")} is above the limit of ${maxIndexBytes}`,
    );
  }
  const bytes = await source.read(0, size), scanner = scanJson(bytes, 0, file, "index");
  if (scanner.peek() !== 0x7b) throw new FormatError(`${file}: the index at byte 0 is not a JSON object`);
  const names = new NameTable(bytes, scanner), shards = new Map<string, number>(), seen = new Set<string>();
  let places: Uint16Array = new Uint16Array(0), digests = digestsOfIndex(null), isMapped = false;
  const refuse = (name: string, said: string): never => {
    throw new FormatError(
      `${file}: tensor ${quote(name)} is mapped to ${said}, which is not the name of a file beside the index`,
    );
  };
  scanner.entries(1, () => {
    const key = scanner.textAt(scanner);
    refuseKey(key, !seen.has(key), { file, what: "index", byte: scanner.begin - 1 });
    if (seen.size === mostKeys) throw new FormatError(`${file}: the index has more than ${mostKeys} keys`);
    seen.add(key);
    if (key === "metadata") digests = digestsOfIndex(smallValue(scanner));
    if (key !== "weight_map" || scanner.peek() !== 0x7b) {
      return key === "metadata" ? undefined : scanner.skip(2);
    }
    isMapped = true;
    scanner.entries(2, () => {
      const name = scanner.textAt(scanner), byte = scanner.begin - 1;
      refuseKey(name, names.add() !== false, { file, what: "index", byte, outer: "weight_map" });
      if (scanner.peek() !== 0x22) {
        const begin = scanner.at;
        scanner.skip(3);
        const kind = { "{": "object", "[": "list", t: "boolean", f: "boolean", n: "" };
        const first = String.fromCharCode(bytes[begin]) as keyof typeof kind;
        refuse(name, `${kind[first] ?? "number"} ${scanner.show(begin, scanner.at)}`.trim());
      }
      scanner.text();
      const shard = scanner.textAt(scanner);
      if (!isPlainName(shard)) refuse(name, quote(shard));
      if (!shards.has(shard)) shards.set(shard, shards.size);
      if (shards.size > mostShards) {
        throw new FormatError(`${file}: the index names more than ${mostShards} files`);
      }
      places = withRoom(places, names.room);
      places[names.size - 1] = shards.get(shard)!;
    });
  });
  scanner.finish();
  if (!isMapped) {
    throw new FormatError(`${file}: the index has no "weight_map" that gives each tensor's file`);
  }
  const list = [...shards.keys()];
  return {
    shards: [...list].sort(),
    size: names.size,
    names: function* () {
      for (let i = 0; i < names.size; i++) yield names.at(i);
    },
    shardOf(name) {
      const i = names.find(name);
      return i < 0 ? undefined : list[places[i]];
    },
    digests,
    bytes: bytes.byteLength,
  };
}

/** The value that comes, if it is of a size that metadata have. */
function smallValue(scanner: JsonScanner): unknown {
  scanner.peek();
  const begin = scanner.at;
  scanner.skip(2);
  if (scanner.at - begin > longestMetadata) return null;
  return JSON.parse(scanner.textAt({ begin, end: scanner.at, escaped: false }));
}

function isPlainName(file: string): boolean {
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  return file !== "" && file !== "." && file !== ".." && !/[/\\:?#%\x00-\x1f]/.test(file);
}
