/**
 * Being told to stop: by the user (Ctrl-C, SIGINT; Ctrl-\, SIGQUIT), by another program (SIGTERM), or as the terminal went away
 * (SIGHUP).
 *
 * Listening does not keep the program alive. What nobody listens for is left to {@link onUnheard}, or to the system. Where a
 * program was begun to outlive its terminal (`nohup`), SIGHUP stays without effect; that is known on Linux, but for Node, which
 * forgets what it was begun with.
 *
 * @module
 */
import { builtinModule, globals, isPermitted } from "./runtime.ts";

/** The signals that end a program in good order, and their numbers. */
const numbers = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;
/** One of them. */
export type StopSignal = keyof typeof numbers;

const listening: Record<StopSignal, number> = { SIGHUP: 0, SIGINT: 0, SIGQUIT: 0, SIGTERM: 0 };
let last: StopSignal = "SIGINT", isDeaf: boolean | null = null;

/** Whether whoever began this program made it deaf to SIGHUP. Must be asked before anybody listens for it. */
function outlivesTerminal(): boolean {
  // Deno opens /proc to programs that may do anything.
  const mayLook = (["read", "write", "net", "env", "run", "ffi", "sys"] as const).every((name) =>
    isPermitted({ name })
  );
  if (globals.process?.platform !== "linux" || !mayLook) return false;
  try {
    const text = builtinModule("node:fs")!.readFileSync("/proc/self/status", "utf8");
    return (parseInt(/^SigIgn:\s*([0-9a-f]+)/m.exec(text)![1].slice(-2), 16) & 1) === 1;
  } catch {
    return false;
  }
}

/** Whether a signal changes nothing here. */
const isIdle = (name: StopSignal): boolean => name === "SIGHUP" && (isDeaf ??= outlivesTerminal());

/** The signals to listen for here. */
function signals(): StopSignal[] {
  const isWindows = globals.process?.platform === "win32";
  return (Object.keys(numbers) as StopSignal[]).filter((name) => !(name === "SIGQUIT" && isWindows));
}

function listen(name: StopSignal, listener: () => void): () => void {
  const { process } = globals;
  if (process === undefined) return () => {};
  // Deno would end the program where nobody listens, deaf or not.
  const isNothing = isIdle(name);
  const heard = (): void => {
    if (isNothing) return;
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

/**
 * Calls `listener` for each signal to stop. A SIGHUP after another says nothing new: a shell that ends sends one after the
 * system's, and other programs one behind a SIGTERM.
 *
 * @returns a function that stops listening.
 */
export function onStop(listener: () => void): () => void {
  let wasTold = false;
  const stops = signals().map((name) =>
    onSignal(name, () => {
      if (name === "SIGHUP" && wasTold) return;
      wasTold = true;
      listener();
    })
  );
  return () => stops.forEach((stop) => stop());
}

/**
 * Calls `listener` for a signal to stop while nobody else listens for it.
 * @returns a function that stops listening.
 */
export function onUnheard(listener: () => void): () => void {
  const stops = signals().map((name) =>
    listen(name, () => {
      if (listening[name] === 0) listener();
    })
  );
  return () => stops.forEach((stop) => stop());
}

/** The exit status of a program that the last signal ended: 128 and its number, as 130 for SIGINT and 143 for SIGTERM. */
export function stopStatus(): number {
  return 128 + numbers[last];
}

/**
 * Calls `listener` when the program ends by itself or by `exit`, where the runtime must be helped to end in good order: on
 * Deno. (With threads that sleep there, and a software adapter of WebGPU, a process often breaks down as it ends.) Elsewhere
 * nothing is done.
 */
export function onUnload(listener: () => void): void {
  if (globals.Deno) globalThis.addEventListener("unload", listener);
}
