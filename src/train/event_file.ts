/**
 * Event files, which TensorBoard reads: numbers by name and step.
 *
 * A file is a row of records as TFRecord has them - the length, its checksum, the bytes, theirs - each an `Event` of
 * tensorflow/core/util/event.proto. Checksums are CRC-32C (Castagnoli), turned and moved as LevelDB does it.
 *
 * @module
 */
import { ProtobufWriter } from "../onnx/protobuf_writer.ts";

const table = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let bit = 0; bit < 8; bit++) i = i & 1 ? i >>> 1 ^ 0x82f63b78 : i >>> 1;
  return i;
});

/** CRC-32C of bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255] ^ crc >>> 8;
  return ~crc >>> 0;
}

/** A checksum as it is stored beside what it is of. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** One record of a file. */
function recordOf(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(16 + data.length), view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

/** What an event is: the first of a file, one of numbers, or one from which steps are counted anew. */
export type EventContent =
  | { readonly scalars: Readonly<Record<string, number>> }
  | { readonly isFirst: true }
  | { readonly isStart: true };

/** An event as a record; `wallTime` in seconds since 1970. */
export function eventRecord(content: EventContent, step: number, wallTime: number): Uint8Array {
  const event = new ProtobufWriter().double(1, wallTime).integer(2, step);
  if ("isFirst" in content) event.string(3, "brain.Event:2");
  else if ("isStart" in content) event.message(7, (log) => void log.integer(1, 1));
  else {
    event.message(5, (summary) => {
      for (const [tag, value] of Object.entries(content.scalars)) {
        summary.message(1, (entry) => void entry.string(1, tag).float(2, value));
      }
    });
  }
  return recordOf(event.finish());
}
