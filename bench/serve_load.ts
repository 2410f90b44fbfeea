/**
 * The server under load: `node bench/serve_load.ts` (or `bun`, `deno run -A`), with
 *
 * | option | |
 * |---|---|
 * | `--seconds N` | so long with all clients at once (default 600) |
 * | `--clients N` | how many they are (default 32) |
 * | `--model DIR\|gpt2` | what is served: a folder, or a GPT-2 124M of random weights (default: the bundled model) |
 * | `--tokens N` | new tokens of a request (default 64) |
 * | `--asks N` | how many different requests there are (default 64) |
 * | `--threads N` | the server's threads (default: all) |
 * | `--rounds N` | rounds in which one client and eight take turns (default 7) |
 * | `--turn SECONDS` | how long a turn is (default 3) |
 * | `--json` | one JSON object on standard output, the rest on standard error |
 *
 * `ferrotype serve` runs in a process of its own, and so do the clients: every request is a stream over HTTP on loopback.
 * Each of the different requests is first answered alone; later, beside whatever neighbours, it must give the same text. The
 * exit status is 1 when a request fails or gives another text, or when memory grows.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { ensurePackages } from "../tests/_install.ts";
import { type Answer, type Ask, Client } from "./load/client.ts";
import { gpt2WithTokenizer, ServerProcess } from "./load/server.ts";
import { median } from "./harness.ts";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    clients: { type: "string", default: "32" },
    model: { type: "string" },
    tokens: { type: "string", default: "64" },
    asks: { type: "string", default: "64" },
    threads: { type: "string" },
    rounds: { type: "string", default: "7" },
    turn: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});

ensurePackages();

/** Prompts of 4 to 40 letters, every other one greedy. */
const asks: readonly Ask[] = Array.from({ length: Number(options.asks) }, (_, i) => ({
  prompt: "First Citizen:\nBefore we proceed any further, hear me speak.".slice(i % 9, i % 9 + 4 + i % 37),
  tokens: Number(options.tokens),
  seed: i % 2 ? i : null,
}));
const alone: (string | undefined)[] = [];
const errors: string[] = [];
let turn = 0;

/** Asks the next request until `isOver`. */
async function work(client: Client, answers: Answer[], isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const which = turn++ % asks.length;
    try {
      const answer = await client.ask(asks[which]);
      answers.push(answer);
      if (answer.text !== (alone[which] ??= answer.text)) {
        throw new Error(
          `request ${which} gives another text than alone: ${JSON.stringify([alone[which], answer.text])}`,
        );
      }
    } catch (error) {
      errors.push(String(error));
      // A server that is gone answers at once, and for ever.
      if (errors.length >= 100) return;
    }
  }
}

/** `count` clients for so many seconds. */
async function load(
  client: Client,
  count: number,
  seconds: number,
): Promise<{ answers: Answer[]; rate: number }> {
  const answers: Answer[] = [], started = performance.now();
  const isOver = (): boolean => performance.now() - started >= 1e3 * seconds;
  await Promise.all(Array.from({ length: count }, () => work(client, answers, isOver)));
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
  return { answers, rate: 1e3 * tokens / (performance.now() - started) };
}

function share(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))];
}

const seconds = Number(options.seconds), clients = Number(options.clients);
const folder = options.model === "gpt2" ? await gpt2WithTokenizer() : options.model;
const server = await ServerProcess.start([
  ...folder === undefined ? [] : ["--model", folder],
  ...options.threads === undefined ? [] : ["--threads", options.threads],
]);
const client = new Client(server.url);

for (let i = 0; i < asks.length; i++) {
  let asked = false;
  await work(client, [], () => asked || !(asked = true));
}
const rates: { one: number; eight: number }[] = [];
for (let round = 0; round < Number(options.rounds); round++) {
  const one = (await load(client, 1, Number(options.turn))).rate;
  rates.push({ one, eight: (await load(client, 8, Number(options.turn))).rate });
  console.error(`round ${round + 1}: ${one.toFixed(0)} and ${rates[round].eight.toFixed(0)} tokens/s`);
}
const memory: number[] = [];
const sampler = setInterval(() => memory.push(server.memory()), 1e3);
const { answers, rate } = await load(client, clients, seconds);
clearInterval(sampler);
memory.push(server.memory());
client.close();
const status = await server.stop();

// What is taken while everything is done for the first time is no growth.
const half = memory.slice(memory.length >> 2), quarter = Math.max(1, half.length >> 2);
const early = median(half.slice(0, quarter)), late = median(half.slice(-quarter));
const isFlat = half.length < 8 || late < 1.1 * early + 16e6;
const firsts = answers.map(({ first }) => first), wholes = answers.map(({ whole }) => whole);
const result = {
  clients,
  seconds,
  requests: answers.length,
  errors: errors.length,
  tokens_per_second: rate,
  first_token_ms: { p50: share(firsts, 0.5), p99: share(firsts, 0.99) },
  request_ms: { p50: share(wholes, 0.5), p99: share(wholes, 0.99) },
  memory: { early, late, most: Math.max(...memory), is_flat: isFlat },
  one_client_tokens_per_second: median(rates.map(({ one }) => one)),
  eight_clients_tokens_per_second: median(rates.map(({ eight }) => eight)),
  eight_to_one: median(rates.map(({ one, eight }) => eight / one)),
  exit_status: status,
};
if (options.json) console.log(JSON.stringify(result));
else console.error(JSON.stringify(result, null, 2));
for (const error of errors.slice(0, 5)) console.error(error);
process.exit(errors.length || !isFlat || status !== 0 ? 1 : 0);
