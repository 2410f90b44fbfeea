/**
 * Sums and maxima over a workgroup: by a tree in workgroup memory, or, where the adapter has subgroups, within each of
 * those at once and then over the few that a workgroup is made of.
 *
 * @module
 */
import { type Gpu, groupSize } from "../gpu.ts";

const tree = (name: string, join: string): string => `
fn ${name}(lane: u32, x: f32) -> f32 {
  desk[lane] = x;
  for (var s = u32(teamSize) / 2u; s > 0u; s = s >> 1u) {
    workgroupBarrier();
    if (lane < s) { let y = desk[lane + s]; let x = desk[lane]; desk[lane] = ${join}; }
  }
  workgroupBarrier();
  let result = desk[0];
  workgroupBarrier();
  return result;
}`;

const bySubgroups = (name: string, within: string, join: string): string => `
fn ${name}(lane: u32, x: f32) -> f32 {
  ${within}
  if (lane % subgroupSize == 0u) { desk[lane / subgroupSize] = own; }
  workgroupBarrier();
  var all = desk[0];
  for (var i = 1u; i * subgroupSize < u32(teamSize); i++) { let x = all; let y = desk[i]; all = ${join}; }
  workgroupBarrier();
  return all;
}`;

/** The constant teamSize, and functions teamSum and teamMax of the lane and its number for workgroups of it; all get the result. */
export function teamCode({ subgroups }: Gpu, size: number = groupSize): string {
  const memory = `
const teamSize = ${size};
var<workgroup> desk: array<f32, ${size}>;`;
  if (!subgroups) return `${memory}${tree("teamSum", "x + y")}${tree("teamMax", "maxNan(x, y)")}`;
  // What a maximum makes of NaN is up to the adapter.
  const most = "let most = subgroupMax(x); let own = select(most, bits(0x7fc00000u), subgroupAny(isNan(x)));";
  return `${memory}
var<private> subgroupSize: u32;${bySubgroups("teamSum", "let own = subgroupAdd(x);", "x + y")}${
    bySubgroups("teamMax", most, "maxNan(x, y)")
  }`;
}

/** The further argument that a kernel's main function takes for {@link teamCode}. */
export function teamArgument({ subgroups }: Gpu): string {
  return subgroups ? ", @builtin(subgroup_size) subgroupSize0: u32" : "";
}

/** The statement that its main function begins with. */
export function teamBegin({ subgroups }: Gpu): string {
  return subgroups ? "subgroupSize = subgroupSize0;" : "";
}
