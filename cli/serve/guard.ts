/**
 * Who may ask: programs on this machine, and pages that were named.
 *
 * A page that somebody visits can send requests to this machine (its `Origin` tells), and a name that leads there today and
 * here tomorrow makes them requests of its own site (the `Host` tells). So loopback alone is no guard.
 *
 * @module
 */
import { show } from "../../src/core/show.ts";
import { Problem } from "./problem.ts";

/** Whom to let in. */
export interface Guests {
  /** The address listened at, as it was given. */
  readonly host: string;
  /** Further names that this machine is asked by; "*" for any. */
  readonly allowedHosts: readonly string[];
  /** Origins of pages that may ask; "*" for any. */
  readonly cors: readonly string[];
}

const address4 = /^\d{1,3}(\.\d{1,3}){3}$/, address6 = /^\[[0-9a-f:.]+\]$/;

/** Whether a name is this machine by its meaning, or no name at all but an address, which nobody can lead elsewhere. */
function isPlain(name: string): boolean {
  return name === "localhost" || name.endsWith(".localhost") || address4.test(name) || address6.test(name);
}

/** The name in a Host header, without the port; null where it is none. */
function nameOf(host: string): string | null {
  return /^([a-z0-9._-]+|\[[0-9a-f:.]+\])\.?(?::\d{1,5})?$/.exec(host.toLowerCase())?.[1].replace(
    /\.$/,
    "",
  ) ?? null;
}

/** @throws {Problem} for a request that came by a name that is not this machine's. */
export function checkHost(host: string | undefined, { host: own, allowedHosts }: Guests): void {
  if (allowedHosts.includes("*")) return;
  const name = nameOf(host ?? "");
  if (name !== null && (isPlain(name) || name === own.toLowerCase() || allowedHosts.includes(name))) return;
  throw new Problem(
    403,
    `the host ${show(host ?? "")} is not one this server answers to; start it with --allowed-host ${
      name ?? "NAME"
    }`,
    null,
    "host_not_allowed",
  );
}

/** @throws {Problem} for a request of a page that was not named. */
export function checkOrigin(origin: string | undefined, { cors }: Guests): void {
  if (origin === undefined || cors.includes("*") || cors.includes(origin)) return;
  throw new Problem(
    403,
    `pages of ${show(origin)} may not ask; start the server with --cors ${show(origin).slice(1, -1)}`,
    null,
    "origin_not_allowed",
  );
}

/** @throws {Problem} for a body that says it is something else than JSON, as a page may send without being asked. */
export function checkType(type: string | undefined): void {
  if (/^application\/json\s*(;|$)/i.test(type ?? "")) return;
  throw new Problem(
    415,
    `the body is ${type ? show(type) : "of no type"}; send Content-Type: application/json`,
    null,
    "unsupported_media_type",
  );
}

/** An origin as browsers write it. @throws {Error} for what is none. */
export function readOrigin(text: string): string {
  if (text === "*" || text === "null") return text;
  const url = URL.canParse(text) ? new URL(text) : null;
  // Of schemes that are not the web's, URL.origin is "null", and browsers send scheme and host.
  const origin = url === null ? null : url.origin === "null" ? `${url.protocol}//${url.host}` : url.origin;
  if (origin === null || (text !== origin && text !== `${origin}/`)) {
    throw new Error(
      `--cors ${show(text)} is no origin; it is scheme and host, such as https://page.example, or *`,
    );
  }
  return origin;
}

/** A host's name, for --allowed-host. @throws {Error} for what is none. */
export function readHost(text: string): string {
  if (text === "*") return text;
  const name = nameOf(text);
  if (name === null || /:\d+$/.test(text.replace(/^\[.*\]/, ""))) {
    throw new Error(`--allowed-host ${show(text)} is no name of a host, such as server.example, or *`);
  }
  return name;
}
