/**
 * What a visitor chose on the page, and as the part of an address after #.
 *
 * @module
 */
import { bytesToText, textToBytes } from "../shared/base64.ts";
import { texts } from "./texts.ts";

/** Least, most and step of each number. The rate is a hundred times its decimal logarithm. */
export const ranges = {
  layers: [1, 4, 1],
  width: [16, 128, 16],
  context: [16, 128, 16],
  steps: [50, 2000, 50],
  rate: [-400, -100, 10],
  seed: [1, 99, 1],
} as const satisfies Record<string, readonly [number, number, number]>;

/** A number for each slider. */
export type Settings = Record<keyof typeof ranges, number>;

/** The longest text of one's own that goes into a link, in UTF-16 units. */
export const longestShared = 2000;

/** The largest model that goes into a link, in weights: two bytes each, and browsers and servers take such addresses. */
export const mostShared = 40_000;

/** What an address says. */
export interface Shared {
  readonly settings: Settings;
  /** The name of a text that is there to choose. */
  readonly choice: string;
  /** A text of the visitor's own, in place of the chosen one. */
  readonly text: string | null;
  /** A model's weights as the bits of 16-bit floating-point numbers, in the order of its parameters. */
  readonly model: Uint16Array<ArrayBuffer> | null;
  /** Names in the address that say nothing, or something that cannot be. */
  readonly ignored: readonly string[];
}

/** Reads an address; what it lacks, or gets wrong, is as at the beginning. */
export function fromHash(hash: string): Shared {
  const settings: Settings = { layers: 2, width: 64, context: 64, steps: 300, rate: -250, seed: 1 };
  let choice = Object.keys(texts)[0],
    text: string | null = null,
    model: Uint16Array<ArrayBuffer> | null = null;
  const ignored: string[] = [];
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (Object.hasOwn(ranges, name)) {
      const key = name as keyof Settings, [least, most, step] = ranges[key], number = Number(value || NaN);
      if (number >= least && number <= most && (number - least) % step === 0) {
        settings[key] = number;
        continue;
      }
    } else if (name === "choice" && Object.hasOwn(texts, value)) {
      choice = value;
      continue;
    } else if (name === "text" && value !== "" && value.length <= longestShared) {
      text = value;
      continue;
    }
    if (name === "model") {
      const bytes = value === "" ? null : textToBytes(value);
      if (bytes !== null && bytes.length % 2 === 0 && bytes.length <= 2 * mostShared) {
        model = new Uint16Array(bytes.buffer);
        continue;
      }
    }
    ignored.push(name.slice(0, 20));
  }
  return { settings, choice, text, model, ignored };
}

/** Whether a link can say which text it is; without it nobody knows a model's letters. */
export function isShareable(choice: string, text: string): boolean {
  return text.length <= longestShared || text === texts[choice]();
}

/** The address of settings, a text and a model; a text of the visitor's own is left out where it is too long. */
export function toHash(
  settings: Settings,
  choice: string,
  text: string,
  model: Uint16Array<ArrayBuffer> | null = null,
): string {
  const query = new URLSearchParams({ choice });
  for (const [name, value] of Object.entries(settings)) query.set(name, String(value));
  if (text !== "" && text.length <= longestShared && text !== texts[choice]()) query.set("text", text);
  if (model !== null) query.set("model", bytesToText(new Uint8Array(model.buffer)));
  return query.toString();
}
