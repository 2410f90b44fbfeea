/**
 * Unpacking what deflate packed, the one place that does it: fed in small pieces, up to the size that was said and no further.
 *
 * A runtime may inflate all that it is given at once (Deno does), and a byte of deflate can stand for a thousand. So one
 * piece goes in when what came of the last is out, and what is more than `size` ends it: an archive that lies about a
 * size costs the memory of one piece, whatever it would unpack to.
 *
 * @module
 */

/** What a byte of deflate unpacks to at most. */
export const mostRatio = 1032;
/** Bytes that go in at once: they come out as 17 MB at most. */
const piece = 1 << 14;

/** What deflate packed, of `size` bytes; null where it is damaged, or of another size. */
export async function inflated(
  packed: Blob | Uint8Array<ArrayBuffer>,
  size: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const length = packed instanceof Blob ? packed.size : packed.length;
  if (size > length * mostRatio + mostRatio) return null;
  const out = new Uint8Array(size);
  let from = 0, at = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const next = packed.slice(from, from + piece);
      from += piece;
      controller.enqueue(next instanceof Blob ? new Uint8Array(await next.arrayBuffer()) : next);
      if (from >= length) controller.close();
    },
  }, { highWaterMark: 0 });
  try {
    const reader = pieces.pipeThrough(new DecompressionStream("deflate-raw")).getReader();
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      if (at + step.value.length > size) {
        await reader.cancel();
        return null;
      }
      out.set(step.value, at);
      at += step.value.length;
    }
  } catch {
    return null;
  }
  return at === size ? out : null;
}
