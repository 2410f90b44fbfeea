/**
 * One process at a time installs and builds what tests share, the site and the packages: they run beside each other, and npm gets in
 * its own way in one folder.
 *
 * @module
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { repository } from "../_data.ts";

const folder = join(repository, "node_modules/.cache");

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

/** Whether this process has the lock now. One that was left by a process that is no more is taken away for the next try. */
function take(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    const owner = ((): string => {
      try {
        return readFileSync(lock, "utf8");
      } catch {
        return "";
      }
    })();
    if (owner !== "" && !isAlive(Number(owner))) rmSync(lock, { force: true });
    return false;
  }
}

/** Runs `f` while no other process does what has this name. */
export async function alone<T>(f: () => T | Promise<T>, name: string): Promise<T> {
  const lock = join(folder, `ferrotype-${name}.lock`);
  mkdirSync(folder, { recursive: true });
  while (!take(lock)) await new Promise((resolve) => setTimeout(resolve, 200));
  try {
    return await f();
  } finally {
    rmSync(lock, { force: true });
  }
}
