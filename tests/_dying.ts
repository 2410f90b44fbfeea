/**
 * A process that dies at the Nth call that changes something on the disk, by the signal that nobody can hear: before a call a
 * process is killed as well as after the one before, and in a write half of the bytes are there. With N 0 nobody dies.
 *
 * @module
 */
import fs from "node:fs";
import process from "node:process";

let calls = 0, last = 0, armed = false;

function count(): boolean {
  return armed && ++calls === last;
}

function die(): void {
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
}

type AnyFunction = (...args: unknown[]) => unknown;

function wrap(object: object, names: readonly string[]): void {
  const functions = object as Record<string, AnyFunction>;
  for (const name of names) {
    const before = functions[name];
    functions[name] = (...args) => {
      if (count()) die();
      return before.apply(object, args);
    };
  }
}

const promises = fs.promises as unknown as Record<string, AnyFunction>, open = promises.open;
promises.open = async (...args) => {
  const reading = args[1] === "r";
  if (!reading && count()) die();
  const handle = await open.apply(promises, args) as Record<string, AnyFunction>;
  if (reading) return handle;
  const write = handle.write;
  handle.write = async (...given) => {
    if (count()) {
      const [bytes, at, length, ...place] = given as [Uint8Array, number, number, ...number[]];
      await write.call(handle, bytes, at, length >> 1, ...place);
      die();
    }
    return await write.apply(handle, given);
  };
  wrap(handle, ["sync", "chmod", "chown", "truncate", "close"]);
  return handle;
};
wrap(promises, ["rename", "rm", "mkdir", "symlink", "link", "utimes"]);
wrap(fs, ["mkdirSync", "renameSync", "rmSync", "rmdirSync", "fsyncSync"]);

/** From now on calls are counted; the `at`th is the last. */
export function dieAt(at: number): void {
  [last, armed] = [at, true];
}

/** From now on calls are counted, and nobody dies. */
export function countCalls(): void {
  [calls, last, armed] = [0, 0, true];
}

/** How many calls there were. */
export function callsMade(): number {
  return calls;
}
