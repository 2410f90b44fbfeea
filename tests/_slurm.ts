/**
 * A Slurm of one's own on loopback (Debian: slurmctld, slurmd, slurm-client, munge), started as root: a controller, and one node that
 * says it has four processors.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { until } from "./_wait.ts";

const missing = ["/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/srun"]
  .find((path) => !existsSync(path));

/** Why there can be none; `false` where there can. */
export const noSlurm: string | false = missing !== undefined
  ? "Slurm is not installed (Debian: slurmctld, slurmd, slurm-client, munge)"
  : process.getuid?.() === 0
  ? false
  : "Slurm's daemons are started as root";

/** Ten a second: it has about a minute. */
const mostLooks = 600;

/** One that runs. */
export interface Slurm {
  /** What its commands need in the environment. */
  readonly env: Record<string, string>;
  stop(): Promise<void>;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts one. @throws {Error} with what the daemons say, where one ends or is not ready after a minute. */
export async function startSlurm(): Promise<Slurm> {
  const folder = mkdtempSync(join(tmpdir(), "slurm-")), at = (name: string): string => join(folder, name);
  const daemons: ChildProcess[] = [], said: string[] = [];
  const stop = async (): Promise<void> => {
    for (const daemon of daemons.reverse()) {
      if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
      const ended = new Promise((resolve) => daemon.once("close", resolve));
      daemon.kill("SIGTERM");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const start = (program: string, ...args: string[]): void => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, SLURM_CONF: at("slurm.conf") },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => said.push(text));
    }
    daemons.push(child);
  };
  const node = hostname().split(".")[0];
  writeFileSync(at("munge.key"), crypto.getRandomValues(new Uint8Array(1024)), { mode: 0o400 });
  writeFileSync(
    at("slurm.conf"),
    [
      "ClusterName=ferrotype",
      `SlurmctldHost=${node}(127.0.0.1)`,
      `SlurmctldPort=${await freePort()}`,
      `SlurmdPort=${await freePort()}`,
      `AuthInfo=socket=${at("munge.socket")}`,
      "SlurmUser=root",
      `StateSaveLocation=${at("state")}`,
      `SlurmdSpoolDir=${at("spool")}`,
      `SlurmctldPidFile=${at("slurmctld.pid")}`,
      `SlurmdPidFile=${at("slurmd.pid")}`,
      "ProctrackType=proctrack/linuxproc",
      "TaskPlugin=task/none",
      "SelectType=select/cons_tres",
      "SelectTypeParameters=CR_CPU",
      "SlurmdParameters=config_overrides",
      "ReturnToService=2",
      // Jobs of a test are not to wait for the next look of the scheduler.
      "SchedulerParameters=defer_batch,sched_interval=1,batch_sched_delay=0",
      `NodeName=${node} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN`,
      `PartitionName=all Nodes=${node} Default=YES MaxTime=INFINITE State=UP`,
      "",
    ].join("\n"),
  );
  start(
    ...["/usr/sbin/munged", "--foreground", "--force", `--socket=${at("munge.socket")}`],
    ...[`--key-file=${at("munge.key")}`, `--log-file=${at("munge.log")}`, `--pid-file=${at("munge.pid")}`],
    ...[`--seed-file=${at("munge.seed")}`],
  );
  const env = { SLURM_CONF: at("slurm.conf") };
  const isEnded = (): boolean => daemons.some(({ exitCode }) => exitCode !== null);
  const wait = async (isThere: () => boolean, what: string): Promise<void> => {
    let looks = 0, isReady = false;
    await until(() => isEnded() || (isReady = isThere()) || ++looks === mostLooks, what, 100);
    if (isReady) return;
    await stop();
    throw new Error(`${what}: ${said.join("").slice(-2000)}`);
  };
  await wait(() => existsSync(at("munge.socket")), "munged listens");
  start("/usr/sbin/slurmctld", "-D", "-i", "-f", at("slurm.conf"));
  start("/usr/sbin/slurmd", "-D", "-f", at("slurm.conf"));
  await wait(() => {
    const { stdout } = spawnSync("sinfo", ["-h", "-o", "%T"], {
      encoding: "utf8",
      env: { ...process.env, ...env },
      timeout: 60_000,
    });
    return stdout?.trim() === "idle";
  }, "Slurm's node is idle");
  return { env, stop };
}
