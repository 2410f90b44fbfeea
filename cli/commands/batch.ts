/**
 * `ferrotype batch`: many requests from a file, answered on this machine or on many.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import { loadChatTemplate } from "../../mod.ts";
import { stopStatus } from "../../src/platform/platform.ts";
import { type BatchRequest, readRequests } from "../batch/requests.ts";
import { type Command, UsageError, type Values } from "../command.ts";
import { noteSeveral } from "../generation.ts";
import { bundledModel, deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, note, printJson } from "../output.ts";
import { problemOf, Service } from "../serve/service.ts";
import { readText } from "../text.ts";
import type { Line } from "../sharing/records.ts";
import { settingsOf } from "../sharing/settings.ts";
import { share, sharingIdle, sharingOptions, type Work } from "../sharing/work.ts";

/** Answers one request; what is wrong with it is its answer. */
async function answer(
  service: Service,
  { id, url, body }: BatchRequest,
  signal: AbortSignal,
): Promise<Line> {
  const own = new AbortController(), leave = (): void => own.abort();
  signal.addEventListener("abort", leave, { once: true });
  const reply = (status_code: number, body: unknown): Line => ({
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

/** What went wrong with a request, for people; null where it was answered, or not yet. */
function errorOf(id: string, line: string | undefined): string | null {
  if (line === undefined) return null;
  const { response, error } = JSON.parse(line) as {
    response: { status_code: number; body: { error?: { message: string } } } | null;
    error: { message: string } | null;
  };
  if (response?.status_code === 200) return null;
  return `${id}: ${response?.body.error?.message ?? error?.message ?? `status ${response?.status_code}`}`;
}

/** The requests, and how they are answered. */
function workOf(values: Values, requests: readonly BatchRequest[]): Work<BatchRequest> {
  const worker_died = { code: "worker_died", message: "every worker that was at it died" };
  return {
    form: { command: "batch", output: "output.jsonl", begins: '{"id":"batch_req_', key: "custom_id" },
    ...{ noun: "request", pieces: requests, content: requests },
    settings: () => settingsOf(values, ["dtype", "name"]),
    hopeless: ({ id }) => ({ id: `batch_req_${id}`, custom_id: id, response: null, error: worker_died }),
    prepare: async (signal) => {
      const { model, name } = await loadModel(values, signal);
      if (!model.tokenizer) {
        throw new UsageError(`${name} has no tokenizer, and requests are texts; add its tokenizer.json`);
      }
      await noteSeveral(model.generationConfig, "a request says with n how many texts it wants");
      const template = await loadChatTemplate(values.text("model") ?? bundledModel);
      const maxBatch = values.number("max-batch") ?? 16;
      // A request may ask for several texts, which wait for their turn.
      const limits = { maxBatch, maxQueue: 1 << 20, maxTexts: 4096 };
      const service = new Service({ model, name: values.text("name") ?? name, template, ...limits });
      return {
        most: maxBatch,
        work: (request, signal) => answer(service, request, signal),
        end: () => model.dispose(),
      };
    },
  };
}

/** The command. */
export const batch: Command = {
  name: "batch",
  usage: "INPUT.jsonl -o DIR [options]",
  summary: "Answers the requests of a file in OpenAI's batch format, alone or as one of many workers.",
  details:
    'A line is {"custom_id", "method": "POST", "url": "/v1/completions" or "/v1/chat/completions", "body"}. Answers go to\n' +
    "DIR/part-I.jsonl as they come, and, once all are there, in the order of the input to DIR/output.jsonl, each once. What DIR\n" +
    "holds is not asked again: a worker that was killed is started again with the same line. Other requests or another model or\n" +
    "--dtype than those DIR was begun with (its settings.json) are refused.\n" +
    "Workers of an array (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX with JOB_COMPLETIONS, or --share) take every Nth request; those\n" +
    "of a --queue take the next one, and what another was at when it died; each then writes all answers to its DIR, shared or not.\n" +
    "An answer that is an error is one with its status_code; the exit status is 0 when all of this worker's are answered, and how many are\n" +
    "errors is told.",
  positionals: [1, 1],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required); workers share it" },
    ...sharingOptions("requests", "answers every Nth request"),
    "max-batch": { value: "N", kind: whole(1, 256), help: "texts computed together (default 16)" },
    name: { value: "NAME", help: "the model's name in requests (default: as given with --model)" },
    status: { help: "tell how many are answered, and answer none" },
    ...modelOptions,
  },
  idle: [
    ...deviceIdle,
    ...sharingIdle,
    {
      option: [...Object.keys(modelOptions), "max-batch", "share", "name"],
      when: ({ status }) => status === true,
      because: "--status only tells, and answers none",
    },
  ],
  async run(values, [path]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("batch: say where to write with -o DIR");
    const requests = readRequests(await readText(path), path);
    if (requests.length === 0) {
      throw new UsageError(`batch: ${path} holds no request; expected a line of JSON for each`);
    }
    const { done, output, isStopped, lines } = await share(values, out, workOf(values, requests));
    const errors = requests.flatMap(({ id }) => errorOf(id, lines.get(id)) ?? []);
    if (values.flag("json")) {
      const finished = output !== null;
      await printJson({
        out,
        requests: requests.length,
        answered: done,
        errors: errors.length,
        finished,
        output,
      });
    } else {
      const some = errors.length ? `, ${errors.length} with an error (the first: ${errors[0]})` : "";
      await note(`${done} of ${counted(requests.length, "request")} answered${some}; ${output ?? out}`);
    }
    return isStopped ? stopStatus() : 0;
  },
};
