/**
 * Everything the package asks of the machine and the runtime it runs on, one ability a file.
 *
 * This is the only room that knows Deno, Bun, Node and browsers apart. Importing it does nothing, asks for nothing
 * and throws nowhere; each ability looks for what it needs when it is first used, and says why when that is missing.
 *
 * @module
 */
export type { ByteSource } from "../core/byte_source.ts";
export type {
  NativeArgument,
  NativeArguments,
  NativeFunction,
  NativeLibrary,
  NativeResult,
  NativeSignature,
  NativeType,
} from "../core/native_library.ts";
export {
  type DirectoryEntry,
  directoryOf,
  exists,
  fileError,
  type FileStatus,
  isDirectory,
  joinPath,
  makeDir,
  pathOf,
  readDir,
  readFile,
  readTextFile,
  remove,
  removeEmptyFolder,
  rename,
  stat,
} from "./files.ts";
export { currentPath } from "./commit.ts";
export {
  appendText,
  type FileContent,
  type FileSink,
  type FileToWrite,
  writeFileAtomic,
  writeFiles,
  type WriteFilesOptions,
} from "./write_files.ts";
export { abandonAll, sweep } from "./temporary_files.ts";
export { openFile } from "./file_source.ts";
export {
  createFile,
  isMissingSpace,
  openPartialFile,
  type PartialFile,
  readLink,
  symlink,
  touch,
} from "./cache_files.ts";
export { cacheCompiledCode } from "./compile_cache.ts";
export { adviseHugePages, hugePagesReason, hugePagesSetting } from "./huge_pages.ts";
export { cachePath, modifiedTime, readSmallFile, writeSmallFile } from "./small_file.ts";
export { type Hash, startHash } from "./hash.ts";
export { openUrl, type UrlOptions } from "./http_source.ts";
export { openBlob, openBytes } from "./memory_source.ts";
export {
  fromPage,
  isHttp,
  mostText,
  type Openable,
  openSource,
  textOf,
  textOfAnswer,
} from "./open_source.ts";
export { nativeLibraryReason, openLibrary } from "./ffi.ts";
export { type GpuAdapter, type GpuAnswer, requestGpuAdapter } from "./gpu.ts";
export { isPermitted, type RuntimeName, runtimeName, runtimeVersion } from "./runtime.ts";
export { type Program, type ProgramEnd, startProgram } from "./process.ts";
export {
  canBlock,
  cpuModel,
  environment,
  environmentNames,
  hardwareConcurrency,
  homeDirectory,
  hostName,
  isProcessAlive,
  processId,
  processorTime,
  residentMemory,
  sharedMemoryReason,
  system,
  temporaryDirectory,
  totalMemory,
} from "./system.ts";
export { isTerminal, type OutputStream, terminalColumns, writeText } from "./terminal.ts";
export { onInterrupt, onStop, onUnheard, onUnload, stopStatus } from "./signals.ts";
export { spawnWorker, type WorkerPort, type WorkerThread } from "./workers.ts";
