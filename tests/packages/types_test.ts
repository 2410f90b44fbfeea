/**
 * What a user's compiler says of the package: the sources over the network, as JSR serves them, by Deno, which also runs them;
 * the npm form by TypeScript, as Node resolves it and as bundlers do, and the sources under strict options, as Deno takes ten times
 * as long. Strictness is the user's affair, not ours.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import process from "node:process";
import { repository } from "../_data.ts";
import { after, before, describe, it } from "../_suite.ts";
import { Project, run, skip } from "./_consumer.ts";

/** A program that touches each part of the public face, and a generic of ours with a model of ours. */
const program = `
import {
  add, Batcher, BpeTokenizer, checkGradients, type DeviceName, FerrotypeError, type GenerateOptions, grad, GPT2,
  type LanguageModel, landscapes, loadTokenizer, nn, openSafetensors, optim, randomBatches, readCsv, saveSafetensors,
  type Shape, TabularModel, type Tensor, tensor, tidy, Trainer, valueAndGrad, zeros,
} from "@ferrotype/ferrotype";

class Net extends nn.Module {
  first = new nn.Linear(4, 8);
  second = new nn.Linear(8, 2, { bias: false });
  forward(x: Tensor): Tensor {
    return this.second.forward(this.first.forward(x).relu());
  }
}

export async function all(text: string, signal?: AbortSignal): Promise<void> {
  using x: Tensor = tensor([[1, 2], [3, 4]], { requiresGrad: true, device: "cpu" });
  x.matmul(x).sum().backward();
  const gradient: Tensor | null = x.grad;
  const shape: Shape = add(x, 1).shape, device: DeviceName = x.device;
  console.log(gradient?.shape, shape, device, await x.data(), await x.item(), await x.toArray(), zeros([2]).dtype);

  const model = await GPT2.load("web/models/shakespeare", { dtype: "bf16", ...(signal ? { signal } : {}) });
  const options: GenerateOptions = { maxNewTokens: 10, temperature: 0.8, topK: 5, stop: ["\\n"], seed: 1 };
  for await (const piece of model.generate("ROMEO:", options)) console.log(piece.toUpperCase());
  const whole: string = await model.complete("ROMEO:", { numBeams: 2 });
  const batcher = new Batcher(model, {});
  const again: LanguageModel = model as unknown as LanguageModel;
  console.log(whole, batcher.load.active, again.contextLength, model.batcher().load);

  const net = new Net(), optimizer = new optim.AdamW(net.parameters(), { lr: 1e-3 });
  const loss = tidy(() => nn.crossEntropy(net.forward(zeros([3, 4])), tensor([0, 1, 1])));
  loss.backward();
  optimizer.step();
  console.log(net.stateDict(), grad((t: Tensor) => t.square().sum())(x), valueAndGrad((t: Tensor) => t.sum())(x));
  console.log(await checkGradients((t: Tensor) => t.exp(), [x]));

  await using file = await openSafetensors(new Blob([]));
  console.log(file.names, (await file.tensor("a")).shape, file.bytesRead);
  await saveSafetensors("x.safetensors", { x }, { dtype: "f16" });
  const tokenizer = BpeTokenizer.train(text, { vocabSize: 300 });
  console.log(tokenizer.encode(text), (await loadTokenizer("gpt2")).vocabSize, Object.keys(landscapes));

  const table = await readCsv(new Blob([text]));
  const fitted = await TabularModel.fit(table, { target: "y" });
  console.log(await fitted.predict({ a: 1 }));
  const trainer = new Trainer({
    model,
    data: randomBatches([1, 2, 3, 4], { batchSize: 1, blockSize: 2, seed: 1 }),
    optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
    steps: 1,
  });
  console.log((await trainer.run()).step);
  try {
    throw new FerrotypeError("x");
  } catch (error) {
    if (error instanceof FerrotypeError) console.log(error.message);
  }
}
`;

/** What one writes who passes options on: undefined is said, and means that nothing is. For the npm form, whose types say so. */
const passingOn = `
import {
  CausalLM, CheckpointManager, crossEntropy, type GenerateOptions, loadTokenizer, nn, openSafetensors, optim, rand, readCsv,
  saveSafetensors, TabularModel, type Tensor, tensor, type TensorOptions,
} from "@ferrotype/ferrotype";

export async function all(seed: number | undefined, signal: AbortSignal | undefined, x: Tensor | undefined): Promise<void> {
  const options: GenerateOptions = { seed, signal, maxNewTokens: undefined, topK: seed, onToken: undefined };
  const model = await CausalLM.load("gpt2", { dtype: undefined, signal, onProgress: undefined, revision: undefined });
  console.log(await model.complete("a", options), await model.completion("a", { ...options, stop: undefined }));
  const place: TensorOptions = { dtype: undefined, device: undefined, requiresGrad: undefined };
  const y = tensor([1, 2], place), z = rand([2], { ...place, seed });
  console.log(crossEntropy(y, z, { weight: x, reduction: undefined }), new nn.Linear(1, 2, { bias: undefined }));
  console.log(optim.schedules.cosine({ lr: 1, steps: 2, warmup: seed, minLr: undefined }));
  console.log(new optim.AdamW([y], { lr: seed, betas: undefined }), new CheckpointManager("a", { keepLast: seed }));
  const table = await readCsv("a.csv", { delimiter: undefined, decimal: undefined, seed, signal });
  console.log(await TabularModel.fit(table, { target: undefined, seed }), await loadTokenizer("a", { token: undefined }));
  await using file = await openSafetensors("a");
  await saveSafetensors("b", { y: await file.tensor("y", { dtype: undefined }) }, { metadata: undefined });
}
`;

/** Options that a user may have set, beyond what is on by default. */
const strictest = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
};

/** The sources, as JSR serves them, and a folder beside which Deno keeps what it fetched, for nothing stays in the user's cache. */
class Served {
  readonly #folder = mkdtempSync(join(tmpdir(), "ferrotype-types-"));
  readonly #server = createServer(({ url }, response) => {
    const path = normalize(decodeURIComponent(new URL(url!, "http://localhost").pathname));
    if (!/^\/(mod\.ts|src\/.*\.ts)$/.test(path)) return void response.writeHead(404).end();
    response.setHeader("content-type", "application/typescript").end(readFileSync(join(repository, path)));
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  /** What Deno prints of programs, by their names, whose import map says that the library is there. */
  async deno(command: "check" | "run", programs: Record<string, string>, ...args: string[]): Promise<string> {
    const { port } = this.#server.address() as AddressInfo, host = `127.0.0.1:${port}`;
    const imports = { "@ferrotype/ferrotype": `http://${host}/mod.ts` }, cwd = this.#folder;
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(cwd, name), text);
    writeFileSync(join(cwd, "deno.json"), JSON.stringify({ imports, lock: false }));
    const { code, stdout, stderr } = await run(
      process.execPath,
      [command, "--quiet", `--allow-import=${host}`, ...args, ...Object.keys(programs)],
      { cwd, env: { DENO_DIR: join(cwd, "cache") } },
    );
    return code === 0 ? stdout : `${code}\n${stdout}${stderr}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe("a user's type check", { skip }, () => {
  const served = new Served();
  before(() => served.start());
  after(() => served.stop());

  // Errors in what comes from afar are not the user's, to Deno, which reads it as far as the program needs. That it has
  // nothing to say of the sources themselves, `deno task ok` sees, and TypeScript below.
  it("passes on Deno with the options that it has by default and the sources from afar, as from JSR, and fails where the user is wrong", async () => {
    // Together, for most of the work is the library's.
    const wrong = 'import { tensor } from "@ferrotype/ferrotype";\ntensor([1]).foo();\n';
    const told = await served.deno("check", { "main.ts": program, "wrong.ts": wrong });
    assertMatch(told, /^1\n[^]*TS2339.*Property 'foo' does not exist on type 'Tensor'/);
    assertEquals([...told.matchAll(/file:\/\/.*\/(\w+\.ts):\d+/g)].map(([, name]) => name), ["wrong.ts"]);
  });

  it("finds every module of sources from afar, which run", async () => {
    const main = 'import { ones } from "@ferrotype/ferrotype";\nconsole.log(await ones([3]).sum().item());\n';
    assertEquals(await served.deno("run", { "main.ts": main }, "--no-prompt"), "3\n");
  });

  const tsc = join(repository, "node_modules/typescript/bin/tsc");
  let project: Project;
  before(async () => {
    project = await Project.make({ "main.ts": program }, ["@types/node", "undici-types"]);
  });
  after(() => project?.[Symbol.dispose]());

  it("fails where the user is wrong", async () => {
    project.write({ "wrong.ts": 'import { tensor } from "@ferrotype/ferrotype";\ntensor([1]).foo();\n' });
    const { stdout } = await run(process.execPath, ["run", "-A", tsc, "--noEmit", "wrong.ts"], {
      cwd: project.folder,
    });
    assertMatch(stdout, /^wrong\.ts\(2,13\): error TS2339: Property 'foo' does not exist on type 'Tensor'/);
  });

  for (
    const [resolution, name, options] of [
      ["nodenext", "no strictness", { strict: false }],
      ["nodenext", "strict", { strict: true }],
      ["nodenext", "the strictest options", strictest],
      ["nodenext", "Node's types for the page's", { strict: true, lib: ["es2024"], types: ["node"] }],
      ["bundler", "the strictest options", strictest],
    ] as const
  ) {
    it(`passes with TypeScript and the npm form, by ${resolution} and with ${name}`, async () => {
      const compilerOptions = {
        target: "es2024",
        module: resolution === "bundler" ? "esnext" : resolution,
        moduleResolution: resolution,
        // Neither Node's types nor a leave not to read ours.
        types: [],
        skipLibCheck: false,
        noEmit: true,
        ...options,
      };
      const files = ["main.ts", "passing_on.ts"];
      project.write({
        "passing_on.ts": passingOn,
        "tsconfig.json": JSON.stringify({ compilerOptions, files }),
      });
      const { stdout, stderr } = await run(process.execPath, ["run", "-A", tsc, "-p", "."], {
        cwd: project.folder,
      });
      assertEquals(stdout + stderr, "");
    });
  }

  it("passes with TypeScript and the sources as they are, under every strictness but for indices", async () => {
    const compilerOptions = {
      target: "esnext",
      module: "esnext",
      moduleResolution: "bundler",
      allowImportingTsExtensions: true,
      lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"],
      types: [],
      noEmit: true,
      paths: { "@ferrotype/ferrotype": [join(repository, "mod.ts")] },
      ...strictest,
      // These change what an index means in our own files, which are checked as if they were the user's.
      noUncheckedIndexedAccess: false,
      noPropertyAccessFromIndexSignature: false,
    };
    project.write({ "tsconfig.json": JSON.stringify({ compilerOptions, files: ["main.ts"] }) });
    const { stdout, stderr } = await run(process.execPath, ["run", "-A", tsc, "-p", "."], {
      cwd: project.folder,
    });
    assertEquals(stdout + stderr, "");
  });

  it("passes on Deno with the npm form in node_modules, under the strictest options", async () => {
    project.write({
      "deno.json": JSON.stringify({ nodeModulesDir: "manual", lock: false, compilerOptions: strictest }),
    });
    const { code, stderr } = await run(process.execPath, ["check", "--quiet", "main.ts"], {
      cwd: project.folder,
    });
    assertEquals([code, stderr], [0, ""]);
  });
});
