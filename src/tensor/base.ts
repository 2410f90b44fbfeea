/**
 * The tensor handle: a view of counted device memory plus its place on the tape.
 *
 * This class knows memory, lifetime and gradients; what one can compute with a tensor is added by its subclass on
 * the floor of operations, which registers itself here so that every result is of that class.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { Backend, DeviceName } from "../backends/contract.ts";
import { byteSize, type DType } from "../core/dtype.ts";
import { FerrotypeError, OptionError } from "../core/errors.ts";
import { contiguousStrides, demandCountable, isContiguous, type Shape, sizeOf } from "../core/shape.ts";
import { show } from "../core/show.ts";
import { activeCapture } from "./capture/gate.ts";
import { isScopeOpen, track } from "./scopes.ts";
import { Storage } from "./storage.ts";
import type { TapeNode } from "./tape.ts";

const collected = new FinalizationRegistry<Storage>((storage) => storage.release());

/** What a tensor is made of. */
export interface TensorParts {
  /** The memory; the new tensor becomes one of its holders (the caller's hold passes to it). */
  storage: Storage;
  /** The element type. */
  dtype: DType;
  /** Sizes, outermost first. */
  shape: Shape;
  /** Steps between neighbours, in elements. */
  strides: readonly number[];
  /** Where the first element lies, in elements. */
  offset: number;
}

/**
 * Memory, lifetime and gradient bookkeeping of a tensor. Use the subclass `Tensor`.
 *
 * @category Tensors
 */
export class TensorBase implements Disposable {
  /** Sizes of the axes, outermost first. */
  readonly shape: Shape;
  /** The element type. */
  readonly dtype: DType;
  /** Steps between neighbours along each axis, in elements. */
  readonly strides: readonly number[];
  /** Where the first element lies, in elements. */
  readonly offset: number;
  /** How many elements it has. */
  readonly size: number;
  #storage: Storage | null;
  #watched = false;
  #grad: TensorBase | null = null;
  /**
   * The tape entry that made it, or the entry that stands for it as a leaf; null while it needs no gradient.
   * @internal
   */
  node: TapeNode | null = null;
  /**
   * Whether `tidy` leaves it alone (see `keep`).
   * @internal
   */
  isKept = false;

  /**
   * Wraps memory; `parts.storage` is taken over, not held again. `tidy` looks after it when `tracked`.
   * @internal
   */
  constructor(parts: TensorParts, tracked = true) {
    // Another tensor has all that parts have, but its hold on the memory is its own.
    if (!(parts?.storage instanceof Storage) || parts instanceof TensorBase) throw notParts(parts);
    this.#storage = parts.storage;
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.strides = parts.strides;
    this.offset = parts.offset;
    this.size = sizeOf(parts.shape);
    if (this.size > Number.MAX_SAFE_INTEGER) {
      parts.storage.release();
      demandCountable(parts.shape, "a view");
    }
    if (tracked ? !track(this) : !isScopeOpen()) this.watch();
  }

  /**
   * Lets the garbage collector free the memory; not needed while a scope holds the tensor and frees it itself.
   * @internal
   */
  watch(): void {
    demandNoMore(arguments, 0, "watch");
    if (this.#watched || !this.#storage) return;
    this.#watched = true;
    collected.register(this, this.#storage, this);
  }

  /**
   * The memory.
   * @throws {FerrotypeError} after dispose.
   * @internal
   */
  get storage(): Storage {
    if (!this.#storage) {
      throw new FerrotypeError(
        `this tensor of shape [${
          this.shape.join(", ")
        }] was disposed; keep it out of tidy, or return it from there`,
      );
    }
    return this.#storage;
  }

  /**
   * The device memory, as backends see it.
   * @internal
   */
  get buffer(): Storage["buffer"] {
    return this.storage.buffer;
  }

  /**
   * The backend that holds it, or what takes its place while a function is captured.
   * @internal
   */
  get backend(): Backend {
    const { backend } = this.storage;
    return activeCapture()?.gate(backend) ?? backend;
  }

  /** The device it lives on. */
  get device(): DeviceName {
    return this.storage.backend.name;
  }

  /** Whether its memory was given back. */
  get isDisposed(): boolean {
    return this.#storage === null;
  }

  /** Whether gradients flow to or through it. */
  get requiresGrad(): boolean {
    activeCapture()?.look(this);
    return this.node !== null;
  }

  /**
   * The gradient that `backward` gathered here, or null. Only leaves (tensors made with requiresGrad) have one.
   * Setting it disposes the one before: copy a gradient that is to outlive the next step.
   */
  get grad(): this | null {
    activeCapture()?.touch(this);
    return this.#grad as this | null;
  }

  set grad(value: TensorBase | null) {
    activeCapture()?.touch(this);
    if (this.#grad !== value) this.#grad?.dispose();
    this.#grad = value;
  }

  /**
   * Puts another gradient here, and gives back the one that was, which is not disposed.
   * @internal
   */
  exchangeGrad(value: TensorBase | null): TensorBase | null {
    demandNoMore(arguments, 1, "exchangeGrad");
    const before = this.#grad;
    this.#grad = value;
    return before;
  }

  /** Whether the elements lie row-major without gaps. */
  get isContiguous(): boolean {
    return isContiguous(this.shape, this.strides);
  }

  /** Gives the memory back, unless views of it are still alive. Safe to call twice. */
  dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    if (!this.#storage) return;
    if (this.#watched) collected.unregister(this);
    this.#storage.release();
    this.#storage = null;
    this.#grad?.dispose();
    this.#grad = null;
    this.node = null;
  }

  /** Same as {@link dispose}; makes `using t = …` work. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function notParts(given: unknown): OptionError {
  return new OptionError(
    `new Tensor: ${show(given)} is no memory; make tensors with tensor(…), zeros(…) or randn(…)`,
  );
}

/** A class of tensors. */
export type TensorClass = new (parts: TensorParts, tracked?: boolean) => TensorBase;
let tensorClass: TensorClass = TensorBase;

/** Called once by the class that carries the operations. */
export function registerTensorClass(constructor: TensorClass): void {
  tensorClass = constructor;
}

/** A tensor of the registered class; see the constructor. */
export function tensorOf(parts: TensorParts, tracked = true): TensorBase {
  return new tensorClass(parts, tracked);
}

/** A tensor with undefined contents. */
export function empty(shape: Shape, dtype: DType, backend: Backend, madeBy: string): TensorBase {
  const storage = new Storage(backend, byteSize(dtype, sizeOf(shape)), madeBy);
  return new tensorClass({ storage, dtype, shape, strides: contiguousStrides(shape), offset: 0 });
}

/** Another tensor on the same memory, with another shape; not on the tape. */
export function alias(
  of: TensorBase,
  shape: Shape = of.shape,
  strides: readonly number[] = of.strides,
  offset: number = of.offset,
): TensorBase {
  of.storage.hold();
  return new tensorClass({ storage: of.storage, dtype: of.dtype, shape, strides, offset });
}

/** Another handle on `t`'s memory, on the tape where t is, that no `tidy` looks after: what the tape keeps. */
export function savedAlias(t: TensorBase): TensorBase {
  const { storage, dtype, shape, strides, offset } = t;
  storage.hold();
  const own = new tensorClass({ storage, dtype, shape, strides, offset }, false);
  own.node = t.node;
  return own;
}
