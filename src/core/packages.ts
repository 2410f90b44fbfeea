/**
 * Packages that are loaded when they are first wanted, so that nobody has to install what he does not use.
 *
 * @module
 */
import { FerrotypeError } from "./errors.ts";

/**
 * What `load` imports. The import stands with the caller, in full, where bundlers and Deno find it.
 *
 * @param names The packages, as npm knows them, with a space between.
 * @param what What needs them, to begin the message with: "reading CSV".
 * @throws {FerrotypeError} when one cannot be loaded, saying how to install them.
 */
export async function optionalPackages<T>(names: string, what: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const list = names.split(" "), many = list.length > 1;
    throw new FerrotypeError(
      `${what} needs the package${many ? "s" : ""} ${
        list.join(" and ")
      }, which could not be loaded; install ` +
        `${many ? "them" : "it"} with "npm install ${names}" or "deno add ${
          list.map((name) => `npm:${name}`).join(" ")
        }" ` +
        '(in a clone of this repository: "npm install")',
      { cause },
    );
  }
}
