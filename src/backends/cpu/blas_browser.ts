/**
 * What a bundle for pages has in the place of `blas.ts` (package.json, "browser"): a browser opens no native libraries.
 *
 * @module
 */
import type { Blas as Elsewhere } from "./blas.ts";

/** What is asked of it where nothing is native. */
type Asked = "sgemm" | "bgemm" | "enabled" | "isDue" | "table" | "why" | "available" | "name" | "problem";

/** The library of one engine, which has none. */
export class Blas implements Pick<Elsewhere, Asked | "note" | "noteCapture"> {
  /** See `blas.ts`. */
  readonly sgemm = (): number => 0;
  /** See `blas.ts`. */
  readonly bgemm = this.sgemm;
  /** See `blas.ts`. */
  enabled = true;
  /** See `blas.ts`. */
  readonly isDue = false;
  /** See `blas.ts`. */
  readonly table: [] = [];
  /** See `blas.ts`. */
  readonly why = null;
  /** See `blas.ts`. */
  readonly available = false;
  /** See `blas.ts`. */
  readonly name = null;
  /** See `blas.ts`. */
  readonly problem = "a browser opens no native libraries";

  /** See `blas.ts`. */
  note(): void {}

  /** See `blas.ts`. */
  noteCapture(): void {}
}

/** See `blas.ts`. */
export const workerProductsSource = "{}";
