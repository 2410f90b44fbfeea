/**
 * Bytes as letters that an address may hold.
 *
 * @module
 */

/** Bytes as Base64 for addresses. */
export function bytesToText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** What {@link bytesToText} wrote, in a buffer of its own; null for another text. */
export function textToBytes(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]*$/.test(text)) return null;
  try {
    return Uint8Array.from(
      atob(text.replaceAll("-", "+").replaceAll("_", "/")),
      (letter) => letter.charCodeAt(0),
    );
  } catch {
    return null; // a length that Base64 does not have
  }
}
