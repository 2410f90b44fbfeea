/**
 * A module: parameters with names, and a way from input to output.
 *
 * A module's properties say what it is made of: tensors made by {@link parameter} are its parameters, modules (alone
 * or in lists) its children, and names follow the properties, in the order they were set: `h.0.attn.c_attn.weight`.
 * So a checkpoint's names are the code's own.
 *
 * @module
 */
import { demandNoMore, demandRecord } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { type DType, isQuantized } from "../core/dtype.ts";
import { DTypeError, FormatError } from "../core/errors.ts";
import { flag } from "../core/kinds.ts";
import { checkOption, checkOptions, type OptionTable } from "../core/options.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import type { Tensor } from "../ops/mod.ts";
import { copyInto } from "../ops/mod.ts";
import { placeOptions } from "../ops/options.ts";
import { activeCapture, asLeaf, demandTensor, keep, nameTensor, registerHolder } from "../tensor/mod.ts";

const parameters = new WeakSet<Tensor>();

/**
 * Makes `tensor`, of any shape, a parameter: a leaf that gathers gradients (blocks of q8 and q4 gather none) and that `tidy` leaves alone.
 * Gives it back.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Modules
 */
export function parameter(tensor: Tensor): Tensor {
  demandNoMore(arguments, 1, "parameter");
  demandTensor("parameter", tensor, "tensor");
  if (!isQuantized(tensor.dtype)) asLeaf(tensor, true);
  parameters.add(keep(tensor));
  return tensor;
}

/**
 * Whether `value` was made by {@link parameter}.
 * @category Modules
 */
export function isParameter(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && parameters.has(value as Tensor);
}

/**
 * What {@link Module.loadStateDict} found.
 *
 * @category Modules
 */
export interface LoadResult {
  /** Parameters that the dictionary did not have. */
  missing: string[];
  /** Entries that no parameter has the name of. */
  unexpected: string[];
}

const loadOptions: OptionTable<{ strict?: boolean }> = { strict: flag };

/**
 * The base of everything with parameters. Subclasses set parameters and children as properties and add `forward`.
 *
 * @category Modules
 */
export abstract class Module {
  #training = true;

  /** A module that trains. Its properties are looked at when a program is to run again. */
  constructor() {
    demandNoMore(arguments, 0, new.target.name);
    registerHolder(this);
  }

  /** Whether dropout and the like are on. */
  get training(): boolean {
    activeCapture()?.guard(this, "training", () => this.#training);
    return this.#training;
  }

  set training(on: boolean) {
    const state = { get: () => this.#training, set: (training: boolean) => void (this.#training = training) };
    activeCapture()?.effect(this, state, () => void (this.#training = on));
    this.#training = on;
  }

  /** The children by name; a list of modules counts as `name.0`, `name.1` … */
  namedChildren(): [string, Module][] {
    demandNoMore(arguments, 0, "namedChildren");
    const found: [string, Module][] = [];
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) found.push([name, value]);
      else if (Array.isArray(value)) {
        value.forEach((item, i) => {
          if (item instanceof Module) found.push([`${name}.${i}`, item]);
        });
      }
    }
    return found;
  }

  /** This module and all below it, with their paths. */
  namedModules(prefix = ""): [string, Module][] {
    demandNoMore(arguments, 1, "namedModules");
    const below = this.namedChildren().flatMap(([name, child]) =>
      child.namedModules(prefix ? `${prefix}.${name}` : name)
    );
    return [[prefix, this], ...below];
  }

  /** All parameters by path. A parameter that stands in two places (tied weights) comes once, under its first name. */
  namedParameters(): [string, Tensor][] {
    demandNoMore(arguments, 0, "namedParameters");
    const seen = new Set<Tensor>();
    return this.namedModules().flatMap(([path, module]) =>
      Object.entries(module).filter(([, value]) => isParameter(value) && !seen.has(value) && seen.add(value))
        .map(([name, value]): [string, Tensor] => {
          const whole = path ? `${path}.${name}` : name;
          nameTensor(value as Tensor, whole);
          return [whole, value as Tensor];
        })
    );
  }

  /** All parameters, each once. */
  parameters(): Tensor[] {
    demandNoMore(arguments, 0, "parameters");
    return this.namedParameters().map(([, tensor]) => tensor);
  }

  /** How many numbers the parameters hold. */
  numParameters(): number {
    demandNoMore(arguments, 0, "numParameters");
    return this.parameters().reduce((n, p) => n + p.size, 0);
  }

  /** The parameters by path, detached: views of the same memory, not copies. */
  stateDict(): Record<string, Tensor> {
    demandNoMore(arguments, 0, "stateDict");
    return Object.fromEntries(this.namedParameters().map(([name, p]) => [name, p.detach()]));
  }

  /**
   * Copies values into the parameters (converted to their dtype and device).
   *
   * @throws {FormatError} listing missing and unexpected names apart, unless `strict` is false, and always for a shape
   * that does not fit; then nothing was changed.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for what is no tensor.
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, options: { strict?: boolean } = {}): LoadResult {
    demandNoMore(arguments, 2, "loadStateDict");
    const { strict = true } = checkOptions("loadStateDict", options, loadOptions);
    demandRecord("loadStateDict", dict, "what is given", "tensors by name");
    for (const name in dict) demandTensor("loadStateDict", dict[name], JSON.stringify(name));
    const own = this.namedParameters(), names = new Set(own.map(([name]) => name));
    const missing = own.filter(([name]) => !Object.hasOwn(dict, name));
    const unexpected = Object.keys(dict).filter((name) => !names.has(name));
    const misshapen = own.filter(([name, p]) =>
      Object.hasOwn(dict, name) && !sameShape(dict[name].shape, p.shape)
    );
    const complaints: string[] = [];
    if (strict) {
      if (missing.length) {
        complaints.push(`missing: ${missing.map(([n, p]) => `${n} ${formatShape(p.shape)}`).join(", ")}`);
      }
      if (unexpected.length) {
        complaints.push(
          `unexpected: ${unexpected.map((n) => `${n} ${formatShape(dict[n].shape)}`).join(", ")}`,
        );
      }
    }
    if (misshapen.length) {
      const list = misshapen.map(([n, p]) =>
        `${n} is ${formatShape(dict[n].shape)}, expected ${formatShape(p.shape)}`
      );
      complaints.push(`wrong shape: ${list.join(", ")}`);
    }
    if (complaints.length) {
      throw new FormatError(
        `loadStateDict: the names do not match this ${this.constructor.name}; ${complaints.join("; ")}`,
      );
    }
    for (const [name, p] of own) {
      const from = dict[name];
      if (!from) continue;
      const here = from.device === p.device ? from : from.to({ device: p.device });
      copyInto(here, p);
      if (here !== from) here.dispose();
    }
    return { missing: missing.map(([name]) => name), unexpected };
  }

  /**
   * Switches dropout and the like on, here and below.
   *
   * @throws {OptionError} for what is neither true nor false.
   */
  train(on = true): this {
    demandNoMore(arguments, 1, "train");
    checkOption("train", "on", on, flag);
    for (const [, module] of this.namedModules()) module.training = on;
    return this;
  }

  /** Switches dropout and the like off, here and below. */
  eval(): this {
    demandNoMore(arguments, 0, "eval");
    return this.train(false);
  }

  /**
   * Moves or converts all parameters, in place of the old ones. Optimizers made before hold the old ones.
   * @throws {DTypeError} for q8 and q4: models become quantised while they are loaded.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   */
  to(target: { dtype?: DType; device?: DeviceName }): this {
    demandNoMore(arguments, 1, "to");
    checkOptions("to", target, placeOptions);
    if (target.dtype && isQuantized(target.dtype)) {
      throw new DTypeError(
        `to: a ${this.constructor.name} does not become ${target.dtype} in place; load it so, as with ` +
          `GPT2.load(folder, { dtype: "${target.dtype}" })`,
      );
    }
    const done = new Map<Tensor, Tensor>();
    for (const [, module] of this.namedModules()) {
      const holder = module as unknown as Record<string, unknown>;
      for (const [name, value] of Object.entries(holder)) {
        if (!isParameter(value)) continue;
        let moved = done.get(value);
        if (!moved) {
          const plain = value.detach(), converted = plain.to(target);
          moved = converted === plain ? value : parameter(converted);
          if (!value.requiresGrad && moved.requiresGrad) asLeaf(moved, false);
          done.set(value, moved);
        }
        holder[name] = moved;
      }
    }
    for (const [old, moved] of done) if (moved !== old) old.dispose();
    return this;
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    demandNoMore(arguments, 0, "zeroGrad");
    for (const p of this.parameters()) p.grad = null;
  }

  /** Gives the parameters' memory back. The module cannot be used afterwards. */
  dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    for (const p of this.parameters()) p.dispose();
  }

  /** Same as {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * A module that maps one tensor to another.
 *
 * @category Modules
 */
export interface Layer extends Module {
  /** The output for `x`. */
  forward(x: Tensor): Tensor;
}
