import { readCsv } from "./mod.ts";
for (let k = 0; k < 3; k++) {
  const t0 = performance.now();
  const t = await readCsv("/tmp/big.csv");
  console.log(t.rows, (performance.now() - t0) | 0, "ms", t.columns.map((c) => c.kind).join());
}
