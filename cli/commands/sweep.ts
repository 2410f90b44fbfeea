/**
 * `ferrotype sweep`: many trainings, to find the settings that do best.
 *
 * @module
 */
import { exit } from "node:process";
import { CharTokenizer, FerrotypeError, Generator } from "../../mod.ts";
import { kind, number, oneOf, whole } from "../../src/core/kinds.ts";
import { show } from "../../src/core/show.ts";
import {
  abandonAll,
  hardwareConcurrency,
  isDirectory,
  onStop,
  openSource,
  startHash,
  stopStatus,
} from "../../src/platform/platform.ts";
import { findLauncher } from "../../src/platform/mpi_launcher.ts";
import {
  allPoints,
  anyPoint,
  choose,
  rungSteps,
  searchers,
  sizeOfSpace,
  type Space,
  type Value,
} from "../../src/search/mod.ts";
import { type Command, type Options, UsageError, type Values } from "../command.ts";
import { deviceIdle, deviceOptions } from "../model.ts";
import { counted, LiveLine, note, print, printJson } from "../output.ts";
import { demandPlace } from "../place.ts";
import { loadDrawer } from "../plot.ts";
import { addressFrom, queueIdle, queueOptions } from "../queue/address.ts";
import { WorkQueue } from "../queue/queue.ts";
import { shareOf, shareOption } from "../sharing/share.ts";
import { demandEffect, type Ground, memoryOf, planOf } from "../sweep/fit.ts";
import { SweepFolder, type SweepSettings } from "../sweep/folder.ts";
import { asFlags, plotOf, ranked, table } from "../sweep/report.ts";
import { settingsName } from "../sweep/trial_files.ts";
import { readSpace } from "../sweep/space.ts";
import { type Budget, type Ending, Sweep } from "../sweep/sweep.ts";
import { readText } from "../text.ts";
import { runOptions } from "../train_options.ts";

/** Options of a trial that are the machine's, and no part of what it is. */
const ofMachine = ["threads", "max-memory"] as const;
/** What a trial may be given. */
const trialOptions: Options = { ...runOptions, ...deviceOptions };

const units = { s: 1, m: 60, h: 3600 } as const;
const budgetForm = /^(\d+(?:\.\d+)?)([smh]?)$/;

/** What `--budget` says. */
function budgetOf(text: string | undefined, trials: number): Budget {
  const budget: Budget = { trials, steps: Infinity, seconds: Infinity };
  if (text === undefined) return budget;
  const [, amount, unit] = budgetForm.exec(text)!;
  if (unit === "") return { ...budget, steps: Number(amount) };
  return { ...budget, seconds: Number(amount) * units[unit as keyof typeof units] };
}

/** What the trials learn from. */
async function materialOf(values: Values, file: string | undefined): Promise<{
  path: string;
  isData: boolean;
  sha256: string;
  characters: number | null;
}> {
  const data = values.text("data");
  if ((file === undefined) === (data === undefined)) {
    throw new UsageError(
      `sweep: give ${file === undefined ? "" : "either "}a TEXTFILE or examples with --data FILE${
        file === undefined ? "" : ", not both"
      }`,
    );
  }
  const path = (file ?? data)!;
  if (path === "-") throw new UsageError("sweep: every trial reads the text; name a file instead of -");
  if (file === undefined && !values.has("init")) {
    throw new UsageError("sweep: examples are for a model that is there; name it with --init MODEL");
  }
  const hash = startHash("sha256"), source = await openSource(path), piece = 1 << 24;
  try {
    for (let at = 0; at < source.size; at += piece) {
      hash.update(await source.read(at, Math.min(piece, source.size - at)));
    }
  } finally {
    await source.close();
  }
  const sha256 = await hash.digest();
  if (file === undefined || values.has("init")) {
    return { path, isData: file === undefined, sha256, characters: null };
  }
  const text = await readText(file);
  if (text === "") throw new UsageError(`sweep: ${file} is empty; there is nothing to learn from`);
  return { path, isData: false, sha256, characters: CharTokenizer.from(text).vocabSize };
}

/** The options that all trials are given. */
function fixedOptions(values: Values, space: Space): Record<string, Value> {
  const fixed: Record<string, Value> = {};
  for (const name of Object.keys(trialOptions)) {
    if (!values.has(name)) continue;
    if (Object.hasOwn(space, name)) {
      throw new UsageError(`sweep: --${name} is searched and given; leave one of both out`);
    }
    fixed[name] = values.value(name) as Value;
  }
  return fixed;
}

/** The rungs of asha; null for other methods. */
function rungsOf(values: Values, method: string, eta: number, space: Space): number[] | null {
  if (method !== "asha") return null;
  if (Object.hasOwn(space, "steps")) {
    throw new UsageError("sweep: --method asha says itself how many steps a trial has; do not search steps");
  }
  const steps = values.number("steps") ?? 2000,
    least = values.number("min-steps") ?? Math.max(1, steps / eta ** 3);
  if (least > steps) {
    throw new UsageError(`sweep: --min-steps is ${least}, expected at most the ${steps} of --steps`);
  }
  const rungs = rungSteps(least, steps, eta), every = values.number("eval-every");
  if (every !== undefined && every > rungs[0]) {
    throw new UsageError(
      `sweep: --eval-every is ${every}, expected at most the ${
        counted(rungs[0], "step")
      } of the first rung, after which a trial is judged`,
    );
  }
  if (Object.hasOwn(space, "eval-every")) {
    throw new UsageError("sweep: --method asha judges trials at its rungs; do not search eval-every");
  }
  return rungs;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([k, v]) => [k, sorted(v)]),
  );
}

/** @throws {UsageError} where what is given is not what the sweep was begun with. */
function demandSame(saved: SweepSettings, given: SweepSettings, where: string): void {
  const differs = (what: string, before: unknown, now: unknown): never => {
    const said = (value: unknown): string =>
      value === undefined ? `without ${what}` : `with ${what} ${show(value)}`;
    throw new UsageError(
      `sweep: the sweep in ${where} was begun ${said(before)}; it cannot go on ${said(now)}`,
    );
  };
  if (saved.text_sha256 !== given.text_sha256) {
    throw new UsageError(
      `sweep: ${given.text} is not what the sweep in ${where} was begun on (${saved.text}), or it was changed; put that back, or begin another`,
    );
  }
  if (saved.method !== given.method) differs("--method", saved.method, given.method);
  if (saved.search_seed !== given.search_seed) differs("--search-seed", saved.search_seed, given.search_seed);
  for (const name of new Set([...Object.keys(saved.space), ...Object.keys(given.space)])) {
    if (!same(saved.space[name], given.space[name])) {
      differs(`--search ${name}`, saved.space[name], given.space[name]);
    }
  }
  for (const name of new Set([...Object.keys(saved.fixed), ...Object.keys(given.fixed)])) {
    if (!same(saved.fixed[name], given.fixed[name])) {
      differs(`--${name}`, saved.fixed[name], given.fixed[name]);
    }
  }
  if (!same(saved.rungs, given.rungs)) differs("rungs at steps", saved.rungs, given.rungs);
}

const endings: Readonly<Record<Ending, string>> = {
  trials: "",
  budget: "the budget is spent; ",
  exhausted: "all that can be tried was; ",
  stopped: "stopped, --resume goes on; ",
};

/** Of so many points it is looked at what counts in them, and of smaller spaces at all. */
const mostJudged = 256;

/** Searches, as a worker of `queue` where there is one, or tells what was found. */
async function search(
  values: Values,
  file: string | undefined,
  out: string,
  queue: WorkQueue | null,
): Promise<number | void> {
  const folder = new SweepFolder(out, queue), isJson = values.flag("json");
  const plotPath = values.text("plot"), draw = plotPath === undefined ? null : await loadDrawer();
  if (values.flag("status")) {
    const there = await folder.files.settings(), saved = await folder.settings() ?? there;
    if (!saved) throw new UsageError(`sweep: ${queue && !there ? queue.where : out} holds no sweep`);
    if (there) {
      demandSame(there, saved, queue!.where);
      await folder.demandFree();
      await folder.begin(saved);
    }
    await folder.refresh();
    if (there) await folder.write();
    return await tell(saved, "");
  }
  const launcher = findLauncher();
  if (launcher !== null && launcher.size !== 1) {
    throw new UsageError(
      `sweep: ${launcher.name} started this as one of several, and trials are processes of their own; start it alone with --jobs N, ` +
        "or as a scheduler's array",
    );
  }
  const alone = { index: 0, count: 1 };
  const given = queue ? alone : shareOf("sweep", values.text("share"));
  let share = given ?? alone;
  if (given && values.flag("force")) {
    throw new UsageError(
      queue
        ? "sweep: --force would take the trials from other workers; name another queue and another folder"
        : "sweep: --force would take the folder from other workers; remove it, or name another",
    );
  }
  const { path, isData, sha256, characters } = await materialOf(values, file);
  const spaceFile = values.text("space");
  const space = readSpace(
    spaceFile === undefined ? null : { path: spaceFile, text: await readText(spaceFile) },
    values.texts("search"),
    runOptions,
  );
  const method = values.text("method") ?? "tpe", eta = values.number("eta") ?? 3;
  const all = fixedOptions(values, space), jobs = values.number("jobs") ?? 1;
  if (all["val-fraction"] === 0) {
    throw new UsageError(
      "sweep: --val-fraction 0 holds nothing out, by which trials are judged; take a larger one",
    );
  }
  const rungs = rungsOf(values, method, eta, space);
  if (rungs && all["eval-every"] === undefined) all["eval-every"] = rungs[0];
  const fixed = Object.fromEntries(
    Object.entries(all).filter(([name]) => !(ofMachine as readonly string[]).includes(name)),
  );
  const threads = Math.max(1, Math.floor(hardwareConcurrency() / jobs));
  const hasThreads = (values.text("device") ?? "cpu") === "cpu" && all.threads === undefined;
  const ground: Ground = {
    path,
    isData,
    fixed: { ...all, ...(hasThreads ? { threads } : {}) },
    characters,
    maxParameters: values.number("max-parameters") ?? Infinity,
    maxMemory: memoryOf(jobs, values.number("max-memory")),
  };
  const random = new Generator(values.number("search-seed") ?? 0);
  const some = sizeOfSpace(space) <= mostJudged
    ? [...allPoints(space)]
    : Array.from({ length: mostJudged }, () => anyPoint(space, random));
  demandEffect({ ...ground, fixed: all }, space, some);
  const settings: SweepSettings = {
    text: path.split(/[/\\]/).at(-1)!,
    text_sha256: sha256,
    method,
    search_seed: values.number("search-seed") ?? 0,
    space,
    fixed,
    rungs,
    eta,
  };
  const first = choose(method, space, [], 0, settings.search_seed, (point) => planOf(ground, point));
  if (first.parameters === null) {
    const [{ parameters, why }] = first.refused;
    throw new UsageError(`sweep: nothing of the space can be trained; ${asFlags(parameters)}: ${why}`);
  }
  const saved = await folder.settings();
  if (!saved && values.flag("resume") && !given) {
    throw new UsageError(`sweep: --resume: ${out} holds no sweep; leave --resume out to begin one`);
  }
  const isNew = !values.flag("resume") && !given, isForced = isNew && values.flag("force");
  if (saved && isNew) {
    if (!isForced) {
      throw new UsageError(
        `${out} holds a sweep already; go on with --resume, give --force to begin another in its place, or name another folder`,
      );
    }
    await folder.demandAlone(share.index, waiting);
  }
  if (isForced) await folder.clear();
  if (saved && isForced) await note(`replacing the sweep in ${out}`);
  await folder.demandFree(
    isNew && !isForced ? "give --force to replace what is called as a sweep calls it, " : "",
  );
  if (queue) {
    if (saved) demandSame(saved, settings, out);
    await queue.begin(settingsName, JSON.stringify(settings));
    demandSame((await folder.files.settings())!, settings, queue.where);
    share = { index: await queue.number(), count: 1 };
  }
  await folder.begin(settings);
  demandSame((await folder.settings())!, settings, out);
  await folder.demandAlone(share.index, waiting);
  await folder.tell(share.index, []);
  await folder.refresh();
  const line = new LiveLine(), budget = budgetOf(values.text("budget"), values.number("trials") ?? 20);
  const show_ = async (running: number): Promise<void> => {
    if (!line.on) return;
    const done = folder.recorded, [best] = ranked(done);
    const said = best ? `; best ${best.loss.toFixed(4)} (trial ${best.trial})` : "";
    await line.show(
      `${done.length} of ${counted(budget.trials, "trial")} ended, ${running} running${said}`,
    );
  };
  const work = new Sweep(folder, settings, ground, share, budget, values.flag("keep-all"), {
    onChange: show_,
    onEnd: async () => await show_(0),
  }, queue);
  await queue?.join();
  if (queue) await work.offer();
  // A signal has trials save; a second one does not want to wait for that, and a third one for nothing.
  let leaving: Promise<never> | null = null;
  const removeListener = onStop(() => {
    if (!work.isStopped) return work.stop();
    if (leaving !== null) return work.kill();
    leaving = work.end().catch(() => {}).then(() => {
      abandonAll();
      exit(stopStatus());
    });
  });
  try {
    await work.run(jobs);
  } finally {
    await leaving;
    await line.end();
    removeListener();
  }
  await tell(settings, endings[work.ending], [...work.refused.values()]);
  if (work.isStopped) return stopStatus();
  const ended = folder.recorded;
  if (ranked(ended).length > 0) return 0;
  throw new FerrotypeError(
    ended.length > 0
      ? `sweep: ${counted(ended.length, "trial")} and all failed; the first: ${ended[0].error}`
      : "sweep: no trial was within the budget",
  );

  async function tell(
    { space, text }: SweepSettings,
    ending: string,
    refused: readonly { readonly parameters: Readonly<Record<string, Value>>; readonly why: string }[] = [],
  ): Promise<void> {
    const recorded = folder.recorded,
      best = ranked(recorded)[0],
      failed = recorded.filter(({ loss }) => loss === null);
    if (plotPath !== undefined && best) {
      await draw!(plotPath, plotOf(recorded, space, `${text}: ${counted(recorded.length, "trial")}`));
    }
    if (isJson) {
      return await printJson({
        out,
        method: (await folder.settings())?.method ?? null,
        trials: recorded.length,
        failed: failed.length,
        running: folder.begun.length - recorded.length,
        not_begun: refused.slice(0, 100),
        best: best
          ? {
            trial: best.trial,
            loss: best.loss,
            parameters: best.parameters,
            folder: folder.folderOf(best.trial),
          }
          : null,
        results: folder.results,
      });
    }
    if (recorded.length > 0) await print(table(recorded, space));
    if (refused.length > 0) {
      const [{ parameters, why }] = refused;
      await note(
        `${counted(refused.length, "configuration")} could not be begun, such as ${
          asFlags(parameters)
        }: ${why}`,
      );
    }
    if (best) {
      const place = folder.folderOf(best.trial), isHere = !queue || await isDirectory(place);
      await note(
        `${ending}best: ${asFlags(best.parameters)}; its model is ${
          isHere ? "" : "where it was trained, "
        }in ${place}`,
      );
    } else if (ending !== "") await note(ending.replace(/; $/, ""));
  }
}

/** The command. */
export const sweep: Command = {
  name: "sweep",
  usage: "TEXTFILE|--data FILE -o DIR --search NAME=VALUES … [options]",
  summary: "Searches for the settings of train that give the lowest held-out loss.",
  details:
    "Options of train are given to every trial; --search and --space say which differ, and what they may be:\n" +
    '  --search n-layer=2,4,6 --search dropout=0..0.3 --search n-embd=64..256/32 --search "lr=log:1e-4..1e-2"\n' +
    '  --space FILE: {"n-layer": [2, 4, 6], "dropout": {"range": [0, 0.3]}, "lr": {"log": [1e-4, 1e-2]}}\n' +
    "Methods: random; asha (the best third of short trials goes on, from rung to rung); tpe (where good trials are dense);\n" +
    "evolution (the best of a few has a child, the oldest dies). Settings without effect beside the others are left out of a trial,\n" +
    "and what cannot be trained or has no room is not begun. Each trial is a process of its own, recorded once in DIR/results.jsonl;\n" +
    "Ctrl-C saves those that run, and the same command with --resume goes on. Workers of an array (SLURM_ARRAY_TASK_ID,\n" +
    "JOB_COMPLETION_INDEX with JOB_COMPLETIONS, or --share) take every Nth trial of one DIR; those of a --queue\n" +
    "take the next one, or go on with one whose worker died, and write what all found to their DIR. Share it, too: a trial goes on\n" +
    "from its checkpoints, and the best one's model is where all look.",
  positionals: [0, 1],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required); workers share it" },
    data: { value: "FILE", help: "with --init: learn from examples, a line of JSON each" },
    search: {
      value: "NAME=VALUES",
      multiple: true,
      help: "a setting of train and its values (again for more)",
    },
    space: { value: "FILE", help: "settings and their values as JSON" },
    method: {
      value: "NAME",
      kind: oneOf(...Object.keys(searchers)),
      help: `${Object.keys(searchers).join(", ")} (default tpe)`,
    },
    trials: { value: "N", kind: whole(1, 100_000), help: "trials in all (default 20)" },
    budget: {
      value: "N|TIME",
      kind: kind(
        "a number of steps such as 20000, or a time such as 90s, 30m or 2h",
        (x) => typeof x === "string" && budgetForm.test(x) && parseFloat(x) > 0,
      ),
      help:
        "steps of all trials together, or a time that they take together, after which none begins (default: none)",
    },
    jobs: { value: "N", kind: whole(1, 1024), help: "trials at a time, which share the threads (default 1)" },
    "search-seed": { value: "N", kind: whole(0, 2 ** 32), help: "of the choice of points (default 0)" },
    eta: {
      value: "N",
      kind: number({ from: 2, to: 100 }),
      help: "with --method asha: one in N goes on, N times as far (default 3)",
    },
    "min-steps": {
      value: "N",
      kind: whole(1),
      help: "with --method asha: the first rung is no lower (default: steps through eta cubed)",
    },
    "max-parameters": { value: "N", kind: whole(1), help: "larger models are not begun" },
    "keep-all": { help: "keep what every trial trained; without it only the best one's is kept" },
    share: shareOption("takes every Nth trial"),
    ...queueOptions("trials"),
    ...trialOptions,
    resume: { help: "go on with the sweep in DIR" },
    force: {
      help:
        "begin another in place of what DIR holds under names of a sweep's, and replace any plot; without it they are refused",
    },
    status: { help: "tell what was found so far, and try nothing" },
    plot: { value: "FILE", help: "draw losses by trials and by each setting as SVG" },
  },
  idle: [
    ...deviceIdle,
    ...queueIdle,
    {
      option: ["eta", "min-steps"],
      when: ({ method }) => method !== "asha",
      because: "there is no --method asha",
    },
    {
      option: "force",
      when: ({ resume, plot }) => resume === true && plot === undefined,
      because: "--resume goes on with what is there",
    },
    {
      option: [
        ...["resume", "jobs", "trials", "budget", "share", "keep-all", "max-parameters"],
        ...["data", "search", "space", "method", "search-seed", "eta", "min-steps"],
        ...Object.keys(trialOptions),
      ],
      when: ({ status }) => status === true,
      because: "--status only tells, and tries nothing",
    },
    {
      option: "force",
      when: ({ status, plot }) => status === true && plot === undefined,
      because: "--status only tells, and replaces nothing",
    },
    {
      option: ["zero", "wire"],
      when: () => true,
      because: "a trial trains alone",
    },
  ],
  async run(values, [file]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("sweep: say where to write with -o DIR");
    await demandPlace("sweep", values, "plot", "no plot", "<svg");
    const address = addressFrom("sweep", values, out), queue = address && await WorkQueue.open(address);
    try {
      return await search(values, file, out, queue);
    } finally {
      await queue?.close();
    }
  },
};

const waiting = (pid: number): Promise<void> =>
  note(`waiting for process ${pid}, a trial of a worker that is gone, to end`);
