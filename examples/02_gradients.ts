/**
 * Lesson 2: gradients.
 *
 * Operations on a tensor that requires a gradient are recorded; `backward` walks the record back. `grad` and
 * `valueAndGrad` do the same for functions, and can be nested.
 */
import { checkGradients, grad, noGrad, type Tensor, tensor, valueAndGrad } from "../mod.ts";

// As in PyTorch.
const x = tensor([1, 2, 3], { requiresGrad: true });
x.pow(2).sum().backward();
console.log("d(x²)/dx", await x.grad?.toArray());

// As in JAX: cubic is a function, and so are its slope and its curvature.
const cubic = (x: Tensor): Tensor => x.pow(3).sum();
const slope = grad(cubic), curvature = grad((x: Tensor) => slope(x).sum());
const at = tensor([2]);
console.log(
  "x³, 3x², 6x at 2:",
  await cubic(at).item(),
  await slope(at).toArray(),
  await curvature(at).toArray(),
);

// Finding a minimum: follow the slope downhill.
const valley = valueAndGrad((p: Tensor) => p.sub(tensor([3, -1])).square().sum());
let p = tensor([0, 0]);
for (let step = 0; step < 50; step++) {
  const [, gradient] = valley(p);
  p = p.sub((gradient as Tensor).mul(0.1));
}
console.log("the lowest point", (await p.toArray() as number[]).map((v) => v.toFixed(3)));

// Every gradient of this library was compared with finite differences by this function; use it for your own.
await checkGradients((x) => x.tanh().mul(x).sum(), [tensor([0.3, -0.7])]);
console.log("recorded inside noGrad:", noGrad(() => x.mul(2)).requiresGrad);
