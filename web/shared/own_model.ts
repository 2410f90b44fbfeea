/**
 * The model that the visitor trained, on its way from page to page: in the browser's own store, and nowhere else.
 *
 * @module
 */
import { siteRoot } from "./page.ts";

const store = "ferrotype-own", address = (): string => new URL("models/own.zip", siteRoot()).href;

/** Keeps it, in place of the one before. @throws where the browser has no room, or keeps nothing. */
export async function keepOwnModel(archive: Blob): Promise<void> {
  if (!("caches" in globalThis)) {
    throw new Error("This browser keeps nothing for this page; download the model instead.");
  }
  await (await caches.open(store)).put(address(), new Response(archive));
}

/** The one that was kept last; null where there is none. */
export async function ownModel(): Promise<Blob | null> {
  if (!("caches" in globalThis)) return null;
  const kept = await (await caches.open(store)).match(address());
  return await kept?.blob() ?? null;
}
