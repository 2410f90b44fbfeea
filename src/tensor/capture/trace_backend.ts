/**
 * A device that does nothing and writes everything down: it has the operations of the device that it stands for.
 *
 * @module
 */
import type { Backend, DeviceBuffer } from "../../backends/contract.ts";
import { type Arguments, type Operation, operations, operationsOf } from "../../backends/operations.ts";
import type { DType } from "../../core/dtype.ts";
import { CaptureError } from "../../core/errors.ts";
import type { Value } from "./value.ts";

/** Where it is written down. */
export interface Notebook {
  /** An operation of `backend`. */
  add(backend: Backend, operation: Operation, args: Arguments): void;
  /** A place for memory of `backend`. */
  allocate(backend: Backend, byteLength: number): Value;
  /** That a value is no longer needed. */
  release(value: Value): void;
  /** Bytes from JavaScript. */
  upload(backend: Backend, buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void;
  /** That there will be no program. */
  fail(error: CaptureError): void;
}

/** A device that writes down. */
export class TraceBackend implements Backend {
  /** The device's name. */
  readonly name: Backend["name"];
  /** The kernels that the device has. */
  readonly kernels: Backend["kernels"];
  /** The device that it stands for. */
  readonly real: Backend;
  readonly #tracer: Notebook;
  readonly #only: ReadonlySet<string> | null;
  declare elementwise: Backend["elementwise"];
  declare reduce: Backend["reduce"];
  declare matmul: Backend["matmul"];
  declare gather: Backend["gather"];
  declare scatter: Backend["scatter"];
  declare cumsum: Backend["cumsum"];
  declare sort: Backend["sort"];
  declare random: Backend["random"];

  /** Stands for `real`; with the kernels `only` alone, whichever the device has, each for whatever its row allows. */
  constructor(real: Backend, tracer: Notebook, only: ReadonlySet<string> | null = null) {
    this.name = real.name;
    this.real = real;
    this.#tracer = tracer;
    this.#only = only;
    const kernels: Record<string, unknown> = only ? {} : { attentionDTypes: real.kernels.attentionDTypes };
    const own = only
      ? [...operations.values()].filter(({ name, isKernel }) => !isKernel || only.has(name))
      : operationsOf(real);
    for (const operation of own) {
      const place = operation.isKernel ? kernels : this as unknown as Record<string, unknown>;
      place[operation.name] = (...args: unknown[]) => tracer.add(real, operation, args);
    }
    this.kernels = kernels as Backend["kernels"];
  }

  /** The device's. With kernels of its own: the mode in which attention is asked for in one operation, whatever is hidden. */
  get arithmetic(): string {
    return this.#only ? "deterministic" : this.real.arithmetic;
  }

  /** The device's. */
  get maxMemory(): number {
    return this.real.maxMemory;
  }

  set maxMemory(bytes: number) {
    this.real.maxMemory = bytes;
  }

  /** Whether the device has tensors of `dtype`. */
  supports(dtype: DType): boolean {
    return this.real.supports(dtype);
  }

  /** A place for memory. */
  allocate(byteLength: number): Value {
    return this.#tracer.allocate(this.real, byteLength);
  }

  /** Nobody needs it any more. */
  release(buffer: DeviceBuffer): void {
    this.#tracer.release(buffer as Value);
  }

  /** Bytes from JavaScript. */
  upload(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    this.#tracer.upload(this.real, buffer, byteOffset, bytes.slice());
  }

  /** Refused. */
  download(): Promise<Uint8Array> {
    const error = new CaptureError(
      "reading values (data, item, toArray) cannot be part of a compiled function, where they are not there yet: " +
        "return the tensor and read it outside",
    );
    this.#tracer.fail(error);
    return new Promise(() => {});
  }

  /** Refused. */
  mapped(): Uint8Array {
    throw new CaptureError(
      "looking into a tensor's memory (to move it to another device, to make q8 or q4 of it) cannot be part of a " +
        "compiled function: do it before, and pass the result or close over it",
    );
  }

  /** None. */
  memory(): { bytes: number; buffers: number } {
    return { bytes: 0, buffers: 0 };
  }
}
