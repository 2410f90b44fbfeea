/**
 * Which kernel was made for what: per engine and mode, by the program, then by a key that a caller makes of dtypes and
 * layouts. It is asked on every call, so keys are numbers where they fit.
 *
 * @module
 */
import type { Program } from "../../../expr/nodes.ts";
import type { Engine } from "../engine.ts";

type ByProgram<T> = Map<string, Map<number | string, T>>;

/** Kernels, with what a caller keeps beside them. */
export class KernelTable<T> {
  #engines = new WeakMap<Engine, [ByProgram<T>, ByProgram<T>]>();

  /** What was made for `program` on `engine` in its present mode. */
  of(engine: Engine, program: Program): Map<number | string, T> {
    let modes = this.#engines.get(engine);
    if (modes === undefined) this.#engines.set(engine, modes = [new Map(), new Map()]);
    const programs = modes[engine.deterministic ? 1 : 0];
    let made = programs.get(program.key);
    if (made === undefined) programs.set(program.key, made = new Map());
    return made;
  }
}
