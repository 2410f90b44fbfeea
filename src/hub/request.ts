/**
 * One request to the hub: who it is from, where it may be sent on to, how often it is made again, and what an answer
 * that is no success means.
 *
 * Redirects are followed here, not by `fetch`, for two reasons: the token must not leave the hub's own origin, and
 * the hub says what a file is (`X-Linked-Etag`) in the answer that sends one elsewhere for its bytes. A browser does
 * not let a page see that answer; it drops the token by itself.
 *
 * @module
 */
import { HubError, throwIfAborted } from "../core/errors.ts";
import { runtimeName } from "../platform/platform.ts";
import type { HubSettings } from "./settings.ts";

/** What to ask. */
export interface HubRequest {
  /** What is asked for, for messages: `org/name/config.json at main`. */
  what: string;
  method?: "GET" | "HEAD" | "POST";
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
  /** How often at most. Default 5. */
  attempts?: number;
  /** Whether to stop where the hub sends one to another origin, whose answer says nothing of the repository. */
  stopAtOtherOrigin?: boolean;
}

/** An answer that is a success, or a redirect that was to be stopped at. */
export interface HubResponse {
  readonly response: Response;
  /** The headers of the hub itself, even when the bytes come from elsewhere; none when a browser hides them. */
  readonly headers: Headers;
}

/** Longest that a server is waited for when it says when to come back, in milliseconds. */
const longestWait = 60_000;

/** Attempts a request is given. */
export const attempts = 5;

/**
 * Asks, and asks again while what went wrong may pass: no connection, 408, 429, 5xx.
 *
 * @throws {HubError} for an answer that will not change.
 * @throws {CancelledError} when the signal is aborted.
 */
export async function request(settings: HubSettings, url: string, ask: HubRequest): Promise<HubResponse> {
  const most = ask.attempts ?? attempts;
  for (let attempt = 1;; attempt++) {
    throwIfAborted(ask.signal, `fetching ${ask.what}`);
    let answer: HubResponse;
    try {
      answer = await follow(settings, url, ask);
    } catch (error) {
      throwIfAborted(ask.signal, `fetching ${ask.what}`);
      if (error instanceof HubError) throw error;
      // NotCapable: Deno says which flag is missing, and will say so again.
      if (attempt >= most || (error as Error).name === "NotCapable") {
        throw new UnreachableError(
          `${ask.what}: ${new URL(url).origin} cannot be reached: ${
            reasonOf(error)
          }; check the connection and ` +
            `HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use what was downloaded before`,
          { cause: error },
        );
      }
      await pause(settings, attempt, ask.signal);
      continue;
    }
    const { response } = answer, { status } = response;
    if (response.ok || isRedirect(status)) return answer;
    const passing = status === 408 || status === 429 || status >= 500;
    const wait = passing ? retryAfter(response) : null;
    if (!passing || attempt >= most || (wait ?? 0) > longestWait) {
      throw await refusal(settings, url, ask.what, answer, attempt);
    }
    await response.body?.cancel();
    await (wait === null ? pause(settings, attempt, ask.signal) : delay(wait, ask.signal));
  }
}

/** The hub did not answer, so what is in the cache is the best there is. */
export class UnreachableError extends HubError {}

/** The hub refused; what it said is in the message. */
export class RefusedError extends HubError {
  /** The HTTP status. */
  readonly status: number;
  /** The hub's own name for it, from `X-Error-Code`: `RepoNotFound`, `RevisionNotFound`, `EntryNotFound`, `GatedRepo`. */
  readonly code: string | null;

  /** What came back. */
  constructor(message: string, status: number, code: string | null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

async function follow(settings: HubSettings, start: string, ask: HubRequest): Promise<HubResponse> {
  const home = new URL(settings.endpoint).origin;
  const timeout = new AbortController();
  const signal = ask.signal ? AbortSignal.any([ask.signal, timeout.signal]) : timeout.signal;
  const timer = setTimeout(
    () => timeout.abort(new Error(`no answer in ${settings.timeout / 1000} s`)),
    settings.timeout,
  );
  try {
    let url = new URL(start), own: Headers | null = null, token = settings.token;
    for (let hops = 0; hops <= 8; hops++) {
      // Once away from the hub the token stays behind, wherever the way leads from there.
      if (url.origin !== home) token = undefined;
      const response = await fetch(url, {
        method: ask.method ?? "GET",
        headers: { ...ask.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) },
        redirect: runtimeName() === "browser" ? "follow" : "manual",
        signal,
        ...(ask.body === undefined ? {} : { body: ask.body }),
      });
      const elsewhere = response.redirected && new URL(response.url).origin !== home;
      if (url.origin === home) own = elsewhere ? new Headers() : response.headers;
      const location = response.headers.get("location");
      if (!isRedirect(response.status) || location === null) {
        return { response, headers: own ?? new Headers() };
      }
      const next = new URL(location, url);
      if (ask.stopAtOtherOrigin && next.origin !== home) {
        await response.body?.cancel();
        return { response, headers: own ?? new Headers() };
      }
      await response.body?.cancel();
      if (url.protocol === "https:" && next.protocol !== "https:") {
        throw new HubError(
          `${ask.what}: ${url.origin} redirects to ${next.origin}, which is not secure; not followed`,
        );
      }
      url = next;
    }
    throw new HubError(`${ask.what}: ${home} redirects in circles`);
  } catch (error) {
    throw timeout.signal.aborted ? timeout.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds to wait as the server says, in seconds or as a date; null when it does not. */
export function retryAfter(response: Response): number | null {
  const header = response.headers.get("retry-after");
  if (header !== null) {
    const seconds = Number(header);
    if (header.trim() !== "" && seconds >= 0) return seconds * 1000;
    const date = Date.parse(header);
    if (!Number.isNaN(date)) return Math.max(0, date - Date.now());
  }
  const reset = /;\s*t=(\d+)/.exec(response.headers.get("ratelimit") ?? "");
  return reset ? Number(reset[1]) * 1000 : null;
}

/** What an answer means and what to do about it. */
async function refusal(
  settings: HubSettings,
  url: string,
  what: string,
  { response, headers }: HubResponse,
  times: number,
): Promise<RefusedError> {
  await response.body?.cancel();
  const { status } = response, code = headers.get("x-error-code");
  const repository = /^\S+?\/[^/\s]+/.exec(what)?.[0] ?? what, page = `${settings.endpoint}/${repository}`;
  const said = headers.get("x-error-message");
  const error = (text: string) => new RefusedError(text, status, code);
  if (code === "GatedRepo" || status === 403) {
    return error(
      `${what}: ${repository} is gated (${status}); ask for access at ${page}, ` +
        (settings.token
          ? `with the account whose token ${settings.tokenSource} holds`
          : "then set HF_TOKEN to your access token"),
    );
  }
  if (status === 401) {
    return error(
      settings.token
        ? `${what}: ${settings.endpoint} refused the access token from ${settings.tokenSource} (401); check it, or remove it`
        : `${what}: ${settings.endpoint} has no repository ${repository} that anyone may read (401); ` +
          `check its name, or set HF_TOKEN to a token that may read it`,
    );
  }
  if (code === "RepoNotFound") {
    return error(`${what}: ${settings.endpoint} has no repository ${repository}; check its name at ${page}`);
  }
  if (code === "RevisionNotFound") {
    return error(`${what}: ${repository} has no such revision; see its branches and tags at ${page}`);
  }
  if (status === 404) {
    return error(`${what}: ${settings.endpoint} has no such file (404); see ${page}/tree/main`);
  }
  if (status === 429) {
    const wait = retryAfter(response);
    return error(
      `${what}: ${settings.endpoint} was asked too often (429)` +
        (wait === null
          ? "; try again later"
          : ` and wants to be left alone for ${Math.ceil(wait / 1000)} s`) +
        (settings.token ? "" : ", or set HF_TOKEN: accounts may ask more often"),
    );
  }
  if (status >= 500) {
    return error(
      `${what}: ${new URL(response.url || url).origin} failed ${times} times (${status}); try again later, ` +
        `what has arrived is kept`,
    );
  }
  return error(`${what}: ${settings.endpoint} answered ${status} ${said ?? response.statusText}`.trimEnd());
}

/** Why something failed, dug out of the wrappings that runtimes put around it. */
export function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = inner instanceof Error
    ? inner.message || (inner as { code?: string }).code || inner.name
    : inner;
  return String(text).replace(/\s*\n\s*/g, " ");
}

/** Waits before attempt `attempt` + 1: 1, 4, 16, then 50 times the first delay, each a little shuffled. */
export function pause({ retryDelay }: HubSettings, attempt: number, signal?: AbortSignal): Promise<void> {
  return delay(Math.min(4 ** (attempt - 1), 50) * retryDelay * (0.8 + 0.4 * Math.random()), signal);
}

/** Waits so many milliseconds; less when the signal is aborted. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
}
