/**
 * The base of all optimizers: groups of parameters, what is remembered for each, and the step.
 *
 * A step changes parameters in place, allocates no device memory after the first, and reads nothing back. What one
 * rule does to a number stands in the file of that optimizer.
 *
 * @module
 */
import { demand, demandNoMore, demandRecord } from "../core/demand.ts";
import { byteSize, type DType } from "../core/dtype.ts";
import { CaptureError, DeviceError, FormatError, OptionError, ShapeError } from "../core/errors.ts";
import { hashOf } from "../core/fnv.ts";
import { isDynamic } from "../core/number.ts";
import { checkOption, checkOptions, type Option, type OptionTable } from "../core/options.ts";
import { show } from "../core/show.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import type { ComputeType, Program } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { copyInto, full, Tensor, toDType, transpose } from "../ops/mod.ts";
import {
  activeCapture,
  computeType,
  type HostState,
  keep,
  noGrad,
  outsideCapture,
  perRun,
  tidy,
} from "../tensor/mod.ts";
import { FiniteGradients } from "./finite.ts";
import { blockFor, decode, encode, leastBlock, leastNarrow, type Narrow, zeroCodes } from "./narrow.ts";
import type { ByOperations, OptimizerOptions, Rule } from "./rule.ts";

/**
 * Parameters that share options.
 *
 * @category Optimizers
 */
export type ParamGroup<O> = O & {
  /** The parameters. */
  readonly params: readonly Tensor[];
};

/**
 * What an optimizer is made for: parameters, or groups of them with options of their own.
 *
 * @category Optimizers
 */
export type Params<O> = Iterable<Tensor> | Iterable<Partial<O> & { readonly params: Iterable<Tensor> }>;

/**
 * What is remembered for one parameter.
 *
 * @category Optimizers
 */
export interface ParameterState {
  /** Steps taken with a gradient. */
  step: number;
  /** The remembered tensors by name. */
  tensors: Record<string, Tensor>;
}

/** The count of steps, for a program that is to put it back. */
function stepOf(state: ParameterState): HostState {
  return { get: () => state.step, set: (step: number) => state.step = step };
}

/**
 * Everything needed to continue exactly: see {@link Optimizer.stateDict}.
 *
 * @category Optimizers
 */
export interface OptimizerState {
  /** Per parameter, in the order of the groups; null for one that never had a gradient. */
  state: (ParameterState | null)[];
  /** The options of each group, and how many parameters it has. */
  paramGroups: { params: number; options: Record<string, unknown> }[];
}

/** A group as it is given. */
type GivenGroup<O> = Partial<O> & { readonly params: Iterable<Tensor> };

const isIterable = (x: unknown): x is Iterable<unknown> =>
  typeof x === "object" && x !== null && Symbol.iterator in x;

/**
 * What `params` holds.
 * @throws {OptionError} saying what to give instead of a module, a tensor or nothing.
 */
function listOf(name: string, params: unknown): unknown[] {
  if (isIterable(params)) return [...params];
  const isModule = typeof (params as { parameters?: unknown } | null | undefined)?.parameters === "function";
  const instead = isModule
    ? "give its parameters: module.parameters()"
    : params instanceof Tensor
    ? "put it into a list: [tensor]"
    : "expected a list of tensors, as module.parameters() gives it, or of groups { params, lr … }";
  throw new OptionError(`${name}: the parameters are ${show(params)}; ${instead}`);
}

/**
 * The base of all optimizers.
 *
 * @category Optimizers
 */
export abstract class Optimizer<O extends OptimizerOptions = OptimizerOptions> {
  /** The groups; their options may be changed between steps. */
  readonly paramGroups: readonly ParamGroup<O>[];
  readonly #rule: Rule<O>;
  /** Each group's learning rate relative to the first's, as they began. */
  readonly #proportions: readonly number[];
  readonly #state = new Map<Tensor, ParameterState>();
  readonly #programs = new Map<string, Program>();
  readonly #finite: FiniteGradients;

  /**
   * An optimizer for `params`.
   * @throws {OptionError} for options that are not allowed, no parameters, or one parameter given twice.
   */
  constructor(rule: Rule<O>, params: Params<O>, options: Partial<O>) {
    demandNoMore(arguments, 3, "Optimizer");
    demandRecord("Optimizer", rule, "rule", "how a step goes; make one with SGD, AdamW …");
    demandRecord("Optimizer", rule.options, "the rule's options", "a table of them");
    this.#rule = rule;
    this.#finite = new FiniteGradients(rule.name);
    const list = listOf(rule.name, params), table = rule.options as OptionTable<Partial<O>>;
    const defaults = Object.fromEntries(
      Object.entries<Option>(rule.options).map(([name, option]) => [name, option.default]),
    ) as unknown as O;
    const given = checkOptions(rule.name, options, table);
    list.forEach((item, i) => {
      if (item instanceof Tensor || typeof item === "object" && item !== null && "params" in item) return;
      throw new OptionError(
        `${rule.name}: parameter ${i} is ${show(item)}, expected a tensor, or a group { params, lr … }`,
      );
    });
    const groups = list.every((item) => item instanceof Tensor) ? [{ params: list }] : list;
    // Those that take the bits of all, and those that say their own.
    const narrow: [inherits: boolean, group: ParamGroup<O>][] = [];
    this.paramGroups = groups.map((group) => {
      if (group instanceof Tensor) {
        throw new OptionError(`${rule.name}: give parameters, or groups { params, lr … }, not both`);
      }
      const { params, ...own } = group as GivenGroup<O>;
      const mine = checkOptions(rule.name, own as unknown as Partial<O>, table);
      const whole = { ...defaults, ...given, ...mine, params: listOf(rule.name, params) as Tensor[] };
      rule.check?.(whole);
      if (whole.stateBits === 8 && !rule.byOperations && rule.state(whole).length === 0) {
        throw new OptionError(
          `${rule.name}: stateBits 8 has no effect because nothing is remembered with these options; leave it out`,
        );
      }
      if (whole.stateBits === 8) narrow.push([mine.stateBits === undefined, whole]);
      return whole;
    });
    const seen = new Set<Tensor>();
    for (const p of this.#params()) {
      if (!(p instanceof Tensor)) {
        throw new OptionError(`${rule.name}: a parameter is ${show(p)}, expected a tensor`);
      }
      if (!p.requiresGrad) {
        throw new OptionError(
          `${rule.name}: a parameter of shape ${formatShape(p.shape)} does not require gradients`,
        );
      }
      if (seen.has(p)) {
        throw new OptionError(`${rule.name}: a parameter of shape ${formatShape(p.shape)} is given twice`);
      }
      seen.add(p);
    }
    if (seen.size === 0) throw new OptionError(`${rule.name}: was given no parameters`);
    const shared = narrow.filter(([inherits]) => inherits), own = narrow.filter(([inherits]) => !inherits);
    for (const groups of [shared, ...own.map((one) => [one])]) {
      const all = groups.flatMap(([, { params }]) => params);
      if (groups.length === 0 || all.some((p) => blockFor(p) > 0)) continue;
      const largest = all.reduce((n, p) => Math.max(n, p.size), 0);
      throw new OptionError(
        `${rule.name}: stateBits 8 has no effect because it takes a parameter of at least ${leastNarrow} numbers, in whole blocks ` +
          `of ${leastBlock}, and the largest has ${largest}; leave it out`,
      );
    }
    this.#finite.prepare([...seen]);
    const first = this.paramGroups[0].lr;
    this.#proportions = this.paramGroups.map(({ lr }) => first > 0 ? lr / first : 1);
  }

  #params(): Tensor[] {
    return this.paramGroups.flatMap((group) => group.params);
  }

  /**
   * The first group's learning rate. Setting it sets all groups', in the proportions in which they began.
   * @throws {OptionError} for what is no number from 0.
   */
  get lr(): number {
    // In a program, that of the run.
    return perRun(1, () => [this.paramGroups[0].lr])[0];
  }

  set lr(value: number) {
    const set = (): void => {
      checkOption(this.#rule.name, "lr", Number(value), this.#rule.options.lr);
      this.paramGroups.forEach((group, i) => group.lr = Number(value) * this.#proportions[i]);
    };
    const capture = activeCapture();
    if (capture) {
      capture.effect(this, {
        get: () => this.paramGroups.map(({ lr }) => lr),
        set: (before: readonly number[]) => this.paramGroups.forEach((group, i) => group.lr = before[i]),
      }, set);
    } else if (typeof value === "number") set();
    else checkOption(this.#rule.name, "lr", value, this.#rule.options.lr);
  }

  /**
   * Changes every parameter that has a gradient, in place.
   *
   * A gradient with NaN or an infinity is an error that names its parameter and the step, and nothing is changed: to leave out
   * such a step, catch it. On a device that answers late (WebGPU), and in a compiled function, the parameters are changed
   * and the error comes with the next value that is read from that device (a loss, a parameter that is saved).
   * @param options `lr`: the first group's learning rate from now on, as when it is set (the others' follow).
   * @throws {FerrotypeError} for a gradient that is not finite.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  step(options: { lr?: number } = {}): void {
    demandNoMore(arguments, 1, "step");
    // A number of the run is looked at when there is one.
    const { expected, accepts } = this.#rule.options.lr,
      lr: Option = {
        expected,
        accepts: (x) => isDynamic(x) || accepts(x),
      };
    checkOptions<{ lr?: number }>(`${this.#rule.name}.step`, options, { lr });
    if (options.lr !== undefined) this.lr = options.lr;
    const params = this.#params();
    this.#finite.check(
      params,
      () => params.reduce((n, p) => Math.max(n, this.#state.get(p)?.step ?? 0), 0) + 1,
    );
    for (const group of this.paramGroups) {
      for (const p of group.params) if (p.grad) this.#update(group, p, p.grad);
    }
  }

  #update(group: ParamGroup<O>, p: Tensor, g: Tensor): void {
    const rule = this.#rule;
    if (!sameShape(p.shape, g.shape)) {
      throw new ShapeError(
        `${rule.name}: a gradient of shape ${formatShape(g.shape)} for a parameter of shape ${
          formatShape(p.shape)
        }`,
      );
    }
    if (g.backend !== p.backend) {
      throw new DeviceError(`${rule.name}: the parameter is on "${p.device}", its gradient on "${g.device}"`);
    }
    const shapes = this.#shapesOf(p, group),
      names = Object.keys(shapes),
      state = this.#stateOf(p, group, names);
    if (p.size === 0) return void perRun(0, () => (state.step++, []), stepOf(state));
    const isNarrow = this.#isNarrow(group, p);
    if (names.length && isNarrow !== names[0] + scales in state.tensors) {
      throw new OptionError(
        `${rule.name}: stateBits was changed to ${group.stateBits} after a step; what is remembered keeps its bits`,
      );
    }
    if (!isNarrow) return this.#advance(group, p, g, state, names);
    if (activeCapture()) {
      throw new CaptureError(
        `${rule.name}: a step with stateBits 8 cannot be compiled, as it rounds by chance anew each time; take 32`,
      );
    }
    noGrad(() =>
      tidy(() => {
        const tensors: Record<string, Tensor> = {};
        for (const name of names) tensors[name] = decode(narrowIn(state, name), p, this.#isSquare(name));
        const wide: ParameterState = { step: state.step, tensors };
        this.#advance(group, p, g, wide, names);
        state.step = wide.step;
        const place = this.#params().indexOf(p);
        names.forEach((name, i) => {
          const seed = hashOf([state.step, place, i]);
          encode(tensors[name], narrowIn(state, name), this.#isSquare(name), seed);
        });
      })
    );
  }

  /** Whether what is remembered for `p` is in 8 bits. */
  #isNarrow({ stateBits }: O, p: Tensor): boolean {
    return stateBits === 8 && blockFor(p) > 0;
  }

  #isSquare(name: string): boolean {
    return this.#rule.squares?.includes(name) ?? false;
  }

  /** A step of `p`, whose remembered tensors become what they are after it. */
  #advance(
    group: ParamGroup<O>,
    p: Tensor,
    g: Tensor,
    state: ParameterState,
    names: readonly string[],
  ): void {
    const rule = this.#rule;
    if (rule.byOperations?.takes(p, group)) return this.#operate(rule.byOperations, group, p, g, state);
    const remembered = names.map((name) => state.tensors[name]);
    p.backend.elementwise(
      this.#program(group, names.length, computeType(p.dtype)),
      [p, g, ...remembered],
      perRun(this.#scalarCount(group), () => rule.scalars(group, ++state.step), stepOf(state)),
      [p, ...remembered],
    );
    p.storage.version++;
    for (const t of remembered) t.storage.version++;
  }

  /** A step of several operations, whose results are copied into place. */
  #operate(by: ByOperations<O>, group: ParamGroup<O>, p: Tensor, g: Tensor, state: ParameterState): void {
    activeCapture()?.guard(group, "options", () => JSON.stringify({ ...group, lr: 0, params: 0 }));
    noGrad(() =>
      tidy(() => {
        const count = by.scalars(group, 1).length;
        const scalars = perRun(count, () => by.scalars(group, ++state.step), stepOf(state));
        const wide = (t: Tensor): Tensor => byteSize(t.dtype, 1) < 4 ? toDType(t, "f32") : t;
        const [next, tensors] = by.update(wide(p.detach()), wide(g), state.tensors, scalars, group);
        copyInto(next, p);
        for (const [name, t] of Object.entries(tensors)) copyInto(t, state.tensors[name]);
      })
    );
  }

  /** What is remembered for `p`, by name, with its shapes. */
  #shapesOf(p: Tensor, options: O): Readonly<Record<string, readonly number[]>> {
    const { byOperations, state } = this.#rule;
    if (byOperations?.takes(p, options)) return byOperations.state(p);
    return Object.fromEntries(state(options).map((name) => [name, p.shape]));
  }

  #scalarCount(options: O): number {
    return this.#rule.scalars(options, 1).length;
  }

  #program(options: O, states: number, type: ComputeType): Program {
    activeCapture()?.guard(options, "form", () => this.#rule.form(options));
    const key = `${type} ${this.#rule.form(options)}`;
    let found = this.#programs.get(key);
    if (!found) {
      const scalars = this.#rule.scalars(options, 1).length;
      found = program(type, this.#rule.update(options), { inputs: states + 2, scalars });
      this.#programs.set(key, found);
    }
    return found;
  }

  /** What is remembered for `p`, with the tensors that are not there yet. Half-precision parameters keep f32. */
  #stateOf(p: Tensor, options: O, names: readonly string[]): ParameterState {
    let state = this.#state.get(p);
    if (!state) this.#state.set(p, state = { step: 0, tensors: {} });
    const dtype: DType = byteSize(p.dtype, 1) < 4 ? "f32" : p.dtype;
    const shapes = this.#shapesOf(p, options);
    if (this.#isNarrow(options, p)) {
      for (const name of names) {
        const key = name.endsWith(scales) ? name.slice(0, -scales.length) : name;
        if (state.tensors[key]) continue;
        const fresh = zeroCodes(p, this.#isSquare(key));
        state.tensors[key] = fresh.codes;
        state.tensors[key + scales] = fresh.scales;
        if (this.#rule.initial(options) === 0) continue;
        noGrad(() =>
          tidy(() => encode(laidLike(p, this.#rule.initial(options), "f32"), fresh, this.#isSquare(key), 0))
        );
      }
      return state;
    }
    for (const name of names) {
      const shape = shapes[name] ?? p.shape;
      // What is remembered is there before a compiled step first runs.
      state.tensors[name] ??= outsideCapture(() =>
        keep(
          sameShape(shape, p.shape)
            ? laidLike(p, this.#rule.initial(options), dtype)
            : full(shape, 0, { dtype, device: p.device }),
        )
      );
    }
    return state;
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    demandNoMore(arguments, 0, "zeroGrad");
    for (const p of this.#params()) p.grad = null;
  }

  /** All that a continued run needs: options, step counts, and views (not copies) of the remembered tensors. */
  stateDict(): OptimizerState {
    demandNoMore(arguments, 0, "stateDict");
    return {
      state: this.#params().map((p) => {
        const state = this.#state.get(p);
        if (!state) return null;
        const tensors = Object.entries(state.tensors).map(([name, t]) => [name, t.detach()]);
        return { step: state.step, tensors: Object.fromEntries(tensors) };
      }),
      paramGroups: this.paramGroups.map(({ params, ...options }) => ({ params: params.length, options })),
    };
  }

  /**
   * Continues where {@link Optimizer.stateDict} was taken; values are copied.
   * @throws {FormatError} when it belongs to other parameters or to another optimizer; then nothing was changed.
   * @throws {OptionError} for what `stateDict` does not give.
   */
  loadStateDict(dict: OptimizerState): void {
    demandNoMore(arguments, 1, "loadStateDict");
    demandRecord("loadStateDict", dict, "the state", "what stateDict gives");
    const isState = Array.isArray(dict.state) && Array.isArray(dict.paramGroups);
    demand("loadStateDict", "the state", dict, isState, "what stateDict gives");
    const params = this.#params(), name = this.#rule.name;
    const sizes = this.paramGroups.map(({ params }) => params.length),
      given = dict.paramGroups.map((g) => g?.params);
    if (String(sizes) !== String(given) || dict.state.length !== params.length) {
      throw new FormatError(`${name}: the state is for groups of [${given}] parameters, this has [${sizes}]`);
    }
    // States of before there was it have no stateBits.
    const paramGroups = dict.paramGroups.map(({ params, options }) => ({
      params,
      options: { stateBits: 32, ...options } as Record<string, unknown>,
    }));
    dict = { ...dict, paramGroups };
    dict.paramGroups.forEach(({ options }, i) => {
      const { params: _, ...own } = this.paramGroups[i];
      const wrong = Object.keys({ ...own, ...options }).filter((key) => !(key in own) || !(key in options));
      if (wrong.length) {
        throw new FormatError(
          `${name}: the state is of another optimizer; options that differ: ${wrong.join(", ")}`,
        );
      }
      for (const [key, { accepts, expected }] of Object.entries<Option>(this.#rule.options)) {
        if (accepts(options[key])) continue;
        throw new FormatError(`${name}: ${key} in the state is ${show(options[key])}, expected ${expected}`);
      }
    });
    dict.state.forEach((state, i) => {
      for (const [key, t] of Object.entries(state?.tensors ?? {})) {
        // Under other options than now more or less is remembered; all of it is of the parameter's shape.
        const wanted = this.#wantedShape(params[i], dict.paramGroups, i, key);
        if (sameShape(t.shape, wanted)) continue;
        throw new FormatError(
          `${name}: ${key} of parameter ${i} is ${formatShape(t.shape)}, expected ${formatShape(wanted)}`,
        );
      }
    });
    dict.paramGroups.forEach(({ options }, i) => Object.assign(this.paramGroups[i], options));
    dict.state.forEach((state, i) => this.#load(params[i], this.#groupOf(i), state));
  }

  /** The shape of what is remembered as `key` for a parameter, in the state of an optimizer with such groups. */
  #wantedShape(
    p: Tensor,
    groups: OptimizerState["paramGroups"],
    index: number,
    key: string,
  ): readonly number[] {
    let end = 0;
    const { options } = groups.find(({ params }) => index < (end += params))!, block = blockFor(p);
    if (options.stateBits === 8 && block > 0) return [p.size / block, key.endsWith(scales) ? 1 : block];
    return this.#shapesOf(p, this.#groupOf(index))[key] ?? p.shape;
  }

  #groupOf(index: number): O {
    let end = 0;
    return this.paramGroups.find(({ params }) => index < (end += params.length)) as O;
  }

  #load(p: Tensor, options: O, from: ParameterState | null): void {
    if (!from) {
      for (const t of Object.values(this.#state.get(p)?.tensors ?? {})) t.dispose();
      this.#state.delete(p);
      return;
    }
    const own = this.#stateOf(p, options, Object.keys(from.tensors));
    own.step = from.step;
    for (const [name, t] of Object.entries(from.tensors)) {
      const here = t.device === p.device ? t : t.to({ device: p.device });
      copyInto(here, own.tensors[name]);
      if (here !== t) here.dispose();
    }
  }

  /** Gives the memory of what is remembered back. The parameters stay. */
  dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    for (const { tensors } of this.#state.values()) for (const t of Object.values(tensors)) t.dispose();
    this.#state.clear();
    this.#finite.dispose();
  }

  /** Same as {@link Optimizer.dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** What scales are called behind the name of the codes. */
const scales = "Scales";

const narrowIn = ({ tensors }: ParameterState, name: string): Narrow => ({
  codes: tensors[name],
  scales: tensors[name + scales],
});

/** A tensor full of `value` whose elements lie in memory as those of `p`, so that both are walked in one order. */
function laidLike(p: Tensor, value: number, dtype: DType): Tensor {
  const options = { dtype, device: p.device };
  if (p.shape.length !== 2 || p.isContiguous || p.strides[0] !== 1) return full(p.shape, value, options);
  return tidy(() => transpose(full([p.shape[1], p.shape[0]], value, options), 0, 1));
}
