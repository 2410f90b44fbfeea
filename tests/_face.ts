/**
 * The public face as `deno doc --json` tells it: what `mod.ts` exports, each with its comment, by the names that people call.
 *
 * `docs/build.ts` starts with this, so it imports no package.
 *
 * Of a module that mod.ts exports as a namespace deno doc tells less than of that module by itself, so it is asked for each.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { repository } from "./_data.ts";

/** A tag of a comment, such as `@throws {ShapeError} when …`. */
export interface Tag {
  readonly kind: string;
  readonly doc?: string;
  readonly tsType?: { readonly repr?: string };
}

/** What may have a comment. */
export interface Commented {
  readonly jsDoc?: { readonly doc?: string; readonly tags?: readonly Tag[] };
}

/** A type, as much as is read of it. */
export interface Type {
  readonly kind: string;
  readonly repr?: string;
  readonly value?: unknown;
}

/** A parameter: by its name, or with a value where it is left out, or the rest. */
export interface Param {
  readonly kind: string;
  readonly name?: string;
  readonly optional?: boolean;
  readonly tsType?: Type;
  readonly left?: Param;
  readonly arg?: Param;
}

/** What can be called. */
export interface Signature {
  readonly params: readonly Param[];
  readonly returnType?: Type | undefined;
}

/** A method, a getter or a setter: of a class with a signature, of an interface as one. */
export interface Method extends Commented, Partial<Signature> {
  readonly name: string;
  readonly kind?: string;
  readonly isStatic?: boolean;
  readonly accessibility?: string;
  readonly functionDef?: Signature;
}

/** A declaration. */
export interface Declaration extends Commented {
  readonly kind: string;
  readonly location: { readonly filename: string; readonly line: number };
  readonly def?: Partial<Signature> & {
    readonly elements?: readonly Declared[];
    readonly constructors?: readonly (Commented & Signature)[];
    readonly properties?: readonly (Commented & { readonly name: string; readonly tsType?: Type })[];
    readonly methods?: readonly Method[];
    readonly tsType?: Type;
  };
}

/** A name and what is declared by it. */
export interface Declared {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

/** The modules that mod.ts exports as namespaces, by their names there. */
export function namespaces(): Map<string, string> {
  const text = readFileSync(join(repository, "mod.ts"), "utf8");
  const found = new Map(
    [...text.matchAll(/^export \* as (\w+) from "\.\/(.*)"/gm)].map(([, name, file]) => [name, file]),
  );
  if (found.size < 3) throw new Error(`mod.ts has ${found.size} namespaces`);
  return found;
}

const read = new Map<string, Declared[]>();

/** What a module exports. */
function symbolsOf(entry: string, deno: string): Declared[] {
  const known = read.get(entry);
  if (known) return known;
  const { stdout, stderr, status } = spawnSync(deno, ["doc", "--json", "--quiet", entry], {
    cwd: repository,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`deno doc ${entry}: ${stderr}`);
  const { nodes } = JSON.parse(stdout) as { nodes: Record<string, { symbols: Declared[] }> };
  const symbols = Object.values(nodes).flatMap((node) => node.symbols);
  read.set(entry, symbols);
  return symbols;
}

/** Whether a comment has a tag. */
export function has(of: Commented, tag: string): boolean {
  return of.jsDoc?.tags?.some(({ kind }) => kind === tag) ?? false;
}

/** The classes of errors that a comment says by `@throws`. */
export function thrownBy(of: Commented): string[] {
  return (of.jsDoc?.tags ?? []).filter(({ kind }) => kind === "throws").map(({ tsType }) =>
    tsType?.repr ?? ""
  );
}

/**
 * The declarations of the public names, those of namespaces by their path (`nn.Linear`). An implementation behind overloads
 * has no comment, and is left out.
 */
export function publicDeclarations(
  entry = "mod.ts",
  deno: string = process.execPath,
): [name: string, Declaration][] {
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
  for (const { name, declarations } of symbolsOf(entry, deno)) walk(name, declarations);
  return found.filter(([, one]) => !has(one, "internal") && !has(one, "private"));
}

/** Those of mod.ts and of each namespace by itself, each once. */
export function allDeclarations(): [name: string, Declaration][] {
  const spaces = [...namespaces()].flatMap(([space, file]) =>
    publicDeclarations(file).map(([name, one]): [string, Declaration] => [`${space}.${name}`, one])
  );
  const seen = new Set<string>();
  return [...publicDeclarations(), ...spaces].filter(([, { location, kind }]) => {
    const place = `${location.filename}:${location.line}:${kind}`;
    return !seen.has(place) && seen.add(place);
  });
}

/** A thing that can be called, by the name that people call it: `f`, `new C`, `C.made`, `C#method`. */
export interface Callable {
  readonly name: string;
  readonly kind: "function" | "constructor" | "method" | "getter" | "setter";
  /** Its overloads: what is documented, and what it takes. */
  readonly ways: readonly { readonly said: Commented; readonly takes: Signature }[];
}

const isHidden = (of: Method | Commented): boolean =>
  has(of, "internal") || has(of, "private") || ("accessibility" in of && of.accessibility !== undefined);

/** All that can be called of the declarations. */
export function callables(all: readonly [string, Declaration][]): Callable[] {
  const found = new Map<string, Callable>();
  const add = (name: string, kind: Callable["kind"], said: Commented, takes: Signature): void => {
    const key = kind === "getter" || kind === "setter" ? `${kind} ${name}` : name;
    const known = found.get(key);
    // A `this` says on what a method is called.
    const params = takes.params.filter((param) => param.name !== "this");
    found.set(key, { name, kind, ways: [...known?.ways ?? [], { said, takes: { ...takes, params } }] });
  };
  for (const [name, one] of all) {
    const { params, returnType, constructors = [], methods = [] } = one.def ?? {};
    if (one.kind === "function") add(name, "function", one, { params: params ?? [], returnType });
    if (one.kind !== "class" && one.kind !== "interface") continue;
    for (const made of constructors) if (!isHidden(made)) add(`new ${name}`, "constructor", made, made);
    for (const method of methods) {
      if (isHidden(method)) continue;
      const own = `${name}${method.isStatic ? "." : "#"}${method.name}`;
      const kind = method.kind === "getter" || method.kind === "setter" ? method.kind : "method";
      add(
        own,
        kind,
        method,
        method.functionDef ?? { params: method.params ?? [], returnType: method.returnType },
      );
    }
  }
  return [...found.values()];
}
