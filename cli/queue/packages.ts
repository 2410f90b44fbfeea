/**
 * The parts of BullMQ and ioredis that are used. Written down here because a type that is imported from a package makes the package
 * a dependency of who installs this one.
 *
 * @module
 */
import { importPackage, optionalPackages } from "../../src/core/packages.ts";

/** A connection. */
export interface Redis {
  readonly status: string;
  connect(): Promise<void>;
  disconnect(): void;
  on(event: "error" | "close" | "ready", listener: (error: Error) => void): unknown;
  exists(...keys: string[]): Promise<number>;
  expire(key: string, seconds: number): Promise<number>;
  hget(key: string, field: string): Promise<string | null>;
  hincrby(key: string, field: string, by: number): Promise<number>;
  hlen(key: string): Promise<number>;
  hkeys(key: string): Promise<string[]>;
  hmget(key: string, ...fields: string[]): Promise<(string | null)[]>;
  hsetnx(key: string, field: string, value: string): Promise<number>;
  hdel(key: string, field: string): Promise<number>;
}

/** Where it goes to, and how long it waits. */
export interface RedisOptions {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls?: object;
  readonly lazyConnect: boolean;
  readonly connectTimeout: number;
  readonly commandTimeout: number;
  readonly maxRetriesPerRequest: null;
  readonly retryStrategy: (times: number) => number | null;
}

/** A job. */
export interface Job {
  readonly id?: string;
  readonly name: string;
  /** Why it is given up, where too many workers died with it. */
  readonly deferredFailure?: string;
  extendLock(token: string, milliseconds: number): Promise<number>;
  moveToCompleted(value: unknown, token: string, fetchNext: boolean): Promise<unknown>;
  moveToWait(token: string): Promise<unknown>;
  remove(): Promise<void>;
}

/** Options of jobs. */
interface JobOptions {
  readonly jobId: string;
  readonly lifo: boolean;
  readonly removeOnComplete: boolean;
}

interface Named {
  on(event: "error", listener: () => void): unknown;
  close(force?: boolean): Promise<void>;
}

/** What jobs are put into. */
export interface Queue extends Named {
  waitUntilReady(): Promise<unknown>;
  addBulk(jobs: readonly { name: string; data: object; opts: JobOptions }[]): Promise<unknown>;
  getJobCountByTypes(...types: string[]): Promise<number>;
  getJobs(types: string[], start: number, end: number): Promise<(Job | undefined)[]>;
}

/** What takes jobs out. */
export interface Worker extends Named {
  waitUntilReady(): Promise<unknown>;
  startStalledCheckTimer(): Promise<void>;
  getNextJob(token: string, options: { block: boolean }): Promise<Job | undefined>;
}

/** What both are told. */
export interface QueueOptions {
  readonly connection: Redis;
  readonly prefix: string;
  readonly skipVersionCheck: boolean;
  /** Whether nothing is written of the queue itself. */
  readonly skipMetasUpdate?: boolean;
}

interface WorkerOptions extends QueueOptions {
  readonly autorun: boolean;
  readonly lockDuration: number;
  readonly stalledInterval: number;
  readonly maxStalledCount: number;
}

interface BullMq {
  readonly Queue: new (name: string, options: QueueOptions) => Queue;
  readonly Worker: new (name: string, processor: null, options: WorkerOptions) => Worker;
}

interface IoRedis {
  readonly Redis: new (options: RedisOptions) => Redis;
}

/** Loads both. @throws {FerrotypeError} when one is not installed. */
export function loadQueuePackages(): Promise<[BullMq, IoRedis]> {
  return optionalPackages(
    "bullmq ioredis",
    "--queue",
    () => Promise.all([importPackage<BullMq>("bullmq"), importPackage<IoRedis>("ioredis")]),
  );
}
