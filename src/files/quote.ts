/**
 * Text of a file in a message.
 *
 * @module
 */

/** `text` in quotes, cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 97)}...` : text);
}
