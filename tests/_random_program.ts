/**
 * Programs made at random: operations of every kind over arguments, tensors that are closed over and changed in place, and
 * numbers, with gradients and an optimizer at the end of some.
 *
 * A program is a seed. Running it chooses again at every step, by the shapes alone, so that it is the same program for
 * whatever values. What jumps (comparisons, order, rounding) is asked of arguments only, so that a last digit decides nothing.
 *
 * @module
 */
import * as F from "../mod.ts";
import { type DeviceName, keep, optim, type Tensor, tensor } from "../mod.ts";

/** Random numbers of a test's own: those of the library would belong to the program. */
export function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}

/** What a program closes over. */
export interface World {
  /** Changed in place by copies. */
  readonly state: Tensor;
  /** Changed in place by the optimizer. */
  readonly parameters: readonly Tensor[];
  readonly optimizer: optim.Optimizer;
}

/** What a program is called with. */
export interface Given {
  readonly x: Tensor; // [rows, columns]
  readonly ids: Tensor; // [rows], below rows
}

/** The sizes of program `seed`. */
export function sizesOf(seed: number): { rows: number; columns: number } {
  const random = numbersFrom(seed * 7 + 1);
  const rows = 2 + Math.floor(random() * 4), columns = 2 + Math.floor(random() * 5);
  // Some are large enough for programs over rows, and for weights in another order.
  return seed % 8 === 7 ? { rows: rows + 15, columns: columns + 14 } : { rows, columns };
}

function filled(random: () => number, shape: number[], device: DeviceName): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(Float32Array.from({ length: size }, () => random() * 2 - 1), { shape, device });
}

/** Arguments number `call` of program `seed`. */
export function givenTo(seed: number, call: number, device: DeviceName): Given {
  const random = numbersFrom(seed * 31 + call), { rows, columns } = sizesOf(seed);
  const ids = Int32Array.from({ length: rows }, () => Math.floor(random() * rows));
  return { x: filled(random, [rows, columns], device), ids: tensor(ids, { device }) };
}

/** With an eps that keeps the last digit of a gradient near 0 from deciding where a step goes. */
const optimizers: ((p: Tensor[]) => optim.Optimizer)[] = [
  (p) => new optim.SGD(p, { lr: 0.05, momentum: 0.9 }) as never,
  (p) => new optim.SGD(p, { lr: 0.05, momentum: 0.9, nesterov: true, weightDecay: 0.01 }) as never,
  (p) => new optim.AdamW(p, { lr: 0.01, eps: 0.01 }) as never,
  (p) => new optim.Adam(p, { lr: 0.01, amsgrad: true, weightDecay: 0.1, eps: 0.01 }) as never,
  (p) => new optim.RMSprop(p, { lr: 0.01, momentum: 0.5, centered: true, eps: 0.1 }) as never,
  (p) => new optim.Adagrad(p, { lr: 0.05, eps: 0.01 }) as never,
];

/** The world of program `seed`, as it begins. */
export function worldOf(seed: number, device: DeviceName): World {
  const random = numbersFrom(seed * 13 + 5), { rows, columns } = sizesOf(seed);
  const parameters = [filled(random, [columns, columns], device), filled(random, [columns], device)];
  for (const p of parameters) keep(p).requiresGrad_();
  const state = keep(filled(random, [rows, columns], device));
  return { state, parameters, optimizer: optimizers[seed % optimizers.length](parameters) };
}

/** Gives a world's memory back. */
export function end({ state, parameters, optimizer }: World): void {
  optimizer.dispose();
  for (const t of [state, ...parameters]) t.dispose();
}

/** What {@link transforms} choose from. */
interface Choices {
  readonly k: number;
  readonly w: Tensor; // [columns, columns]
  readonly b: Tensor; // [columns]
  readonly pick: <T>(list: readonly T[]) => T;
  readonly matrix: () => Tensor;
  readonly like: (t: Tensor) => Tensor;
}

/** Steps by functions of functions, also of one another, over arguments, closed-over parameters and numbers. */
function transforms({ k, w, b, pick, matrix, like }: Choices): (() => Tensor)[] {
  const smooth: ((t: Tensor) => Tensor)[] = [
    (t) => F.tanh(F.mul(t, k)),
    (t) => F.sigmoid(F.sub(t, F.mean(t))),
    (t) => F.mul(F.sin(t), F.sum(F.tanh(t))),
    (t) => F.softmax(F.add(t, k), -1),
    (t) => F.div(t, F.add(F.square(t), 1)),
    (t) => t.shape.at(-1) === b.shape[0] ? F.tanh(F.matmul(t, w)) : F.gelu(t),
  ];
  const slope = (f: (t: Tensor) => Tensor) => F.grad((t: Tensor) => F.mean(F.square(f(t))));
  const along = (f: (t: Tensor) => Tensor) => (t: Tensor) => F.jvp(f, [t], [F.tanh(t)])[1];
  const straight = F.customGradient((t: Tensor) => F.tanh(F.mul(t, k)), (g) => F.mul(g, k));
  const kinds: ((f: (t: Tensor) => Tensor) => (t: Tensor) => Tensor)[] = [
    slope,
    along,
    F.checkpoint,
    (f) => (t) => straight(f(t)),
    (f) => (t) =>
      F.scan(
        (c: Tensor, r: Tensor) => {
          const next = F.tanh(F.add(F.mul(c, 0.5), f(F.add(r, 0))));
          return [next, F.mul(next, k)];
        },
        F.zeros(t.shape.slice(1), { device: t.device }),
        t,
      )[1],
    (f) => F.vmap(f, { inDims: 0, outDims: 0 }),
  ];
  return [
    () => F.tanh(pick(kinds)(pick(smooth))(matrix())),
    () => F.tanh(pick(kinds)(pick(smooth))(matrix())),
    () => F.tanh(pick(kinds.slice(0, 4))(pick(kinds)(pick(smooth)))(matrix())),
    () => {
      const a = matrix();
      return F.vmap((x: Tensor, y: Tensor) => F.tanh(F.mul(pick(smooth)(x), y)))(a, like(a));
    },
    () => F.vmap((t: Tensor) => F.sum(F.sin(t)), { inDims: 1 })(matrix()),
    () => {
      const a = matrix(), [last] = F.scan((c: Tensor, r: Tensor) => [F.tanh(F.add(c, r)), r], F.sum(a, 0), a);
      return last;
    },
    () => F.reshape(F.jacobian((t: Tensor) => F.tanh(F.mul(t, k)))(F.sum(matrix(), 0)), [-1]),
    () => F.hessian((t: Tensor) => F.mean(F.square(F.tanh(t))))(F.mul(F.sum(matrix(), 0), k)),
    // Windows that see nothing: a row of -∞ in scores and in softmax.
    () => {
      const a = matrix(), [rows, width] = a.shape;
      const mask = F.ge(F.reshape(F.arange(rows, { device: a.device }), [rows, 1]), pick([1, 2]));
      return F.where(
        mask,
        F.softmax(F.where(mask, a, -Infinity), -1),
        F.full([rows, width], 0.5, { device: a.device }),
      );
    },
  ];
}

/** Program `seed`: one run. */
export function runProgram(seed: number, world: World, { x, ids }: Given, k: number): Tensor[] {
  const random = numbersFrom(seed),
    pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const { rows, columns } = sizesOf(seed), [w, b] = world.parameters, { device } = x;
  // Exact: arguments, and what moves them about.
  const exact: Tensor[] = [x, x.neg(), x.transpose(0, 1), x.slice([0, rows - 1]), x.reshape(-1)];
  const pool: Tensor[] = [x, F.matmul(x, w), F.add(x, b), F.mul(x, k)];
  const like = (t: Tensor): Tensor => pick(pool.filter((o) => String(o.shape) === String(t.shape)));
  const matrix = (): Tensor => pick(pool.filter((t) => t.ndim === 2));
  const steps: (() => Tensor)[] = [
    () => F.tanh(pick(pool)),
    () => F.sigmoid(pick(pool)),
    () => F.sin(pick(pool)),
    () => F.gelu(pick(pool)),
    () => F.silu(pick(pool)),
    () => F.exp(F.tanh(pick(pool))),
    () => {
      const a = pick(pool);
      return F.div(a, F.add(F.square(F.tanh(like(a))), 1));
    },
    () => F.div(pick(pool), F.add(F.square(F.sum(x)), 1)),
    () => F.mul(pick(pool), k),
    () => F.add(F.mul(pick(pool), k), 0.5),
    () => F.sub(k, pick(pool)),
    () => {
      const a = pick(pool);
      return F.add(a, like(a));
    },
    () => {
      const a = pick(pool);
      return F.tanh(F.mul(a, like(a)));
    },
    () => {
      const a = pick(pool.filter((t) => t.shape.at(-1) === columns));
      return F.mul(a, b);
    },
    () => {
      const a = matrix();
      return F.sub(a, F.mean(a, pick([0, 1]), true));
    },
    () => F.transpose(matrix(), 0, 1),
    () => F.contiguous(F.transpose(matrix(), 0, 1)),
    () => F.reshape(F.transpose(matrix(), 0, 1), [-1]),
    () => F.reshape(pick(pool), [1, -1]),
    () => F.slice(matrix(), null, [0, 1]),
    () => F.sum(matrix(), pick([0, 1]), pick([true, false])),
    () => F.mean(pick(pool)),
    () => F.amax(x.slice([0, rows]), 1, true),
    () => F.softmax(pick(pool.filter((t) => t.ndim > 0)), -1),
    () => F.logSoftmax(matrix(), 0),
    () => {
      const a = matrix();
      return F.layerNorm(a.shape[1] === columns ? a : x, columns, b, b);
    },
    () => {
      const a = matrix();
      return F.rmsNorm(a, a.shape[1], null, 0.1);
    },
    () => {
      const a = matrix();
      return F.tanh(F.matmul(a, F.transpose(a, 0, 1)));
    },
    () => {
      const a = pick(pool.filter((t) => t.ndim === 2 && t.shape[1] === columns));
      return F.tanh(F.add(F.matmul(a, w), b));
    },
    () => F.cumsum(F.tanh(matrix()), pick([0, 1])),
    () => F.sort(pick(exact), -1, { descending: pick([true, false]) }).values,
    () => F.toDType(F.argmax(pick(exact.filter((t) => t.ndim === 2)), 1), "f32"),
    () => {
      const a = pick(exact), c = pick(pool.filter((t) => String(t.shape) === String(a.shape)).concat(a));
      return F.where(F.gt(a, 0), c, F.mul(c, 0.25));
    },
    () => F.toDType(F.toDType(pick(exact), pick(["bf16", "f16", "i32"])), "f32"),
    () => F.toDType(F.gt(F.amax(x, pick([0, 1]), true), pick([-Infinity, 0.1, k])), "f32"),
    () => F.toDType(F.toDType(F.mul(F.amin(x, pick([0, 1])), 3), pick(["i32", "bool", "bf16"])), "f32"),
    () => F.where(F.lt(F.amax(x, 1, true), 0.5), F.tanh(F.mul(x, k)), F.full([rows, 1], k, { device })),
    () => F.embedding(ids, pick(pool.filter((t) => t.ndim === 2 && t.shape[0] === rows))),
    () => F.concat([matrix(), F.sum(x, 0, true)].filter((t, _, all) => t.shape[1] === all[0].shape[1]), 0),
    () => F.pad(matrix(), [1, 0, 0, 1], { value: 0.5 }),
    () => F.rand([rows, columns], { device }),
    () => F.dropout(pick(pool), 0.3),
    () => F.toDType(F.randint(-3, 4, [rows], { device }), "f32"),
    () => F.full([rows, 1], k, { device }),
    () => {
      const a = F.clone(world.state);
      F.copyInto(F.noGrad(() => F.tanh(F.add(a, F.mul(x, k)))), world.state);
      return a;
    },
    () => F.contiguous(F.clone(world.state)),
    ...transforms({ k, w, b, pick, matrix, like }),
  ];
  const count = 4 + Math.floor(random() * 12);
  for (let i = 0; i < count; i++) {
    const made = pick(steps)();
    // Large, empty or wild results end programs of any use.
    if (made.size > 0 && made.size <= Math.max(400, 2 * rows * columns)) pool.push(made);
  }
  const last = pool.slice(-4);
  let loss = F.mean(F.tanh(last[0]));
  for (const t of last.slice(1)) loss = F.add(loss, F.mean(F.square(F.tanh(t))));
  if (seed % 3 > 0 && loss.requiresGrad) {
    loss.backward();
    if (seed % 5 === 0) optim.clipGradNorm(world.parameters, 0.5);
    if (seed % 3 === 1 || seed % 4 === 0) world.optimizer.step(seed % 2 ? { lr: 0.02 } : {});
    if (seed % 7 > 0) world.optimizer.zeroGrad();
  }
  return [loss.detach(), ...last.map((t) => t.detach())];
}
