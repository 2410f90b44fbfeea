/**
 * Every public function says what it throws, or is named here as one that throws nothing; every public name has a category.
 *
 * What is public is what `deno doc` says of mod.ts; so this is asked on Deno alone.
 */
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

interface Commented {
  readonly jsDoc?: { readonly tags?: readonly { readonly kind: string }[] };
}

interface Declaration extends Commented {
  readonly kind: string;
  readonly location: { readonly filename: string; readonly line: number };
  readonly def?: {
    readonly elements?: readonly { readonly name: string; readonly declarations: readonly Declaration[] }[];
    readonly methods?: readonly (Commented & { readonly name: string; readonly kind: string })[];
  };
}

/** Functions that take what they are given, or nothing. */
const throwNothing: readonly string[] = [
  ...["areDeterministicAlgorithmsEnabled", "defaultDevice", "defaultGenerator", "devices", "diagnose"],
  ...["getMaxMemory", "getThreads", "initReference", "peakFlops", "randomState"],
  ...["nn.isParameter", "tabular.badge", "tabular.rangePosition", "tabular.zScore"],
];

const has = (of: Commented, tag: string): boolean =>
  of.jsDoc?.tags?.some(({ kind }) => kind === tag) ?? false;

/** The declarations of the public names, those of namespaces by their path. An implementation behind overloads has no comment. */
function publicDeclarations(): [name: string, Declaration][] {
  const { stdout, status } = spawnSync(process.execPath, ["doc", "--json", "mod.ts"], {
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

describe("the public face", { skip: !("Deno" in globalThis) && "deno doc tells what is public" }, () => {
  it("says what it throws: functions, and methods of tensors", () => {
    const all = publicDeclarations(), functions = all.filter(([, { kind }]) => kind === "function");
    assert(functions.length > 250, `${functions.length} functions`);
    const silent = functions.filter(([name, one]) => !has(one, "throws") && !throwNothing.includes(name));
    assertEquals(silent.map(([name]) => name), []);
    const spoken = functions.filter(([name, one]) => has(one, "throws") && throwNothing.includes(name));
    assertEquals(spoken.map(([name]) => name), []);
    const methods = all.filter(([, { location }]) => location.filename.includes("/src/ops/methods/"))
      .flatMap(([name, { def }]) =>
        (def?.methods ?? []).map((method) => [`${name}.${method.name}`, method] as const)
      );
    assertEquals(methods.filter(([, method]) => !has(method, "throws")).map(([name]) => name), []);
  });

  it("has a category", () => {
    const without = publicDeclarations().filter(([, one]) => !has(one, "category"));
    assertEquals(
      without.map(([name, { location }]) => `${name} ${location.filename}:${location.line + 1}`),
      [],
    );
  });
});
