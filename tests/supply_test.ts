/**
 * What this is built and tested with: named by version and integrity, checked when it is installed, under licences that are
 * known; and a release that tells where it comes from.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { version } from "../src/core/version.ts";
import { missingFromLock } from "./_install.ts";
import { linkedFrom, linksIn } from "../tools/links.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

interface Package {
  version?: string;
  integrity?: string;
  resolved?: string;
  link?: boolean;
  license?: string;
  devDependencies?: Record<string, string>;
}

const read = (...path: string[]): string => readFileSync(join(repository, ...path), "utf8");
const packagesOf = (...path: string[]): Record<string, Package> => JSON.parse(read(...path)).packages;
const folders = [".", "tests/runtimes", "tests/rivals", "tests/packages", "bench/rivals"];

describe("lock files", () => {
  it("have the integrity of each package, and no address", () => {
    for (const folder of folders) {
      const packages = Object.entries(packagesOf(folder, "package-lock.json"));
      assert(packages.length > 10, folder);
      for (const [path, { version, integrity, resolved, link }] of packages) {
        // The package itself, and folders of this repository.
        if (!path.startsWith("node_modules/") || link) continue;
        assertMatch(integrity ?? "", /^sha512-[\w+/]{86}==$/, `${folder}: ${path}`);
        assertMatch(version ?? "", /^\d+\.\d+\.\d+/, path);
        assertStrictEquals(resolved, undefined, path);
      }
      assert(!/https?:\/\/[^"]*\.tgz/.test(read(folder, "package-lock.json")), folder);
    }
  });

  it("fit what is asked for, in exact versions, on every system", () => {
    for (const folder of folders) {
      const { devDependencies = {}, dependencies = {} } = JSON.parse(read(folder, "package.json"));
      const packages = packagesOf(folder, "package-lock.json");
      for (const [name, wanted] of Object.entries<string>({ ...devDependencies, ...dependencies })) {
        if (wanted.startsWith("file:")) continue;
        const exact = wanted.replace(/^npm:.*@/, "");
        assertMatch(exact, /^\d+\.\d+\.\d+/, `${folder}: ${name} is asked for exactly`);
        assertStrictEquals(packages[`node_modules/${name}`]?.version, exact, `${folder}: ${name}`);
      }
    }
    for (const folder of [".", "tests/runtimes"]) {
      assertEquals(missingFromLock(join(repository, folder)), [], folder);
    }
  });

  it("are what was installed", () => {
    for (const folder of folders) {
      const path = join(folder, "node_modules", ".package-lock.json");
      if (!existsSync(join(repository, path))) continue;
      const wanted = packagesOf(folder, "package-lock.json");
      for (const [name, { integrity, version }] of Object.entries(packagesOf(path))) {
        if (integrity === undefined) continue;
        assertEquals(
          [version, integrity],
          [wanted[name]?.version, wanted[name]?.integrity],
          `${folder}: ${name}`,
        );
      }
    }
  });
});

describe("packages", () => {
  it("are under licences that let everybody use them", () => {
    const known = [
      "MIT",
      "ISC",
      "BSD-2-Clause",
      "BSD-3-Clause",
      "Apache-2.0",
      "0BSD",
      "Unlicense",
      "MPL-2.0",
      "BlueOak-1.0.0",
      "CC0-1.0",
      "Python-2.0",
    ];
    for (const [path, { license, link }] of Object.entries(packagesOf("package-lock.json"))) {
      if (link || !path.startsWith("node_modules/")) continue;
      const names = (license ?? "none").replace(/[()]/g, "").split(/ (?:OR|AND) /);
      assert(names.every((name) => known.includes(name)), `${path}: ${license}`);
    }
  });

  it("are none that the library needs", () => {
    const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(read("package.json"));
    assertStrictEquals(dependencies, undefined);
    for (const name of Object.keys(peerDependencies)) {
      assertStrictEquals(peerDependenciesMeta[name]?.optional, true, name);
    }
  });

  it("are listed by a task, in a form that tools read", () => {
    const before = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
    const run = spawnSync(process.execPath, [...before, join(repository, "tools/sbom.ts")], {
      encoding: "utf8",
      cwd: repository,
    });
    assertStrictEquals(run.status, 0, run.stderr);
    const { bomFormat, components } = JSON.parse(read("sbom/cyclonedx.json"));
    assertStrictEquals(bomFormat, "CycloneDX");
    const names = new Set(
      components.map(({ name, group, version }: Record<string, string>) =>
        `${group ? `${group}/` : ""}${name}@${version}`
      ),
    );
    const wanted = folders.filter((folder) => !folder.endsWith("rivals")).flatMap((folder) =>
      Object.entries(packagesOf(folder, "package-lock.json"))
    )
      .filter(([path, { link }]) => /^node_modules\//.test(path) && !link);
    for (const [path, { version }] of wanted) {
      assert(names.has(`${path.replace(/^.*node_modules\//, "")}@${version}`), path);
    }
    const licences = read("sbom/licences.md");
    for (const name of ["hono", "deno", "bun", "node"]) {
      assertMatch(licences, new RegExp(`^\\| ${name} \\| \\d+\\.\\d+\\.\\d+ \\| `, "m"), name);
    }
    const refs = components.map((one: Record<string, string>) => one["bom-ref"]);
    assertStrictEquals(new Set(refs).size, refs.length);
  });
});

describe("a release", () => {
  const workflow = read(".github/workflows/release.yml");

  it("is built in the open, of what is tagged, and signed for by nobody's token", () => {
    assertMatch(workflow, /^permissions: \{\}$/m);
    assertMatch(workflow, /id-token: write/);
    assertMatch(workflow, /contents: read/);
    assert(!/secrets\.|TOKEN|write-all|pull_request_target/.test(workflow));
    assertMatch(workflow, /npm publish \.\/npm --provenance/);
    assertMatch(workflow, /deno@2 publish/);
    assertMatch(workflow, /npm ci /);
    assertMatch(workflow, /bash \.ci\/run[^]*publish/);
  });

  it("has one version", () => {
    assertEquals([JSON.parse(read("deno.json")).version, JSON.parse(read("package.json")).version], [
      version,
      version,
    ]);
  });
});

describe("README in the npm form", () => {
  it("names nothing that is not in the package", async () => {
    const packed = await linkedFrom("README.md");
    const named = linksIn("README.md", readFileSync(join(repository, "README.md"), "utf8"));
    assert(named.length > 20, `${named.length} links`);
    assertEquals(named.filter((path) => !packed.includes(path)), []);
    for (const path of packed) assert(existsSync(join(repository, path)), path);
    // What npm packs of it is said in one place.
    const build = readFileSync(join(repository, "tools", "build_npm.ts"), "utf8");
    const files = [.../files: (\[.*\])/.exec(build)![1].matchAll(/"([^"]+)"/g)].map(([, name]) => name);
    const isPacked = (path: string): boolean =>
      files.includes(path.split("/")[0]) || (files.includes("*.md") && /^[^/]+\.md$/.test(path));
    assertEquals(packed.filter((path) => !isPacked(path)), []);
  });
});
