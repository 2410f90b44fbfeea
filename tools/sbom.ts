/**
 * What the package is built and tested with: `deno task sbom` writes `sbom/cyclonedx.json` (CycloneDX, by npm), and
 * `sbom/licences.md`, each package with its licence. The library itself depends on nothing.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readTask } from "./task.ts";

/** A component of a CycloneDX document, as far as it is read here. */
interface Component {
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly licenses?: readonly {
    readonly license?: { id?: string; name?: string };
    readonly expression?: string;
  }[];
}

const repository = fileURLToPath(new URL("..", import.meta.url)), folder = join(repository, "sbom");
readTask({
  name: "sbom",
  summary: "Lists what the package is built and tested with, in sbom/cyclonedx.json and sbom/licences.md.",
});
const { status, stdout, stderr } = spawnSync(
  "npm",
  ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"],
  { cwd: repository, encoding: "utf8", maxBuffer: 1 << 28, shell: process.platform === "win32" },
);
if (status !== 0) {
  console.error(`sbom: npm could not list the packages: ${stderr.trim().split("\n").at(-1)}`);
  process.exit(1);
}
const { components } = JSON.parse(stdout) as { components: readonly Component[] };
const licenceOf = ({ licenses = [] }: Component): string =>
  licenses.map(({ license, expression }) => expression ?? license?.id ?? license?.name).join(", ") ||
  "not stated";
const rows = components.map((component) =>
  `| ${component.group ? `${component.group}/` : ""}${component.name} | ${component.version} | ${
    licenceOf(component)
  } |`
);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "cyclonedx.json"), stdout);
writeFileSync(
  join(folder, "licences.md"),
  [
    "# Licences of what this is built and tested with",
    "",
    "| package | version | licence |",
    "|---|---|---|",
    ...rows.sort(),
    "",
  ]
    .join("\n"),
);
console.log(`${components.length} packages are in sbom/cyclonedx.json and sbom/licences.md`);
