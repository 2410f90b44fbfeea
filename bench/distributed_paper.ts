/**
 * What a job of many hosts would reach, by arithmetic from one host's step.
 *
 * A ring moves 2 (N - 1) / N of the bytes through each host, and each piece costs 2 log2 N messages of 20 µs. What goes off while
 * backward runs (two thirds of forward and backward) is hidden. With ZeRO half of the bytes are parameters, which are sent
 * after the step and hidden by nothing; bf16 on the wire halves gradients; k batches to a step make its compute k times as long and
 * send as much.
 *
 * @module
 */
import type { StepResult } from "./distributed_work.ts";

const latency = 0.02;

/** A way to train, and what it changes. */
interface Way {
  readonly name: string;
  readonly batches: number;
  /** Bytes of a gradient's element that go while backward runs and after the step, to those of f32. */
  readonly early: number;
  readonly late: number;
}

const ways: readonly Way[] = [
  { name: "plain", batches: 1, early: 1, late: 0 },
  { name: "bf16 wire", batches: 1, early: 0.5, late: 0 },
  { name: "ZeRO", batches: 1, early: 0.5, late: 0.5 },
  { name: "4 batches", batches: 4, early: 1, late: 0 },
  { name: "16 batches", batches: 16, early: 1, late: 0 },
  { name: "ZeRO, 16 batches", batches: 16, early: 0.5, late: 0.5 },
];

/** The share of a host's compute that is left of a step, from 0 to 1; times in milliseconds, `gigabits` a second. */
export function efficiency(
  { step, compute, bytes, buckets }: StepResult,
  way: Way,
  hosts: number,
  gigabits: number,
): number {
  const wire = 2 * (hosts - 1) / hosts * bytes / (gigabits * 1e9 / 8) * 1e3;
  const messages = Math.max(1, buckets) * 2 * Math.log2(hosts) * latency;
  const work = step + (way.batches - 1) * compute, hidden = 2 / 3 * compute;
  const left = Math.max(0, way.early * wire + messages - hidden) + way.late * wire;
  return work / (work + left);
}

/** The table, for 8, 64 and 512 hosts at 10 and 100 Gbit/s. */
export function predict(title: string, alone: StepResult): string[] {
  const all = [10, 100].flatMap((gigabits) => [8, 64, 512].map((hosts) => ({ gigabits, hosts })));
  return [
    `\nby arithmetic: ${title}, ${alone.step.toFixed(0)} ms a step and host, ${
      (alone.bytes / 1e6).toFixed(1)
    } MB of gradients; efficiency in % of hosts at Gbit/s`,
    ["".padEnd(18), ...all.map(({ hosts, gigabits }) => `${hosts} at ${gigabits}`.padStart(11))].join(""),
    ...ways.map((way) =>
      [
        way.name.padEnd(18),
        ...all.map(({ hosts, gigabits }) =>
          (100 * efficiency(alone, way, hosts, gigabits)).toFixed(1).padStart(11)
        ),
      ].join("")
    ),
  ];
}
