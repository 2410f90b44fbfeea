/**
 * The routes, on Hono.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { importPackage, optionalPackages } from "../../src/core/packages.ts";
import type { App, BodyLimit, Context, Cors, HonoPackage, Streaming } from "./hono.ts";
import { Problem } from "./problem.ts";
import { problemOf, type Service, type Work } from "./service.ts";

/** How requests are let in. */
export interface AppOptions {
  /** What clients must show; null: nothing. */
  readonly apiKey: string | null;
  /** Largest body in bytes. */
  readonly maxBody: number;
  /** The page that may ask from a browser, "*" for any; null: none. */
  readonly cors: string | null;
  /** Whether no further request is taken. */
  readonly isClosing: () => boolean;
}

const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();

/** Whether two texts are the same, in a time that does not tell where they differ. */
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function clientOf(c: Context): string {
  const incoming = (c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)?.incoming;
  return incoming?.socket?.remoteAddress ?? "";
}

function refuse(c: Context, error: unknown): Response {
  const problem = problemOf(error);
  if (problem.status === 429 || problem.status === 503) c.header("Retry-After", "1");
  if (problem.status === 401) c.header("WWW-Authenticate", "Bearer");
  return c.json(problem.body, problem.status as 400);
}

/** Loads what the server is made with. @throws {FerrotypeError} when it is not installed. */
export function loadHono<T>(load: () => Promise<T>): Promise<T> {
  return optionalPackages("hono @hono/node-server", "serving", load);
}

/** The application. */
export async function createApp(service: Service, options: AppOptions): Promise<App> {
  const [{ Hono }, { bodyLimit }, { cors }, { streamSSE }] = await loadHono(() =>
    Promise.all([
      importPackage<HonoPackage>("hono"),
      importPackage<BodyLimit>("hono/body-limit"),
      importPackage<Cors>("hono/cors"),
      importPackage<Streaming>("hono/streaming"),
    ])
  );
  const app = new Hono();
  if (options.cors !== null) app.use("*", cors({ origin: options.cors }));
  app.get("/health", (c) => c.json({ status: "ok", model: service.name, ...service.load }));
  app.use("/v1/*", async (c, next) => {
    const { apiKey } = options, given = /^Bearer (.*)$/i.exec(c.req.header("Authorization") ?? "")?.[1];
    if (apiKey !== null && !isSame(given ?? "", apiKey)) {
      return refuse(
        c,
        new Problem(
          401,
          "the API key is missing or wrong; send Authorization: Bearer KEY",
          null,
          "invalid_api_key",
        ),
      );
    }
    if (options.isClosing()) return refuse(c, new Problem(503, "the server is stopping"));
    return await next();
  });
  app.use(
    "/v1/*",
    bodyLimit({
      maxSize: options.maxBody,
      onError: (c) => refuse(c, new Problem(413, `the body is larger than ${options.maxBody} bytes`)),
    }),
  );
  const model = () => ({
    id: service.name,
    object: "model",
    created: service.created,
    owned_by: "ferrotype",
  });
  app.get("/v1/models", (c) => c.json({ object: "list", data: [model()] }));
  app.get("/v1/models/:id{.+}", (c) => {
    if (c.req.param("id") === service.name) return c.json(model());
    return refuse(
      c,
      new Problem(
        404,
        `there is no model "${c.req.param("id")}" here; there is "${service.name}"`,
        "model",
        "model_not_found",
      ),
    );
  });

  const answer = async (c: Context, read: (body: string, client: string) => Work): Promise<Response> => {
    const controller = new AbortController(), { signal } = c.req.raw;
    const leave = (): void => controller.abort();
    try {
      const work = read(await c.req.text(), clientOf(c));
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
      if (!work.asked.stream) return c.json(await service.whole(work, controller.signal) as object);
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
        }
      });
    } catch (error) {
      leave();
      return refuse(c, error);
    }
  };
  app.post("/v1/completions", (c) => answer(c, (body, client) => service.completion(body, client)));
  app.post("/v1/chat/completions", (c) => answer(c, (body, client) => service.chat(body, client)));
  app.notFound((c) => refuse(c, new Problem(404, `there is no ${c.req.method} ${c.req.path} here`)));
  app.onError((error, c) => refuse(c, error));
  return app;
}
