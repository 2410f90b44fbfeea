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
  readonly "bom-ref": string;
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly licenses?: readonly {
    readonly license?: { id?: string; name?: string };
    readonly expression?: string;
  }[];
}

/** What npm writes, as far as it is read here. */
interface Bill {
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string }[];
}

/** Where lock files are: of tools, of the runtimes that tests run on, of what the package is tried with. */
const folders = [".", "tests/runtimes", "tests/packages"];

const repository = fileURLToPath(new URL("..", import.meta.url)), folder = join(repository, "sbom");
readTask({
  name: "sbom",
  summary: "Lists what the package is built and tested with, in sbom/cyclonedx.json and sbom/licences.md.",
});

/** What npm lists of a folder's lock file. */
function listed(path: string): Bill {
  const { status, stdout, stderr } = spawnSync(
    "npm",
    ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"],
    {
      cwd: join(repository, path),
      encoding: "utf8",
      maxBuffer: 1 << 28,
      shell: process.platform === "win32",
    },
  );
  if (status === 0) return JSON.parse(stdout) as Bill;
  console.error(`sbom: npm could not list the packages of ${path}: ${stderr.trim().split("\n").at(-1)}`);
  process.exit(1);
}

// One package of one version stands in the list once, whatever folders have it.
const bills = folders.map(listed);
const components = [
  ...new Map(bills.flatMap((bill) => bill.components).map((one) => [one["bom-ref"], one])).values(),
];
const whole = {
  ...bills[0],
  components,
  dependencies: [
    ...new Map(bills.flatMap((bill) => bill.dependencies).map((one) => [one.ref, one])).values(),
  ],
};
const licenceOf = ({ licenses = [] }: Component): string =>
  licenses.map(({ license, expression }) => expression ?? license?.id ?? license?.name).join(", ") ||
  "not stated";
const rows = components.map((component) =>
  `| ${component.group ? `${component.group}/` : ""}${component.name} | ${component.version} | ${
    licenceOf(component)
  } |`
);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "cyclonedx.json"), JSON.stringify(whole, null, 2) + "\n");
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
