/**
 * Writers of several files at once that are killed (`_killed.ts`).
 *
 * @module
 */
import { describeKilled } from "./_killed.ts";
import { kindsOfSets } from "./_kinds_of_writes.ts";

describeKilled("writers of several files at once that are killed leave the old or the new", kindsOfSets);
