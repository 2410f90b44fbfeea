/**
 * The server as a whole: from a model to an address, and back to rest.
 *
 * @module
 */
import type { AddressInfo } from "node:net";
import type { Server } from "node:http";
import { importPackage } from "../../src/core/packages.ts";
import { createApp, loadHono } from "./app.ts";
import type { NodeServer } from "./hono.ts";
import { Service, type ServiceOptions } from "./service.ts";

/** How a server is run. */
export interface ServerOptions extends ServiceOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly apiKey: string | null;
  readonly maxBody: number;
  readonly cors: string | null;
}

/** A server that listens. */
export interface RunningServer {
  /** Where it is. */
  readonly url: string;
  /** What it does. */
  readonly service: Service;
  /** Takes no further requests, finishes those it has, and ends. */
  stop(): Promise<void>;
  /** Ends at once. */
  abort(): void;
}

/** Starts a server; resolves when it listens. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { serve } = await loadHono(() => importPackage<NodeServer>("@hono/node-server"));
  const service = new Service(options);
  let closing = false;
  const app = await createApp(service, {
    apiKey: options.apiKey,
    maxBody: options.maxBody,
    cors: options.cors,
    isClosing: () => closing,
  });
  const { host: hostname, port } = options;
  const server = await new Promise<Server>((resolve, reject) => {
    const made = serve({ fetch: app.fetch, hostname, port }, () => resolve(made)) as Server;
    made.once("error", reject);
  });
  // Clients keep idle connections for some seconds (five, in Python's and Node's); a server that ends one just as it is
  // used again makes an error of nothing. So it waits for longer than they do.
  server.keepAliveTimeout = 75_000;
  const { address, port: own, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${own}`,
    service,
    async stop() {
      closing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      while (service.load.active + service.load.waiting > 0) {
        await new Promise((wake) => setTimeout(wake, 10));
      }
      // Answers are on their way; connections that are kept alive are ended.
      const timer = setInterval(() => server.closeIdleConnections(), 20);
      const late = setTimeout(() => server.closeAllConnections(), 2000);
      // Not every runtime tells when the last connection is gone.
      let last: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([closed, new Promise((wake) => last = setTimeout(wake, 4000))]);
      clearInterval(timer);
      clearTimeout(late);
      clearTimeout(last);
    },
    abort() {
      server.closeAllConnections();
      server.close();
    },
  };
}
