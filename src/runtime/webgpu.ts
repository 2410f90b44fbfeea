/**
 * The webgpu device, and what programs are made of for it alone: fetched where there is an adapter.
 *
 * @module
 */
import { fuseAsPrologues } from "../tensor/capture/passes/prologues.ts";
import { providePass } from "../tensor/capture/passes/provided.ts";

export { openWebGpu } from "../backends/webgpu/open.ts";

providePass("as prologues", fuseAsPrologues);
