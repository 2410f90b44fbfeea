/**
 * Asked for a format, the whole library answers at once, and refuses what is none where it was given. A bundle leaves this file
 * out, and fetches formats with the first text that follows one (`generate/constraint/known.ts`).
 *
 * @module
 */
import { knowFormats } from "../generate/constraint/known.ts";
import { constrained } from "../generate/constraint/mod.ts";

knowFormats(constrained);
