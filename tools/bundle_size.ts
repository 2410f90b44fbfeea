/**
 * What a page weighs that takes a part of the library, and why not less: `deno run -A tools/bundle_size.ts`.
 *
 * A bundler leaves out what nothing names. But a method is named by every tensor, and computing is synchronous, so there is no
 * moment to wait for a method's code: a page that makes one tensor has what all methods need, with their gradients and
 * kernels. What comes by its own name alone is attention, losses, random numbers, tensors in blocks, the reference device, models,
 * text and files.
 * WebGPU, the hub's client, formats and the rarer ways to generate come when they are first used.
 *
 * The last table takes one thing after the other away from the smallest page, which then no longer runs, to tell what each
 * promise costs.
 *
 * @module
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { BuildOptions, Metafile, Plugin } from "esbuild";
import { ensurePackages } from "../tests/_install.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Pages by name. */
export const pages = {
  "tensor and matmul": `import { tensor } from "./mod.ts";
globalThis.answer = tensor([[1, 2], [3, 4]]).matmul(tensor([[1, 2], [3, 4]])).toArray();`,
  "GPT2.load and complete": `import { GPT2 } from "./mod.ts";
globalThis.answer = GPT2.load("/model/").then((model) => model.complete("ROMEO:", { maxNewTokens: 12 }));`,
};

/** The smallest of them, past mod.ts, where a star would hold on to what is taken away. */
const smallest = [
  'import { tensor } from "./src/ops/create.ts";',
  'import "./src/ops/tensor.ts";',
  'import "./src/runtime/devices.ts";',
  "globalThis.answer = tensor([[1, 2], [3, 4]]).matmul(tensor([[1, 2], [3, 4]])).toArray();",
].join("\n");

const cuts: readonly (readonly [what: string, files: RegExp])[] = [
  ["softmax and norms in one go", /cpu\/kernels\/(softmax|layer_norm)/],
  ["sort, cumsum, scatter", /cpu\/kernels\/(sort|cumsum|scatter)/],
  ["tensors beyond the heap, recorded steps", /cpu\/(overflow|recording)/],
  ["most methods of a tensor", /ops\/methods\/(elementwise|functions|reduce|views)/],
  ["sums, maxima, gathers", /cpu\/kernels\/(reduce|gather|arg_reduce)/],
  ["exp, log, sin, pow, erf and their like", /cpu\/math\/(exp|log|trigonometric|pow|erf|remainder|integer)/],
];

interface Weight {
  /** kB, packed with gzip, of what comes first. */
  readonly first: number;
  /** The same of what may come later. */
  readonly later: number;
  readonly metafile: Metafile;
}

const packed = (bytes: Uint8Array): number => gzipSync(bytes, { level: 9 }).length / 1000;

async function weigh(contents: string, options: BuildOptions): Promise<Weight> {
  const { build } = await import("esbuild");
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, sourcefile: "page.ts" },
    outdir: "/page",
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "error",
    ...options,
    write: false,
    metafile: true,
  });
  const nameOf = (path: string): string => path.replace(/^.*\//, "");
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [nameOf(path), output]));
  const first = new Set<string>();
  const visit = (name: string): void => {
    if (first.has(name) || !outputs.has(name)) return;
    first.add(name);
    for (const { path, kind } of outputs.get(name)!.imports) {
      if (kind === "import-statement") visit(nameOf(path));
    }
  };
  visit([...outputs].find(([, { entryPoint }]) => entryPoint === "page.ts")![0]);
  const sum = (early: boolean): number =>
    outputFiles.filter(({ path }) => first.has(nameOf(path)) === early)
      .reduce((all, { contents }) => all + packed(contents), 0);
  return { first: sum(true), later: sum(false), metafile };
}

/** Leaves imports of these files open, as if they weighed nothing. */
function without(files: readonly RegExp[]): Plugin {
  return {
    name: "without",
    setup({ onResolve }) {
      onResolve({ filter: /^\./ }, ({ path, importer }) => {
        const { pathname } = new URL(path, `file://${importer}`);
        const is = files.some((pattern) => pattern.test(pathname));
        return is ? { path: "./absent.js", external: true, sideEffects: false } : undefined;
      });
    },
  };
}

const line = (size: number, text: string): void => console.log(`${size.toFixed(1).padStart(8)}  ${text}`);

/** What a page in one file is made of, room by room: each one's part of `size`. */
function printRooms(size: number, { outputs }: Metafile): void {
  const rooms = new Map<string, number>();
  let sum = 0;
  for (
    const [path, { bytesInOutput }] of Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs))
  ) {
    const parts = path.split("/").slice(0, -1),
      room = parts.slice(0, parts[1] === "backends" ? 4 : 2).join("/");
    rooms.set(room || path, (rooms.get(room || path) ?? 0) + bytesInOutput);
    sum += bytesInOutput;
  }
  for (const [room, bytes] of [...rooms].sort(([, a], [, b]) => b - a)) {
    if (bytes / sum > 0.01) line(size * bytes / sum, room);
  }
}

if (import.meta.main) {
  ensurePackages();
  for (const [name, contents] of Object.entries(pages)) {
    const single = await weigh(contents, {}), { first, later } = await weigh(contents, { splitting: true });
    console.log(`\n${name}, kB packed with gzip`);
    line(single.first, "in one file, of which");
    printRooms(single.first, single.metafile);
    line(first, "with splitting, at first");
    line(later, "with splitting, when it is used");
  }
  console.log("\ntensor and matmul, in one file, taken away one after the other");
  for (let i = 0; i <= cuts.length; i++) {
    const plugins = [without(cuts.slice(0, i).map(([, files]) => files))];
    line(
      (await weigh(smallest, { plugins })).first,
      i === 0 ? "whole" : `without ${cuts[i - 1][0]}`,
    );
  }
}
