/**
 * Random programs: made, run on a device beside the reference device, and made small when they fail. A program follows from
 * its seed and its number alone.
 */
import type { DeviceName } from "../../src/backends/contract.ts";
import { isFloat } from "../../src/core/dtype.ts";
import { Dice } from "./dice.ts";
import type { Tensor } from "../../src/ops/mod.ts";
import { compile, noGrad, tidy } from "../../src/tensor/mod.ts";
import { difference } from "./compare.ts";
import { leafOn, numbersOf, Twins, type Verdict } from "./execute.ts";
import { Draw, groups, operations } from "./operations.ts";
import { closureOf, type FuzzProgram, type Leaf, type Step } from "./program.ts";
import { chance, type Mood, oneOf, randomDType, randomShape, randomValue } from "./values.ts";

/** A program that failed, as small as it got. */
export interface FuzzFailure {
  readonly program: FuzzProgram;
  /** What its last step did. */
  readonly problem: string;
}

/** What a program did. */
export interface FuzzRun {
  readonly failure: FuzzFailure | null;
  /** How often each operation was done. */
  readonly done: ReadonlyMap<string, number>;
}

/** The most steps of a program. */
const mostSteps = 12;

function randomLeaf(random: Dice, shapes: readonly (readonly number[])[]): Leaf {
  // Shapes that are there already fit together.
  const shape = shapes.length && chance(random, 0.5) ? oneOf(random, shapes) : randomShape(random);
  const dtype = chance(random, 0.2) ? "i32" : randomDType(random);
  const mood = oneOf<Mood>(random, ["tame", "tame", "tame", "equal", "wild"]);
  const values = Array.from(
    { length: shape.reduce((a, b) => a * b, 1) },
    () => randomValue(random, dtype, mood),
  );
  return { dtype, shape, values, requiresGrad: isFloat(dtype) && chance(random, 0.3) };
}

/** Operations whose results jump, so that another rounding before them may show as another number. */
const jumps = new Set("floor ceil round trunc sign remainder fmod floorDivide".split(" "));

/** Whether all of the program as one compiled function gives something else than step by step; twice, as programs are kept. */
async function compiledDiffers(program: FuzzProgram, device: DeviceName): Promise<Verdict> {
  const { leaves, steps } = program;
  const results = (given: readonly Tensor[]): Tensor[] => {
    const values = [...given];
    for (const { op, args, params } of steps) {
      values.push(operations[op].run(args.map((i) => values[i]), params));
    }
    return values.slice(leaves.length);
  };
  using f = compile((...given: Tensor[]) => noGrad(() => results(given)));
  for (const round of [0, 1]) {
    const given = leaves.map((leaf) => leafOn({ ...leaf, requiresGrad: false }, device));
    const eager = noGrad(() => results(given)), compiled = f(...given);
    for (const [k, want] of eager.entries()) {
      const have = compiled[k], [e, a] = [await numbersOf(want), await numbersOf(have)];
      if (String(have.shape) !== String(want.shape) || have.dtype !== want.dtype) {
        return `compiled (call ${round}), step ${k} is ${have}, not ${want}`;
      }
      const scale = Array.from(e, Number).reduce((most, x) => Math.max(most, Math.abs(x)), 1);
      const coarse = want.dtype === "f32" ? 2 ** -10 : 2 ** -4;
      const wrong = difference(want.dtype, a, e, () => coarse * scale);
      if (wrong !== null) return `compiled (call ${round}), step ${k}: ${wrong}`;
    }
  }
  return null;
}

/** Makes and runs program number `index` of `seed` on `device`. */
export async function runRandomProgram(seed: number, index: number, device: DeviceName): Promise<FuzzRun> {
  const random = new Dice(seed, index), done = new Map<string, number>();
  const leaves: Leaf[] = [], steps: Step[] = [];
  let problem: Verdict = null;
  await tidy(async () => {
    const twins = new Twins(device);
    for (let n = random.integer(2, 5); n > 0; n--) {
      const leaf = randomLeaf(random, leaves.map(({ shape }) => shape));
      leaves.push(leaf);
      twins.leaf(leaf);
    }
    for (let n = random.integer(1, mostSteps + 1); n > 0 && problem === null; n--) {
      const op = oneOf(random, oneOf(random, groups)),
        call = operations[op].draw(new Draw(random, twins.known));
      if (call === null) continue;
      const step: Step = { op, ...call };
      const verdict = await twins.step(step, chance(random, 0.4) ? random : null);
      if (verdict === "refused") continue;
      done.set(op, (done.get(op) ?? 0) + 1);
      steps.push(step);
      problem = verdict;
    }
    const isSmooth = steps.length > 0 && steps.every(({ op }) => operations[op].smooth && !jumps.has(op));
    if (problem === null && isSmooth && twins.isTame && chance(random, 0.3)) {
      problem = await compiledDiffers({ leaves, steps }, device);
      if (problem !== null) done.set("compile", 1);
    }
  });
  if (problem === null) return { failure: null, done };
  if (done.delete("compile")) return { failure: { program: { leaves, steps }, problem }, done };
  return { failure: await minimise({ program: { leaves, steps }, problem }, device), done };
}

/** The first step that goes wrong, and how; null when none does. */
async function replay(
  program: FuzzProgram,
  device: DeviceName,
): Promise<{ at: number; problem: string } | null> {
  return await tidy(async () => {
    const twins = new Twins(device);
    for (const leaf of program.leaves) twins.leaf(leaf);
    for (const [at, step] of program.steps.entries()) {
      const verdict = await twins.step(step, new Dice(1));
      if (verdict === "refused") return null;
      if (verdict !== null) return { at, problem: verdict };
    }
    return null;
  });
}

/** Leaves steps out, and puts what they gave in their place, as long as the program still fails. */
async function minimise(found: FuzzFailure, device: DeviceName): Promise<FuzzFailure> {
  let best = found;
  const tryOut = async (program: FuzzProgram): Promise<boolean> => {
    const failed = await replay(program, device);
    if (failed === null) return false;
    best = { program: closureOf(program, failed.at), problem: failed.problem };
    return true;
  };
  if (!await tryOut(closureOf(found.program, found.program.steps.length - 1))) return found;
  for (let again = true; again;) {
    again = false;
    for (let s = best.program.steps.length - 2; s >= 0 && !again; s--) {
      const leaf = await valueOf(best.program, s);
      if (leaf) again = await tryOut(replaced(best.program, s, leaf));
    }
  }
  return best;
}

/** What step `s` gives, as a leaf. */
async function valueOf({ leaves, steps }: FuzzProgram, s: number): Promise<Leaf | null> {
  return await noGrad(() =>
    tidy(async () => {
      const twins = new Twins("reference");
      for (const leaf of leaves) twins.leaf(leaf);
      for (const step of steps.slice(0, s + 1)) if (await twins.step(step, null) !== null) return null;
      const value = twins.expected[leaves.length + s];
      const numbers = Array.from(await value.to({ dtype: "f64" }).data(), Number);
      return { dtype: value.dtype, shape: value.shape, values: numbers, requiresGrad: value.requiresGrad };
    })
  );
}

/** The program with step `s` replaced by a leaf, which comes behind the other leaves. */
function replaced({ leaves, steps }: FuzzProgram, s: number, leaf: Leaf): FuzzProgram {
  const n = leaves.length, place = (i: number): number => i === n + s ? n : i < n ? i : i < n + s ? i + 1 : i;
  const rest = steps.filter((_, i) => i !== s).map((step) => ({ ...step, args: step.args.map(place) }));
  const program = { leaves: [...leaves, leaf], steps: rest };
  return closureOf(program, rest.length - 1);
}
