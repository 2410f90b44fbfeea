/**
 * Opening a GGUF from anywhere, and the parts that lie beside it, without anything that makes tensors of it.
 *
 * @module
 */
import { type GgufFile, type GgufPart, openGgufFile } from "../files/gguf/reader.ts";
import { directoryOf, fromPage, isHttp, joinPath, type Openable, openSource } from "../platform/platform.ts";

/** Opens the file and reads its header; `make` makes what is given of its parts, which are one file or several. */
export async function openGgufParts<F extends GgufFile>(
  what: Openable,
  make: (parts: readonly GgufPart[]) => F,
): Promise<F> {
  const given = fromPage(what), named = typeof given === "string" || given instanceof URL;
  const beside = !named
    ? undefined
    : isHttp(given)
    ? (name: string) => openSource(new URL(name, String(given)))
    : (name: string) => openSource(joinPath(directoryOf(given), name));
  return await openGgufFile(await openSource(what), beside, make);
}
