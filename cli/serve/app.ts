/**
 * The routes, on Hono.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { importPackage, optionalPackages } from "../../src/core/packages.ts";
import { show } from "../../src/core/show.ts";
import { slicer } from "../../src/core/steps.ts";
import { BodyReader } from "./body.ts";
import { checkHost, checkOrigin, checkType, type Guests } from "./guard.ts";
import type { App, Context, Cors, HonoPackage, Streaming } from "./hono.ts";
import { jsonSteps } from "./json_steps.ts";
import { Problem } from "./problem.ts";
import { problemOf, type Service, type Work } from "./service.ts";

/** How requests are let in. */
export interface AppOptions extends Guests {
  /** What clients must show; null: nothing. */
  readonly apiKey: string | null;
  /** Largest body in bytes. */
  readonly maxBody: number;
  /** The most seconds that a request may take to arrive. */
  readonly patience: number;
  /** Whether the server is about to stop, and others should be asked. */
  readonly isLeaving: () => boolean;
  /** Whether no further request is taken. */
  readonly isClosing: () => boolean;
  /** Hears of each answer that is on its way, and gives what is to be called when it has gone. */
  readonly began: () => () => void;
}

const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();

/** Whether two texts are the same, in a time that does not tell where they differ. */
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

/** What node's server gave, behind the web's words for it. */
const incomingOf = (c: Context): IncomingMessage => (c.env as { incoming: IncomingMessage }).incoming;

function refuse(c: Context, error: unknown): Response {
  const problem = problemOf(error);
  if (problem.status === 429 || problem.status === 503) c.header("Retry-After", "1");
  if (problem.status === 401) c.header("WWW-Authenticate", "Bearer");
  if (problem.closes) c.header("Connection", "close");
  return c.json(problem.body, problem.status);
}

/** Loads what the server is made with. @throws {FerrotypeError} when it is not installed. */
export function loadHono<T>(load: () => Promise<T>): Promise<T> {
  return optionalPackages("hono @hono/node-server", "serving", load);
}

/** The application. */
export async function createApp(service: Service, options: AppOptions): Promise<App> {
  const [{ Hono }, { cors }, { streamSSE }] = await loadHono(() =>
    Promise.all([
      importPackage<HonoPackage>("hono"),
      importPackage<Cors>("hono/cors"),
      importPackage<Streaming>("hono/streaming"),
    ])
  );
  const app = new Hono({ strict: false }), bodies = new BodyReader(options), { apiKey } = options;
  app.use("*", async (c, next) => {
    const ended = options.began();
    try {
      checkHost(c.req.header("Host"), options);
      checkOrigin(c.req.header("Origin"), options);
      await next();
    } finally {
      ended();
    }
  });
  if (options.cors.length) {
    app.use("*", cors({ origin: options.cors.includes("*") ? "*" : [...options.cors], maxAge: 600 }));
  }
  app.use("/v1/*", async (c, next) => {
    const started = performance.now();
    await next();
    const path = c.req.path.replace(/\/$/, "");
    const route = ["/v1/completions", "/v1/chat/completions", "/v1/models"].includes(path) ? path : "other";
    service.metrics.answered(route, c.res.status, (performance.now() - started) / 1000);
  });
  // A proxy that asks sends no more here while it does not; what was sent is answered.
  app.get("/ready", (c) => {
    const why = options.isLeaving() ? "stopping" : service.hasRoom ? null : "the queue is full";
    return c.json(
      { status: why === null ? "ready" : "busy", ...(why === null ? {} : { reason: why }) },
      why ? 503 : 200,
    );
  });
  app.get("/metrics", (c) => {
    c.header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    return c.body(service.metricsText);
  });
  app.get("/health", (c) => c.json({ status: "ok", model: service.name, ...service.load }));
  app.use("/v1/*", async (c, next) => {
    const given = /^Bearer (.*)$/i.exec(c.req.header("Authorization") ?? "")?.[1];
    if (apiKey !== null && !isSame(given ?? "", apiKey)) {
      const message = "the API key is missing or wrong; send Authorization: Bearer KEY";
      throw new Problem(401, message, null, "invalid_api_key");
    }
    if (options.isClosing()) throw new Problem(503, "the server is stopping", null, null, true);
    await next();
  });
  const model = (id: string) => ({
    id,
    object: "model",
    created: service.created,
    owned_by: "ferrotype",
    // As vLLM tells of them.
    ...(id === service.name ? {} : { parent: service.name }),
  });
  app.get("/v1/models", (c) => c.json({ object: "list", data: service.names.map(model) }));
  app.get("/v1/models/:id{.+}", (c) => {
    const id = (c.req.param("id") ?? "").replace(/\/$/, "");
    if (service.names.includes(id)) return c.json(model(id));
    throw service.missing(id);
  });

  /** Stops the work when the client leaves. */
  const leaving = (c: Context): { controller: AbortController; leave: () => void } => {
    const controller = new AbortController(), { signal } = c.req.raw;
    const leave = (): void => controller.abort();
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    return { controller, leave };
  };
  const whole = async (c: Context, said: unknown, signal: AbortSignal): Promise<Response> => {
    const text = await slicer.run(jsonSteps(said), signal);
    c.header("Content-Type", "application/json");
    return c.body(text);
  };
  const answer = async (
    c: Context,
    read: (body: string, client: string, signal: AbortSignal) => Promise<Work>,
  ): Promise<Response> => {
    checkType(c.req.header("Content-Type"));
    const { signal } = c.req.raw, incoming = incomingOf(c), { controller, leave } = leaving(c);
    try {
      const body = await bodies.read(incoming);
      const work = await read(body, incoming.socket?.remoteAddress ?? "", controller.signal);
      if (!work.asked.stream) {
        return await whole(c, await service.whole(work, controller.signal), controller.signal);
      }
      const ended = options.began();
      return streamSSE(c, async (stream) => {
        stream.onAbort(leave);
        try {
          await service.stream(work, controller.signal, (data) => stream.writeSSE({ data }));
        } catch (error) {
          if (!controller.signal.aborted) {
            await stream.writeSSE({ data: JSON.stringify(problemOf(error).body) });
          }
        } finally {
          signal.removeEventListener("abort", leave);
          leave();
          ended();
        }
      });
    } catch (error) {
      leave();
      throw error;
    }
  };
  app.post("/v1/completions", (c) => answer(c, service.completion.bind(service)));
  app.post("/v1/chat/completions", (c) => answer(c, service.chat.bind(service)));
  app.post("/v1/embeddings", async (c) => {
    checkType(c.req.header("Content-Type"));
    const { controller } = leaving(c), body = await bodies.read(incomingOf(c));
    return await whole(c, await service.embeddings(body, controller.signal), controller.signal);
  });
  app.notFound((c) =>
    refuse(c, new Problem(404, `there is no ${c.req.method} ${show(c.req.path).slice(1, -1)} here`))
  );
  app.onError((error, c) => refuse(c, error));
  return app;
}
