/**
 * The built site, for all tests that open or weigh it: built once for what the sources are now, and kept in `node_modules/.cache`.
 *
 * @module
 */
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Size } from "../web/build.ts";
import { repository } from "./_data.ts";
import { alone } from "./packages/_alone.ts";

const short = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 8);

/** What the site follows from, in a few letters. */
function state(): string {
  const hash = createHash("sha256");
  const files = ["src", "web", "tools"].flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" }).map((name) =>
      join(folder, name)
    )
  ).filter((path) => !path.startsWith(join("web", "dist")) && statSync(join(repository, path)).isFile());
  for (const path of ["mod.ts", "package.json", "package-lock.json", "tsconfig.json", ...files.sort()]) {
    hash.update(path).update(readFileSync(join(repository, path)));
  }
  return hash.digest("hex").slice(0, 16);
}

/** Puts the site into `folder`, which must not be there; gives what a visitor fetches. */
export async function putSite(folder: string): Promise<readonly Size[]> {
  return await alone(async () => {
    // Working copies may share their packages, and each has its site.
    const cache = join(repository, "node_modules/.cache/ferrotype-site"), own = `${short(repository)}-`;
    const path = join(cache, own + state()), sizes = `${path}.json`;
    if (!existsSync(sizes)) {
      mkdirSync(cache, { recursive: true });
      for (const old of readdirSync(cache).filter((name) => name.startsWith(own))) {
        rmSync(join(cache, old), { recursive: true, force: true });
      }
      const { buildSite } = await import("../web/build.ts");
      // Written last: a site without it was not finished.
      writeFileSync(sizes, JSON.stringify(await buildSite(path)));
    }
    cpSync(path, folder, { recursive: true });
    return JSON.parse(readFileSync(sizes, "utf8")) as Size[];
  }, "site");
}
