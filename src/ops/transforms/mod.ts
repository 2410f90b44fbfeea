/**
 * Functions of functions: derivatives, loops, and what is kept for a gradient.
 *
 * @module
 */
export { checkpoint } from "./checkpoint.ts";
export { type CustomBackward, customGradient } from "./custom_gradient.ts";
export { hessian, jacobian, type JacobianOptions, jvp } from "./derivatives.ts";
export { scan, vmap, type VmapOptions } from "./loops.ts";
