/**
 * A process that brings a folder into a state and is killed over it: `_killed_writer.ts KIND FOLDER STATE N`.
 *
 * The Nth call that changes something on the disk is the last: before a call a process is killed as well as after the
 * one before, and in a write half of the bytes are there. With N 0 nobody dies, and the number of calls is printed.
 *
 * @module
 */
import fs from "node:fs";
import process from "node:process";
import { kindsOfWrites, type Which } from "./_kinds_of_writes.ts";

const [kind, folder, which, last] = process.argv.slice(2);
let calls = 0, armed = false;

function count(): boolean {
  return armed && ++calls === Number(last);
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

const write = kindsOfWrites.find(({ name }) => name === kind);
if (write === undefined) throw new Error(`there is no kind ${kind}`);
armed = true;
await write.write(folder, Number(which) as Which);
console.log(calls);
process.exit(0);
