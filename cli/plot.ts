/**
 * Plots as SVG, drawn by Vega-Lite (loaded only when one is asked for): the loss curve of a run, and what else says how it looks.
 *
 * @module
 */
import { importPackage, optionalPackages } from "../src/core/packages.ts";
import { writeFileAtomic } from "../src/platform/platform.ts";
import type { LogEntry } from "./training_log.ts";

/** The part of `vega` that is used. */
interface Vega {
  parse(spec: unknown): unknown;
  readonly View: new (runtime: unknown, options: { renderer: "none" }) => {
    toSVG(): Promise<string>;
    finalize(): void;
  };
}

/** The part of `vega-lite` that is used. */
interface VegaLite {
  compile(spec: object): { readonly spec: unknown };
}

/** Draws what a specification of Vega-Lite says to `path`. */
export type Drawer = (path: string, spec: object) => Promise<void>;

/** Loads what draws, before there is anything to draw. @throws {FerrotypeError} when it is not installed. */
export async function loadDrawer(): Promise<Drawer> {
  const [vega, lite] = await optionalPackages(
    "vega vega-lite",
    "--plot",
    () => Promise.all([importPackage<Vega>("vega"), importPackage<VegaLite>("vega-lite")]),
  );
  return async (path, spec) => {
    const schema = "https://vega.github.io/schema/vega-lite/v6.json";
    const compiled = lite.compile({ $schema: schema, background: "white", ...spec });
    const view = new vega.View(vega.parse(compiled.spec), { renderer: "none" });
    await writeFileAtomic(path, await view.toSVG());
    view.finalize();
  };
}

/** Writes the losses of a log as a curve to `path`. */
export type Plotter = (path: string, log: readonly LogEntry[], title: string) => Promise<void>;

/** What draws the curve of a run. @throws {FerrotypeError} when it is not installed. */
export async function loadPlotter(): Promise<Plotter> {
  const draw = await loadDrawer();
  return async (path, log, title) => {
    const values = log.flatMap(({ step, loss, eval_loss: held }) => [
      ...(loss === undefined ? [] : [{ step, loss, kind: "training" }]),
      ...(held === undefined ? [] : [{ step, loss: held, kind: "held out" }]),
    ]);
    await draw(path, {
      title,
      width: 640,
      height: 320,
      data: { values },
      mark: { type: "line", strokeWidth: 1.5 },
      encoding: {
        x: { field: "step", type: "quantitative", title: "step" },
        y: { field: "loss", type: "quantitative", title: "loss, nats a token", scale: { zero: false } },
        color: { field: "kind", type: "nominal", title: null },
      },
    });
  };
}
