/**
 * The input of a batch, as OpenAI writes it: a request a line.
 *
 * @module
 */
import { FormatError } from "../../mod.ts";
import { show } from "../../src/core/show.ts";

/** Where a request goes. */
export type BatchUrl = "/v1/completions" | "/v1/chat/completions";

/** One request. */
export interface BatchRequest {
  readonly id: string;
  readonly url: BatchUrl;
  /** Its body, as text. */
  readonly body: string;
}

/**
 * The requests of a text. @throws {FormatError} naming the line that is none, and one whose custom_id was there before.
 */
export function readRequests(text: string, path: string): BatchRequest[] {
  const found: BatchRequest[] = [], lines = new Map<string, number>();
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const where = `${path}, line ${i + 1}`;
    let value: Record<string, unknown>;
    try {
      value = JSON.parse(line);
    } catch {
      throw new FormatError(`${where} is not JSON, expected {"custom_id", "method": "POST", "url", "body"}`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new FormatError(`${where} is ${show(value)}, expected an object with custom_id, url and body`);
    }
    const { custom_id: id, method = "POST", url, body } = value;
    if (typeof id !== "string" || id === "") {
      throw new FormatError(`${where}: custom_id is ${show(id)}, expected a text that names the request`);
    }
    if (lines.has(id)) {
      throw new FormatError(
        `${where}: custom_id ${show(id)} is that of line ${lines.get(id)} too; each needs its own`,
      );
    }
    if (method !== "POST") throw new FormatError(`${where}: method is ${show(method)}, expected "POST"`);
    if (url !== "/v1/completions" && url !== "/v1/chat/completions") {
      throw new FormatError(
        `${where}: url is ${show(url)}, expected "/v1/completions" or "/v1/chat/completions"`,
      );
    }
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      throw new FormatError(`${where}: body is ${show(body)}, expected the object that one would post`);
    }
    if ((body as { stream?: unknown }).stream) {
      throw new FormatError(`${where}: body.stream is of no use in a batch; leave it out`);
    }
    lines.set(id, i + 1);
    found.push({ id, url, body: JSON.stringify(body) });
  });
  return found;
}
