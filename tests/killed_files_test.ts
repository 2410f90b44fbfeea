/**
 * Writers of files one by one that are killed (`_killed.ts`).
 *
 * @module
 */
import { describeKilled } from "./_killed.ts";
import { kindsOfFiles } from "./_kinds_of_writes.ts";

describeKilled("writers of files one by one that are killed leave the old or the new", kindsOfFiles);
