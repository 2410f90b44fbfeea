/**
 * What all kernels have in common: their functions and entry point, and the walk from a linear index to the elements of
 * strided views.
 *
 * @module
 */
import type { DeviceBuffer, View } from "../../contract.ts";
import { groupSize, type KernelSource, param } from "../gpu.ts";
import { type Binding, elementCode, isNarrow } from "./elements.ts";
import { longCode } from "./long.ts";
import { mathCode } from "./math.ts";
import { integerCode } from "./program.ts";

/** Every function of the library by its name. */
const library = new Map(
  [mathCode, elementCode, longCode, integerCode].flatMap((code) => code.split(/\n(?=fn )/))
    .map((text): [string, string] => [/^\s*fn (\w+)/.exec(text)?.[1] ?? "", text]),
);

/** Code with the functions that it calls, and those that they call: drivers compile what they are given. */
export function withFunctions(code: string): string {
  const wanted = new Set<string>(), parts = [code];
  for (const part of parts) {
    for (const [, name] of part.matchAll(/(\w+)\(/g)) {
      const text = library.get(name);
      if (text === undefined || wanted.has(name)) continue;
      wanted.add(name);
      parts.push(text);
    }
  }
  return parts.reverse().join("\n");
}

/** A kernel whose invocations each do element `i` of the first parameter's count. */
export function overElements(body: string, before: string = ""): string {
  return `${before}
@compute @workgroup_size(${groupSize})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = i32((group.y * 32768u + group.x) * ${groupSize}u + lane);
  if (i >= ${param(1)}) { return; }
  ${body}
}`;
}

/** Buffers given to a kernel, each once however many views share it: WebGPU refuses one buffer twice when written. */
export interface Bindings {
  /** The distinct buffers. */
  readonly buffers: readonly DeviceBuffer[];
  /** For each view, what it is called. */
  readonly of: readonly Binding[];
  readonly types: readonly string[];
  readonly writes: readonly boolean[];
  /** The pattern as text, for the kernel's key. */
  readonly key: string;
}

/** Binds the buffers of `reads` and `writes`, in this order. */
export function bind(reads: readonly View[], writes: readonly View[], notes?: DeviceBuffer): Bindings {
  const buffers: DeviceBuffer[] = [], places: number[] = [];
  const written: boolean[] = [], atomic: boolean[] = [];
  const add = (buffer: DeviceBuffer, write: boolean, narrow: boolean): void => {
    let at = buffers.indexOf(buffer);
    if (at < 0) {
      at = buffers.push(buffer) - 1;
      written.push(false);
      atomic.push(false);
    }
    places.push(at);
    written[at] ||= write;
    atomic[at] ||= write && narrow;
  };
  for (const { buffer } of reads) add(buffer, false, false);
  for (const { buffer, dtype } of writes) add(buffer, true, isNarrow(dtype));
  if (notes) add(notes, true, true);
  return {
    buffers,
    of: places.map((at) => ({ name: `b${at}`, atomic: atomic[at] })),
    types: atomic.map((is) => is ? "array<atomic<u32>>" : "array<u32>"),
    writes: written,
    key: `${places}:${written.map(Number).join("")}:${atomic.map(Number).join("")}`,
  };
}

/** Assembles a kernel's source. */
export function source(bindings: Bindings, code: string, words: number): KernelSource {
  return { code, types: bindings.types, writes: bindings.writes, words };
}

/**
 * Statements that turn the linear index `index` over a shape of `rank` axes into one place for each of `count` views,
 * `${prefix}0`, …. Parameters from `first` on: the sizes, then for each view its offset and strides.
 */
export function places(
  rank: number,
  count: number,
  index: string,
  first: number,
  prefix: string,
): string {
  const lines: string[] = [`var ${prefix}r = ${index};`], terms: string[][] = [];
  for (let v = 0; v < count; v++) terms.push([param(first + rank + v * (rank + 1))]);
  for (let d = rank - 1; d >= 0; d--) {
    const at = `${prefix}d${d}`;
    if (d === 0) lines.push(`let ${at} = ${prefix}r;`);
    else {lines.push(
        `let ${at} = ${prefix}r % ${param(first + d)}; ${prefix}r = ${prefix}r / ${param(first + d)};`,
      );}
    for (let v = 0; v < count; v++) terms[v].push(`${at} * ${param(first + rank + v * (rank + 1) + 1 + d)}`);
  }
  terms.forEach((list, v) => lines.push(`let ${prefix}${v} = ${list.join(" + ")};`));
  return lines.join("\n  ");
}

/** The parameters that {@link places} reads. */
export function placeParams(
  shape: readonly number[],
  views: readonly Pick<View, "strides" | "offset">[],
): number[] {
  const list = [...shape];
  for (const { offset, strides } of views) list.push(offset, ...strides);
  return list;
}

/** How many numbers {@link placeParams} makes. */
export function placeWords(rank: number, count: number): number {
  return rank + count * (rank + 1);
}

/** A shape and the strides of views over it. */
export interface Walk {
  readonly shape: number[];
  readonly views: { offset: number; strides: number[] }[];
}

/** The same walk with fewer axes: those of size 1 are left out, neighbours that all views step through as one are one. */
export function coalesce(shape: readonly number[], views: readonly Pick<View, "strides" | "offset">[]): Walk {
  const sizes: number[] = [], strides: number[][] = views.map(() => []);
  for (let d = 0; d < shape.length; d++) {
    if (shape[d] === 1) continue;
    const last = sizes.length - 1;
    if (last >= 0 && views.every((v, k) => strides[k][last] === v.strides[d] * shape[d])) {
      sizes[last] *= shape[d];
      views.forEach((v, k) => strides[k][last] = v.strides[d]);
    } else {
      sizes.push(shape[d]);
      views.forEach((v, k) => strides[k].push(v.strides[d]));
    }
  }
  return { shape: sizes, views: views.map((v, k) => ({ offset: v.offset, strides: strides[k] })) };
}

/** The memory of `v` seen otherwise. (Tensors are views too, and not to be spread: their fields are computed.) */
export function seenAs(v: View, shape: readonly number[], strides: readonly number[]): View {
  const { buffer, dtype, offset } = v;
  return { buffer, dtype, shape, strides, offset };
}
