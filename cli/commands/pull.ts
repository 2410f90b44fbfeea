/**
 * `ferrotype pull`, `list` and `rm`: models from the hub, fetched ahead of their use, told, and thrown away.
 *
 * @module
 */
import { type CachedRepository, pullModel, removeCached, scanCache } from "../../mod.ts";
import { onStop } from "../../src/platform/platform.ts";
import type { Command } from "../command.ts";
import { DownloadBar } from "../download_bar.ts";
import { formatBytes, note, print, printJson } from "../output.ts";

/** The command `pull`. */
export const pull: Command = {
  name: "pull",
  usage: "ORG/NAME [options]",
  summary: "Fetches a model from the hub into the cache that Python's huggingface_hub uses too.",
  details:
    "What was interrupted goes on where it stopped. HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE and\n" +
    "HF_HUB_OFFLINE mean what they mean to Python.",
  positionals: [1, 1],
  options: {
    revision: { value: "NAME", help: "branch, tag or commit (default main)" },
  },
  async run(values, [repository]) {
    const controller = new AbortController(), remove = onStop(() => controller.abort());
    const bar = new DownloadBar();
    try {
      const revision = values.text("revision");
      const pulled = await pullModel(repository, {
        ...(revision === undefined ? {} : { revision }),
        signal: controller.signal,
        onDownload: (progress) => bar.show(progress),
      });
      await bar.end();
      if (values.flag("json")) return await printJson({ ...pulled, downloaded_bytes: bar.bytes });
      await note(bar.bytes ? `fetched ${formatBytes(bar.bytes)}` : "everything was there");
      await print(pulled.folder ?? pulled.repository);
    } finally {
      await bar.end();
      remove();
    }
  },
};

function row(model: CachedRepository): [string, string, string, string] {
  const refs = model.revisions.map((r) => r.refs.join(", ") || r.commit.slice(0, 7)).join(" ");
  const size = formatBytes(model.size) +
    (model.incomplete ? ` (${formatBytes(model.incomplete)} of it unfinished)` : "");
  const day = model.modified ? new Date(model.modified).toISOString().slice(0, 10) : "";
  return [model.repository, refs || "-", day, size];
}

/** The command `list`. */
export const list: Command = {
  name: "list",
  usage: "",
  summary: "Lists the models in the cache, with their revisions, last change and size.",
  positionals: [0, 0],
  options: {},
  async run(values) {
    const models = await scanCache();
    if (values.flag("json")) return await printJson({ models });
    const rows = models.map(row);
    const widths = [0, 1, 2].map((i) => Math.max(0, ...rows.map((cells) => cells[i].length)));
    for (const cells of rows) {
      await print(cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd());
    }
    if (!rows.length) await note('there are no models in the cache; "ferrotype pull ORG/NAME" fetches one');
  },
};

/** The command `rm`. */
export const rm: Command = {
  name: "rm",
  usage: "ORG/NAME...",
  summary: "Removes models from the cache, with all of their revisions and what is unfinished.",
  positionals: [1, 100],
  options: {},
  async run(values, repositories) {
    const removed: CachedRepository[] = [];
    for (const repository of repositories) {
      const was = await removeCached(repository);
      removed.push(was);
      if (!values.flag("json")) await print(`removed ${repository}, ${formatBytes(was.size)}`);
    }
    if (values.flag("json")) {
      await printJson({
        removed: removed.map(({ repository, size }) => ({ repository, bytes: size })),
      });
    }
  },
};
