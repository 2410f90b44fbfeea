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
import { digestsOfIndex, type SetDigests } from "./digests.ts";
import { maxHeaderBytes, parseJsonObject } from "./header.ts";
import { quote } from "./json_keys.ts";

/** Opens a file that lies beside the index. */
export type OpenShard = (name: string) => Promise<ByteSource>;

/** A checked index. */
export interface ShardIndex {
  /** The files, sorted by name. */
  readonly shards: readonly string[];
  /** The file of each tensor. */
  readonly weightMap: ReadonlyMap<string, string>;
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
  if (source.size > maxHeaderBytes) {
    throw new FormatError(
      `${source.name}: an index of ${source.size} bytes is above the limit of ${maxHeaderBytes}`,
    );
  }
  const bytes = await source.read(0, source.size);
  const { object } = parseJsonObject(bytes, 0, source.name, "index");
  const map = object.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new FormatError(`${source.name}: the index has no "weight_map" that gives each tensor's file`);
  }
  const weightMap = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== "string" || !isPlainName(file)) {
      const said = typeof file === "string" ? quote(file) : typeof file;
      throw new FormatError(
        `${source.name}: tensor ${
          quote(name)
        } is mapped to ${said}, which is not the name of a file beside the index`,
      );
    }
    weightMap.set(name, file);
  }
  return {
    shards: [...new Set(weightMap.values())].sort(),
    weightMap,
    digests: digestsOfIndex(object.metadata),
    bytes: bytes.byteLength,
  };
}

function isPlainName(file: string): boolean {
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  return file !== "" && file !== "." && file !== ".." && !/[/\\:?#%\x00-\x1f]/.test(file);
}
