/**
 * Serves `web/dist` on loopback, with the headers that allow threads: `deno task serve`. Builds it first where it is
 * missing, or with `--build`.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { readFile, stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { extname, join, normalize, sep } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { buildWeb, dist } from "./build.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".map": "application/json",
};

/** The bytes of a range `bytes=a-b` of a file of `size` bytes, or null when there is none. */
function rangeOf(header: string | undefined, size: number): [number, number] | null {
  const match = /^bytes=(\d+)-(\d*)$/.exec(header ?? "");
  if (!match) return null;
  const from = Number(match[1]), to = match[2] === "" ? size - 1 : Math.min(size - 1, Number(match[2]));
  return from <= to ? [from, to] : null;
}

/** Starts a server of the folder; resolves when it listens. */
export async function serveFolder(folder: string, port: number, host = "127.0.0.1"): Promise<Server> {
  const server = createServer(async (request, response) => {
    const headers: Record<string, string> = {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
      "Cross-Origin-Resource-Policy": "same-origin",
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "no-cache",
      "Accept-Ranges": "bytes",
    };
    const answer = (status: number, body: string | Uint8Array, type: string): void => {
      response.writeHead(status, { ...headers, "Content-Type": type }).end(
        request.method === "HEAD" ? "" : body,
      );
    };
    try {
      if (request.method !== "GET" && request.method !== "HEAD") {
        return answer(405, "only GET\n", "text/plain");
      }
      const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
      let file = normalize(join(folder, path));
      if (file !== folder && !file.startsWith(folder + sep)) {
        return answer(404, "there is no such page\n", "text/plain");
      }
      let found = await stat(file).catch(() => null);
      if (found?.isDirectory()) {
        if (!path.endsWith("/")) {
          return void response.writeHead(301, { ...headers, Location: `${path}/` }).end();
        }
        file = join(file, "index.html");
        found = await stat(file).catch(() => null);
      }
      if (!found) return answer(404, "there is no such page\n", "text/plain");
      const bytes = await readFile(file), type = types[extname(file)] ?? "application/octet-stream";
      const range = rangeOf(request.headers.range, bytes.length);
      if (!range) return answer(200, bytes, type);
      headers["Content-Range"] = `bytes ${range[0]}-${range[1]}/${bytes.length}`;
      answer(206, bytes.subarray(range[0], range[1] + 1), type);
    } catch (error) {
      answer(error instanceof URIError ? 400 : 500, `${(error as Error).message}\n`, "text/plain");
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return server;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "8000" },
      host: { type: "string", default: "127.0.0.1" },
      build: { type: "boolean", default: false },
    },
  });
  if (values.build || !existsSync(join(dist, "index.html"))) await buildWeb();
  try {
    const { port } = (await serveFolder(dist, Number(values.port), values.host)).address() as AddressInfo;
    console.log(`the pages are at http://${values.host}:${port}/`);
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    console.error(
      code === "EADDRINUSE" ? `port ${values.port} is in use; choose another with --port` : message,
    );
    process.exit(1);
  }
}
