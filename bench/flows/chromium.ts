/**
 * The same library in Chromium: products beside the peak of the browser's own engine, decoding beside what it reads.
 *
 * @module
 */
import { ChromiumPage, findChromium } from "../chromium/page.ts";
import { forwardOperations, headOperations } from "../gpt2.ts";
import type { Bench, Group, Limit, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const path = findChromium();
  if (path === null) {
    const failed = "no Chromium was found; set CHROMIUM to its path";
    yield { name: "products", unit: "GFLOP/s", amount: 1, subjects: [], failed };
    return;
  }
  const page = await ChromiumPage.open(path), { turn, quick } = bench.settings;
  try {
    const threads = await page.ask({ task: "start" });
    const name = `${page.version}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    const limit = (label: string, which: "multiplyAdd" | "read", per: number): Limit => ({
      name: label,
      measure: async () => await page.ask({ task: "limit", name: which }) / per,
    });
    for (const [m, n, k] of [[1024, 1024, 1024], [512, 3072, 768]]) {
      yield {
        name: `[${m},${k}]×[${k},${n}]`,
        unit: "GFLOP/s",
        amount: 2 * m * n * k / 1e9,
        subjects: [{
          name,
          run: () => page.ask({ task: "matmul", m, n, k, milliseconds: turn }),
          limit: limit("multiply-add in registers", "multiplyAdd", 1e9),
          share: 0.92,
        }],
      };
    }
    const bytes = 4 * (forwardOperations + headOperations) / 2;
    yield {
      name: "GPT-2 124M, decode, f32",
      unit: "tokens/s",
      amount: 1,
      subjects: [{
        name,
        run: () => page.ask({ task: "decode", tokens: quick ? 8 : 24 }),
        limit: limit(`reading ${(bytes / 1e6).toFixed(0)} MB`, "read", bytes),
        share: 0.94,
      }],
    };
    yield {
      name: "GPT-2 124M, prefill, f32, 512 tokens",
      unit: "tokens/s",
      amount: 512,
      subjects: [{
        name,
        run: () => page.ask({ task: "prefill", tokens: 512 }),
        limit: limit("multiply-add in registers", "multiplyAdd", forwardOperations + headOperations / 512),
        share: 0.85,
      }],
    };
  } finally {
    await page.close();
  }
}

/** In a page. */
export const group: Group = { name: "in a browser", rows };
