/**
 * Lesson 1: tensors.
 *
 * A tensor is a shape, a dtype and memory on a device. Building and running is synchronous; reading values is not,
 * because a device may still be at work on them.
 */
import { concat, einsum, memory, randn, tensor, tidy } from "../mod.ts";

const a = tensor([[1, 2, 3], [4, 5, 6]]);
console.log(`${a}`); // Tensor [2, 3] f32 on cpu

// Shapes are matched from the right, as in NumPy: [2, 3] + [3].
const b = a.add(tensor([10, 20, 30]));
console.log("broadcast", await b.toArray());

// Views share memory: nothing is copied here.
const t = a.transpose(0, 1);
console.log("transposed", await t.toArray(), "last column", await a.slice(null, -1).toArray());

console.log("product", await a.matmul(t).toArray());
console.log("the same by einsum", await einsum("ik,jk->ij", a, a).toArray());
console.log("means of the rows", await a.mean(1).toArray(), "of all", await a.mean().item());
console.log("joined", concat([a, b], 1).shape);

// Half precision is stored in 16 bits and computed in 32.
const half = a.to({ dtype: "bf16" });
console.log("bytes", half.dtype, (await half.data()).byteLength);

// The seed decides, not the runtime: the same numbers everywhere.
console.log("random", await randn([3], { seed: 1 }).toArray());

// Memory is given back by `using`, by `tidy`, or, late but surely, by the garbage collector.
const before = memory().cpu.buffers;
const total = tidy(() => a.mul(b).sqrt().neg().sum());
console.log("left by tidy", memory().cpu.buffers - before, "buffer:", await total.item());
