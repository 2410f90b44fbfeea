/**
 * `ferrotype batch`: many requests from a file, answered on this machine or on many.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import { loadChatTemplate } from "../../mod.ts";
import { onStop, stopStatus } from "../../src/platform/platform.ts";
import { type Answer, Records } from "../batch/records.ts";
import { type BatchRequest, readRequests } from "../batch/requests.ts";
import { type Command, UsageError } from "../command.ts";
import { bundledModel, deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, LiveLine, note, printJson } from "../output.ts";
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

/** The command. */
export const batch: Command = {
  name: "batch",
  usage: "INPUT.jsonl -o DIR [options]",
  summary: "Answers the requests of a file in OpenAI's batch format, alone or as one of many workers.",
  details:
    'A line is {"custom_id", "method": "POST", "url": "/v1/completions" or "/v1/chat/completions", "body"}. Answers go to\n' +
    "DIR/part-I.jsonl as they come, and, once all are there, in the order of the input to DIR/output.jsonl, each once. What DIR\n" +
    "holds is not asked again: a worker that was killed is started again with the same line.\n" +
    "Workers of an array (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX with JOB_COMPLETIONS, or --share) take every Nth request.\n" +
    "An answer that is an error is one with its status_code; the exit status is 0 when all of this worker's are answered.",
  positionals: [1, 1],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required); workers share it" },
    share: shareOption("answers every Nth request"),
    "max-batch": { value: "N", kind: whole(1, 256), help: "texts computed together (default 16)" },
    name: { value: "NAME", help: "the model's name in requests (default: as given with --model)" },
    status: { help: "tell how many are answered, and answer none" },
    ...modelOptions,
  },
  idle: [
    ...deviceIdle,
    {
      option: [...Object.keys(modelOptions), "max-batch", "share", "name"],
      when: ({ status }) => status === true,
      because: "--status answers none",
    },
  ],
  async run(values, [path]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("batch: say where to write with -o DIR");
    const requests = readRequests(await readText(path), path), ids = requests.map(({ id }) => id);
    const alone = { index: 0, count: 1 };
    const { index, count } = (values.flag("status") ? null : shareOf("batch", values.text("share"))) ?? alone;
    const records = new Records(out, String(index));
    const tell = async (): Promise<void> => {
      await records.refresh();
      const done = ids.filter((id) => records.has(id)).length;
      if (values.flag("json")) {
        const finished = done === ids.length;
        await printJson({
          out,
          requests: ids.length,
          answered: done,
          finished,
          output: finished ? records.output : null,
        });
      } else {await note(
          `${done} of ${counted(ids.length, "request")} answered; ${
            done === ids.length ? records.output : out
          }`,
        );}
    };
    await records.open();
    await records.refresh();
    if (values.flag("status")) return await tell();
    const mine = requests.filter(({ id }, i) => i % count === index && !records.has(id));
    const controller = new AbortController(),
      remove = onStop(() => controller.abort()),
      { signal } = controller;
    const line = new LiveLine();
    try {
      if (mine.length > 0) {
        const { model, name } = await loadModel(values, signal);
        if (!model.tokenizer) {
          throw new UsageError(`${name} has no tokenizer, and requests are texts; add its tokenizer.json`);
        }
        const template = await loadChatTemplate(values.text("model") ?? bundledModel);
        const maxBatch = values.number("max-batch") ?? 16;
        // A request may ask for several texts, which wait for their turn.
        const service = new Service({
          model,
          name: values.text("name") ?? name,
          template,
          maxBatch,
          maxQueue: 1 << 20,
          maxTexts: 4096,
        });
        let next = 0, done = 0;
        const worker = async (): Promise<void> => {
          while (next < mine.length && !signal.aborted) {
            await records.add(await answer(service, mine[next++], signal));
            await line.show(`${++done} of ${mine.length}`);
          }
        };
        const ended = await Promise.allSettled(
          Array.from({ length: Math.min(maxBatch, mine.length) }, worker),
        );
        await line.end();
        const failed = ended.find((one) => one.status === "rejected");
        if (failed && !signal.aborted) throw failed.reason;
        model.dispose();
      }
      if (!signal.aborted) await records.finish(ids);
      await tell();
      return signal.aborted ? stopStatus() : 0;
    } finally {
      remove();
    }
  },
};
