/**
 * Tiles of [batch, heads, time, width] tensors in workgroup memory: rows of vec4, fetched by all invocations together.
 *
 * Rows lie an odd number of vec4 apart, so that neighbours in a column lie in different banks.
 *
 * @module
 */
import { type Gpu, param } from "../gpu.ts";
import { type Binding, load } from "./elements.ts";

/** Invocations of a workgroup that works on tiles. */
export const tileTeam = 128;

/** How many queries and keys a workgroup has at once. */
export interface Tiles {
  readonly queries: number;
  readonly keys: number;
}

const sizes: readonly Tiles[] = [[32, 32], [32, 16], [16, 16], [8, 16]].map(([queries, keys]) => ({
  queries,
  keys,
}));

/** vec4 from one row of a tile to the next. */
export function tileStride(width: number): number {
  return Math.ceil(width / 4) | 1;
}

/**
 * The largest tiles of which `count` queries fill one, and for which the adapter's workgroup memory is enough, `rows` times the queries and keys in rows of
 * `width` and `squares` matrices of queries by keys; null where none fit.
 */
export function tilesFor(
  gpu: Gpu,
  count: number,
  width: number,
  rows: number,
  squares: number,
): Tiles | null {
  const most = gpu.device.limits.maxComputeWorkgroupStorageSize, row = 16 * tileStride(width);
  return sizes.find(({ queries, keys }) =>
    (queries <= count || queries === 8) &&
    rows * row * (queries + keys) + squares * 4 * queries * keys <= most
  ) ?? null;
}

/** Statements that fill `tile` with `count` rows of `width` columns from row `first` on; rows from `end` on are 0. */
export function fetchTile(
  tile: string,
  count: number,
  width: number,
  b: Binding,
  first: string,
  end: string,
  rowAt: (row: string) => string,
): string {
  const quads = Math.ceil(width / 4), column = (j: number): string => `at + ${j}`;
  const one = (j: number): string => load(b, "f32", column(j), "f32");
  const rest = width % 4;
  const parts = [0, 1, 2, 3].map((j) =>
    rest === 0 || j < rest ? `x[${j}] = ${one(j)};` : `if (q != ${quads - 1}) { x[${j}] = ${one(j)}; }`
  );
  return `for (var e = lane; e < ${count * quads}; e += ${tileTeam}) {
      let r = e / ${quads}; let q = e % ${quads}; let row_ = ${first} + r; var x = vec4<f32>();
      if (row_ < ${end}) { let at = ${rowAt("row_")} + 4 * q; ${parts.join(" ")} }
      ${tile}[r * ${tileStride(width)} + q] = x;
    }`;
}

/** How a lane's share of a matrix of queries by keys is numbered: so many rows and columns, some way apart. */
export interface Share {
  readonly down: number;
  readonly across: number;
  readonly rowStep: number;
  readonly columnStep: number;
  /** Statements that find the first row `sr` and column `sk`. */
  readonly begin: string;
}

/** The share of each lane. */
export function shareOf({ queries, keys }: Tiles): Share {
  const count = queries * keys / tileTeam,
    across = count >= 8 ? 4 : Math.min(count, 2),
    down = count / across;
  const lanesAcross = keys / across;
  return {
    down,
    across,
    rowStep: queries / down,
    columnStep: lanesAcross,
    begin: `let sr = lane / ${lanesAcross}; let sk = lane % ${lanesAcross};`,
  };
}

/** Numbers 0 to n - 1. */
export function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** Declares sums `name` of a lane's share of products of rows of `left` (queries) and `right` (keys), and computes them. */
export function tileProducts(
  share: Share,
  width: number,
  pairs: readonly { name: string; left: string; right: string }[],
): string {
  const { down, across, rowStep, columnStep } = share, stride = tileStride(width);
  const rows = upTo(down), columns = upTo(across);
  const each = (text: (i: number, j: number) => string): string =>
    rows.flatMap((i) => columns.map((j) => text(i, j))).join(" ");
  const loop = pairs.map(({ name, left, right }) =>
    `{ ${rows.map((i) => `let x${i} = ${left}[(sr + ${i * rowStep}) * ${stride} + c];`).join(" ")}
      ${columns.map((j) => `let y${j} = ${right}[(sk + ${j * columnStep}) * ${stride} + c];`).join(" ")}
      ${each((i, j) => `${name}${i}${j} += dot(x${i}, y${j});`)} }`
  );
  return `${pairs.map(({ name }) => each((i, j) => `var ${name}${i}${j} = 0.0f;`)).join(" ")}
    for (var c = 0; c < ${Math.ceil(width / 4)}; c++) { ${loop.join("\n      ")} }`;
}

/** How a lane's share of a result of `rows` rows of `width` is numbered: one row `or`, some vec4 of it. */
export interface RowShare {
  readonly lanes: number;
  /** Statements that find the row `or` and the lane's number `oc` in it. */
  readonly begin: string;
  /** A statement for each vec4 that the lane has; `quad` is where it is. */
  each(text: (i: number, quad: string) => string): string;
}

/** The share of each lane in a result of `rows` rows. */
export function rowShareOf(rows: number, width: number): RowShare {
  const lanes = tileTeam / rows, quads = Math.ceil(width / 4);
  return {
    lanes,
    begin: `let or = lane / ${lanes}; let oc = lane % ${lanes};`,
    each: (text) =>
      upTo(Math.ceil(quads / lanes)).map((i) => {
        const quad = `(oc + ${i * lanes})`;
        return (i + 1) * lanes <= quads ? text(i, quad) : `if (${quad} < ${quads}) { ${text(i, quad)} }`;
      }).join("\n      "),
  };
}

/** Whether key `key` is one that query `row` sees. */
export function seesKey(causal: boolean, row: string, key: string): string {
  const inside = `(${row}) < ${param(1)} && (${key}) < ${param(2)}`;
  return causal ? `${inside} && (${key}) <= (${row}) + ${param(2)} - ${param(1)}` : inside;
}
