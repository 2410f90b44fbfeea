/**
 * The part of Node's built-in modules, and of the runtimes' global objects, that is used, as types.
 *
 * Written down here rather than imported, so that the library type-checks and publishes without a package of types,
 * and so that one can see at a glance what it needs of a runtime.
 *
 * @module
 */

/** `fs.Stats`. */
export interface FileStats {
  readonly size: number;
  readonly dev: number;
  readonly ino: number;
  readonly nlink: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

/** `fs.promises.FileHandle`. */
export interface FileHandle {
  truncate(length: number): Promise<void>;
  read(
    into: Uint8Array,
    at: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Uint8Array,
    at: number,
    length: number,
    position?: number,
  ): Promise<{ readonly bytesWritten: number }>;
  stat(): Promise<FileStats>;
  sync(): Promise<void>;
  chmod(mode: number): Promise<void>;
  chown(user: number, group: number): Promise<void>;
  close(): Promise<void>;
}

/** `fs.Dirent`. */
export interface FolderEntry {
  readonly name: string;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

/** `node:fs`. */
export interface FileModule {
  readonly promises: {
    open(path: string, flags: "r" | "r+" | "wx" | "wx+" | "a" | number): Promise<FileHandle>;
    stat(path: string): Promise<FileStats>;
    lstat(path: string): Promise<FileStats>;
    symlink(target: string, path: string): Promise<void>;
    link(from: string, to: string): Promise<void>;
    readlink(path: string): Promise<string>;
    utimes(path: string, accessed: Date, modified: Date): Promise<void>;
    readdir(path: string, options: { withFileTypes: true }): Promise<FolderEntry[]>;
    mkdir(path: string, options: { recursive: true }): Promise<unknown>;
    rename(from: string, to: string): Promise<void>;
    rm(path: string, options: { recursive?: boolean; force: true }): Promise<void>;
  };
  open(path: string, flags: "r", done: (error: Error | null, descriptor: number) => void): void;
  read(
    descriptor: number,
    into: Uint8Array,
    at: number,
    length: number,
    position: number,
    done: (error: Error | null, count: number) => void,
  ): void;
  readSync(descriptor: number, into: Uint8Array, at: number, length: number, position: number): number;
  fstatSync(descriptor: number): FileStats;
  statSync(path: string): FileStats;
  lstatSync(path: string): FileStats;
  closeSync(descriptor: number): void;
  openSync(path: string, flags: "r" | "wx"): number;
  fsyncSync(descriptor: number): void;
  mkdirSync(path: string, options?: { recursive: true }): void;
  writeFileSync(path: string, text: string, options: { mode: number }): void;
  readlinkSync(path: string): string;
  readFileSync(path: string, encoding: "utf8"): string;
  readdirSync(path: string): string[];
  renameSync(from: string, to: string): void;
  rmSync(path: string, options: { recursive?: boolean; force: true }): void;
  rmdirSync(path: string): void;
  readonly constants: { readonly O_WRONLY: number };
}

/** `worker_threads.Worker`. */
export interface ThreadWorker {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  on(event: "message" | "error" | "exit", listener: (value: unknown) => void): void;
  off(event: "message" | "error" | "exit", listener: (value: unknown) => void): void;
  ref(): void;
  unref(): void;
  terminate: () => Promise<number>;
}

/** `node:worker_threads`. */
export interface WorkerModule {
  readonly Worker: new (source: string, options: { eval: true; workerData: unknown }) => ThreadWorker;
}

/** `crypto.Hash`. */
export interface HashObject {
  update(bytes: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

/** A stream of a child process that is read. */
export interface ChildOutput {
  setEncoding(encoding: "utf8"): unknown;
  on(event: "data", listener: (text: string) => void): unknown;
}

/** `child_process.ChildProcess` with three pipes. */
export interface ChildProcess {
  readonly pid?: number | undefined;
  readonly stdin: { end(): void; on(event: "error", listener: () => void): unknown };
  readonly stdout: ChildOutput;
  readonly stderr: ChildOutput;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close", listener: (code: number | null, signal: string | null) => void): unknown;
}

/** The modules that are asked for. */
export interface BuiltinModules {
  "node:child_process": {
    spawn(
      command: string,
      args: readonly string[],
      options: { env: Record<string, string>; stdio: readonly ["pipe", "pipe", "pipe"] },
    ): ChildProcess;
  };
  "node:crypto": { createHash(algorithm: "sha1" | "sha256"): HashObject };
  "node:fs": FileModule;
  "node:module": { enableCompileCache?(): unknown };
  "node:os": {
    availableParallelism(): number;
    cpus(): { readonly model: string }[];
    homedir(): string;
    hostname(): string;
    totalmem(): number;
  };
  "node:path": {
    basename(path: string): string;
    dirname(path: string): string;
    join(...parts: string[]): string;
    resolve(...parts: string[]): string;
  };
  "node:url": { fileURLToPath(url: string | URL): string };
  "node:worker_threads": WorkerModule;
}

/** One of the streams of `process`. */
export interface ProcessStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): void;
  off(event: "error", listener: (error: Error) => void): void;
}

/** `process`, which Deno and Bun have too. */
export interface ProcessGlobal {
  readonly versions: { readonly node?: string };
  readonly platform: string;
  readonly arch: string;
  readonly env: Record<string, string | undefined>;
  readonly execPath: string;
  readonly stdin: { readonly isTTY?: boolean };
  readonly stdout: ProcessStream;
  readonly stderr: ProcessStream;
  readonly pid: number;
  uptime(): number;
  kill(pid: number, signal: 0 | "SIGTERM" | "SIGKILL"): boolean;
  emitWarning: (...values: unknown[]) => void;
  getBuiltinModule?(name: string): unknown;
  memoryUsage(): { readonly rss: number };
  constrainedMemory?(): number;
  cpuUsage?(): { readonly user: number; readonly system: number };
  on(signal: "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGTERM", listener: () => void): void;
  off(signal: "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGTERM", listener: () => void): void;
}

/** What a Deno permission is asked about. */
export interface PermissionDescriptor {
  readonly name: "env" | "ffi" | "net" | "read" | "run" | "sys" | "write";
  readonly variable?: string;
  readonly kind?: string;
  readonly host?: string;
  readonly path?: string;
}

/** `Deno`. */
export interface DenoGlobal {
  readonly build?: { readonly standalone?: boolean };
  readonly version: { readonly deno: string };
  readonly permissions: { querySync(descriptor: PermissionDescriptor): { readonly state: string } };
  readonly UnsafePointer: { of(view: ArrayBufferView): object | null; value(pointer: object | null): bigint };
  dlopen(path: string, symbols: Record<string, unknown>): {
    readonly symbols: Record<string, (...values: unknown[]) => unknown>;
    close(): void;
  };
}

/** The global objects that tell the runtimes apart; each is missing somewhere. */
export interface RuntimeGlobals {
  readonly Deno?: DenoGlobal;
  readonly Bun?: { readonly version: string };
  readonly process?: ProcessGlobal;
  readonly navigator?: {
    readonly userAgent?: string;
    readonly hardwareConcurrency?: number;
    readonly gpu?: unknown;
  };
  /** Of a page. */
  readonly document?: { readonly baseURI: string };
  /** Of a page or a worker. */
  readonly location?: { readonly href: string; readonly origin: string; readonly protocol: string };
}
