/**
 * Holds the house to its plan: who may import whom, who may name a runtime, how long a file may be, and that
 * importing the library brings in nothing from outside. Reads text alone, so it takes no time.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { packageVersions } from "../src/core/packages.ts";
import { repository } from "./_data.ts";
import {
  circlesOf,
  type Import,
  importsOf,
  lineOf,
  sourceFiles,
  targetOf,
  withoutComments,
  withoutStrings,
} from "./_imports.ts";

/**
 * The rooms, from the ground up. A file imports from its own room, and from what its row names: rooms on lower
 * floors, single files, or "below", which is every room on a lower floor.
 */
const house: { floor: number; room: string; uses: string[] }[] = [
  { floor: 0, room: "src/core", uses: [] },
  { floor: 1, room: "src/platform", uses: ["src/core"] },
  { floor: 1, room: "src/expr", uses: ["src/core"] },
  { floor: 1, room: "src/files", uses: ["src/core"] },
  { floor: 1, room: "src/text", uses: ["src/core"] },
  { floor: 1, room: "src/search", uses: ["src/core"] },
  { floor: 2, room: "src/backends", uses: ["src/core", "src/expr"] },
  {
    floor: 3,
    room: "src/tensor",
    uses: [
      "src/core",
      "src/expr",
      "src/backends/contract.ts",
      "src/backends/operations.ts",
      "src/backends/kernels/packed.ts",
      "src/backends/kernels/rows.ts",
    ],
  },
  {
    floor: 4,
    room: "src/ops",
    uses: ["src/core", "src/expr", "src/backends/contract.ts", "src/backends/kernels", "src/tensor"],
  },
  { floor: 5, room: "src/nn", uses: ["below"] },
  { floor: 5, room: "src/optim", uses: ["below"] },
  { floor: 6, room: "src/models", uses: ["below"] },
  { floor: 6, room: "src/distributed", uses: ["below", "src/models"] },
  { floor: 6, room: "src/onnx", uses: ["below"] },
  { floor: 6, room: "src/tabular", uses: ["below", "src/onnx"] },
  { floor: 6, room: "src/landscape", uses: ["below"] },
  { floor: 7, room: "src/generate", uses: ["below"] },
  { floor: 7, room: "src/train", uses: ["below"] },
  { floor: 8, room: "src/hub", uses: ["below"] },
  { floor: 8, room: "src/runtime", uses: ["below", "src/hub"] },
  { floor: 9, room: "mod.ts", uses: ["below"] },
  {
    floor: 10,
    room: "cli",
    uses: [
      ...["mod.ts", "src/core", "src/platform", "src/search", "src/generate/given.ts"],
      ...["src/runtime/speaking.ts", "src/runtime/model_sizes.ts", "src/nn/flaw.ts"],
    ],
  },
  { floor: 10, room: "tools", uses: ["src/core", "cli/command.ts", "tests/_install.ts"] },
  { floor: 10, room: "web", uses: ["mod.ts", "below", "tests/_install.ts", "tools"] },
  { floor: 10, room: "examples", uses: ["mod.ts"] },
  { floor: 10, room: "bench", uses: ["below", "cli", "tools/task.ts", "tests/_install.ts"] },
];

/** Rooms that devices are made of stay behind the contract; only the assembling file opens them. */
const onlyRuntimeOpens = ["src/backends/", "src/platform/"];

/** What makes and serves the pages runs beside them, never in a browser. */
const webTools = ["web/build.ts", "web/serve.ts"];

function inRoom(file: string, room: string): boolean {
  return file === room || file.startsWith(`${room}/`);
}

/** Whether a file goes out to users of the package. What it names in an import, JSR's layer for npm installs for all. */
function isPublished(file: string): boolean {
  return file === "mod.ts" || inRoom(file, "src") || inRoom(file, "cli");
}

const files: string[] = [];
const imports: Import[] = [];
before(() => {
  for (const { room } of house) {
    for (const file of sourceFiles(room)) files.push(file);
  }
  for (const file of files) imports.push(...importsOf(file));
});

/** Fails with every broken rule on a line of its own. */
function none(broken: string[]): void {
  assertStrictEquals(broken.length, 0, `\n${broken.join("\n")}`);
}

describe("the house", () => {
  it("has no file outside of a room", () => {
    none(
      sourceFiles("src").filter((file) => !house.some(({ room }) => inRoom(file, room))).map((file) =>
        `${file} is in no room of the table; give it a place there`
      ),
    );
  });

  it("is entered from above only", () => {
    const broken: string[] = [];
    for (const found of imports) {
      const target = targetOf(found);
      if (target === null) continue;
      const { floor, room, uses } = house.find(({ room }) => inRoom(found.file, room))!;
      if (inRoom(target, room)) continue;
      const lower = house.filter((other) => other.floor < floor).map((other) => other.room);
      const allowed = uses.flatMap((use) => use === "below" ? lower : [use]);
      if (!allowed.some((place) => inRoom(target, place))) {
        broken.push(
          `${found.file}:${found.line}: imports ${target}; ${room} may use ${uses.join(", ") || "nothing"}`,
        );
      }
      if (floor > 4 && floor < 8 && onlyRuntimeOpens.some((place) => target.startsWith(place))) {
        const contract = target === "src/backends/contract.ts" && found.kind === "type";
        if (!contract) {
          broken.push(`${found.file}:${found.line}: imports ${target}; only src/runtime/ opens it`);
        }
      }
    }
    none(broken);
  });

  it("has what pages take in place of a file give what that file gives", () => {
    const { browser } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
      browser: Record<string, string>;
    };
    const broken: string[] = [], inPages = ["mod.ts"];
    for (const file of inPages) {
      for (const found of importsOf(file)) {
        const target = targetOf(found);
        if (found.kind === "type" || target === null) continue;
        const taken = (browser[`./${target}`] ?? target).replace(/^\.\//, "");
        if (!inPages.includes(taken)) inPages.push(taken);
      }
    }
    for (const file of inPages) {
      const text = withoutComments(readFileSync(join(repository, file), "utf8"));
      for (
        const [, names, specifier] of text.matchAll(/(?:import|export)\s*\{([^}]*)\}\s*from\s*"([^"\n]+)"/g)
      ) {
        const target = targetOf({ file, line: 0, specifier, kind: "static" }), other = browser[`./${target}`];
        if (other === undefined) continue;
        const given = readFileSync(join(repository, other), "utf8");
        for (const name of names.split(",").map((one) => one.trim().split(/\s+as\s+/)[0])) {
          if (name === "" || name.startsWith("type ")) continue;
          const isGiven = new RegExp(
            `export (?:async )?(?:function|const|class|let) ${name}\\b|export \\{[^}]*\\b${name}\\b`,
          ).test(given);
          if (!isGiven) broken.push(`${file}: ${name} of ${target} is not in ${other}`);
        }
      }
    }
    none(broken);
  });

  it("goes in no circle", () => {
    none(circlesOf(files).map((circle) => circle.join(" → ")));
  });

  it("imports files that exist, with their endings", () => {
    none(
      imports.filter((found) => {
        const target = targetOf(found);
        return target !== null && !(/\.(ts|js|json)$/.test(target) && existsSync(join(repository, target)));
      }).map((found) => `${found.file}:${found.line}: there is no ${found.specifier}`),
    );
  });

  it("names runtimes in src/platform only", () => {
    const broken: string[] = [];
    for (const file of files) {
      if (!file.startsWith("src/") && file !== "mod.ts") continue;
      if (inRoom(file, "src/platform")) continue;
      const text = withoutStrings(readFileSync(join(repository, file), "utf8"));
      for (const match of text.matchAll(/(?<![\w$.])(Deno|Bun|process|navigator)\s*[.[?]/g)) {
        broken.push(`${file}:${lineOf(text, match.index)}: names ${match[1]}; ask src/platform`);
      }
      for (const match of text.matchAll(/\bglobalThis\s*(?:as\b|\.\s*(?:Deno|Bun|process|navigator)\b)/g)) {
        broken.push(
          `${file}:${lineOf(text, match.index)}: looks for a runtime in globalThis; ask src/platform`,
        );
      }
    }
    for (const { file, line, specifier } of imports) {
      if (!/^(node|bun|deno):/.test(specifier) || webTools.includes(file)) continue;
      if (
        (file.startsWith("src/") && !inRoom(file, "src/platform")) || file === "mod.ts" ||
        inRoom(file, "web")
      ) {
        broken.push(`${file}:${line}: imports ${specifier}; ask src/platform`);
      }
    }
    none(broken);
  });

  it("loads nothing from outside with mod.ts", () => {
    const broken: string[] = [];
    const reached = new Set<string>();
    const visit = (file: string) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const found of imports.filter((one) => one.file === file && one.kind === "static")) {
        const target = targetOf(found);
        if (target === null) {
          broken.push(`${file}:${found.line}: imports ${found.specifier} when it is loaded`);
        } else visit(target);
      }
    };
    // Whatever is in src is meant to be reached from mod.ts, or from a file that a caller may import first.
    for (const file of files.filter((file) => file === "mod.ts" || file.startsWith("src/"))) visit(file);
    none(broken);
  });

  it("asks for packages by name only where a caller wants them", () => {
    const known = [
      "hono",
      "hono/compress",
      "@hono/node-server",
      "mitata",
      "playwright-core",
      "esbuild",
      "@hono/node-server/serve-static",
      "jsep",
    ];
    none(
      // A path from the root is a page's own import, in the text of a page that a bench serves.
      imports.filter(({ specifier, file }) =>
        !/^(\.|\/|node:|bun:)/.test(specifier) &&
        !(known.includes(specifier) && !isPublished(file))
      ).map(({ file, line, specifier }) => `${file}:${line}: imports ${specifier}`),
    );
  });

  it("loads its optional packages through importPackage, in the versions that package.json names", () => {
    const broken: string[] = [], asked = new Set<string>(["koffi", "webgpu"]);
    for (const file of files.filter(isPublished)) {
      const text = withoutComments(readFileSync(join(repository, file), "utf8"));
      for (const match of text.matchAll(/\bimportPackage(?:<[^>]*>)?\((?:"([^"]*)")?/g)) {
        if (/function\s+$/.test(text.slice(0, match.index))) continue;
        const [, name] = /^((?:@[^/]+\/)?[^/]+)/.exec(match[1] ?? "") ?? [];
        if (name !== undefined && name in packageVersions) asked.add(name);
        else broken.push(`${file}:${lineOf(text, match.index)}: asks for ${match[1] ?? "no name in quotes"}`);
      }
    }
    none(broken);
    // Two are loaded otherwise: one is opened as a file, one is there at once or not at all.
    const { peerDependencies: { koffi, webgpu, ...peers }, peerDependenciesMeta: optional } = JSON.parse(
      readFileSync(join(repository, "package.json"), "utf8"),
    ) as { peerDependencies: Record<string, string>; peerDependenciesMeta: Record<string, unknown> };
    assertEquals(peers, packageVersions);
    for (const name of [...Object.keys(peers), "koffi", "webgpu"]) {
      assertEquals(optional[name], { optional: true });
    }
    assertEquals([...asked].sort(), [...Object.keys(peers), "koffi", "webgpu"].sort());
    assert(koffi && webgpu);
  });

  it("starts in a clone where no package is installed: every task, the command, the lessons", () => {
    const { tasks } = JSON.parse(readFileSync(join(repository, "deno.json"), "utf8")) as {
      tasks: Record<string, string>;
    };
    const started = Object.values(tasks).map((line) => /(\S+\.ts)/.exec(line)![1]);
    const others = [
      "cli/main.ts",
      "tests/conformance_table.ts",
      "bench/check.ts",
      "bench/profile.ts",
      "bench/serve_load.ts",
    ];
    const broken = new Set<string>();
    for (const start of [...started, ...others, ...sourceFiles("examples")]) {
      const reached = new Set<string>();
      const visit = (file: string, way: string) => {
        if (reached.has(file)) return;
        reached.add(file);
        for (const found of importsOf(file).filter(({ kind }) => kind === "static")) {
          const target = targetOf(found);
          if (target !== null && target.endsWith(".ts")) visit(target, `${way} → ${target}`);
          else if (target !== null || !found.specifier.startsWith("node:")) {
            broken.add(`${way}: imports ${found.specifier} before anything can install it`);
          }
        }
      };
      visit(start, start);
    }
    none([...broken]);
  });

  it("lets no test read a clock: what it would measure is the machine, and what else it does", () => {
    none(
      sourceFiles("tests").filter((file) =>
        file.endsWith("_test.ts") && file !== "tests/architecture_test.ts"
      )
        .flatMap((file) => {
          const text = withoutComments(readFileSync(join(repository, file), "utf8"));
          const match = /\b(?:performance\.now|Date\.now|process\.hrtime)\b/.exec(text);
          return match
            ? [`${file}:${lineOf(text, match.index)}: says ${match[0]}; wait with tests/_wait.ts`]
            : [];
        }),
    );
  });

  it("says on every runtime why a test is skipped", () => {
    none(
      sourceFiles("tests").filter((file) =>
        file !== "tests/_suite.ts" && file !== "tests/architecture_test.ts"
      )
        .filter((file) => {
          const text = withoutComments(readFileSync(join(repository, file), "utf8"));
          return /\bskip:|\{ skip \}|\b(?:t|test|context)\.skip\(/.test(text) &&
            /from "node:test"/.test(text);
        })
        .map((file) => `${file}: skips and imports node:test; take describe and it from tests/_suite.ts`),
    );
  });

  it("keeps files short enough to read", () => {
    none(
      files.filter((file) => file.startsWith("src/")).flatMap((file) => {
        // Comments for readers of the reference are as long as they need to be.
        const text = readFileSync(join(repository, file), "utf8").replaceAll(/^ *\/\*\*[\s\S]*?\*\/\n/gm, "");
        const lines = text.trimEnd().split("\n").length;
        return lines > 450 ? [`${file}:450: has ${lines} lines; would a reader rather meet two files?`] : [];
      }),
    );
  });

  it("says nothing about how it was made", () => {
    const words = /\b(npmjs|jsr\.io\/|registry\.(?:npmjs|yarnpkg)|TODO|FIXME|XXX)\b|\/work\//;
    const broken: string[] = [];
    for (const file of files) {
      readFileSync(join(repository, file), "utf8").split("\n").forEach((line, i) => {
        const match = words.exec(line);
        if (match !== null) broken.push(`${file}:${i + 1}: says "${match[0]}"`);
      });
    }
    none(broken);
  });
});
