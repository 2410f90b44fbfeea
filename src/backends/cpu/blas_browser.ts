/**
 * What a bundle for pages has in the place of `blas.ts` (package.json, "browser"): a browser opens no native libraries.
 *
 * @module
 */
import type { Blas as Elsewhere } from "./blas.ts";

/** The library of one engine, which has none. */
export class Blas implements Pick<Elsewhere, keyof Elsewhere> {
  /** See `blas.ts`. */
  readonly sgemm = (): number => 0;
  /** See `blas.ts`. */
  readonly bgemm = (): number => 0;
  /** See `blas.ts`. */
  enabled = true;
  /** See `blas.ts`. */
  isDue = false;
  /** See `blas.ts`. */
  reach: Elsewhere["reach"] = { leastRows: Infinity, leastWork: Infinity, leastQuantizedRows: Infinity };
  /** See `blas.ts`. */
  table: Elsewhere["table"] = [];
  /** See `blas.ts`. */
  why = null;
  /** See `blas.ts`. */
  readonly available = false;
  /** See `blas.ts`. */
  readonly isOpen = false;
  /** See `blas.ts`. */
  readonly hasBgemm = false;
  /** See `blas.ts`. */
  readonly name = null;
  /** See `blas.ts`. */
  readonly problem = "a browser opens no native libraries";

  /** See `blas.ts`. */
  note(): void {}
  /** See `blas.ts`. */
  noteCapture(): void {}
  /** See `blas.ts`. */
  candidates(): [] {
    return [];
  }
  /** See `blas.ts`. */
  tryOut(): void {}
  /** See `blas.ts`. */
  postpone(): boolean {
    return false;
  }
  /** See `blas.ts`. */
  settle(): void {}
  /** See `blas.ts`. */
  disable(_reason: string): void {}
}

/** See `blas.ts`. */
export const workerProductsSource = "{}";
