/**
 * Standard streams, for the command.
 *
 * @module
 */
import { globals } from "./runtime.ts";

/** The streams a program writes to. */
export type OutputStream = "stdout" | "stderr";

/** Whether a stream goes to a terminal; false in a browser. */
export function isTerminal(stream: OutputStream | "stdin"): boolean {
  return globals.process?.[stream]?.isTTY === true;
}

/** Width of the terminal that `stream` goes to, in columns; undefined when it goes elsewhere. */
export function terminalColumns(stream: OutputStream): number | undefined {
  return isTerminal(stream) ? globals.process?.[stream].columns : undefined;
}

/**
 * Writes text, and waits until the stream has taken it.
 *
 * @returns false when nobody reads the stream any more (its pipe was closed, its terminal is gone), so that the caller can stop.
 */
export function writeText(stream: OutputStream, text: string): Promise<boolean> {
  const target = globals.process?.[stream];
  if (target === undefined) {
    (stream === "stdout" ? console.log : console.error)(text);
    return Promise.resolve(true);
  }
  return new Promise((resolve, reject) => {
    const settle = (error?: Error | null) => {
      // After a failure the stream emits it as an event too, which ends the program unless someone listens.
      if (!error) {
        target.off("error", settle);
        resolve(true);
      } else if (["EPIPE", "EIO"].includes(String((error as { code?: string }).code))) resolve(false);
      else reject(error);
    };
    target.on("error", settle);
    target.write(text, settle);
  });
}
