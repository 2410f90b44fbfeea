/**
 * Where the command begins, for what starts it again as a process of its own.
 *
 * @module
 */

/** The address of the file that runs the command; `main.ts` says it, wherever a build has put that. */
export const entry: { url: string } = { url: "" };

/** The environment variable that tells a program that another command started it. */
export const childVariable = "FERROTYPE_CHILD";
