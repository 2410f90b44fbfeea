/**
 * Work that any number of workers take from one queue, which Redis or Valkey keeps and BullMQ hands out.
 *
 * A piece of work is a name. A worker that takes one holds it for as long as it is heard of; then another gets it, so each is done
 * at least once. What comes of it is recorded beside the queue in a hash, under a name that only the first to come can take
 * (`HSETNX`): so each is recorded once, whoever did it, and any machine can read what there is.
 *
 * @module
 */
import { FerrotypeError } from "../../mod.ts";
import { show } from "../../src/core/show.ts";
import { UsageError } from "../command.ts";
import { counted } from "../output.ts";
import type { QueueAddress } from "./address.ts";
import {
  type Job,
  loadQueuePackages,
  type Queue,
  type QueueOptions,
  type Redis,
  type Worker,
} from "./packages.ts";

/** What jobs of ours are called, and what keys begin with. */
const ours = "ferrotype";
/** So many workers may die with a piece in their hands. */
const mostDeaths = 3;
/** Seconds that what is recorded, and what BullMQ keeps of a queue, stays after it was last added to. */
const remembered = 30 * 24 * 3600;
/** Where jobs are that are to be done. */
const states = ["wait", "active", "failed", "paused", "prioritized", "delayed"];
/** Names and records that are sent at a time. */
const atOnce = 500;

/** A piece of work that this worker holds. */
export interface Piece {
  readonly name: string;
  /** Whether every worker that had it died: it is to be recorded as failed. */
  readonly isHopeless: boolean;
  /** Aborted when it is no longer held: another has it, or the queue is gone (its reason is then an error). */
  readonly lost: AbortSignal;
  /** It is recorded, and nobody need do it. */
  done(): Promise<void>;
  /** Another may do it. */
  giveBack(): Promise<void>;
}

/** A queue and what is recorded beside it. */
export class WorkQueue {
  /** For people. */
  readonly where: string;
  readonly #address: QueueAddress;
  readonly #redis: Redis;
  readonly #records: string;
  readonly #token = crypto.randomUUID();
  readonly #held = new Set<{ renew: () => Promise<void>; lose: (reason?: Error) => void }>();
  #content: readonly [name: string, text: string] | null = null;
  #queue: Queue | null = null;
  #worker: Worker | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #taken = 0;
  #failure: FerrotypeError | null = null;
  #isClosed = false;

  private constructor(address: QueueAddress, redis: Redis) {
    this.#address = address;
    this.#redis = redis;
    this.where = address.where;
    this.#records = `${ours}-records:${address.name}`;
    // Errors come back with what was asked.
    redis.on("error", () => {});
    redis.on("close", () => this.#gone());
  }

  /** Finds the server. @throws {FerrotypeError} where there is none, or it does not let this worker in. */
  static async open(address: QueueAddress): Promise<WorkQueue> {
    const [, { Redis }] = await loadQueuePackages();
    const { host, port, username, password, db, isSecure, lease } = address;
    let isKnown = false;
    const redis = new Redis({
      ...{ host, port, db, lazyConnect: true, connectTimeout: 10_000, maxRetriesPerRequest: null },
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(isSecure ? { tls: {} } : {}),
      // One that is there and says nothing. A worker that computes hears late: it must not take that for silence.
      commandTimeout: 4000 * lease,
      retryStrategy: (times) => isKnown ? Math.min(100 * times, 1000) : null,
    });
    const queue = new WorkQueue(address, redis);
    await queue.#ask(async () => {
      // What connecting itself says is that the connection was closed; why is told before.
      let why: Error | null = null;
      redis.on("error", (error) => why ??= error);
      await redis.connect().catch((error) => Promise.reject(why ?? error));
      if (why) throw why;
      await redis.exists(queue.#records);
    }).catch((error) => {
      queue.#isClosed = true;
      redis.disconnect();
      throw error;
    });
    isKnown = true;
    return queue;
  }

  /** Does what the server is asked for. @throws {FerrotypeError} in a sentence, for whatever it says. */
  async #ask<T>(f: () => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    try {
      return await f();
    } catch (error) {
      if (error instanceof FerrotypeError || error instanceof UsageError) throw error;
      throw this.#failure ?? this.#said(error as Error);
    }
  }

  #said(cause: Error): FerrotypeError {
    const { command, where, lease } = this.#address, { code = "" } = cause as Error & { code?: string };
    const said = cause.message || code;
    const why = /WRONGPASS|invalid (?:username|password)|ERR AUTH/i.test(said)
      ? "takes neither this user nor this password; give both in the address, redis://USER:PASSWORD@HOST, or the password in REDISCLI_AUTH"
      : /NOAUTH|Authentication required/i.test(said)
      ? "wants a password; give it in the address, redis://:PASSWORD@HOST, or in REDISCLI_AUTH"
      : /NOPERM/.test(said)
      ? `does not let this user do that (${said})`
      : /WRONGTYPE/.test(said)
      ? "has something else under this name; give --queue-name another"
      : /timed out/i.test(said) && code === ""
      ? `has not answered for ${4 * lease} s`
      : /^E[A-Z]+$|^CERT|^ERR_(?:TLS|SSL)|^UNABLE/.test(code) ||
          /ECONNREFUSED|ENOTFOUND|ETIMEDOUT|closed/i.test(said)
      ? `cannot be reached (${said}); is a server there (redis-server, valkey-server)?`
      : `answers ${show(said)}`;
    return new FerrotypeError(`${command}: ${where} ${why}`, { cause });
  }

  /** It may come back: what is asked meanwhile waits. */
  #gone(): void {
    if (this.#isClosed || this.#failure) return;
    const { command, where, lease } = this.#address;
    setTimeout(() => {
      if (this.#isClosed || this.#failure || this.#redis.status === "ready") return;
      this.#failure = new FerrotypeError(
        `${command}: ${where} was there and is gone, for ${
          counted(lease, "second")
        } now; what is recorded in the folder stays: ` +
          "start this again as it was when the server is back",
      );
      for (const { lose } of this.#held) lose(this.#failure);
      this.#redis.disconnect();
    }, 1000 * lease);
  }

  /**
   * Says what the queue is of, where it is new. @returns what it is of: what was said, or what another worker said before.
   * @throws {UsageError} where somebody else keeps work under this name.
   */
  async begin(name: string, text: string): Promise<string> {
    const known = await this.read(name);
    if (known === null) {
      const [{ Queue }] = await loadQueuePackages();
      const there = new Queue(this.#address.name, { ...this.#options, skipMetasUpdate: true });
      there.on("error", () => {});
      const jobs = await this.#ask(() => there.getJobs([...states, "completed"], 0, 0));
      await there.close();
      for (const job of jobs) this.#demandOwn(job);
    }
    this.#content = [name, text];
    await this.once(name, text);
    return (await this.read(name))!;
  }

  /** What both ends of BullMQ are told. */
  get #options(): QueueOptions {
    return { connection: this.#redis, prefix: ours, skipVersionCheck: true };
  }

  /** @throws {UsageError} for a job of somebody else's. */
  #demandOwn(job: Job | undefined): void {
    if (job === undefined || (job.name === ours && job.id !== undefined)) return;
    const { command, where } = this.#address;
    throw new UsageError(
      `${command}: ${where} holds work that is none of this command's; name another with --queue-name NAME`,
    );
  }

  /** A number that no other worker has. */
  async number(): Promise<number> {
    return await this.#ask(() => this.#redis.hincrby(this.#records, "workers", 1));
  }

  /** Records `text` under a name. @returns false where something is recorded under it. */
  async once(name: string, text: string): Promise<boolean> {
    return await this.#ask(async () => {
      const isFirst = await this.#redis.hsetnx(this.#records, name, text) === 1;
      await this.#redis.expire(this.#records, remembered);
      return isFirst;
    });
  }

  /** What is recorded under a name. */
  async read(name: string): Promise<string | null> {
    return await this.#ask(() => this.#redis.hget(this.#records, name));
  }

  /** Forgets what is recorded under a name. */
  async forget(name: string): Promise<void> {
    await this.#ask(() => this.#redis.hdel(this.#records, name));
  }

  /** How much is recorded. */
  async count(): Promise<number> {
    return await this.#ask(() => this.#redis.hlen(this.#records));
  }

  /** What is recorded under names that `isWanted`. */
  async records(isWanted: (name: string) => boolean): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const names = (await this.#ask(() => this.#redis.hkeys(this.#records))).filter(isWanted);
    for (let at = 0; at < names.length; at += atOnce) {
      const some = names.slice(at, at + atOnce);
      const texts = await this.#ask(() => this.#redis.hmget(this.#records, ...some));
      texts.forEach((text, i) => text !== null && found.set(some[i], text));
    }
    return found;
  }

  /** Begins to take work. */
  async join(): Promise<void> {
    const [{ Queue, Worker }] = await loadQueuePackages(), { name, lease } = this.#address;
    await this.#ask(async () => {
      this.#queue = new Queue(name, this.#options);
      this.#worker = new Worker(name, null, {
        ...this.#options,
        autorun: false,
        lockDuration: 1000 * lease,
        stalledInterval: 500 * lease,
        maxStalledCount: mostDeaths - 1,
      });
      for (const one of [this.#queue, this.#worker]) one.on("error", () => {});
      await this.#queue.waitUntilReady();
      await this.#worker.waitUntilReady();
      await this.#worker.startStalledCheckTimer();
    });
    this.#timer = setInterval(() => {
      for (const { renew } of this.#held) void renew();
    }, 1000 * lease / 3);
  }

  /** Puts pieces into the queue, or before all others; those that are there stay as they are. */
  async offer(names: readonly string[], isFirst = false): Promise<void> {
    // A server that was started anew may have forgotten it.
    if (this.#content) await this.once(...this.#content);
    for (let at = 0; at < names.length; at += atOnce) {
      const jobs = names.slice(at, at + atOnce).map((jobId) => ({
        ...{ name: ours, data: {} },
        opts: { jobId, lifo: isFirst, removeOnComplete: true },
      }));
      await this.#ask(() => this.#queue!.addBulk(jobs));
    }
  }

  /** Whether nothing waits and nobody is at work. */
  async isIdle(): Promise<boolean> {
    return await this.#ask(() => this.#queue!.getJobCountByTypes(...states)) === 0;
  }

  /** Takes the next piece; null where none waits. */
  async take(): Promise<Piece | null> {
    const token = `${this.#token}:${this.#taken++}`;
    const job = await this.#ask(() => this.#worker!.getNextJob(token, { block: false }));
    if (job) {
      try {
        this.#demandOwn(job);
      } catch (error) {
        await this.#ask(() => job.moveToWait(token)).catch(() => {});
        throw error;
      }
      return this.#hold(job, token);
    }
    // Those with which too many workers died.
    const [failed] = await this.#ask(() => this.#queue!.getJobs(["failed"], 0, 0));
    if (!failed || failed.name !== ours) return null;
    const nothing = (): Promise<void> => Promise.resolve();
    return {
      ...{ name: failed.id!, isHopeless: true, lost: new AbortController().signal, giveBack: nothing },
      // Another may have recorded it and been quicker to remove it.
      done: () => this.#ask(() => failed.remove().catch(nothing)),
    };
  }

  #hold(job: Job, token: string): Piece {
    const lost = new AbortController();
    const end = (): void => void this.#held.delete(hold);
    const hold = {
      lose: (reason?: Error) => (end(), lost.abort(reason)),
      renew: async () => {
        const isHeld = await this.#ask(() => job.extendLock(token, 1000 * this.#address.lease))
          .then((count) => count === 1, () => this.#failure === null ? false : null);
        // Of one that was done in the meantime there is nothing to hold.
        if (isHeld === false && this.#held.has(hold)) hold.lose();
      },
    };
    this.#held.add(hold);
    // One that was lost is another's to end.
    const unless = (f: () => Promise<unknown>): () => Promise<void> => async () => {
      end();
      if (!lost.signal.aborted) {
        await this.#ask(() => f().catch((error) => isLost(error) ? null : Promise.reject(error)));
      }
    };
    return {
      name: job.id!,
      isHopeless: job.deferredFailure !== undefined,
      lost: lost.signal,
      done: unless(() => job.moveToCompleted(null, token, false)),
      giveBack: unless(() => job.moveToWait(token)),
    };
  }

  /** Leaves it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    if (this.#queue && !this.#failure) {
      const keys = ["id", "meta", "marker", "events"].map((key) => `${ours}:${this.#address.name}:${key}`);
      await Promise.all(keys.map((key) => this.#redis.expire(key, remembered))).catch(() => {});
    }
    const ends = [this.#worker?.close(true), this.#queue?.close()];
    // One that is gone cannot be left in good order.
    await Promise.allSettled(ends);
    this.#redis.disconnect();
  }
}

/** What BullMQ says of a job that is not held any more, or gone: its codes -1 to -3, and -6. */
const isLost = (error: Error & { code?: unknown }): boolean =>
  /Missing (?:lock|key)|Lock mismatch|is not in the \w+ state/i.test(error.message);
