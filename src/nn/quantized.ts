/**
 * What of a layer is held in blocks (q8, q4, and those of a GGUF), and what is not.
 *
 * @module
 */
import { blockValues, type DType, isQuantized } from "../core/dtype.ts";
import { counted } from "../core/show.ts";
import type { LayerOptions } from "./layers.ts";

/**
 * What a matrix wanted as `dtype` is held as, when its products sum over `depth` elements: f32 where quantised ones would
 * have no whole blocks.
 */
export function matrixDType(dtype: DType, depth: number): DType {
  return isQuantized(dtype) && depth % blockValues(dtype) !== 0 ? "f32" : dtype;
}

/** Says in a line which matrices have no whole blocks along their sums and so stay as they were. */
export function tellUnquantized(
  where: string,
  dtype: DType,
  matrices: readonly { readonly name: string; readonly depth: number; readonly held: string }[],
  warn: (message: string) => void,
): void {
  if (matrices.length === 0) return;
  const [{ name, depth, held }] = matrices,
    rest = matrices.length > 1 ? ` and ${matrices.length - 1} more` : "";
  warn(
    `${where}: ${name}${rest} ${rest ? "stay" : "stays"} ${held} under ${dtype}: sums run over ${
      counted(depth, "value")
    }, and blocks have ${blockValues(dtype)}`,
  );
}

/** The options for what q8 and q4 do not hold: vectors, and tables that are only read. */
export function unquantized<T extends LayerOptions>(options: T): T {
  return options.dtype && isQuantized(options.dtype) ? { ...options, dtype: "f32" } : options;
}
