/** Programs made at random do compiled what they do eagerly: in value, in gradients, and in what they change in place. */
import { assert, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import {
  compile,
  type DeviceName,
  manualSeed,
  randomState,
  type Tensor,
  tidy,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { end, type Given, givenTo, runProgram, type World, worldOf } from "./_random_program.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

const numbers = [0.5, -1.25, 0.75, 1.5];

/** What a program leaves after each call: results, gradients, everything it changes, and where the random numbers stand. */
async function trail(
  seed: number,
  device: DeviceName,
  f: (world: World, given: Given, k: number) => Tensor[],
): Promise<number[][]> {
  // Every value is asked for as it stands, and waited for at the end: a device that answers late is waited for once.
  const world = worldOf(seed, device), found: (number[] | Promise<number[]>)[] = [];
  manualSeed(seed);
  for (const [call, k] of numbers.entries()) {
    const given = givenTo(seed, call, device), results = f(world, given, k);
    for (const t of results) found.push(numbersOf(t));
    for (const p of world.parameters) found.push(p.grad ? numbersOf(p.grad) : []);
    for (const t of [world.state, ...world.parameters]) found.push(numbersOf(t));
    found.push([randomState().offset]);
    for (const t of [...results, given.x, given.ids]) t.dispose();
  }
  for (const state of world.optimizer.stateDict().state) {
    found.push([state?.step ?? 0]);
    for (const t of Object.values(state?.tensors ?? {})) {
      found.push(numbersOf(t));
      t.dispose();
    }
  }
  end(world);
  return await Promise.all(found);
}

async function check(seed: number, device: DeviceName): Promise<void> {
  const eager = await trail(seed, device, (world, given, k) => tidy(() => runProgram(seed, world, given, k)));
  let traces = 0, world: World | null = null;
  using f = compile((given: Given, k: number) => runProgram(seed, world!, given, k));
  const compiled = await trail(seed, device, (own, given, k) => {
    world = own;
    const results = f(given, k);
    traces = f.traces;
    return results;
  });
  assertStrictEquals(compiled.length, eager.length, `program ${seed}`);
  compiled.forEach((values, i) => {
    try {
      assertClose(values, eager[i], `program ${seed}, entry ${i}`, { atol: 2e-4, rtol: 2e-3 });
    } catch (error) {
      (error as Error).message += ` (of [${compiled[i].slice(0, 4)}] and [${eager[i].slice(0, 4)}])`;
      throw error;
    }
  });
  // A gradient that stays makes the second call another program; numbers never do.
  assert(traces <= 2, `program ${seed} was traced ${traces} times`);
}

/** RANDOM_PROGRAMS=100000:500 tries 500 programs from number 100000 on. Default: 750 on Deno, 75 elsewhere. */
const [first, count] = (process.env.RANDOM_PROGRAMS ?? width("1:670", "1:25")).split(
  ":",
)
  .map(Number);

describe("compiled: programs made at random", () => {
  eachDevice((device) => {
    it(`${count} of them`, async () => {
      for (let seed = first; seed < first + count; seed++) await check(seed, device);
    });
  });
  it("on the cpu, deterministic, as many more", async () => {
    useDeterministicAlgorithms(true);
    try {
      for (let seed = first + count; seed < first + 2 * count; seed++) await check(seed, "cpu");
    } finally {
      useDeterministicAlgorithms(false);
    }
  });
  onWebGpu((device) => {
    it("20 of them", async () => {
      for (let seed = first; seed < first + Math.min(20, count); seed++) await check(seed, device);
    });
  });
});
