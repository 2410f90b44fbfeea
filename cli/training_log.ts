/**
 * The log of a training run: one JSON object a line, reports and evaluations in order.
 *
 * @module
 */
import { appendText, exists, readTextFile, writeFileAtomic } from "../src/platform/platform.ts";

/** A line of the log. */
export interface LogEntry {
  /** Steps done. */
  step: number;
  /** The training loss of that step. */
  loss?: number;
  /** The held-out loss. */
  eval_loss?: number;
  /** With --qat: the blocks that were judged. */
  eval_weights?: string;
  /** In what part of the held-out pairs the chosen answer is preferred. */
  eval_accuracy?: number;
  /** The learning rate. */
  lr?: number;
  /** The norm of the gradients before clipping. */
  grad_norm?: number;
  /** The part of the machine's measured limit that the model's operations use. */
  mfu?: number;
  /** What the loss is multiplied by, with --precision f16. */
  loss_scale?: number;
  /** Tokens per second. */
  tokens_per_second?: number;
}

/** A log that is appended to. */
export class TrainingLog {
  readonly path: string;

  /** The file; it need not exist. */
  constructor(path: string) {
    this.path = path;
  }

  /** All entries. */
  async read(): Promise<LogEntry[]> {
    if (!await exists(this.path)) return [];
    const lines = (await readTextFile(this.path)).split("\n").filter(Boolean);
    // A line that a crash cut off is not counted.
    return lines.flatMap((line): LogEntry[] => {
      try {
        return [JSON.parse(line)];
      } catch {
        return [];
      }
    });
  }

  /** Drops what was logged after `step`: the run goes on from there. */
  async cut(step: number): Promise<void> {
    const kept = (await this.read()).filter((entry) => entry.step <= step);
    await writeFileAtomic(this.path, kept.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  }

  /** Adds a line. */
  async add(entry: LogEntry): Promise<void> {
    await appendText(this.path, `${JSON.stringify(entry)}\n`);
  }
}
