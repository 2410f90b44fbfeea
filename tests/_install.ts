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

/** Packages that the lock file of `folder` speaks of and does not have: optional ones, for other systems. */
export function missingFromLock(folder: string): string[] {
  const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  const names = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, "")));
  return Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies).filter((name) => !names.has(name))
  );
}

/**
 * Installs what the lock file of `folder` names, with npm; null when that worked, else the reason.
 *
 * Each package is checked against its integrity in the lock file. Where nothing is installed yet, `npm ci` also refuses a lock
 * file that does not fit package.json; it wants programs for other systems in it too, which not every registry has, so where
 * they are missing, and where something is to be added, it is `npm install`. `--no-save` leaves the lock file as it is.
 */
export function installWithNpm(folder: string): string | null {
  const isNew = !existsSync(join(folder, "node_modules")) && missingFromLock(folder).length === 0;
  const args = [...isNew ? ["ci"] : ["install", "--no-save"], "--no-audit", "--no-fund", "--loglevel=error"];
  const run = spawnSync("npm", args, {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
    timeout: 1_200_000,
  });
  if (run.error !== undefined) return `npm could not be started (${run.error.message})`;
  if (run.status !== 0) return `npm ${args[0]} failed: ${run.stderr.trim().split("\n").slice(-3).join(" ")}`;
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
