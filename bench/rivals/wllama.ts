/**
 * wllama, llama.cpp in WebAssembly, in a headless Chromium. `CHROMIUM` names the browser, or one is found on the path.
 *
 * A page asks for jobs and posts their answers; it and the model's file are served with the headers that allow threads.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import process from "node:process";
import type { Prepare } from "./host.ts";

interface Job {
  readonly model: string;
  readonly task: string;
  readonly prompt: number;
  readonly tokens: number;
  readonly threads: number;
}

const page = `<script type="module">
  const ask = async (path, body) => (await fetch(path, { method: "POST", body })).json();
  const letters = "abcdefghijklmnpqrsuvwxyz";
  const loaded = new Map();
  let made = 0, answer = {};
  for (;;) {
    const job = await ask("/next", JSON.stringify(answer));
    try {
      let wllama = loaded.get(job.model);
      if (!wllama) {
        const { Wllama } = await import("/package/esm/index.js");
        const quiet = { debug() {}, log() {}, warn() {}, error() {} };
        wllama = new Wllama({ default: "/package/esm/wasm/wllama.wasm" }, { logger: quiet });
        const file = await (await fetch("/model?" + encodeURIComponent(job.model))).blob();
        await wllama.loadModel([file], { n_threads: job.threads, n_ctx: 1024, n_batch: 512, n_gpu_layers: 0, seed: 1 });
        loaded.set(job.model, wllama);
      }
      // One letter is one token of this vocabulary; another text each time, so that nothing is remembered.
      made++;
      const prompt = Array.from({ length: job.prompt }, (_, i) => letters[(i * 7 + made * 5 + ((i * i) % 11)) % 24]).join("");
      const count = job.tokens;
      const { timings } = await wllama.createCompletion({
        prompt, max_tokens: count, n_predict: count, temperature: 0, top_k: 1, cache_prompt: false, ignore_eos: true,
      });
      answer = { seconds: 1 / (job.task === "prefill" ? timings.prompt_per_second / job.prompt : timings.predicted_per_second) };
    } catch (error) {
      answer = { error: String(error) };
    }
  }
</script>`;

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** Does a job in the page. */
type Run = (job: Job) => Promise<number>;

function findChromium(): string {
  const names = [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"];
  for (const name of names) {
    if (name && spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0) return name;
  }
  throw new Error("no Chromium was found; set CHROMIUM to its path");
}

function start(modules: string): Run {
  const chromium = findChromium();
  const folder = join(modules, "@wllama/wllama"), profile = mkdtempSync(join(tmpdir(), "ferrotype-bench-"));
  const isolated = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  };
  let waiting: ServerResponse | null = null, next: Job | null = null;
  let finish: (answer: { seconds?: number; error?: string }) => void = () => {};
  const give = (): void => {
    if (!waiting || !next) return;
    waiting.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(next));
    waiting = next = null;
  };
  const sendFile = (response: ServerResponse, file: string): void => {
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, {
      ...isolated,
      "content-type": types[extname(file)] ?? "application/octet-stream",
      "content-length": statSync(file).size,
    });
    createReadStream(file).pipe(response);
  };
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url!, "http://localhost");
    let body = "";
    request.on("data", (chunk) => body += chunk);
    request.on("end", () => {
      if (pathname === "/next") {
        waiting = response;
        if (body !== "{}") finish(JSON.parse(body));
        give();
      } else if (pathname === "/model") sendFile(response, decodeURIComponent(search.slice(1)));
      else if (pathname.startsWith("/package/")) {
        sendFile(response, join(folder, normalize(pathname.slice("/package".length))));
      } else response.writeHead(200, { ...isolated, "content-type": "text/html" }).end(page);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      `--user-data-dir=${profile}`,
    ];
    const child = spawn(chromium, [...flags, `http://127.0.0.1:${port}/`], { stdio: "ignore" });
    const end = (): void => {
      child.kill("SIGKILL");
      rmSync(profile, { recursive: true, force: true });
    };
    process.on("exit", end);
    // The host is ended by closing its input or by a signal.
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  });
  return (job) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the page did not answer in two minutes")), 120_000);
      finish = ({ seconds, error }) => {
        clearTimeout(timer);
        if (error !== undefined) reject(new Error(error));
        else resolve(seconds!);
      };
      next = job;
      give();
    });
}

let run: Run | null = null;

/** Tasks "prefill" and "decode": model (a GGUF file), prompt, tokens, threads. */
export const prepare: Prepare = (_rival, task, options, modules) => {
  run ??= start(modules);
  const page = run;
  return Promise.resolve(() => page({ ...options, task }));
};
