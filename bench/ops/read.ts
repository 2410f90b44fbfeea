/**
 * Reading memory that is in no cache: by an engine whose memory has small pages and by one that got huge ones, beside what the
 * machine itself reads.
 *
 * @module
 */
import { Engine } from "../../src/backends/cpu/engine.ts";
import { Limits } from "../../src/backends/cpu/limits.ts";
import {
  adviseHugePages,
  canBlock,
  hardwareConcurrency,
  hugePagesReason,
  spawnWorker,
} from "../../src/platform/platform.ts";
import { NativeRead } from "../native_read.ts";
import type { Bench, Group, Limit, Row, Subject } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const problem = hugePagesReason();
  for (const threads of bench.engine.threads > 1 ? [1, bench.engine.threads] : [1]) {
    const native = new NativeRead(threads);
    if (native.reason === null) await native.ready();
    const limit: Limit | null = native.reason === null
      ? { name: "the machine", measure: () => native.measure() / 1e9 }
      : null;
    const platform = { hardwareConcurrency: hardwareConcurrency(), canBlock: canBlock(), spawnWorker };
    const engines: Engine[] = [], subjects: Subject[] = [];
    for (const huge of problem === null ? [false, true] : [false]) {
      const engine = new Engine({ threads, platform: huge ? { ...platform, adviseHugePages } : platform });
      await engine.ready();
      const limits = new Limits(engine);
      engines.push(engine);
      subjects.push({
        name: huge ? "huge pages" : "small pages",
        run: () => 1e9 / limits.read(),
        ...(limit ? { limit } : {}),
      });
    }
    yield {
      name: threads === 1 ? "one thread" : `${threads} threads`,
      unit: "GB/s",
      amount: 1,
      subjects,
      ...(problem === null ? {} : { note: `no huge pages: ${problem}` }),
    };
    for (const engine of engines) engine.dispose();
    native.dispose();
  }
}

/** Reading memory. */
export const group: Group = { name: "reading memory", rows };
