/**
 * The part of hono that is used. Written down here because a type that is imported from a package makes the package a
 * dependency of who installs this one.
 *
 * @module
 */
import type { Server } from "node:http";

/** One request and its answer. */
export interface Context {
  /** What the server adds. */
  readonly env: unknown;
  /** The request. */
  readonly req: {
    readonly raw: Request;
    readonly method: string;
    readonly path: string;
    header(name: string): string | undefined;
    param(name: string): string | undefined;
  };
  /** The answer, once there is one. */
  readonly res: Response;
  /** An answer that is text. */
  body(text: string): Response;
  /** Sets a header of the answer. */
  header(name: string, value: string): void;
  /** An answer. */
  json(body: object, status?: number): Response;
}

type Answer = Response | Promise<Response>;
type Middleware = (c: Context, next: () => Promise<void>) => Response | void | Promise<Response | void>;

/** An application. */
export interface App {
  /** Answers a request. */
  fetch(request: Request): Answer;
  use(path: string, handler: Middleware): unknown;
  get(path: string, handler: (c: Context) => Answer): unknown;
  post(path: string, handler: (c: Context) => Answer): unknown;
  notFound(handler: (c: Context) => Answer): unknown;
  onError(handler: (error: Error, c: Context) => Answer): unknown;
}

/** `hono`. */
export interface HonoPackage {
  readonly Hono: new (options: { strict: boolean }) => App;
}

/** `hono/cors`. */
export interface Cors {
  cors(options: { origin: string | string[]; maxAge: number }): Middleware;
}

/** `hono/streaming`. */
export interface Streaming {
  streamSSE(c: Context, use: (stream: EventStream) => Promise<void>): Response;
}

interface EventStream {
  onAbort(leave: () => void): void;
  writeSSE(event: { data: string }): Promise<void>;
}

/** `@hono/node-server`. */
export interface NodeServer {
  serve(options: { fetch: App["fetch"]; hostname: string; port: number }, ready: () => void): Server;
}
