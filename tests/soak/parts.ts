/**
 * A round of an accelerated day: a model is loaded and writes, one is trained, stopped and taken up again, and one is served
 * over HTTP on loopback to clients that ask well, ask badly, and hang up. Everything is the real thing, and given back at the
 * end; what a round does follows from its seed.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CharTokenizer,
  CheckpointManager,
  Generator,
  GPT2,
  openSafetensors,
  optim,
  randomBatches,
  type ResponseFormat,
  setThreads,
  tidy,
  Trainer,
} from "../../mod.ts";
import { bundled, byteModel, withServer } from "../_serve.ts";

/** How much was done. */
export interface Work {
  /** Tokens written. */
  tokens: number;
  /** Steps trained. */
  steps: number;
  /** Requests that were asked, those that were refused or given up included. */
  requests: number;
}

/** Part of a round. @throws {Error} where it does not give what it should. */
export type Part = (random: Generator, work: Work) => Promise<void>;

const letters = "abcdefghijklmnopqrstuvwxyz .\n";

function words(random: Generator, length: number): string {
  return Array.from({ length }, () => letters[random.integer(0, letters.length)]).join("");
}

function schema(random: Generator): Record<string, unknown> {
  const properties = Array.from({ length: random.integer(1, 4) }, (_, i) => [
    `${letters[random.integer(0, 26)]}${i}`,
    [{ type: "boolean" }, { type: "integer" }, { type: "string", maxLength: random.integer(1, 9) }, {
      enum: ["x", 3],
    }][random.integer(0, 4)],
  ]);
  const required = properties.map(([name]) => name);
  return {
    type: "object",
    properties: Object.fromEntries(properties),
    required,
    additionalProperties: false,
  };
}

const generate: Part = async (random, work) => {
  using model = await GPT2.load(bundled);
  const prompt = `ROMEO:\n${words(random, random.integer(1, 40))}`, seed = random.integer(0, 2 ** 31);
  const options = [
    { temperature: 0 },
    { temperature: 0.8, topK: 20, seed },
    { topP: 0.9, minP: 0.02, repetitionPenalty: 1.1, seed, doSample: true },
    { numBeams: 3 },
    { stop: ["the", "\n\n"], doSample: true, seed },
  ];
  for (const given of options) {
    await model.complete(prompt, {
      ...given,
      maxNewTokens: random.integer(1, 24),
      onToken: () => void work.tokens++,
    });
  }
  // A text that its reader leaves, and one that is called off.
  for await (const _ of model.generate(prompt, { maxNewTokens: 50, doSample: true, seed })) {
    work.tokens++;
    if (random.uniform() < 0.3) break;
  }
  const controller = new AbortController();
  let failed = false;
  try {
    const onToken = (): void => void (++work.tokens % 5 === 0 && controller.abort());
    await model.complete(prompt, { maxNewTokens: 50, signal: controller.signal, onToken });
  } catch (error) {
    failed = (error as Error).name === "CancelledError";
    if (!failed) throw error;
  }
  if (!failed) throw new Error("a text that was called off was written to its end");
};

const train: Part = async (random, work) => {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-soak-"));
  try {
    const text = Array.from({ length: 60 }, () => words(random, 1 + random.integer(0, 9))).join(" the ");
    const tokenizer = CharTokenizer.from(text), ids = Int32Array.from(tokenizer.encode(text));
    const steps = 4 + random.integer(0, 5), stop = 1 + random.integer(0, steps - 1);
    const sizes = {
      nLayer: 2,
      nHead: 2,
      nEmbd: 16,
      nPositions: 16,
      vocabSize: tokenizer.vocabSize,
      residPdrop: 0.1,
    };
    const checkpoints = new CheckpointManager(join(folder, "checkpoints"));
    const losses: (number | null)[] = [];
    for (const stopAfter of [stop, steps]) {
      using model = new GPT2(sizes);
      model.tokenizer = tokenizer;
      using optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 });
      const data = randomBatches(ids, { batchSize: 4, blockSize: 16, seed: random.integer(0, 1000) });
      const evalData = (): Promise<number> => tidy(() => model.loss([Array.from(ids.slice(0, 16))]).item());
      const trainer = new Trainer({
        model,
        optimizer,
        data,
        steps,
        stopAfter,
        checkpoints,
        clip: 1,
        evalData,
      });
      await trainer.resume();
      const { step, loss } = await trainer.run();
      losses.push(loss);
      if (stopAfter === steps && step !== steps) throw new Error(`${step} steps instead of ${steps}`);
      await model.save(join(folder, "model"));
    }
    if (!losses.every((loss) => Number.isFinite(loss))) throw new Error(`losses are ${losses}`);
    work.steps += steps;
    await using file = await openSafetensors(join(folder, "model", "model.safetensors"));
    (await file.tensor(file.names[random.integer(0, file.names.length)])).dispose();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

interface Asked {
  body: string;
  status: number;
  headers?: Record<string, string>;
  /** Hangs up after so many pieces of the answer. */
  leaveAfter?: number;
}

/** Asks on a connection of its own. */
function ask(url: string, { body, status, headers, leaveAfter = Infinity }: Asked): Promise<void> {
  return new Promise((resolve, reject) => {
    const all = { "Content-Type": "application/json", Connection: "close", ...headers };
    const asked = request(url, { method: "POST", agent: false, headers: all }, (answer) => {
      let pieces = 0, text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (++pieces >= leaveAfter) asked.destroy();
      });
      answer.on("error", () => {});
      answer.on("close", () => {
        if (answer.statusCode === status) resolve();
        else {reject(
            new Error(`${answer.statusCode} instead of ${status} for ${body.slice(0, 200)}: ${text}`),
          );}
      });
    });
    asked.on("error", (error) => leaveAfter === Infinity ? reject(error) : resolve());
    asked.end(body);
  });
}

const serve: Part = async (random, work) => {
  using model = byteModel(200);
  await withServer({ name: "bytes" }, async (server) => {
    const url = `${server.url}/v1/completions`, asks: Asked[] = [];
    const body = (fields: object): string =>
      JSON.stringify({ prompt: words(random, 1 + random.integer(0, 30)), max_tokens: 12, ...fields });
    const format = (): ResponseFormat =>
      ({ type: "json_schema", json_schema: { name: "x", schema: schema(random) } }) as ResponseFormat;
    for (let i = 0; i < 3; i++) {
      const seed = random.integer(0, 2 ** 31);
      asks.push(
        { body: body({ temperature: 0 }), status: 200 },
        { body: body({ seed, stream: true, stream_options: { include_usage: true } }), status: 200 },
        { body: body({ seed, n: 3, logprobs: 2 }), status: 200 },
        { body: body({ response_format: format(), max_tokens: 60 }), status: 200 },
        { body: body({ stream: true, max_tokens: 150 }), status: 200, leaveAfter: 1 + random.integer(0, 6) },
      );
    }
    asks.push(
      { body: body({ temperature: -1 }), status: 400 },
      {
        body: body({
          response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "no" } } },
        }),
        status: 400,
      },
      { body: "{", status: 400 },
      { body: body({ prompt: "x".repeat(70_000) }), status: 413 },
      { body: body({}), status: 403, headers: { Host: "rebound.example" } },
      { body: body({}), status: 403, headers: { Origin: "https://elsewhere.example" } },
      { body: body({}), status: 415, headers: { "Content-Type": "text/plain" } },
    );
    await Promise.all(asks.map((asked) => ask(url, asked)));
    work.requests += asks.length;
  }, model);
};

/** All parts, by name. */
export const parts: Readonly<Record<string, Part>> = { generate, train, serve };

/** Round number `index` of `seed`: each part, on two threads; the second one has ended when it resolves. */
export async function round(seed: number, index: number, work: Work): Promise<void> {
  setThreads(2);
  for (const [i, part] of Object.values(parts).entries()) {
    await part(new Generator(seed + 3 * index + i), work);
  }
  setThreads(1);
}
