/**
 * Loss surfaces over the plane, and the optimizer step that walks them.
 *
 * @module
 */
export { type Landscape, type LandscapeName, landscapes } from "./landscapes.ts";
export { type Optimizer2d, optimizers2d, state2d, step2d, type Step2dOptions } from "./step2d.ts";
