/**
 * No gradient that is no number becomes a weight: NaN and infinities are named before the parameters are touched.
 *
 * The largest size of each gradient tells (it is NaN where one element is). A device that answers at once is asked at once.
 * One that answers late (WebGPU), and a compiled function, note down for each parameter the first step at which its gradient
 * was not finite; the next read of any value there says so. So nothing waits, and nothing is silent.
 *
 * @module
 */
import type { Backend, View } from "../backends/contract.ts";
import { arrayOn, byteSize, type DType } from "../core/dtype.ts";
import { FerrotypeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { abs, le, select } from "../expr/build.ts";
import { input, type Program, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { empty, type Tensor, zeros } from "../ops/mod.ts";
import type { Storage } from "../tensor/storage.ts";
import {
  activeCapture,
  askAtNextRead,
  backendOf,
  computeType,
  keep,
  nameOf,
  outsideCapture,
  perRun,
  readNow,
  toNumbers,
} from "../tensor/mod.ts";

/** `count` elements of a tensor from `offset` on, as a view of shape `shape`. */
export function part(t: Tensor, offset: number, shape: readonly number[]): View {
  return { buffer: t.buffer, dtype: t.dtype, offset, shape, strides: shape.map(() => 1) };
}

/** A gradient of no axes is one number, seen as a list of one. */
export const asList = (g: Tensor): View => g.shape.length ? g : part(g, g.offset, [1]);

const size = abs(input(0));
// Inputs: the largest size, and the step noted down (0: none). Scalars: the largest number, this step.
const noted = select(le(input(1), 0), select(le(input(0), scalar(0)), 0, scalar(1)), input(1));

const sizeProgram = (dtype: DType): Program => program(computeType(dtype), [size], { inputs: 1, scalars: 0 });
const noteProgram = (dtype: DType): Program =>
  program(computeType(dtype), [noted], { inputs: 2, scalars: 2 });

/** What the largest sizes are kept in, so that none is too large for it. */
const wide = (grads: readonly Tensor[]): DType => grads.some((g) => g.dtype === "f64") ? "f64" : "f32";
/** The greatest number of `dtype`. */
export const greatest = (dtype: DType): number => dtype === "f64" ? Number.MAX_VALUE : 2 ** 128 - 2 ** 104;

/** Writes the largest size of an element of each gradient to the start of `out`; all lie on one device. */
function measure(grads: readonly Tensor[], out: Tensor): void {
  grads.forEach((g, i) => {
    const view = asList(g), axes = view.shape.map((_, axis) => axis);
    g.backend.reduce("max", sizeProgram(out.dtype), [view], [], axes, part(out, i, axes.map(() => 1)));
  });
  out.storage.version++;
}

/** What `p` is called, and its place among others where it has no name. */
export function callParameter(p: Tensor, place: number): string {
  const name = nameOf(p);
  return `${name === undefined ? `parameter ${place}` : JSON.stringify(name)} ${formatShape(p.shape)}`;
}

/** Gradients known to hold numbers alone, with the version of their memory at which it was seen. */
const seen = new WeakMap<Storage, number>();

/** Says that `grads` were found finite, so that the step that follows looks no second time. */
export function rememberFinite(grads: readonly Tensor[]): void {
  for (const g of grads) seen.set(g.storage, g.storage.version);
}

const isSeen = (g: Tensor): boolean => seen.get(g.storage) === g.storage.version;

/** Whether what is computed on `backend` can be looked at before the next operation is given to it. */
export const answersAtOnce = (backend: Backend): boolean => !activeCapture() && backend.mapped !== undefined;

/** The place of the first gradient that is not finite and what it has, on a device that answers at once; null where all are. */
export function firstNotFinite(
  grads: readonly Tensor[],
  sizes: Tensor = empty([grads.length], { dtype: wide(grads), device: grads[0].device }),
): { place: number; has: string } | null {
  measure(grads, sizes);
  const found = readNow(sizes)!.subarray(0, grads.length) as Float32Array;
  const place = found.findIndex((x) => !Number.isFinite(x));
  return place < 0 ? null : { place, has: Number.isNaN(found[place]) ? "NaN" : "an infinity" };
}

/** What may help who clips already. */
export const adviceToClip = "take a lower learning rate; detectAnomaly names the operation that makes NaN";
/** What may help. */
const advice =
  "take a lower learning rate or clip gradients; detectAnomaly names the operation that makes NaN";

/** Numbers of training that are none: what was found, and what may help. */
export class NotFiniteError extends FerrotypeError {
  /** What was found, without the advice. */
  readonly found: string;

  /** An error of two parts. */
  constructor(found: string, advice: string) {
    super(`${found}; ${advice}`);
    this.found = found;
  }
}

/** Parameters of one device that are watched, and the steps noted down for them there. */
interface Watched {
  readonly params: readonly Tensor[];
  /** Where the sizes of their gradients are written. */
  readonly sizes: Tensor;
  /** The first step at which each was not finite; 0: none. Null until one is noted down. */
  first: Tensor | null;
  readonly ask: () => Promise<void>;
  /** Whether something may be noted down that nobody has asked for. */
  isOpen: boolean;
  /** Whether its memory is to be given back once that was asked for. */
  isClosed: boolean;
}

/** Watches the gradients that an optimizer takes. */
export class FiniteGradients {
  readonly #name: string;
  readonly #watched = new Map<Backend, Watched>();

  /** `name`: the optimizer's. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Takes the little memory that looking at the gradients of `params` needs, so that no step takes any. */
  prepare(params: readonly Tensor[]): void {
    this.#watch(params, params[0], wide(params));
  }

  /**
   * Looks at the gradients of `params`, all of which the optimizer may step; `step` counts steps from 1.
   * @throws {FerrotypeError} naming parameter and step, before anything was changed, where values can be seen.
   */
  check(params: readonly Tensor[], step: () => number): void {
    const devices = new Map<Backend, number[]>();
    params.forEach((p, i) => {
      const g = p.grad;
      if (!g || g.size === 0) return;
      const places = devices.get(g.backend) ?? [];
      devices.set(g.backend, places);
      places.push(i);
    });
    for (const [backend, places] of devices) {
      if (!answersAtOnce(backend)) {
        this.#note(params, places, step);
        continue;
      }
      const open = places.filter((i) => !isSeen(params[i].grad!));
      if (!open.length) continue;
      const grads = open.map((i) => params[i].grad!);
      const found = firstNotFinite(grads, this.#watch(params, grads[0], wide(grads)).sizes);
      if (!found) continue;
      const place = open[found.place];
      throw new NotFiniteError(
        `${this.#name}: the gradient of ${
          callParameter(params[place], place)
        } has ${found.has} at step ${step()}`,
        `nothing was changed; ${advice}`,
      );
    }
  }

  /** Notes down on the device which gradients are not finite. */
  #note(params: readonly Tensor[], places: readonly number[], step: () => number): void {
    const grads = places.map((i) => params[i].grad!), { device } = grads[0], dtype = wide(grads);
    const watched = this.#watch(params, grads[0], dtype), { sizes } = watched;
    const first = watched.first ??= outsideCapture(() => keep(zeros([params.length], { dtype, device })));
    measure(grads, sizes);
    const scalars = perRun(2, () => {
      watched.isOpen = true;
      askAtNextRead(first.storage.backend, watched.ask);
      return [greatest(dtype), step()];
    });
    // Parameters in a row, as all of them mostly are, in one go.
    for (let from = 0, to = 1; from < places.length; from = to++) {
      while (to < places.length && places[to] === places[to - 1] + 1) to++;
      const at = part(first, places[from], [to - from]);
      first.backend.elementwise(noteProgram(dtype), [part(sizes, from, [to - from]), at], scalars, [at]);
    }
    first.storage.version++;
  }

  #watch(params: readonly Tensor[], { device }: Tensor, dtype: DType): Watched {
    // The device itself, also while a capture stands before it: a function that is traced again finds what there is.
    const backend = outsideCapture(() => backendOf(device)), before = this.#watched.get(backend);
    if (before && before.params.length === params.length && before.sizes.dtype === dtype) return before;
    if (before) close(before);
    const watched: Watched = {
      params,
      sizes: outsideCapture(() => keep(empty([params.length], { dtype, device }))),
      first: null,
      ask: () => this.#answer(watched),
      isOpen: false,
      isClosed: false,
    };
    this.#watched.set(backend, watched);
    return watched;
  }

  /** Reads what was noted down, and says it once. */
  async #answer(watched: Watched): Promise<void> {
    const { params } = watched, first = watched.first!, { buffer, storage: { backend }, dtype } = first;
    watched.isOpen = false;
    const answer = backend.download(buffer, 0, byteSize(dtype, first.size));
    // What is noted down from here on is another question.
    backend.upload(buffer, 0, new Uint8Array(byteSize(dtype, first.size)));
    if (watched.isClosed) first.dispose();
    const steps = toNumbers(arrayOn(dtype, (await answer).slice().buffer, 0, params.length), dtype);
    let place = -1;
    params.forEach((_, i) => {
      if (steps[i] > 0 && (place < 0 || steps[i] < steps[place])) place = i;
    });
    if (place < 0) return;
    throw new FerrotypeError(
      `${this.#name}: the gradient of ${callParameter(params[place], place)} was not finite at step ${
        steps[place]
      }, ` +
        `which is seen only now, as values are read: the parameters hold what came of it; load an older checkpoint, ` +
        advice,
    );
  }

  /** Gives memory back, of what is still to be said once it was said. */
  dispose(): void {
    for (const watched of this.#watched.values()) close(watched);
    this.#watched.clear();
  }
}

function close(watched: Watched): void {
  watched.isClosed = true;
  watched.sizes.dispose();
  if (!watched.isOpen) watched.first?.dispose();
}
