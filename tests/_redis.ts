/**
 * A Redis of one's own on loopback, where `redis-server` (or `valkey-server`) is installed, with BullMQ beside it.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repository } from "./_data.ts";
import { until } from "./_wait.ts";

const command = ["redis-server", "valkey-server"].find((name) => spawnSync(name, ["--version"]).status === 0);

/** Why there can be none; `false` where there can. */
export const noRedis: string | false = command === undefined
  ? "redis-server is not installed (Debian: redis-server)"
  : ["bullmq", "ioredis"].every((name) => existsSync(join(repository, "node_modules", name)))
  ? false
  : "bullmq and ioredis are not installed (npm ci)";

/** The password that it asks for. */
export const password = "p@ss:word";

/** One that runs. */
export interface RedisServer {
  readonly port: number;
  /** Its address, with the password. */
  readonly url: string;
  /** Ends it at once. */
  stop(): Promise<void>;
  /** Starts it anew: it remembers nothing. */
  start(): Promise<void>;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.end() && resolve(true));
    socket.on("error", () => resolve(false));
  });

/** Starts one. */
export async function startRedis(): Promise<RedisServer> {
  const port = await freePort();
  let child: ChildProcess, folder = "";
  const start = async (): Promise<void> => {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-redis-"));
    const own = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--requirepass", password];
    child = spawn(command!, [...own, "--save", "", "--appendonly", "no"], { stdio: "ignore" });
    await until(() => answers(port), "redis-server answers");
  };
  await start();
  return {
    ...{ port, url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}`, start },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
