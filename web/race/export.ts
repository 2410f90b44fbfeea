/**
 * A race as files: JSON, CSV, a picture, a video.
 *
 * @module
 */
import { download } from "../shared/download.ts";
import { lossAt, type Race } from "./race.ts";
import type { Settings } from "./settings.ts";

/** Settings and the held part of every way, as JSON. */
export function raceJson(race: Race, settings: Settings): string {
  const racers = race.racers.filter(({ name }) => settings.on[name]).map((racer) => {
    const path: number[][] = [];
    for (let step = racer.oldest; step <= racer.steps; step++) {
      const row = racer.rowOf(step);
      path.push([step, racer.ring[row], racer.ring[row + 1], racer.ring[row + lossAt]]);
    }
    return {
      optimizer: racer.name,
      ...racer.options,
      steps: racer.steps,
      loss: racer.loss,
      lost: racer.lost,
      path,
    };
  });
  return JSON.stringify({ settings, steps: race.steps, columns: ["step", "x", "y", "loss"], racers });
}

/** A line for every optimizer and step. */
export function raceCsv(race: Race, settings: Settings): string {
  const lines = ["optimizer,step,x,y,loss"];
  for (const racer of race.racers) {
    if (!settings.on[racer.name]) continue;
    for (let step = racer.oldest; step <= racer.steps; step++) {
      const row = racer.rowOf(step), { ring } = racer;
      lines.push(`${racer.name},${step},${ring[row]},${ring[row + 1]},${ring[row + lossAt]}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Downloads what the canvas shows. */
export function savePicture(canvas: HTMLCanvasElement): Promise<void> {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => {
      if (blob === null) return reject(new Error("This browser made no picture of the canvas."));
      download("race.png", blob);
      resolve();
    })
  );
}

/** Records `canvas` until the function it gives is called; that downloads the video. @throws where it cannot. */
export function recordVideo(canvas: HTMLCanvasElement): () => Promise<Blob> {
  if (typeof MediaRecorder === "undefined") throw new Error("This browser cannot record video.");
  const type = ["video/webm;codecs=vp9", "video/webm", "video/mp4"].find((name) =>
    MediaRecorder.isTypeSupported(name)
  );
  if (type === undefined) throw new Error("This browser cannot record a video of a canvas.");
  const recorder = new MediaRecorder(canvas.captureStream(60), { mimeType: type, videoBitsPerSecond: 6e6 });
  const parts: Blob[] = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  recorder.start(1000);
  return () =>
    new Promise((resolve) => {
      recorder.addEventListener("stop", () => {
        const blob = new Blob(parts, { type });
        download(`race.${type.includes("mp4") ? "mp4" : "webm"}`, blob);
        resolve(blob);
      });
      recorder.stop();
    });
}
