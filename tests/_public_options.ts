/**
 * Which functions of the public face take options, and what those may be, as the exported types say it.
 *
 * `deno doc --json` gives the declarations behind `mod.ts`; here they are walked: every function, constructor and method
 * with a parameter whose type is an object of named values, some of which may be left out.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./_data.ts";
import { findRuntimes, runtimeKinds } from "./_runtimes.ts";

/** A property of an options type. */
export interface Property {
  readonly name: string;
  readonly optional: boolean;
}

/** A parameter that takes options. */
export interface TakesOptions {
  /** The function, `new Class`, `Class.method` or `Class#method`; and the parameter. */
  readonly where: string;
  readonly properties: readonly Property[];
}

/** As much as is read of `deno doc`'s JSON. */
interface Type {
  kind: string;
  value?: unknown;
}
interface Declaration {
  kind: string;
  def: Record<string, unknown>;
}
interface Declared {
  name: string;
  declarations: Declaration[];
}

type Json = Record<string, unknown>;
const list = (value: unknown): Json[] => Array.isArray(value) ? value as Json[] : [];

/** The modules behind `export * as name` in mod.ts, whose own re-exports `deno doc mod.ts` does not follow. */
function namespaces(): Map<string, string> {
  const text = readFileSync(join(repository, "mod.ts"), "utf8");
  const found = text.matchAll(/export \* as (\w+) from "\.\/([^"]+)"/g);
  return new Map([...found].map(([, name, file]) => [file, name]));
}

/** The declarations of mod.ts and its namespaces by file, or why there are none. */
function documented(): Map<string, Declared[]> | string {
  const { found: [deno], missing } = findRuntimes(runtimeKinds.filter(({ name }) => name === "deno"), false);
  if (!deno) return missing[0];
  const files = ["mod.ts", ...namespaces().keys()], found = new Map<string, Declared[]>();
  for (const file of files) {
    const run = spawnSync(deno.path, ["doc", "--json", "--quiet", file], {
      cwd: repository,
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    if (run.status !== 0) throw new Error(`deno doc ${file}: ${run.stderr}`);
    const nodes = (JSON.parse(run.stdout) as { nodes: Record<string, { symbols: Declared[] }> }).nodes;
    found.set(file, Object.values(nodes).flatMap(({ symbols }) => symbols));
  }
  return found;
}

/** Types by name, wherever they are declared. */
function typesOf(all: Iterable<Declared[]>): Map<string, Declaration> {
  const types = new Map<string, Declaration>();
  const gather = (symbols: Declared[]): void => {
    for (const { name, declarations } of symbols) {
      for (const d of declarations) {
        if (["interface", "typeAlias", "class"].includes(d.kind) && !types.has(name)) types.set(name, d);
        if (d.kind === "namespace") gather((d.def.elements ?? []) as Declared[]);
      }
    }
  };
  for (const symbols of all) gather(symbols);
  return types;
}

class Types {
  readonly #types: Map<string, Declaration>;

  constructor(types: Map<string, Declaration>) {
    this.#types = types;
  }

  /** The properties of an object type; null for any other. */
  properties(type: Type | undefined): Property[] | null {
    if (!type) return null;
    const { kind, value } = type as { kind: string; value: Json & unknown[] };
    if (kind === "parenthesized") return this.properties(value as unknown as Type);
    if (kind === "typeLiteral") return list(value.properties).map(property);
    if (kind === "intersection") {
      const parts = list(value).map((t) => this.properties(t as unknown as Type));
      return parts.some((p) => p === null) ? null : parts.flatMap((p) => p as Property[]);
    }
    // A union with an object among its members: that object's.
    if (kind === "union") {
      return list(value).map((t) => this.properties(t as unknown as Type)).find((p) => p !== null) ?? null;
    }
    if (kind !== "typeRef") return null;
    return this.#ofReference(String(value.typeName).split(".").at(-1)!, list(value.typeParams));
  }

  #ofReference(name: string, params: Json[]): Property[] | null {
    const inner = (): Property[] | null => this.properties(params[0] as unknown as Type);
    if (name === "Partial") return inner()?.map((p) => ({ ...p, optional: true })) ?? null;
    if (name === "Omit" || name === "Pick") {
      const names = JSON.stringify(params[1]).match(/"string":"(\w+)"/g)?.map((text) => text.slice(10, -1)) ??
        [];
      return inner()?.filter((p) => names.includes(p.name) === (name === "Pick")) ?? null;
    }
    const found = this.#types.get(name);
    if (found?.kind === "typeAlias") return this.properties(found.def.tsType as Type);
    if (found?.kind !== "interface") return null;
    const methods = list(found.def.methods).length;
    const own = list(found.def.properties).map(property);
    const above = list(found.def.extends).map((t) => this.properties(t as unknown as Type) ?? []).flat();
    const names = new Set(own.map((p) => p.name));
    // What has methods is a thing, not options.
    return methods > 0 ? null : [...own, ...above.filter((p) => !names.has(p.name))];
  }
}

function property(json: Json): Property {
  return { name: String(json.name), optional: json.optional === true };
}

/** Every parameter of the public face that takes options, or why that cannot be told. */
export function takingOptions(): TakesOptions[] | string {
  const all = documented();
  if (typeof all === "string") return all;
  const types = new Types(typesOf(all.values())), found = new Map<string, TakesOptions>();
  const look = (where: string, params: unknown): void => {
    for (const param of list(params)) {
      const left = (param.left ?? param) as Json;
      const properties = types.properties((param.tsType ?? left.tsType) as Type | undefined);
      if (!properties?.some((p) => p.optional) && !(properties?.length && left.name === "options")) continue;
      // A class or function may stand in mod.ts and in a namespace.
      const at = `${where.replace(/\b[a-z]\w*\.(?=\w)/g, "")}(${left.name})`,
        before = found.get(at)?.properties ?? [];
      const names = new Set(before.map((p) => p.name));
      found.set(at, { where: at, properties: [...before, ...properties.filter((p) => !names.has(p.name))] });
    }
  };
  const walk = (prefix: string, symbols: Declared[]): void => {
    for (const { name, declarations } of symbols) {
      for (const { kind, def } of declarations) {
        const at = prefix + name;
        if (kind === "function" && def.hasBody !== true) look(at, def.params);
        else if (kind === "function" && declarations.length === 1) look(at, def.params);
        else if (kind === "namespace") walk(`${at}.`, (def.elements ?? []) as Declared[]);
        else if (kind === "class") {
          for (const c of list(def.constructors)) if (def.isAbstract !== true) look(`new ${at}`, c.params);
          for (const m of list(def.methods)) {
            if (m.accessibility === "private" || m.accessibility === "protected") continue;
            look(`${at}${m.isStatic ? "." : "#"}${m.name}`, (m.functionDef as Json).params);
          }
        }
      }
    }
  };
  const prefixes = namespaces();
  for (const [file, symbols] of all) walk(prefixes.has(file) ? `${prefixes.get(file)}.` : "", symbols);
  return [...found.values()];
}
