/**
 * `ferrotype batch`: many requests from a file, answered on this machine or on many.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import { loadChatTemplate } from "../../mod.ts";
import { onStop, startHash, stopStatus } from "../../src/platform/platform.ts";
import { type Answer, answersIn, Records } from "../batch/records.ts";
import { type BatchRequest, readRequests } from "../batch/requests.ts";
import { type Command, UsageError, type Values } from "../command.ts";
import { localTurns, queueTurns, type Turns } from "../batch/turns.ts";
import { bundledModel, deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, LiveLine, note, printJson } from "../output.ts";
import { addressFrom, queueIdle, queueOptions } from "../queue/address.ts";
import { WorkQueue } from "../queue/queue.ts";
import { problemOf, Service } from "../serve/service.ts";
import { shareOf, shareOption } from "../share.ts";
import { readText } from "../text.ts";

/** Answers one request; what is wrong with it is its answer. */
async function answer(
  service: Service,
  { id, url, body }: BatchRequest,
  signal: AbortSignal,
): Promise<Answer> {
  const own = new AbortController(), leave = (): void => own.abort();
  signal.addEventListener("abort", leave, { once: true });
  const reply = (status_code: number, body: unknown): Answer => ({
    id: `batch_req_${id}`,
    custom_id: id,
    response: { status_code, request_id: id, body },
    error: null,
  });
  try {
    const read = url === "/v1/completions" ? service.completion : service.chat;
    const work = await read.call(service, body, "batch", own.signal);
    return reply(200, await service.whole(work, own.signal));
  } catch (error) {
    leave();
    if (signal.aborted) throw error;
    const problem = problemOf(error);
    return reply(problem.status, problem.body);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** What the queue is told that it holds. */
async function digestOf(requests: readonly BatchRequest[]): Promise<string> {
  const hash = startHash("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify(requests)));
  return await hash.digest();
}

/** Answers what this worker gets of `requests`, and tells. */
async function work(
  values: Values,
  out: string,
  requests: readonly BatchRequest[],
  queue: WorkQueue | null,
): Promise<number> {
  const ids = requests.map(({ id }) => id), asks = values.flag("status");
  if (queue) {
    const own = JSON.stringify({ batch: await digestOf(requests), requests: ids.length });
    const found = asks ? await queue.read("batch") ?? own : await queue.begin("batch", own);
    if (found !== own) {
      throw new UsageError(
        `batch: ${queue.where} holds other requests; give --queue-name another, or -o another folder`,
      );
    }
  }
  const { index, count } = (asks || queue ? null : shareOf("batch", values.text("share"))) ??
    { index: 0, count: 1 };
  const name = queue && !asks ? `queue-${await queue.number()}` : String(index);
  const records = new Records(out, name, queue && answersIn(queue));
  const tell = async (): Promise<void> => {
    await records.refresh();
    const done = ids.filter((id) => records.has(id)).length;
    const finished = done === ids.length, output = finished ? records.output : null;
    if (values.flag("json")) {
      await printJson({ out, requests: ids.length, answered: done, finished, output });
    } else await note(`${done} of ${counted(ids.length, "request")} answered; ${output ?? out}`);
  };
  await records.open();
  await records.refresh();
  if (asks) {
    // What is elsewhere comes into the folder.
    if (queue) await records.finish(ids);
    await tell();
    return 0;
  }
  const controller = new AbortController(), { signal } = controller;
  const remove = onStop(() => controller.abort()), line = new LiveLine();
  try {
    const mine = requests.filter(({ id }, i) => (queue || i % count === index) && !records.has(id));
    if (queue) {
      await records.publish();
      if (mine.length > 0) await queue.join();
    }
    if (mine.length > 0) {
      const turns = queue ? queueTurns(queue, requests, records, signal) : localTurns(mine);
      await answerAll(values, turns, records, signal, async (done) => {
        await line.show(queue ? `${done} answered here` : `${done} of ${mine.length}`);
      });
      await line.end();
    }
    if (!signal.aborted) await records.finish(ids);
    await tell();
    return signal.aborted ? stopStatus() : 0;
  } finally {
    remove();
  }
}

/** Loads the model, and answers what comes, as much at a time as is computed together. */
async function answerAll(
  values: Values,
  turns: Turns,
  records: Records,
  signal: AbortSignal,
  onDone: (done: number) => Promise<void>,
): Promise<void> {
  const { model, name } = await loadModel(values, signal);
  if (!model.tokenizer) {
    throw new UsageError(`${name} has no tokenizer, and requests are texts; add its tokenizer.json`);
  }
  const template = await loadChatTemplate(values.text("model") ?? bundledModel);
  const maxBatch = values.number("max-batch") ?? 16;
  // A request may ask for several texts, which wait for their turn.
  const service = new Service({
    ...{ model, name: values.text("name") ?? name, template, maxBatch, maxQueue: 1 << 20, maxTexts: 4096 },
  });
  let done = 0;
  const worker = async (): Promise<void> => {
    while (!signal.aborted) {
      const turn = await turns.next();
      if (turn === null) return;
      try {
        await records.add(await answer(service, turn.request, signal));
      } catch (error) {
        // What went wrong first is said.
        await turn.giveBack().catch(() => {});
        throw error;
      }
      await turn.done();
      await onDone(++done);
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(maxBatch, turns.most) }, worker));
  const failed = ended.find((one) => one.status === "rejected");
  if (failed && !signal.aborted) throw failed.reason;
  model.dispose();
}

/** The command. */
export const batch: Command = {
  name: "batch",
  usage: "INPUT.jsonl -o DIR [options]",
  summary: "Answers the requests of a file in OpenAI's batch format, alone or as one of many workers.",
  details:
    'A line is {"custom_id", "method": "POST", "url": "/v1/completions" or "/v1/chat/completions", "body"}. Answers go to\n' +
    "DIR/part-I.jsonl as they come, and, once all are there, in the order of the input to DIR/output.jsonl, each once. What DIR\n" +
    "holds is not asked again: a worker that was killed is started again with the same line.\n" +
    "Workers of an array (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX with JOB_COMPLETIONS, or --share) take every Nth request; those\n" +
    "of a --queue take the next one, and what another was at when it died; each then writes all answers to its DIR, shared or not.\n" +
    "An answer that is an error is one with its status_code; the exit status is 0 when all of this worker's are answered.",
  positionals: [1, 1],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required); workers share it" },
    share: shareOption("answers every Nth request"),
    ...queueOptions("requests"),
    "max-batch": { value: "N", kind: whole(1, 256), help: "texts computed together (default 16)" },
    name: { value: "NAME", help: "the model's name in requests (default: as given with --model)" },
    status: { help: "tell how many are answered, and answer none" },
    ...modelOptions,
  },
  idle: [
    ...deviceIdle,
    ...queueIdle,
    {
      option: [...Object.keys(modelOptions), "max-batch", "share", "name"],
      when: ({ status }) => status === true,
      because: "--status answers none",
    },
  ],
  async run(values, [path]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("batch: say where to write with -o DIR");
    const requests = readRequests(await readText(path), path), address = addressFrom("batch", values, out);
    const queue = address && await WorkQueue.open(address);
    try {
      return await work(values, out, requests, queue);
    } finally {
      await queue?.close();
    }
  },
};
