/**
 * Serves `web/dist` with the headers that isolate a page, so that it may use threads: `deno task serve`.
 *
 * Builds the site first; `--help` tells the options.
 *
 * @module
 */
import { existsSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { whole } from "../src/core/kinds.ts";
import { ensurePackages } from "../tests/_install.ts";
import { readTask } from "../tools/task.ts";

const web = dirname(fileURLToPath(import.meta.url));

/** How the site is served. */
export interface SiteOptions {
  /** The folder. Default `web/dist`. */
  folder?: string;
  /** Default 127.0.0.1, which only this machine reaches. */
  host?: string;
  /** Default 8000; 0 is any that is free. */
  port?: number;
  /** Whether the headers for threads are sent. Default true. */
  isolation?: boolean;
}

/** A server that runs. */
export interface Site {
  /** Its address, with a slash at the end. */
  readonly url: string;
  /** Stops it. */
  close(): Promise<void>;
}

const missing =
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Not found – ferrotype</title><style>body{font:1rem/1.5 system-ui;max-width:32rem;margin:20vh auto;padding:0 1rem;
color-scheme:light dark;background:light-dark(#f8f6f2,#131519);color:light-dark(#1c2028,#ebe8e2)}
a{color:light-dark(#a8431a,#f29a68)}</style><main><h1>There is no such page</h1><p>The address may have a typing error.
<a href="/">Go to the start</a>.</p></main></html>`;

/** Serves the site until `close`. */
export async function serveSite(options: SiteOptions = {}): Promise<Site> {
  const { folder = join(web, "dist"), host = "127.0.0.1", port = 8000, isolation = true } = options;
  const [{ Hono }, { compress }, { serve }, { serveStatic }] = await Promise.all([
    import("hono"),
    import("hono/compress"),
    import("@hono/node-server"),
    import("@hono/node-server/serve-static"),
  ]);
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    const set = (name: string, value: string): void => context.res.headers.set(name, value);
    // Pages of other origins may import the library and fetch models: nothing here is anyone's own.
    set("access-control-allow-origin", "*");
    set("access-control-expose-headers", "content-range, content-length, etag");
    set("cross-origin-resource-policy", "cross-origin");
    if (isolation) {
      set("cross-origin-opener-policy", "same-origin");
      set("cross-origin-embedder-policy", "require-corp");
    }
    set("x-content-type-options", "nosniff");
    // A name with a hash never changes its content.
    set(
      "cache-control",
      context.req.path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
    );
  });
  app.use(compress());
  app.use(serveStatic({ root: folder }));
  app.notFound((context) => context.html(missing, 404));
  const server = await new Promise<ReturnType<typeof serve>>((resolve, reject) => {
    const started = serve({ fetch: app.fetch, hostname: host, port }, () => resolve(started));
    started.on("error", reject);
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${taken}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}

if (import.meta.main) {
  const { values } = readTask({
    name: "serve",
    summary:
      "Builds the site and serves it with the headers that isolate a page, so that it may use threads.",
    options: {
      port: { value: "N", kind: whole(0, 65535), help: "port (default 8000; 0: any that is free)" },
      host: { value: "NAME", help: "address to listen at (default 127.0.0.1: this machine alone)" },
      "no-isolation": { help: "leaves those headers out, as simple hosts do" },
      "no-build": { help: "serves the site that is there" },
    },
  });
  ensurePackages();
  // Half a second, and what is served is what the sources say.
  if (!values.flag("no-build") || !existsSync(join(web, "dist"))) {
    const { buildSite } = await import("./build.ts");
    await buildSite();
  }
  const { url } = await serveSite({
    host: values.text("host") ?? "127.0.0.1",
    port: values.number("port") ?? 8000,
    isolation: !values.flag("no-isolation"),
  });
  console.log(`ferrotype is at ${url}`);
}
