/**
 * The training that follows a compression, or is one: a few steps of AdamW whose rate rises and falls.
 *
 * @module
 */
import { type nn, optim, type Tensor, Trainer } from "../../mod.ts";
import { onStop } from "../../src/platform/platform.ts";
import { CancelledError } from "../../src/core/errors.ts";
import { formatSeconds, LiveLine } from "../output.ts";
import { batchesOf, type CompressionText } from "./material.ts";

/** What is trained. */
export interface ShortTraining {
  /** What learns, its own parameters and what stands beside them. */
  readonly model: nn.Module;
  readonly text: CompressionText;
  readonly loss: (batch: Tensor) => Tensor;
  readonly steps: number;
  readonly lr: number;
  /** Called after each step of the optimizer, before anybody sees the weights. */
  readonly after?: () => void;
}

/** AdamW that something follows. */
class Followed extends optim.AdamW {
  readonly #after: () => void;

  constructor(
    params: Tensor[],
    options: { lr: number; betas: [number, number]; weightDecay: number },
    after: () => void,
  ) {
    super(params, options);
    this.#after = after;
  }

  override step(): void {
    super.step();
    this.#after();
  }
}

/** Trains. @throws {CancelledError} where the program is told to stop: nothing was written. */
export async function trainShortly({ model, text, loss, steps, lr, after }: ShortTraining): Promise<void> {
  const controller = new AbortController(), remove = onStop(() => controller.abort()), line = new LiveLine();
  const options = { lr, betas: [0.9, 0.99] as [number, number], weightDecay: 0 };
  const params = model.parameters().filter((p) => p.requiresGrad);
  const trainer = new Trainer<Tensor>({
    model,
    data: batchesOf(text),
    loss,
    optimizer: new Followed(params, options, after ?? (() => {})),
    schedule: optim.schedules.cosine({ lr, warmup: Math.round(steps / 20), steps, minLr: lr / 10 }),
    steps,
    clip: 1,
    signal: controller.signal,
    onStep: (r) =>
      line.show(`step ${r.step}/${steps}  loss ${r.loss.toFixed(4)}  ${formatSeconds(r.secondsLeft)} left`),
  });
  try {
    model.train();
    const { interrupted } = await trainer.run();
    if (interrupted) throw new CancelledError("training was interrupted");
  } finally {
    model.eval();
    await line.end();
    remove();
  }
}
