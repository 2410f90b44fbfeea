/**
 * Projects of other people: folders with nothing but the package as npm installs it, from the file that `npm pack` makes.
 *
 * The npm form is built and installed once for what the sources are now, and kept in `node_modules/.cache` for the next test. Everything here
 * runs other programs, so it runs on Deno alone.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { repository } from "../_data.ts";
import { installWithNpm } from "../_install.ts";
import { findRuntimes, runtimeKinds } from "../_runtimes.ts";
import { alone } from "./_alone.ts";

/** The packages that `tests/packages/package.json` names. */
export const tools: string = join(repository, "tests/packages/node_modules");

function reason(): string | false {
  if (!("Deno" in globalThis)) return "packages are built and tried once, on Deno, to save time";
  if (spawnSync("npm", ["--version"]).status !== 0) return "there is no npm on the path";
  if (!existsSync(join(repository, "node_modules/typescript"))) {
    return "typescript is not installed; npm install";
  }
  const { devDependencies } = JSON.parse(readFileSync(join(dirname(tools), "package.json"), "utf8"));
  if (Object.keys(devDependencies).every((name) => existsSync(join(tools, name, "package.json")))) {
    return false;
  }
  console.log("Installing what tries the packages with npm …");
  const failure = installWithNpm(dirname(tools));
  return failure === null ? false : `what tries the packages is not here: ${failure}`;
}

/** Why there is nothing to try; false when there is. For the `skip` of a suite. */
export const skip: string | false = "Deno" in globalThis ? await alone(reason, "packages") : reason();

/** What a program said and how it ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program; `path` goes before PATH. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, path = "", env = {} }: { cwd: string; path?: string; env?: Record<string, string> },
): Promise<Ended> {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, NO_COLOR: "1", PATH: `${path}${delimiter}${process.env.PATH}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32",
  });
  let stdout = "", stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, stdout, stderr };
}

/** The standard output of a program that ends well. */
export async function output(...[program, args, options]: Parameters<typeof run>): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, options);
  assertEquals(code, 0, `${program} ${args.join(" ")}:\n${stdout}${stderr}`);
  return stdout;
}

function filesOf(folder: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name)).filter((name) => statSync(join(repository, name)).isFile()).sort();
}

/** What the npm form follows from, in a few letters. */
function state(): string {
  const hash = createHash("sha256");
  const single = ["mod.ts", "package.json", "tsconfig.json", "README.md", "CHANGELOG.md"];
  for (const path of [...single, ...filesOf("src"), ...filesOf("cli"), ...filesOf("tools")]) {
    hash.update(path).update(readFileSync(join(repository, path)));
  }
  return hash.digest("hex").slice(0, 16);
}

let made: Promise<string> | null = null;

/** The file that `npm pack` makes of the npm form. */
export function packed(): Promise<string> {
  return made ??= alone(pack, "packages");
}

async function pack(): Promise<string> {
  const cache = join(repository, "node_modules/.cache/ferrotype"),
    name = `${state()}.tgz`,
    path = join(cache, name);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  for (const old of readdirSync(cache)) rmSync(join(cache, old), { recursive: true, force: true });
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-npm-"));
  try {
    const { buildNpm } = await import("../../tools/build_npm.ts");
    await buildNpm(join(folder, "npm"));
    const told = await output("npm", ["pack", "./npm", "--json", "--silent"], { cwd: folder });
    const [{ filename }] = Object.values(JSON.parse(told)) as { filename: string }[];
    cpSync(join(folder, filename), `${path}.tmp`);
    renameSync(`${path}.tmp`, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return path;
}

let madeProject: Promise<string> | null = null;

/** A folder in which npm installed the package and nothing else, to be copied: npm takes seconds. */
function installed(): Promise<string> {
  return madeProject ??= packed().then((tarball) => alone(() => install(tarball), "packages"));
}

async function install(tarball: string): Promise<string> {
  const folder = tarball.replace(/\.tgz$/, "");
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(join(tmpdir(), "ferrotype-project-")), near = mkdtempSync(`${folder}-`);
  try {
    writeFileSync(join(fresh, "package.json"), '{ "private": true, "type": "module" }\n');
    const options = ["--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"];
    await output("npm", ["install", ...options, tarball], { cwd: fresh });
    cpSync(fresh, near, { recursive: true, verbatimSymlinks: true });
    renameSync(near, folder);
  } finally {
    for (const left of [fresh, near]) rmSync(left, { recursive: true, force: true });
  }
  return folder;
}

/** A folder with the package installed. */
export class Project implements Disposable {
  /** Where it is. */
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Installs the package, without anything else, and writes `files`; `packages` are this repository's. */
  static async make(files: Record<string, string>, packages: readonly string[] = []): Promise<Project> {
    const project = new Project(mkdtempSync(join(tmpdir(), "ferrotype-project-")));
    cpSync(await installed(), project.folder, { recursive: true, verbatimSymlinks: true });
    project.write(files);
    project.link(...packages);
    return project;
  }

  /** Writes files. */
  write(files: Record<string, string>): void {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }

  /** Installs packages that this repository has. */
  link(...packages: readonly string[]): void {
    for (const name of packages) {
      const place = join(this.folder, "node_modules", name);
      mkdirSync(dirname(place), { recursive: true });
      symlinkSync(join(repository, "node_modules", name), place, "junction");
    }
  }

  /** A path in it. */
  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A runtime, and how it runs a file of a project. */
export interface Runner {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
}

/** The runtimes that the package is for, two versions of Node among them. */
export function runners(): Runner[] {
  const flags = { deno: ["run", "-A", "--no-lock"], bun: [], node: [] } as const;
  const { found } = findRuntimes(runtimeKinds, false);
  return [
    ...found.map(({ kind: { name }, path, version }) => ({
      name: `${name} ${version}`,
      program: path,
      args: flags[name],
    })),
    { name: "node 24", program: join(tools, "node24/bin/node"), args: [] },
  ];
}
