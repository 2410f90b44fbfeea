/**
 * The command, killed: `_killed_command.ts N ARGS…` runs `ferrotype ARGS…` and dies at the Nth call of `_dying.ts`. It prints how
 * many calls there were.
 *
 * @module
 */
import process from "node:process";
import { main } from "../cli/main.ts";
import { callsMade, dieAt } from "./_dying.ts";

const [last, ...args] = process.argv.slice(2);
dieAt(Number(last));
const code = await main(args);
console.log(callsMade());
process.exit(code);
