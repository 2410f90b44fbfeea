/**
 * The webgpu device on Node and Bun, which have no WebGPU of their own: the npm package "webgpu" (Dawn) gives one. Where
 * the system's drivers do not suit it, the software adapter that comes with Chromium does.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { runtimeName } from "../src/platform/platform.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";
import { patience } from "./_wait.ts";

const skip = runtimeName() === "node" || runtimeName() === "bun" ? false : "runs on Node and Bun";

interface Report {
  readonly reason?: string;
  readonly adapter: string;
  readonly texts: string[];
  readonly losses: number[][];
  readonly said: string;
  readonly again: number[];
}

function report(env: Record<string, string> = {}): Report {
  const { stdout, stderr } = spawnSync(process.execPath, [join(repository, "tests", "_dawn.ts")], {
    encoding: "utf8",
    env: { ...process.env, ...env },
    timeout: patience,
  });
  const line = stdout.trim().split("\n").at(-1) ?? "";
  assert(line.startsWith("{"), stderr.slice(-2000));
  return JSON.parse(line);
}

/** The driver file of the software adapter that comes with Chromium. */
function chromiumDriver(): string | undefined {
  const folders = [
    process.env.CHROMIUM && dirname(process.env.CHROMIUM),
    "/usr/lib/chromium",
    "/opt/google/chrome",
  ];
  return folders.map((folder) => folder && join(folder, "vk_swiftshader_icd.json")).find((path) =>
    path && existsSync(path)
  ) || undefined;
}

describe("webgpu through the npm package", () => {
  it("generates and trains as the cpu, and outlives the loss of the device", { skip }, (context) => {
    const driver = chromiumDriver();
    let found = report();
    if (found.reason !== undefined && driver) found = report({ VK_ICD_FILENAMES: driver });
    if (found.reason !== undefined) return context.skip(found.reason);
    console.log(found.adapter);
    assertEquals(found.texts.slice(2), found.texts.slice(0, 2));
    found.losses[1].forEach((loss, i) => assert(Math.abs(loss - found.losses[0][i]) < 1e-4, `${loss}`));
    assertMatch(found.said, /device was lost.*initWebGPU/);
    assertEquals(found.again, [2, 3]);
  });

  it("says in one sentence that the package is missing", { skip }, () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-"));
    try {
      // With a folder of modules, if an empty one, Bun does not fetch what is missing.
      mkdirSync(join(folder, "node_modules"));
      for (const name of ["mod.ts", "src", "cli", "package.json"]) {
        cpSync(join(repository, name), join(folder, name), { recursive: true });
      }
      const main = join(folder, "cli", "main.ts");
      const { status, stderr } = spawnSync(process.execPath, [main, "generate", "x", "--device", "webgpu"], {
        encoding: "utf8",
        cwd: folder,
      });
      assertStrictEquals(status, 2, stderr);
      const said =
        `ferrotype: --device webgpu is not available: ${runtimeName()} has no WebGPU of its own, and the npm ` +
        `package "webgpu" that gives it one is not installed (npm install webgpu)`;
      assert(stderr.split("\n").includes(said), stderr);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
