/**
 * What a bundle for pages has in the place of `blas.ts` (package.json, "browser"): a browser opens no native libraries.
 *
 * @module
 */
import type { Blas as Elsewhere } from "./blas.ts";

/** The BLAS of one engine, which has none. */
export class Blas
  implements Pick<Elsewhere, "sgemm" | "enabled" | "available" | "name" | "problem" | "disable"> {
  /** See `blas.ts`. */
  readonly sgemm = (): number => 0;
  /** See `blas.ts`. */
  enabled = true;
  /** See `blas.ts`. */
  readonly available = false;
  /** See `blas.ts`. */
  readonly name = null;
  /** See `blas.ts`. */
  readonly problem = "a browser opens no native libraries";

  /** See `blas.ts`. */
  disable(_reason: string): void {}
}

/** See `blas.ts`. */
export const workerSgemmSource = "() => 0";
