/**
 * Many tensors, few reads: which ranges of which files to fetch, decided before anything is fetched.
 *
 * Tensors that lie near each other are read together, over the gap between them if it is small: on a network each
 * request costs a round trip, worth tens of thousands of bytes. A plan is plain data: it can be printed, counted and
 * tested; {@link runReads} carries it out and asks for the next range while the caller works on this one.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { OptionError, throwIfAborted } from "../core/errors.ts";
import { abortSignal, callback, number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { counted } from "../core/show.ts";
import type { OpenFile, TensorInfo } from "./view.ts";

/**
 * How far reads are merged.
 *
 * @category Files
 */
export interface ReadPlanOptions {
  /** Unwanted bytes between two tensors that are read along rather than asked for apart (default 65,536). */
  readonly maxGap?: number;
  /** Bytes of one read, unless a single tensor has more (default 32 MiB). */
  readonly maxBytes?: number;
}

/**
 * One read: a range of a file, and the tensors in it.
 *
 * @category Files
 */
export interface ReadRange {
  /** The file. */
  readonly file: string;
  /** Its first byte. */
  readonly begin: number;
  /** One past its last byte. */
  readonly end: number;
  /** The tensors it brings, in the order of their bytes. */
  readonly tensors: readonly TensorInfo[];
}

/**
 * Reads that together bring a set of tensors.
 *
 * @category Files
 */
export class ReadPlan {
  /** The reads, in order. */
  readonly ranges: readonly ReadRange[];
  /** Bytes that will be read. */
  readonly bytes: number;
  /** Bytes among them that no tensor asked for. */
  readonly wasted: number;

  /** A plan of `ranges`. */
  constructor(ranges: readonly ReadRange[]) {
    demandNoMore(arguments, 1, "ReadPlan");
    this.ranges = ranges;
    this.bytes = ranges.reduce((sum, r) => sum + (r.end - r.begin), 0);
    this.wasted = this.bytes -
      ranges.reduce((sum, r) => sum + r.tensors.reduce((s, t) => s + t.byteLength, 0), 0);
  }

  /** A line a read, and a line for the whole. */
  toString(): string {
    const lines = this.ranges.map(({ file, begin, end, tensors }) => {
      const names = tensors.length === 1
        ? tensors[0].name
        : `${tensors[0].name} … ${tensors[tensors.length - 1].name}`;
      return `${file} ${begin}-${end} (${counted(end - begin, "byte")}): ${
        counted(tensors.length, "tensor")
      }, ${names}`;
    });
    lines.push(
      `${counted(this.ranges.length, "read")}, ${
        counted(this.bytes, "byte")
      }, ${this.wasted} of them between tensors`,
    );
    return lines.join("\n");
  }
}

const planOptions: OptionTable<ReadPlanOptions> = {
  maxGap: number({ from: 0 }),
  maxBytes: number({ from: 0 }),
};

/** Plans reading `tensors`. Files follow in the order in which they are first named, tensors in the order of their bytes. */
export function planReads(tensors: Iterable<TensorInfo>, options: ReadPlanOptions = {}): ReadPlan {
  const { maxGap = 65_536, maxBytes = 32 * 2 ** 20 } = checkOptions("plan", options, planOptions);
  const byFile = new Map<string, Map<string, TensorInfo>>();
  for (const tensor of tensors) {
    const list = byFile.get(tensor.file);
    if (list) list.set(tensor.name, tensor);
    else byFile.set(tensor.file, new Map([[tensor.name, tensor]]));
  }
  const ranges: ReadRange[] = [];
  for (const [file, found] of byFile) {
    const sorted = [...found.values()].sort((a, b) => a.begin - b.begin || a.end - b.end);
    let open: { file: string; begin: number; end: number; tensors: TensorInfo[] } | null = null;
    for (const tensor of sorted) {
      if (open !== null && tensor.begin - open.end <= maxGap && tensor.end - open.begin <= maxBytes) {
        open.end = Math.max(open.end, tensor.end);
        open.tensors.push(tensor);
      } else {
        open = { file, begin: tensor.begin, end: tensor.end, tensors: [tensor] };
        ranges.push(open);
      }
    }
  }
  return new ReadPlan(ranges);
}

/**
 * A tensor as a read brought it.
 *
 * @category Files
 */
export interface ReadTensor {
  /** What it is. */
  readonly info: TensorInfo;
  /** Its bytes as stored; a part of a larger buffer, with no alignment promised. */
  readonly bytes: Uint8Array;
}

/**
 * What may be said of a running plan.
 *
 * @category Files
 */
export interface RunReadsOptions {
  /** Called after each read with the bytes that have come and the bytes of the whole plan. */
  readonly onProgress?: (progress: { readonly loaded: number; readonly total: number }) => void;
  /** Stops between two reads, with a `CancelledError`. */
  readonly signal?: AbortSignal;
}

/** {@link RunReadsOptions} as data. */
export const runReadsOptions: OptionTable<RunReadsOptions> = { onProgress: callback, signal: abortSignal };

/** Carries out a plan; at most two ranges are in memory at a time. `files` finds an open file by its name. */
export async function* runReads(
  plan: ReadPlan,
  files: ReadonlyMap<string, OpenFile>,
  options: RunReadsOptions = {},
): AsyncGenerator<ReadTensor, void, undefined> {
  const { ranges } = plan;
  const start = (index: number): Promise<Uint8Array> | null => {
    if (index >= ranges.length) return null;
    const { file, begin, end } = ranges[index];
    const source = files.get(file);
    if (!source) {
      return Promise.reject(new OptionError(`the plan reads ${file}, which is not among the open files`));
    }
    const bytes = source.read(begin, end - begin);
    // Whoever stops early never awaits this one; its failure is then nobody's concern.
    bytes.catch(() => {});
    return bytes;
  };
  let loaded = 0;
  throwIfAborted(options.signal, "reading tensors");
  let next = start(0);
  for (let k = 0; next !== null; k++) {
    const bytes = await next;
    throwIfAborted(options.signal, "reading tensors");
    const range = ranges[k];
    next = start(k + 1);
    loaded += range.end - range.begin;
    options.onProgress?.({ loaded, total: plan.bytes });
    for (const info of range.tensors) {
      yield { info, bytes: bytes.subarray(info.begin - range.begin, info.end - range.begin) };
    }
  }
}
