/**
 * Requests of `/v1/embeddings`, read strictly, and vectors in the form of OpenAI's API.
 *
 * @module
 */
import { counted, show } from "../../src/core/show.ts";
import { fields, routes } from "./fields.ts";
import { parseBody } from "./json_body.ts";
import { checkNames, isNothing } from "./nested.ts";
import { Problem } from "./problem.ts";
import type { Prompt } from "./request.ts";
import { type Body, complaint, unhonoured } from "./unhonoured.ts";

/** What a request asks for. */
export interface EmbeddingsAsked {
  readonly model: string | null;
  readonly input: readonly Prompt[];
  readonly isBase64: boolean;
}

const names = ["model", "input", "encoding_format", "dimensions", "user", "safety_identifier"];

function fail(param: string, message: string): never {
  throw new Problem(400, message, param);
}

/** @throws {Problem} for a field that changes something and cannot be honoured, as the other routes have it. */
function checkOthers(body: Body, contextLength: number): void {
  for (const [name, value] of Object.entries(body)) {
    if (isNothing(value) || names.includes(name)) continue;
    if (Object.hasOwn(unhonoured, name)) {
      const why = complaint(name, value, body, "embeddings", contextLength);
      if (why !== null) fail(name, `${name} cannot be honoured: ${why}`);
    } else if (Object.hasOwn(fields, name)) {
      const { only, none, isNeutral } = fields[name];
      if (value === none || isNeutral?.(value, body)) continue;
      fail(name, `${name} belongs to ${only ? routes[only] : `${routes.completions} and ${routes.chat}`}`);
    } else checkNames(routes.embeddings, { [name]: value }, names);
  }
}

/** Reads a body. @throws {Problem} for one that cannot be honoured. */
export function readEmbeddings(
  text: string,
  { vocabSize, width, mostTexts, contextLength }: {
    vocabSize: number;
    width: number;
    mostTexts: number;
    contextLength: number;
  },
): EmbeddingsAsked {
  const body = parseBody(text), { model = null, input = null, encoding_format: format = null } = body;
  checkOthers(body, contextLength);
  const { dimensions = null, user = null, safety_identifier: identifier = null } = body;
  if (model !== null && typeof model !== "string") fail("model", `model is ${show(model)}, expected a text`);
  if (user !== null && typeof user !== "string") fail("user", `user is ${show(user)}, expected a text`);
  if (identifier !== null && typeof identifier !== "string") {
    fail("safety_identifier", `safety_identifier is ${show(identifier)}, expected a text`);
  }
  if (format !== null && format !== "float" && format !== "base64") {
    fail("encoding_format", `encoding_format is ${show(format)}, expected "float" or "base64"`);
  }
  if (dimensions !== null && dimensions !== width) {
    fail("dimensions", `dimensions cannot be honoured: this model's vectors have ${width}; leave it out`);
  }
  const isIds = (x: unknown): boolean =>
    Array.isArray(x) && x.length > 0 &&
    x.every((id) => Number.isInteger(id) && id >= 0 && id < vocabSize);
  const list = typeof input === "string" || isIds(input) ? [input] : input;
  const isPrompt = (x: unknown): boolean => (typeof x === "string" && x !== "") || isIds(x);
  if (!Array.isArray(list) || list.length === 0 || !list.every(isPrompt)) {
    fail("input", `input is a text that is not empty, token ids below ${vocabSize}, or a list of such`);
  }
  if (list.length > mostTexts) {
    fail(
      "input",
      `input has ${counted(list.length, "text")}: a request has at most ${mostTexts} (--max-texts)`,
    );
  }
  return { model: model as string | null, input: list as Prompt[], isBase64: format === "base64" };
}

/** A vector as a list, or as the base64 of its little-endian f32. */
export function vectorAs(vector: Float32Array, isBase64: boolean): string | number[] {
  if (!isBase64) return Array.from(vector);
  const bytes = new Uint8Array(vector.slice().buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}
