/**
 * Optional packages, written out: `importPackage("name")` becomes an `import` that a bundler and a package manager's tools can
 * see. The sources keep the name a value; `src/core/packages.ts` tells why.
 *
 * @module
 */

/**
 * `text` with each call replaced. The import stands in a `try`: bundlers take that as word that the package may be missing, and
 * leave the import to run time instead of giving up.
 */
export function withImports(text: string): string {
  return text.replace(
    /\bimportPackage(?:<[^<>()]*>)?\(\s*("[^"\n]+")\s*\)/g,
    "(async () => { try { return await import($1); } catch (error) { throw error; } })()",
  );
}
