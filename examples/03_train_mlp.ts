/**
 * Lesson 3: a small network learns the exclusive or.
 *
 * A module's properties are its parameters and parts; an optimizer changes the parameters in place.
 */
import { manualSeed, nn, optim, tensor, tidy } from "../mod.ts";

manualSeed(1);
const inputs = tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), answers = tensor([[0], [1], [1], [0]]);
const model = new nn.MLP([2, 8, 1], { activation: () => new nn.Tanh() });
const optimizer = new optim.Adam(model.parameters(), { lr: 0.05 });
console.log(model.namedParameters().map(([name, p]) => `${name} [${p.shape}]`).join(", "));

for (let step = 1; step <= 200; step++) {
  optimizer.zeroGrad();
  // What a step makes is freed at its end; parameters and the optimizer's memory are kept.
  const loss = tidy(() => {
    const loss = nn.bceWithLogits(model.forward(inputs), answers);
    loss.backward();
    return loss.detach();
  });
  optimizer.step();
  if (step % 50 === 0) console.log(`step ${step}: loss ${(await loss.item()).toFixed(4)}`);
  loss.dispose();
}

const chances = await model.eval().forward(inputs).sigmoid().toArray() as number[][];
console.log(chances.map(([p], i) => `${i >> 1} xor ${i & 1}: ${p.toFixed(2)}`).join("; "));
