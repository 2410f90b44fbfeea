/**
 * Which hub, as whom, and where copies are kept: the environment variables that Python's `huggingface_hub` reads, with
 * the same meaning, so that what works there works here.
 *
 * @module
 */
import { HubError, OptionError } from "../core/errors.ts";
import {
  environment,
  homeDirectory,
  isPermitted,
  joinPath,
  readTextFile,
  runtimeName,
  stat,
} from "../platform/platform.ts";

/**
 * What a caller may say about the hub; what is left out comes from the environment.
 *
 * @category Hub
 */
export interface HubOptions {
  /** Branch, tag or commit. Default "main". */
  revision?: string;
  /** Stops what is being fetched; what has arrived is kept for the next time. */
  signal?: AbortSignal;
  /** Address of the hub. Default `HF_ENDPOINT`, else `https://huggingface.co`. */
  endpoint?: string;
  /** Access token. Default `HF_TOKEN`, else the file at `HF_TOKEN_PATH`, else `HF_HOME/token`. */
  token?: string;
  /** Folder of the cache. Default `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
  cacheDir?: string;
  /** Fetches nothing, and takes what the cache has. Default `HF_HUB_OFFLINE`. */
  offline?: boolean;
  /** Seconds without a byte after which a connection counts as broken. Default `HF_HUB_DOWNLOAD_TIMEOUT`, else 10. */
  timeout?: number;
  /** Seconds before what failed is tried again; every further wait is four times as long, up to 50. Default 0.1. */
  retryDelay?: number;
  /** Hears of every file that is downloaded. */
  onDownload?: (progress: DownloadProgress) => void;
}

/**
 * How far the download of one file has come.
 *
 * @category Hub
 */
export interface DownloadProgress {
  /** The file's name in its repository. */
  file: string;
  /** Bytes that are here, those of earlier attempts included. */
  loaded: number;
  /** Bytes of the file; 0 while the server does not say. */
  total: number;
}

/** Everything settled. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Where the token is from, for messages. */
  readonly tokenSource: string;
  readonly offline: boolean;
  /** In milliseconds. */
  readonly timeout: number;
  /** In milliseconds. */
  readonly retryDelay: number;
}

/**
 * The folder of the cache.
 * @throws {HubError} when the environment names none and there is no home folder.
 */
export function cacheFolder(options: HubOptions = {}): string {
  const given = options.cacheDir ?? environment("HF_HUB_CACHE") ?? environment("HUGGINGFACE_HUB_CACHE");
  return given ? expandHome(given) : joinPath(hubHome(), "hub");
}

function hubHome(): string {
  const home = environment("HF_HOME");
  if (home) return expandHome(home);
  const caches = environment("XDG_CACHE_HOME");
  return caches ? joinPath(expandHome(caches), "huggingface") : expandHome("~/.cache/huggingface");
}

function expandHome(path: string): string {
  if (!/^~(?=\/|$)/.test(path)) return path;
  const home = homeDirectory();
  if (home === undefined) {
    throw new HubError(
      "there is no folder for downloads, because the home folder is not known; set HF_HOME or give cacheDir",
    );
  }
  return path === "~" ? home : joinPath(home, path.slice(2));
}

/** Settles what the options leave open. Reads the token's file when it comes to that. */
export async function hubSettings(options: HubOptions = {}): Promise<HubSettings> {
  const endpoint = hubEndpoint(options);
  const seconds = options.timeout ?? Number(environment("HF_HUB_DOWNLOAD_TIMEOUT") || 10);
  if (!(seconds > 0)) {
    throw new OptionError(
      `the hub's timeout is a number of seconds above 0, not ${seconds}; see HF_HUB_DOWNLOAD_TIMEOUT`,
    );
  }
  const [token, tokenSource] = await findToken(options);
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    // What it is stays unsaid: messages end up in logs.
    throw new HubError(`the access token from ${tokenSource} has characters that no token has; set it again`);
  }
  const retryDelay = (options.retryDelay ?? 0.1) * 1000;
  return { endpoint, token, tokenSource, offline: isOffline(options), timeout: seconds * 1000, retryDelay };
}

function hubEndpoint(options: HubOptions): string {
  const endpoint = options.endpoint ?? (environment("HF_ENDPOINT") || "https://huggingface.co");
  if (URL.canParse(endpoint) && /^https?:/.test(endpoint)) return endpoint.replace(/\/+$/, "");
  throw new OptionError(
    `the hub's address is a URL such as https://huggingface.co, not "${endpoint}"; see HF_ENDPOINT`,
  );
}

/** Whether nothing may be fetched. */
export function isOffline(options: HubOptions): boolean {
  return options.offline ?? (isOn("HF_HUB_OFFLINE") || isOn("TRANSFORMERS_OFFLINE"));
}

function isOn(variable: string): boolean {
  return /^(1|on|yes|true)$/i.test(environment(variable) ?? "");
}

async function findToken(options: HubOptions): Promise<[token: string | undefined, source: string]> {
  if (options.token !== undefined) return [options.token.trim() || undefined, "the option token"];
  if (isOn("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return [undefined, ""];
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = environment(name)?.trim();
    if (token) return [token, name];
  }
  if (runtimeName() === "browser") return [undefined, ""];
  const named = environment("HF_TOKEN_PATH");
  const path = named ? expandHome(named) : joinPath(hubHome(), "token");
  if (!isPermitted({ name: "read", path }) || !(await stat(path))?.isFile) return [undefined, ""];
  return [(await readTextFile(path)).trim() || undefined, path];
}

/**
 * Checks that Deno was allowed what is about to be done, so that one sentence says it all, and says it before anything
 * is half done.
 *
 * @param purpose what for: the sentence goes on from "Deno was not allowed to".
 * @throws {HubError} that names the flags to run with.
 */
export function checkPermissions(
  purpose: string,
  needs: readonly ("net" | "read" | "write")[],
  options: HubOptions,
): void {
  if (runtimeName() !== "deno") return;
  // Without the environment nobody knows where the cache is, nor that there is a token.
  const hidden = options.cacheDir === undefined && !isPermitted({ name: "env", variable: "HF_HOME" });
  const missing = hidden ? ["env"] : [];
  const folder = hidden ? {} : { path: cacheFolder(options) };
  for (const name of needs) {
    const place = name === "net" ? { host: new URL(hubEndpoint(options)).host } : folder;
    if (!isPermitted({ name, ...place })) missing.push(name);
  }
  if (missing.length === 0) return;
  const flags = missing.map((name) => `--allow-${name}`).join(" ");
  throw new HubError(`Deno was not allowed to ${purpose}; run with ${flags}`);
}
