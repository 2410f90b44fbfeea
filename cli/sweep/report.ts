/**
 * What a sweep found: as a table, and as a plot.
 *
 * @module
 */
import type { Space, Value } from "../../src/search/mod.ts";
import { counted, formatSeconds } from "../output.ts";
import type { Recorded } from "./folder.ts";

/** The trials that went well, from the best; equal ones in the order in which they were begun. */
export function ranked(recorded: readonly Recorded[]): (Recorded & { readonly loss: number })[] {
  return recorded.filter((r): r is Recorded & { readonly loss: number } => r.loss !== null)
    // Of losses after unequal numbers of steps the further trial comes first: it was the better one where both were judged.
    .toSorted((a, b) => b.rungs.length - a.rungs.length || a.loss - b.loss || a.trial - b.trial);
}

/** Options as one writes them. */
export function asFlags(parameters: Readonly<Record<string, Value>>): string {
  return Object.entries(parameters).filter(([, value]) => value !== false)
    .map(([name, value]) => value === true ? `--${name}` : `--${name} ${value}`).join(" ");
}

/** Rows of a table that are shown. */
const mostRows = 20;

/** The table: the best first, then how many failed, each reason once. */
export function table(recorded: readonly Recorded[], space: Space): string {
  const best = ranked(recorded), names = Object.keys(space);
  const head = ["", "trial", "loss", "steps", "parameters", "time", ...names];
  const rows = best.slice(0, mostRows).map((r, i) => [
    ...[String(i + 1), String(r.trial), r.loss.toFixed(4), String(r.step)],
    ...[r.model_parameters?.toLocaleString("en") ?? "", formatSeconds(r.seconds)],
    ...names.map((name) => String(r.parameters[name] ?? "–")),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const lines = [head, ...rows].map((row) => row.map((cell, i) => cell.padStart(widths[i])).join("  "));
  if (best.length > mostRows) lines.push(`… and ${counted(best.length - mostRows, "trial")} more`);
  const failed = recorded.filter(({ status }) => status === "failed");
  const reasons = new Map<string, number[]>();
  for (const { trial, error } of failed) {
    reasons.set(error ?? "", [...reasons.get(error ?? "") ?? [], trial]);
  }
  for (const [why, trials] of reasons) {
    lines.push(`${counted(trials.length, "trial")} failed (${trials.join(", ")}): ${why}`);
  }
  return lines.join("\n");
}

/** A plot: losses by the order of trials with the best so far, and by each setting. */
export function plotOf(recorded: readonly Recorded[], space: Space, title: string): object {
  const done = ranked(recorded).toSorted((a, b) => a.trial - b.trial);
  const most = Math.max(...done.map(({ rungs }) => rungs.length));
  let best = Infinity;
  const values = done.map(({ trial, loss, step, rungs, parameters }) => {
    // Only trials that went all the way are compared.
    if (rungs.length === most) best = Math.min(best, loss);
    return { ...parameters, trial, loss, steps: step, best: Number.isFinite(best) ? best : null };
  });
  const color = { field: "steps", type: "ordinal", title: "steps" };
  const y = {
    field: "loss",
    type: "quantitative",
    title: "held-out loss, nats a token",
    scale: { zero: false },
  };
  const trial = { field: "trial", type: "quantitative", title: "trial" };
  const panels = Object.entries(space).map(([name, dimension]) => {
    const isNumber = dimension.kind === "range";
    const scale = isNumber && dimension.log ? { type: "log" } : { zero: false };
    const field = name.replaceAll(/([.[\]])/g, "\\$1");
    return {
      width: 240,
      height: 180,
      mark: "point",
      encoding: {
        x: isNumber
          ? { field, type: "quantitative", title: name, scale }
          : { field, type: "ordinal", title: name },
        y,
        color,
      },
    };
  });
  return {
    title,
    data: { values },
    columns: 3,
    concat: [
      {
        width: 240,
        height: 180,
        layer: [
          { mark: "point", encoding: { x: trial, y, color } },
          {
            mark: { type: "line", interpolate: "step-after" },
            encoding: { x: trial, y: { ...y, field: "best" } },
          },
        ],
      },
      ...panels,
    ],
  };
}
