/**
 * What llama.cpp has no place for in files of an architecture: it does not load one that has it, though this library does.
 *
 * Each is what llama.cpp of September 2026 said of a file with it (`src/models/*.cpp` there asks for its tensors one by one, and refuses
 * a file with others).
 *
 * @module
 */
import type { DecoderConfig } from "./decoder/config.ts";

/** Architectures whose attention has no biases, and those whose MLP has none. */
const unbiased = ["qwen3", "qwen3moe", "smollm3", "olmo2", "olmoe", "gemma", "gemma2", "gemma3"];
const unbiasedMLP = ["smollm3"];
/** Architectures that take factors of angles, pair by pair. */
const factored = ["llama", "granite", "phi3", "gemma3"];
/** Architectures that turn whole heads alone. */
const turned = ["llama", "granite", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "smollm3", "olmo2"];
/** Architectures whose heads have to make up the width. */
const whole = ["qwen2", "qwen2moe", "olmo2", "olmoe"];
/** Architectures that always have an output layer of their own, and those that never have. */
const headed = ["olmo2", "gptneox", "olmoe", "qwen2moe"], headless = ["gemma", "gemma2"];

/** What keeps llama.cpp from loading a model as this architecture. */
export function unloadable(architecture: string, config: DecoderConfig): string[] {
  const { qkvBias, outputBias, mlpBias, layers, headDim, heads, hiddenSize, tied } = config;
  const isOf = (list: readonly string[]): boolean => list.includes(architecture);
  const rotaries = layers.map(({ rotary }) => rotary).filter((rotary) => rotary !== null);
  const stretched = rotaries.find(({ scaling }) =>
    /^(?:llama3|longrope|factors)$/.test(scaling?.ropeType ?? "")
  );
  const found: readonly (readonly [is: boolean, what: string])[] = [
    [(qkvBias || outputBias) && isOf(unbiased), "biases in attention"],
    [mlpBias && isOf(unbiasedMLP), "biases in its MLP"],
    [
      stretched !== undefined && !isOf(factored),
      `angles that are stretched pair by pair (${stretched?.scaling?.ropeType})`,
    ],
    [rotaries.some(({ width }) => width !== headDim) && isOf(turned), "heads of which a part is turned"],
    [heads * headDim !== hiddenSize && isOf(whole), "heads that do not make up its width"],
    [tied && isOf(headed), "no output layer of its own"],
    [!tied && isOf(headless), "an output layer of its own"],
  ];
  return found.filter(([is]) => is).map(([, what]) => what);
}
