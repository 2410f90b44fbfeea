/**
 * Values of the library's functions that contradict one another are refused where they are given, by what was given.
 */
import { assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  bceWithLogits,
  crossEntropy,
  FerrotypeError,
  nllLoss,
  nn,
  ones,
  optim,
  randint,
  setThreads,
  tensor,
  uniform,
} from "../mod.ts";

function refuse(cases: readonly (readonly [() => unknown, RegExp])[]): void {
  for (const [f, pattern] of cases) {
    assertMatch(assertThrows(f, FerrotypeError, undefined, String(pattern)).message, pattern);
  }
}

const { schedules } = optim;

describe("values that contradict one another", () => {
  it("are refused by schedules: a rate does not fall to more", () => {
    for (const name of ["cosine", "linear", "wsd"] as const) {
      const make = schedules[name];
      refuse([
        [
          () => make({ lr: 0.1, steps: 10, minLr: 1 }),
          new RegExp(`^${name}: minLr is 1, expected at most lr 0.1,`),
        ],
        [() => make({ lr: 0.1, steps: 10, warmup: 11 }), /warmup is 11, expected at most the 10 steps/],
      ]);
      make({ lr: 0.1, steps: 10, minLr: 0.1 });
    }
    refuse([[
      () => schedules.wsd({ lr: 1, steps: 10, decay: 0, minLr: 0.1 }),
      /minLr has no effect because decay is 0/,
    ]]);
  });

  it("are refused where numbers are drawn", () => {
    const t = ones([3, 3]);
    refuse([
      [() => uniform([3], 1, 0), /^uniform: low is 1 and high is 0, expected low to be at most high$/],
      [() => uniform([3], NaN, 0), /^uniform: low is NaN, expected a number$/],
      [() => randint(5, 5, [3]), /low < high/],
      [() => nn.init.uniform(t, 1, 0), /^init.uniform: low is 1 and high is 0/],
      [() => nn.init.normal(t, 0, -1), /^init.normal: std is -1, expected a number from 0$/],
      [() => nn.init.xavierUniform(t, -1), /gain is -1/],
      [() => nn.init.xavierNormal(t, NaN), /gain is NaN/],
      [() => nn.init.kaimingUniform(t, Infinity), /a is Infinity/],
    ]);
    uniform([3], 1, 1);
  });

  it("are refused by losses: a weight is of every class, a factor of every loss", () => {
    const x = ones([2, 3]), ids = tensor([0, 2], { dtype: "i32" });
    for (const loss of [crossEntropy, nllLoss]) {
      for (const shape of [[1], [2], [5], [3, 1], []]) {
        refuse([[
          () => loss(x, ids, { weight: ones(shape) }),
          /: weight is \[.*\], expected a factor for each class, \[3\]$/,
        ]]);
      }
      loss(x, ids, { weight: ones([3]) });
    }
    for (const name of ["weight", "posWeight"] as const) {
      for (const shape of [[2], [2, 2], [4, 2, 3]]) {
        refuse([[
          () => bceWithLogits(x, x, { [name]: ones(shape) }),
          new RegExp(`: ${name} is .* of the losses, \\[2, 3\\]$`),
        ]]);
      }
      for (const shape of [[3], [1], [], [2, 1], [2, 3]]) bceWithLogits(x, x, { [name]: ones(shape) });
    }
  });

  it("are refused by layers: sizes are sizes, and groups divide channels", () => {
    refuse([
      [
        () => new nn.Conv2d(3, 4, 2, { groups: 2 }),
        /^Conv2d: inChannels is 3, expected a multiple of the 2 of groups$/,
      ],
      [
        () => new nn.Conv1d(4, 3, 2, { groups: 2 }),
        /^Conv1d: outChannels is 3, expected a multiple of the 2 of groups$/,
      ],
      [() => new nn.Linear(1.5, 2), /^Linear: inFeatures is 1.5, expected a whole number from 0$/],
      [() => new nn.Linear(1, "2" as never), /^Linear: outFeatures is "2", expected/],
      [() => new nn.Embedding(-1, 2), /^Embedding: count is -1/],
      [() => new nn.LayerNorm(NaN), /^LayerNorm: width is NaN/],
      [() => new nn.CausalSelfAttention(8, 1.5), /^CausalSelfAttention: heads is 1.5/],
      [() => setThreads("2" as never), /^setThreads: count is "2", expected a whole number from 1$/],
    ]);
  });
});
