/**
 * Every public function says what it throws, or is named here as one that throws nothing; every public name has a category.
 *
 * What is public is what `deno doc` says of mod.ts; so this is asked on Deno alone.
 */
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

interface Commented {
  readonly jsDoc?: {
    readonly doc?: string;
    readonly tags?: readonly { readonly kind: string; readonly doc?: string }[];
  };
}

interface Declaration extends Commented {
  readonly kind: string;
  readonly location: { readonly filename: string; readonly line: number };
  readonly def?: {
    readonly elements?: readonly { readonly name: string; readonly declarations: readonly Declaration[] }[];
    readonly constructors?: readonly Commented[];
    readonly properties?: readonly (Commented & { readonly name: string })[];
    readonly methods?: readonly (Commented & { readonly name: string; readonly kind: string })[];
  };
}

/** Functions that take what they are given, or nothing. */
const throwNothing: readonly string[] = [
  ...["areDeterministicAlgorithmsEnabled", "defaultDevice", "defaultGenerator", "devices", "diagnose"],
  ...["getMaxMemory", "getThreads", "initQuantized", "initReference", "peakFlops", "randomState"],
  ...["nn.isParameter", "tabular.badge", "tabular.rangePosition", "tabular.zScore"],
];

const has = (of: Commented, tag: string): boolean =>
  of.jsDoc?.tags?.some(({ kind }) => kind === tag) ?? false;

/** The declarations of the public names, those of namespaces by their path. An implementation behind overloads has no comment. */
function publicDeclarations(entry = "mod.ts"): [name: string, Declaration][] {
  const { stdout, status } = spawnSync(process.execPath, ["doc", "--json", entry], {
    cwd: repository,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  assertEquals(status, 0);
  const found: [string, Declaration][] = [];
  const walk = (name: string, all: readonly Declaration[]): void => {
    for (const one of all) {
      if (one.kind === "namespace") {
        for (const { name: own, declarations } of one.def?.elements ?? []) {
          walk(`${name}.${own}`, declarations);
        }
      } else if (all.length === 1 || one.jsDoc) found.push([name, one]);
    }
  };
  const nodes = Object.values(JSON.parse(stdout).nodes) as {
    symbols: { name: string; declarations: Declaration[] }[];
  }[];
  for (const { symbols } of nodes) for (const { name, declarations } of symbols) walk(name, declarations);
  return found.filter(([, one]) => !has(one, "internal") && !has(one, "private"));
}

/** The modules that mod.ts exports as namespaces: of these deno doc tells less than of each by itself. */
function namespaces(): string[] {
  const text = readFileSync(join(repository, "mod.ts"), "utf8");
  const found = [...text.matchAll(/^export \* as \w+ from "\.\/(.*)"/gm)].map(([, file]) => file);
  assert(found.length >= 3, `${found.length} namespaces`);
  return found;
}

describe("the public face", { skip: !("Deno" in globalThis) && "deno doc tells what is public" }, () => {
  it("says what it throws: functions, and methods of tensors", () => {
    const all = publicDeclarations(), functions = all.filter(([, { kind }]) => kind === "function");
    assert(functions.length > 250, `${functions.length} functions`);
    const silent = functions.filter(([name, one]) => !has(one, "throws") && !throwNothing.includes(name));
    assertEquals(silent.map(([name]) => name), []);
    const plain = throwNothing.map((name) => name.split(".").at(-1));
    const own = namespaces().flatMap((entry) => publicDeclarations(entry)).filter(([, { kind }]) =>
      kind === "function"
    );
    assertEquals(
      own.filter(([name, one]) => !has(one, "throws") && !plain.includes(name)).map(([name]) => name),
      [],
    );
    const spoken = functions.filter(([name, one]) => has(one, "throws") && throwNothing.includes(name));
    assertEquals(spoken.map(([name]) => name), []);
    const methods = all.filter(([, { location }]) => location.filename.includes("/src/ops/methods/"))
      .flatMap(([name, { def }]) =>
        (def?.methods ?? []).map((method) => [`${name}.${method.name}`, method] as const)
      );
    assertEquals(methods.filter(([, method]) => !has(method, "throws")).map(([name]) => name), []);
  });

  it("says it by tags: what stands behind other words on a line is a part of them", () => {
    const written: string[] = [];
    for (const [name, one] of publicDeclarations()) {
      const { methods = [], constructors = [], properties = [] } = one.def ?? {};
      for (const part of [one, ...methods, ...constructors, ...properties]) {
        const { doc = "", tags = [] } = part.jsDoc ?? {};
        const words = [doc, ...tags.map(({ doc = "" }) => doc)].join(" ").replaceAll(/`[^`]*`/g, "");
        if (/(^|\s)@(throws|returns|category|internal|example)\b/.test(words)) {
          written.push(part === one ? name : `${name}.${(part as { name?: string }).name}`);
        }
      }
    }
    assertEquals(written, []);
  });

  it("says what the methods throw by which texts are read, written and made, and what is kept", () => {
    const wanted: Readonly<Record<string, readonly string[]>> = {
      TextModel: [
        "generate",
        "complete",
        "stream",
        "completion",
        "completions",
        "completeBatch",
        "generateIds",
        "save",
        "files",
      ],
      BpeTokenizer: ["encode", "decode", "train"],
      CharTokenizer: ["encode", "decode", "from"],
      CheckpointStore: ["save", "loadLatest", "loadBest"],
      Module: ["train", "loadStateDict", "to"],
    };
    const all = new Map(publicDeclarations()), silent: string[] = [];
    for (const [name, methods] of Object.entries(wanted)) {
      const declared = [...all].find(([own]) => own.split(".").at(-1) === name)?.[1].def?.methods ?? [];
      for (const method of methods) {
        const found = declared.filter((one) => one.name === method);
        if (!found.some((one) => has(one, "throws"))) silent.push(`${name}.${method}`);
      }
    }
    assertEquals(silent, []);
  });

  it("has a category", () => {
    const all = ["mod.ts", ...namespaces()].flatMap((entry) => publicDeclarations(entry));
    assert(all.some(([name]) => name === "SGD") && all.some(([name]) => name === "auc"));
    const without = all.filter(([, one]) => !has(one, "category"));
    assertEquals(
      without.map(([name, { location }]) => `${name} ${location.filename}:${location.line + 1}`),
      [],
    );
  });
});
