/**
 * Being told to stop: by the user (Ctrl-C, SIGINT) or by another program (SIGTERM).
 *
 * Listening does not keep the program alive. What nobody listens for is left to {@link onUnheard}, or to the system.
 *
 * @module
 */
import { globals } from "./runtime.ts";

/** The signals that end a program in good order. */
export type StopSignal = "SIGINT" | "SIGTERM";

const listening: Record<StopSignal, number> = { SIGINT: 0, SIGTERM: 0 };
let last: StopSignal = "SIGINT";

function listen(name: StopSignal, listener: () => void): () => void {
  const { process } = globals;
  if (process === undefined) return () => {};
  const heard = (): void => {
    last = name;
    listener();
  };
  process.on(name, heard);
  return () => {
    process.off(name, heard);
  };
}

function onSignal(name: StopSignal, listener: () => void): () => void {
  listening[name]++;
  let stop: (() => void) | null = listen(name, listener);
  return () => {
    if (stop === null) return;
    listening[name]--;
    stop();
    stop = null;
  };
}

/**
 * Calls `listener` instead of ending the program when the user interrupts it (Ctrl-C). A second interrupt before
 * the listener is removed calls it again.
 *
 * @returns a function that stops listening.
 */
export function onInterrupt(listener: () => void): () => void {
  return onSignal("SIGINT", listener);
}

/** The same when the program is asked to end by another one (SIGTERM). */
export function onTerminate(listener: () => void): () => void {
  return onSignal("SIGTERM", listener);
}

/** Calls `listener` for either. @returns a function that stops listening. */
export function onStop(listener: () => void): () => void {
  const stops = [onInterrupt(listener), onTerminate(listener)];
  return () => stops.forEach((stop) => stop());
}

/** Calls `listener` for either signal while nobody else listens for it. @returns a function that stops listening. */
export function onUnheard(listener: () => void): () => void {
  const stops = (["SIGINT", "SIGTERM"] as const).map((name) =>
    listen(name, () => {
      if (listening[name] === 0) listener();
    })
  );
  return () => stops.forEach((stop) => stop());
}

/** The exit status of a program that the last signal ended: 130 for SIGINT, 143 for SIGTERM. */
export function stopStatus(): number {
  return last === "SIGTERM" ? 143 : 130;
}

/**
 * Calls `listener` when the program ends by itself or by `exit`, where the runtime must be helped to end in good order: on
 * Deno. (Threads that sleep there while a software adapter of WebGPU is taken down bring the process down as well, one time
 * in six.) Elsewhere nothing is done.
 */
export function onUnload(listener: () => void): void {
  if (globals.Deno) globalThis.addEventListener("unload", listener);
}
