/**
 * Packages that are loaded when they are first wanted, so that nobody has to install what he does not use.
 *
 * @module
 */
import { FerrotypeError } from "./errors.ts";

/** What they may be, as in package.json: for Deno, where nobody need install them. */
export const packageVersions: Readonly<Record<string, string>> = {
  "@bufbuild/protobuf": "^2.17.0",
  "@hono/node-server": "^2.1.0",
  "@huggingface/hub": "^2.17.0",
  "@huggingface/jinja": "^0.5.11",
  "@huggingface/tokenizers": "^0.2.0",
  "bullmq": "^6.7.0",
  "hono": "^4.13.0",
  "ioredis": "^6.0.0",
  "vega": "^6.2.0",
  "vega-lite": "^6.4.0",
};

/**
 * A package, by the name that its importer knows it by; on Deno, where that name is not in the import map, from npm.
 *
 * The name is a value here, not part of an `import`: what a registry finds written out in a published file it makes a
 * dependency of everybody (JSR's layer for npm does). A bundler, on the other hand, puts in only what is written out. So
 * the build of the npm form and that of the pages (`web/packages.ts`) replace a call with a name in quotes by the import.
 */
export async function importPackage<T>(name: string): Promise<T> {
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ name);
  } catch (error) {
    const [, base, path = ""] = /^((?:@[^/]+\/)?[^/]+)(\/.*)?$/.exec(name)!;
    // Elsewhere than on Deno there is no such address.
    const address = `npm:${base}@${packageVersions[base]}${path}`;
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ address).catch(() =>
      Promise.reject(error)
    );
  }
}

/**
 * What `load` imports.
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
