/**
 * Values for parameters, as their declared types say: right ones, and wrong ones in places where a right one is wanted.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { type Generator, tensor } from "../mod.ts";
import type { Declaration, Param, Type } from "./_face.ts";

type Make = () => unknown;
type Json = Record<string, unknown>;

const f32 = (data: unknown, shape: number[]): Make => () => tensor(data as number[], { shape, dtype: "f32" });
const twos: Make = f32([1, 2, 3, 4], [2, 2]);

/** Tensors of several ranks and dtypes; the last is disposed. */
export const tensors: readonly Make[] = [
  twos,
  twos,
  twos,
  f32([0.5, -1, 2], [3]),
  f32([3], []),
  f32([], [0, 2]),
  f32(new Array(8).fill(1), [2, 2, 2]),
  f32(new Array(16).fill(1), [1, 1, 4, 4]),
  () => tensor([[0, 1], [1, 0]], { dtype: "i32" }),
  () => tensor([0, 1], { dtype: "i32" }),
  () => tensor([5, -7], { dtype: "i64" }),
  () => tensor([[true, false], [true, true]], { dtype: "bool" }),
  () => tensor([[1, 2], [3, 4]], { dtype: "f16" }),
  () => tensor(new Array(64).fill(1), { shape: [2, 32] }).to({ dtype: "q8" }),
  () => tensor([[1, 2], [3, 4]], { requiresGrad: true }),
  () => tensor([[1, 2], [3, 4]], { device: "reference" }),
  () => {
    const gone = tensor([[1, 2], [3, 4]]);
    gone.dispose();
    return gone;
  },
];

/** Wrong for most. */
export const wrong: readonly Make[] = [
  () => undefined,
  () => null,
  () => 5,
  () => -1.5,
  () => NaN,
  () => true,
  () => "x",
  () => ({}),
  () => ({ qqxx: 1 }),
  () => [],
  () => [1, 2],
  () => ["x"],
  () => new Date(0),
  () => (x: unknown) => x,
  twos,
];

const numbers: readonly Make[] = [0, 1, 1, 2, 3, -1, 0.5, 7, -3, NaN, 1e30].map((n) => () => n);
const texts: readonly Make[] = ["x", "a b", "abc", "", "nothing.bin"].map((text) => () => text);
const booleans: readonly Make[] = [() => true, () => false];
const aborted = AbortSignal.abort();

/** Makes values of types; what a class makes, and what has no type that says enough, `named` gives. */
export class Values {
  readonly #types: Map<string, Declaration>;
  readonly #random: Generator;
  readonly #named: Readonly<Record<string, readonly Make[]>>;

  constructor(
    all: readonly [string, Declaration][],
    random: Generator,
    named: Readonly<Record<string, readonly Make[]>>,
  ) {
    this.#types = new Map(
      all.filter(([, { kind }]) => kind === "interface" || kind === "typeAlias").map(([name, one]) => [
        name.split(".").at(-1) as string,
        one,
      ]),
    );
    this.#random = random;
    this.#named = named;
  }

  below(n: number): number {
    return Math.floor(this.#random.uniform() * n);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** A list of arguments: right ones, of which now and then one is wrong; the first is one of `firsts` where those are given. */
  arguments(params: readonly Param[], firsts?: readonly Make[]): unknown[] {
    const bad = this.below(3) === 0 ? this.below(params.length) : -1, least = firsts ? 1 : 0;
    let given = params.length;
    // What may be left out is, now and then.
    while (given > least && isOptional(params[given - 1]) && this.below(3) === 0) given--;
    return params.slice(0, given).flatMap((param, i) => {
      const inner = param.left ?? param.arg ?? param;
      if (i === 0 && firsts) return [this.pick(firsts)()];
      if (i === bad) return [this.pick(wrong)()];
      if (param.kind !== "rest") return [this.of(inner.tsType)];
      const many = this.of(inner.tsType);
      return Array.isArray(many) ? many : [many];
    });
  }

  /** A value of a type. */
  of(type: Type | undefined, depth = 0, isPartial = false): unknown {
    if (!type || depth > 5) return this.pick(wrong)();
    const { kind, value } = type as { kind: string; value: Json & unknown[] };
    switch (kind) {
      case "parenthesized":
        return this.of(value as unknown as Type, depth, isPartial);
      case "typeOperator":
      case "optional":
        return this.of((value as Json).tsType as Type ?? value as unknown as Type, depth, isPartial);
      case "union":
        return this.of(this.pick(value as unknown as Type[]), depth, isPartial);
      case "intersection":
        return Object.assign(
          {},
          ...(value as unknown as Type[]).map((part) => this.of(part, depth, isPartial)),
        );
      case "array":
        return this.#list(value as unknown as Type, depth);
      case "tuple":
        return (value as unknown as Type[]).map((part) => this.of(part, depth + 1));
      case "literal":
        return literal(value);
      case "keyword":
        return this.#keyword(String(value));
      case "fnOrConstructor":
        return this.#function();
      case "typeLiteral":
        return this.#object((value as Json).properties as Json[] ?? [], depth, isPartial);
      case "typeRef":
        return this.#reference(value, depth, isPartial);
      default:
        return this.pick(wrong)();
    }
  }

  #list(inner: Type, depth: number): unknown[] {
    return Array.from({ length: this.below(4) }, () => this.of(inner, depth + 1));
  }

  #keyword(name: string): unknown {
    if (name === "number") return this.pick(numbers)();
    if (name === "string") return this.pick(texts)();
    if (name === "boolean") return this.pick(booleans)();
    if (name === "null") return null;
    return name === "undefined" || name === "void" ? undefined : this.pick(wrong)();
  }

  #function(): unknown {
    const gives = this.pick(tensors);
    return this.pick([
      (x: unknown) => x,
      () => gives(),
      () => undefined,
      (x: { sum?: () => unknown }) => typeof x?.sum === "function" ? x.sum() : x,
    ]);
  }

  #object(properties: readonly Json[], depth: number, isPartial: boolean): unknown {
    const made: Json = {};
    for (const { name, optional, tsType } of properties) {
      if ((optional || isPartial) && this.below(Math.max(3, properties.length / 2)) !== 0) continue;
      made[name as string] = this.below(12) === 0 ? this.pick(wrong)() : this.of(tsType as Type, depth + 1);
    }
    return made;
  }

  #reference(value: Json, depth: number, isPartial: boolean): unknown {
    const name = String(value.typeName).split(".").at(-1) as string;
    const params = (value.typeParams ?? []) as Type[];
    const own = this.#named[name];
    if (own) return this.pick(own)();
    switch (name) {
      case "Tensor":
      case "TensorBase":
        return this.pick(tensors)();
      case "Readonly":
      case "Promise":
      case "Required":
      case "NonNullable":
        return this.of(params[0], depth, isPartial);
      case "Partial":
        return this.of(params[0], depth, true);
      case "Omit":
      case "Pick":
        return this.of(params[0], depth, isPartial);
      case "ReadonlyArray":
      case "Array":
      case "Iterable":
      case "ArrayLike":
      case "ReadonlySet":
      case "Set":
        return this.#list(params[0], depth);
      case "Map":
      case "ReadonlyMap":
        return new Map([[this.of(params[0], depth + 1), this.of(params[1], depth + 1)]]);
      case "Record":
        return { [this.pick(["a", "x"])]: this.of(params[1], depth + 1) };
      case "Float32Array":
        return new Float32Array([1, 2, 3]);
      case "Float64Array":
        return new Float64Array([1, 2, 3]);
      case "Int32Array":
        return new Int32Array([0, 1, 2]);
      case "Uint8Array":
      case "ArrayBuffer":
        return new TextEncoder().encode(this.pick(["", "{}", "x,y\n1,2\n"]));
      case "URL":
        return pathToFileURL(join(process.cwd(), "x"));
      case "AbortSignal":
        return this.below(2) ? aborted : new AbortController().signal;
    }
    const found = this.#types.get(name);
    if (found?.kind === "typeAlias") return this.of(found.def?.tsType, depth, isPartial);
    if (found?.kind === "interface") {
      const properties = (found.def?.properties ?? []) as unknown as Json[];
      const parents = ((found.def as Json).extends ?? []) as Type[];
      const inherited = parents.map((parent) => this.of(parent, depth + 1, isPartial));
      return Object.assign({}, ...inherited, this.#object(properties, depth, isPartial));
    }
    return this.pick(wrong)();
  }
}

function isOptional(param: Param): boolean {
  return param.optional === true || param.kind === "assign" || param.kind === "rest";
}

function literal(value: Json): unknown {
  const { kind } = value as { kind: string };
  const held = value[kind] ?? value.value;
  return kind === "number" ? Number(held) : held;
}
