/**
 * The server as a whole: from a model to an address, and back to rest.
 *
 * @module
 */
import type { AddressInfo } from "node:net";
import { get, type Server } from "node:http";
import { importPackage } from "../../src/core/packages.ts";
import { isPermitted } from "../../src/platform/platform.ts";
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

/** Rounds without a new request after which none is on its way; how many there are at most, and milliseconds that each takes. */
const stillRounds = 3, mostRounds = 40, roundTime = 25;

/** Resolves when this server has answered itself, or cannot. */
function answered(host: string, port: number): Promise<void> {
  const name = host.includes(":") ? `[${host}]` : host;
  if (!isPermitted({ name: "net", host: `${name}:${port}` })) return Promise.resolve();
  return new Promise((resolve) => {
    const asked = get(
      { host, port, path: "/health", headers: { Host: "localhost" }, agent: false },
      (answer) => {
        answer.resume().on("close", resolve).on("error", resolve);
      },
    );
    asked.setTimeout(longestFlush, () => asked.destroy()).on("error", () => resolve());
  });
}

/** Milliseconds that who does not read what he asked for may take when all is computed. */
const longestFlush = 5000;

/** Starts a server; resolves when it listens. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { serve } = await loadHono(() => importPackage<NodeServer>("@hono/node-server"));
  const service = new Service(options);
  // Which library multiplies fastest may have to be measured, for a moment and in one piece: before anybody can wait for it.
  void options.model.parameters()[0]?.backend.arithmetic;
  let leaving = false, closing = false, begun = 0, open = 0;
  const app = await createApp(service, {
    ...options,
    isLeaving: () => leaving,
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
  const { address, port: own, family } = server.address() as AddressInfo;
  /**
   * What was sent before waits in the system while the model computes. Connections are taken in the order in which they came:
   * when an answer to ourselves has come, and once more, so has what was sent before we asked.
   */
  const quiet = async (): Promise<void> => {
    for (let round = 0, still = 0; round < mostRounds && still < stillRounds; round++) {
      const before = begun;
      await answered(address === "0.0.0.0" ? "127.0.0.1" : address, own);
      await new Promise((wake) => setTimeout(wake, roundTime));
      still = begun - before <= 1 ? still + 1 : 0;
    }
  };
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${own}`,
    service,
    async stop() {
      leaving = true;
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
