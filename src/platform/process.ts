/**
 * Programs of their own: another run of this one's file.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { builtinModule, globals, runtimeName } from "./runtime.ts";

/** How a program ended. */
export interface ProgramEnd {
  /** Its exit status; null where a signal ended it. */
  readonly code: number | null;
  /** The signal, or null. */
  readonly signal: string | null;
  /** What it wrote to standard output. */
  readonly output: string;
  /** What it wrote to standard error, the end of it where that is much. */
  readonly errors: string;
}

/** A program that runs. */
export interface Program {
  /** Its number. */
  readonly pid: number;
  /** How it ended. */
  readonly ended: Promise<ProgramEnd>;
  /** Closes its standard input. */
  close(): void;
  /** Ends it at once. */
  kill(): void;
  /** Has it end in good order, however busy it is: it is told again until it has gone, and killed where it does not hear. */
  end(): Promise<void>;
}

/** Milliseconds between two signals, and after which a program does not hear. */
const again = 100, patience = 10_000;

/** Letters of what a program says that are kept. */
const mostKept = 1 << 20;

/**
 * Runs `file` (a URL of a module) with this runtime, and `args`. Its standard input is open until it is closed, or this program is
 * gone: so it can know that nobody waits for it any more.
 * @throws {FerrotypeError} where it cannot be started.
 */
export function startProgram(
  file: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Program {
  const { process } = globals, spawn = builtinModule("node:child_process")?.spawn;
  if (!process || !spawn) throw new FerrotypeError("A program cannot be started here: a page has no others");
  const path = /^file:/.test(file) ? builtinModule("node:url")!.fileURLToPath(file) : file;
  const alone = globals.Deno?.build?.standalone === true;
  const before = alone ? [] : runtimeName() === "deno" ? ["run", "-A", path] : [path];
  const failed = (cause: unknown): FerrotypeError =>
    new FerrotypeError(
      `Cannot start ${process.execPath}: ${(cause as Error).message.split("\n")[0]}` +
        (globals.Deno ? "; give --allow-run and --allow-env" : ""),
      { cause },
    );
  let child: ReturnType<typeof spawn>;
  try {
    const env = Object.fromEntries(
      Object.entries({ ...process.env, ...environment }).filter(([, value]) => value !== undefined),
    ) as Record<string, string>;
    child = spawn(process.execPath, [...before, ...args], { env, stdio: ["pipe", "pipe", "pipe"] });
  } catch (error) {
    throw failed(error);
  }
  let output = "", errors = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text) => output = (output + text).slice(-mostKept));
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text) => errors = (errors + text).slice(-mostKept));
  // A program that is gone reads no more.
  child.stdin.on("error", () => {});
  const ended = new Promise<ProgramEnd>((resolve, reject) => {
    child.on("error", (error) => reject(failed(error)));
    child.on("close", (code, signal) => resolve({ code, signal, output, errors }));
  });
  let isGone = false;
  ended.then(() => isGone = true, () => isGone = true);
  // By number: what Deno was once asked to end counts as ended for it, whatever it does.
  const send = (signal: "SIGTERM" | "SIGKILL"): void => {
    if (isGone || child.pid === undefined) return;
    try {
      process.kill(child.pid, signal);
    } catch {
      // It has gone meanwhile.
    }
  };
  // It may not start at all before anybody waits for its end.
  ended.catch(() => {});
  return {
    pid: child.pid ?? 0,
    ended,
    close: () => child.stdin.end(),
    kill: () => send("SIGKILL"),
    async end() {
      send("SIGTERM");
      const telling = setInterval(() => send("SIGTERM"), again);
      const hung = setTimeout(() => send("SIGKILL"), patience);
      try {
        await ended;
      } catch {
        // One that never started is gone.
      } finally {
        clearInterval(telling);
        clearTimeout(hung);
      }
    },
  };
}
