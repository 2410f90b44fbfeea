/**
 * Every task runs in a clone that nobody has prepared: what it needs and is missing is installed first, with npm, as
 * the lock file says, and one line tells so.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("..", import.meta.url));

/**
 * Installs what the lock file of `folder` names, with npm; null when that worked, else the reason.
 *
 * Not with `npm ci`: programs for other systems are optional and not in every registry, and where the lock file was
 * made without them, `npm ci` refuses it. `--no-save` leaves the lock file as it is.
 */
export function installWithNpm(folder: string): string | null {
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const run = spawnSync("npm", args, {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
    timeout: 1_200_000,
  });
  if (run.error !== undefined) return `npm could not be started (${run.error.message})`;
  if (run.status !== 0) return `npm install failed: ${run.stderr.trim().split("\n").slice(-3).join(" ")}`;
  return null;
}

/** The development packages of this repository that are not installed, or in another version than is asked for. */
export function missingPackages(): string[] {
  const read = (...path: string[]) =>
    JSON.parse(readFileSync(join(repository, ...path, "package.json"), "utf8"));
  const wanted = read().devDependencies as Record<string, string>;
  return Object.entries(wanted).filter(([name, version]) => {
    if (!existsSync(join(repository, "node_modules", name, "package.json"))) return true;
    return /^\d/.test(version) && read("node_modules", name).version !== version;
  }).map(([name]) => name);
}

/** Installs the packages that are missing, if any; ends the program where that fails. Whether there were any. */
export function installPackages(): boolean {
  const missing = missingPackages();
  if (missing.length === 0) return false;
  console.error(`Installing ${missing.length} packages with npm …`);
  const failure = installWithNpm(repository);
  if (failure !== null) {
    console.error(`${failure}; "npm install" in ${repository} installs what this needs`);
    process.exit(1);
  }
  return true;
}

/**
 * For a program that imports packages: installs those that are missing, and then runs the program from its beginning,
 * because Deno and Bun look into `node_modules` once. Call it before the first such import.
 */
export function ensurePackages(): void {
  if (!installPackages()) return;
  const flags = "Deno" in globalThis ? ["run", "-A", "--no-check"] : process.execArgv;
  const again = spawnSync(process.execPath, [...flags, ...process.argv.slice(1)], { stdio: "inherit" });
  process.exit(again.status ?? 1);
}
