/**
 * A loss curve as SVG, drawn by Vega-Lite (loaded only when a plot is asked for).
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

/** Writes the losses of a log as a curve to `path`. */
export type Plotter = (path: string, log: readonly LogEntry[], title: string) => Promise<void>;

/** Loads what draws, before there is anything to draw. @throws {FerrotypeError} when it is not installed. */
export async function loadPlotter(): Promise<Plotter> {
  const [vega, lite] = await optionalPackages(
    "vega vega-lite",
    "--plot",
    () => Promise.all([importPackage<Vega>("vega"), importPackage<VegaLite>("vega-lite")]),
  );
  return async (path, log, title) => {
    const values = log.flatMap(({ step, loss, eval_loss: held }) => [
      ...(loss === undefined ? [] : [{ step, loss, kind: "training" }]),
      ...(held === undefined ? [] : [{ step, loss: held, kind: "held out" }]),
    ]);
    const { spec } = lite.compile({
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      title,
      width: 640,
      height: 320,
      background: "white",
      data: { values },
      mark: { type: "line", strokeWidth: 1.5 },
      encoding: {
        x: { field: "step", type: "quantitative", title: "step" },
        y: { field: "loss", type: "quantitative", title: "loss, nats a token", scale: { zero: false } },
        color: { field: "kind", type: "nominal", title: null },
      },
    });
    const view = new vega.View(vega.parse(spec), { renderer: "none" });
    await writeFileAtomic(path, await view.toSVG());
    view.finalize();
  };
}
