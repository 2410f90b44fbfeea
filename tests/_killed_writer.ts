/**
 * A process that brings a folder into a state and is killed over it: `_killed_writer.ts KIND FOLDER STATE N`, at the Nth call of
 * `_dying.ts`. It prints how many calls there were.
 *
 * @module
 */
import process from "node:process";
import { initReference } from "../mod.ts";
import { callsMade, dieAt } from "./_dying.ts";
import { kindsOfWrites, type Which } from "./_kinds_of_writes.ts";

const [kind, folder, which, last] = process.argv.slice(2);
const write = kindsOfWrites.find(({ name }) => name === kind);
if (write === undefined) throw new Error(`there is no kind ${kind}`);
initReference(); // In one file it does not come by its name.
dieAt(Number(last));
await write.write(folder, Number(which) as Which);
console.log(callsMade());
process.exit(0);
