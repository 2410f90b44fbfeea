/**
 * Fine-tuning data from a file of JSON lines, for a model: its tokenizer, and for conversations its chat template.
 *
 * @module
 */
import { demand, demandNoMore } from "../../core/demand.ts";
import type { ByteSource } from "../../core/byte_source.ts";
import { FerrotypeError, FormatError, OptionError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../../core/options.ts";
import { counted } from "../../core/show.ts";
import { type Openable, openBytes, openSource, startHash } from "../../platform/platform.ts";
import { type EncodedExample, leastRow } from "../../train/examples/batch.ts";
import type { EncodedPreference } from "../../train/examples/preferences.ts";
import { Growing, Lines } from "../../train/examples/lines.ts";
import { type ExampleRecord, recordIn } from "../../train/examples/record.ts";
import { type ChatTemplate, templateOf } from "../chat_template.ts";
import type { TextModel } from "../text_model.ts";
import { encodeExample, encodePreference, type Encoder } from "./encode.ts";

/**
 * Options of {@link openExamples}.
 *
 * @category Training
 */
export interface ExamplesOptions {
  /** The model that is to learn, whose tokenizer reads the texts. */
  model: TextModel;
  /** Whether prompts and what users say are learned too. Default false: completions and answers alone. */
  trainOnPrompt?: boolean;
  /** Writes conversations. Default: the model's own. */
  chatTemplate?: ChatTemplate;
  /** Hears how many bytes of the file were gone through, of how many: texts are encoded meanwhile, which takes its time. */
  onProgress?: (progress: { readonly loaded: number; readonly total: number }) => void;
  /** Stops going through the file, with a CancelledError. */
  signal?: AbortSignal;
}

const examplesOptions: OptionTable<ExamplesOptions> = {
  model: required(kinds.like("a model with a tokenizer, as CausalLM.load gives it", "tokenizer", "family")),
  trainOnPrompt: kinds.flag,
  chatTemplate: kinds.callback,
  onProgress: kinds.callback,
  signal: kinds.abortSignal,
};

/**
 * Examples in a file.
 *
 * @category Training
 */
export class Examples<T> {
  /** The digest of the whole file. */
  readonly sha256: string;
  /** How many. */
  readonly length: number;
  readonly #lines: Lines;
  readonly #least: Growing;
  readonly #first: number;
  readonly #read: (i: number) => T;

  /**
   * Those from `first` on; `least` has the smallest row in which each of the file has something to learn.
   * @internal
   */
  constructor(lines: Lines, least: Growing, first: number, length: number, read: (i: number) => T) {
    demandNoMore(arguments, 5, "Examples");
    this.sha256 = lines.sha256;
    this.length = length;
    this.#lines = lines;
    this.#least = least;
    this.#first = first;
    this.#read = read;
  }

  /** Whether any of them, cut to rows of `blockSize` predictions, has something left to learn. No line is read for it. */
  fit(blockSize: number): boolean {
    demandNoMore(arguments, 1, "Examples.fit");
    demand(
      "Examples.fit",
      "blockSize",
      blockSize,
      kinds.whole(1).accepts(blockSize),
      "a whole number from 1",
    );
    for (let i = 0; i < this.length; i++) if (this.#least.at(this.#first + i) <= blockSize) return true;
    return false;
  }

  /**
   * The ids of example `i`, read from the file.
   * @throws {FormatError} naming its line.
   */
  at(i: number): T {
    return this.#read(this.#first + i);
  }

  /** What to call example `i` in a message: the file and its line. */
  where(i: number): string {
    return this.#lines.where(this.#first + i);
  }

  /** Those from `from` to before `to`, in the order of the file. They share the file, which is closed once. */
  slice(from: number, to: number = this.length): Examples<T> {
    const end = Math.min(to, this.length), start = Math.min(Math.max(0, from), end);
    return new Examples(this.#lines, this.#least, this.#first + start, end - start, this.#read);
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#lines.close();
  }
}

/** Runs `f`; what goes wrong in it names the line. */
function atLine<T>(where: string, f: () => T): T {
  try {
    return f();
  } catch (error) {
    if (!(error instanceof FerrotypeError) || error.message.startsWith(where)) throw error;
    throw new FormatError(`${where}: ${error.message}`, { cause: error });
  }
}

/** What is taken into memory whole where reading means waiting (a Blob of a page, an address), in bytes. */
const mostInMemory = 2 ** 30;

/** Opens what can be read without waiting, or what is small enough to become that. */
async function openNow(where: Openable): Promise<ByteSource & Required<Pick<ByteSource, "readSync">>> {
  const source = await openSource(where);
  if (source.readSync) return source as never;
  try {
    if (source.size > mostInMemory) {
      throw new FormatError(
        `${source.name} has ${
          counted(source.size, "byte")
        }, and what cannot be read without waiting, such as an address, is taken into ` +
          `memory whole, up to ${mostInMemory}; give a file of this machine`,
      );
    }
    return openBytes(await source.read(0, source.size), source.name) as never;
  } finally {
    await source.close();
  }
}

/** How the lines of a file become examples, and the smallest row in which one has something to learn. */
interface Form<R extends ExampleRecord, T> {
  readonly kinds: readonly R["kind"][];
  readonly encode: (encoder: Encoder, record: R, where: string) => T;
  readonly least: (example: T) => number;
}

/** A file gone through, each of whose lines was encoded once: what cannot be is named before anything begins. */
async function openLines<R extends ExampleRecord, T>(
  what: string,
  where: Openable,
  options: ExamplesOptions,
  { kinds, encode, least }: Form<R, T>,
): Promise<Examples<T>> {
  const { model, trainOnPrompt = false, chatTemplate, signal, onProgress } = checkOptions(
    what,
    options,
    examplesOptions,
  );
  const { tokenizer } = model;
  if (!tokenizer) throw new OptionError(`${what}: the model has no tokenizer; set model.tokenizer`);
  const template = chatTemplate ?? await templateOf(model);
  const encoder: Encoder = { tokenizer, template, trainOnPrompt }, rows = new Growing();
  const encoded = (record: ExampleRecord, where: string): T =>
    atLine(where, () => encode(encoder, record as R, where));
  const lines = await Lines.open(await openNow(where), startHash("sha256"), (value, name) => {
    const record = recordIn(value, name, kinds), parts = Object.values(record).some(Array.isArray);
    if (parts && !template) {
      throw new FormatError(
        `${name} has messages, and the model came with no chat template to write them with; write texts, or give chatTemplate`,
      );
    }
    if (
      record.kind === "chat" && !trainOnPrompt && !record.messages.some(({ role }) => role === "assistant")
    ) {
      throw new FormatError(`${name}: no message is the assistant's, so there is nothing to learn`);
    }
    rows.push(least(encoded(record, name)));
  }, { signal, onProgress });
  if (lines.length > 0) {
    return new Examples(lines, rows, 0, lines.length, (i) => {
      const { value, where } = lines.at(i);
      return encoded(recordIn(value, where, kinds), where);
    });
  }
  await lines.close();
  throw new FormatError(`${lines.name} is empty; there is nothing to learn from`);
}

/**
 * Opens fine-tuning data: JSON lines, each `{"text"}`, `{"prompt", "completion"}` (texts, or lists of messages) or `{"messages"}`,
 * with `"tools"` beside messages. A completion, an answer or a text is learned; what it answers is read. Behind a text and a
 * completion the end of a text is learned, where the tokenizer has one; conversations are written by the model's chat template.
 *
 * Every line is read and encoded once, and then again when its turn comes, so the file may be larger than memory; of a Blob or an
 * address, which cannot be read without waiting, the whole is taken into it.
 *
 * @example
 * ```ts
 * const examples = await openExamples(file, { model }); // a path, a URL, bytes
 * const data = exampleBatches(examples, { batchSize: 8, blockSize: 512, pack: true, seed: 1 });
 * const trainer = new Trainer({ model, data, loss: (batch) => batch.loss(model), optimizer, steps });
 * ```
 * @throws {FormatError} naming the first line that is none of these, that the template refuses, or that the tokenizer has no tokens for.
 * @throws {OptionError} for a model without a tokenizer.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @throws {CancelledError} by `signal`.
 * @category Training
 */
export async function openExamples(
  where: Openable,
  options: ExamplesOptions,
): Promise<Examples<EncodedExample>> {
  demandNoMore(arguments, 2, "openExamples");
  return await openLines("openExamples", where, options, {
    kinds: ["text", "completion", "chat"],
    encode: encodeExample,
    least: leastRow,
  });
}

/**
 * Opens preferences: JSON lines `{"prompt", "chosen", "rejected"}`, all of them texts or all lists of messages (with `"tools"` beside
 * them), which the model's chat template writes. Otherwise as {@link openExamples}.
 *
 * @throws {FormatError} naming the first line that is none, that the template refuses, or that the tokenizer has no tokens for.
 * @throws {OptionError} for a model without a tokenizer.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @throws {CancelledError} by `signal`.
 * @category Training
 */
export async function openPreferences(
  where: Openable,
  options: Omit<ExamplesOptions, "trainOnPrompt">,
): Promise<Examples<EncodedPreference>> {
  demandNoMore(arguments, 2, "openPreferences");
  checkOptions("openPreferences", options, preferenceOptions);
  return await openLines("openPreferences", where, options, {
    kinds: ["preference"],
    encode: encodePreference,
    least: ({ chosen, rejected }) => Math.max(leastRow(chosen), leastRow(rejected)),
  });
}

const { trainOnPrompt: _, ...preferenceOptions } = examplesOptions;
