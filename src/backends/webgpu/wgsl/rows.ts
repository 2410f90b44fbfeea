/**
 * Kernels in which a workgroup has a row to itself: what they begin with, and sums over the whole workgroup.
 *
 * @module
 */
import type { DeviceBuffer, View } from "../../contract.ts";
import { type Gpu, groupSize, param } from "../gpu.ts";
import { load, store } from "./elements.ts";
import { inParts } from "../windows.ts";
import { teamArgument, teamBegin, teamCode } from "./team.ts";
import { bind, seenAs, source, withFunctions } from "./module.ts";

/** So many rows are many. */
const fewRows = 128;

/** What a row kernel's body is written with. */
export interface RowCode {
  /** Element `at` of view `v` (numbers of the reads, then of the writes), counted from the view's beginning. */
  get(v: number, at: string): string;
  /** Stores there. */
  set(v: number, at: string, value: string): string;
  /** Parameter `k` of the caller's own. */
  own(k: number): string;
  /** The name of the buffer in which an index out of range is noted, where asked for. */
  readonly notes: string;
}

/** A contiguous view of `width` elements a row; 0: all rows see the same ones. */
export type Rows = readonly [view: View, width: number];

/**
 * Runs a workgroup for each of `count` rows. The body finds `row` and `lane` (both i32) and steps over columns by
 * {@link columns}. Where views reach further than bindings, the rows are done in parts.
 */
export function runRows(
  gpu: Gpu,
  key: string,
  count: number,
  reads: readonly Rows[],
  writes: readonly Rows[],
  own: readonly number[],
  body: (code: RowCode) => string,
  notes?: DeviceBuffer,
): void {
  if (count === 0) return;
  const all = [...reads, ...writes], cut = all.filter(([, width]) => width > 0);
  const matrices = cut.map(([view, width]) => seenAs(view, [count, width], [width, 1]));
  inParts(gpu, matrices, () => 0, (parts) => {
    const left = [...parts], seen = all.map(([view, width]) => width > 0 ? left.shift()! : view);
    const n = reads.length;
    runSome(gpu, key, parts[0].shape[0], seen.slice(0, n), seen.slice(n), own, body, notes);
  });
}

function runSome(
  gpu: Gpu,
  key: string,
  count: number,
  reads: readonly View[],
  writes: readonly View[],
  own: readonly number[],
  body: (code: RowCode) => string,
  notes?: DeviceBuffer,
): void {
  const views = [...reads, ...writes], bindings = bind(reads, writes, notes), ownAt = 2 + views.length;
  const team = teamFor(gpu, count);
  const kernel = gpu.kernel(`rows ${team} ${key} ${views.map((v) => v.dtype)} ${bindings.key}`, () => {
    const at = (v: number, place: string): string => `${param(2 + v)} + ${place}`;
    const text = body({
      get: (v, place) =>
        load(bindings.of[v], views[v].dtype, at(v, place), views[v].dtype === "i32" ? "i32" : "f32"),
      set: (v, place, value) => store(bindings.of[v], views[v].dtype, at(v, place), value, "f32"),
      own: (k) => param(ownAt + k),
      notes: bindings.of[views.length]?.name ?? "",
    });
    const code = rowMain(gpu, team, text);
    return source(bindings, withFunctions(code), ownAt + own.length);
  });
  const down = Math.ceil(count / 32768), params = [count, ...views.map((v) => v.offset), ...own];
  gpu.run(kernel, bindings.buffers, params, down > 1 ? 32768 : count, down);
}

/** Invocations for each of `count` rows: few rows leave most of a GPU idle, so that each is done by more. */
export function teamFor({ software }: Gpu, count: number): number {
  return !software && count < fewRows ? 4 * groupSize : groupSize;
}

/** A kernel of teams whose `text` finds `row`, of as many as the first parameter says, and `lane`. */
export function rowMain(gpu: Gpu, team: number, text: string): string {
  return `${teamCode(gpu, team)}
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32${
    teamArgument(gpu)
  }) {
  ${teamBegin(gpu)}
  let row = i32(group.y * 32768u + group.x); let lane = i32(lane0);
  if (row >= ${param(1)}) { return; }
  ${text}
}`;
}

/** A loop over the columns of a row. */
export function columns(width: string, body: string): string {
  return `for (var c = lane; c < ${width}; c += teamSize) { ${body} }`;
}
