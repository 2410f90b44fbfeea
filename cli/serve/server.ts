/**
 * The server as a whole: from a model to an address, and back to rest.
 *
 * @module
 */
import type { AddressInfo } from "node:net";
import type { Server } from "node:http";
import { importPackage } from "../../src/core/packages.ts";
import { createApp, loadHono } from "./app.ts";
import type { Guests } from "./guard.ts";
import type { NodeServer } from "./hono.ts";
import { Service, type ServiceOptions } from "./service.ts";

/** How a server is run. */
export interface ServerOptions extends ServiceOptions, Guests {
  /** 0: any that is free. */
  readonly port: number;
  readonly apiKey: string | null;
  readonly maxBody: number;
  /** The most seconds that a request may take to arrive. */
  readonly patience: number;
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

/** Turns of the event loop without a new request after which no more is on its way, and how long each takes. */
const quietTurns = 4, quietTurn = 25;

/** Milliseconds that who does not read what he asked for may take when all is computed. */
const longestFlush = 5000;

/** Starts a server; resolves when it listens. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { serve } = await loadHono(() => importPackage<NodeServer>("@hono/node-server"));
  const service = new Service(options);
  let closing = false, begun = 0, open = 0;
  const app = await createApp(service, {
    ...options,
    isClosing: () => closing,
    began() {
      begun++;
      open++;
      return () => void open--;
    },
  });
  const { host: hostname, port } = options;
  const server = await new Promise<Server>((resolve, reject) => {
    const made = serve({ fetch: app.fetch, hostname, port }, () => resolve(made)) as Server;
    made.once("error", reject);
  });
  // Clients keep idle connections for some seconds (five, in Python's and Node's); a server that ends one just as it is
  // used again makes an error of nothing. So it waits for longer than they do.
  server.keepAliveTimeout = 75_000;
  server.headersTimeout = server.requestTimeout = 1000 * options.patience;
  /** What was sent before waits in the system while the model computes; now it is heard, and no more comes. */
  const quiet = async (): Promise<void> => {
    for (let before = -1, turns = 0; turns < quietTurns; turns = begun === before ? turns + 1 : 0) {
      before = begun;
      await new Promise((wake) => setTimeout(wake, quietTurn));
    }
  };
  const { address, port: own, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${own}`,
    service,
    async stop() {
      await quiet();
      closing = true;
      for (let idle = 0; open > 0 && idle < longestFlush; idle += 10) {
        await new Promise((wake) => setTimeout(wake, 10));
        if (service.load.active + service.load.waiting > 0) idle = 0;
      }
      // Who asked meanwhile hears that it stops, and does not find a connection that has ended.
      await quiet();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
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
