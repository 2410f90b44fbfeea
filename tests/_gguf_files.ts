/**
 * A GGUF in other guises: cut into the parts of one model, and behind an address that gives ranges alone.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { openGguf } from "../mod.ts";
import { type GgufTensorToSave, planGguf } from "../src/files/gguf/mod.ts";

/** Writes a file's tensors into `count` parts in `folder`, in turn; gives the first part's path. */
export async function splitGguf(path: string, folder: string, count = 3): Promise<string> {
  await using file = await openGguf(path);
  const parts: GgufTensorToSave[][] = Array.from({ length: count }, () => []);
  for (const [i, name] of file.names.entries()) {
    const { type, shape } = file.info(name), bytes = await file.view(name).bytes();
    parts[i % count].push({ name, type, shape, bytes: () => bytes });
  }
  const nameOf = (no: number): string => {
    const digits = (n: number): string => String(n).padStart(5, "0");
    return join(folder, `part-${digits(no + 1)}-of-${digits(count)}.gguf`);
  };
  for (const [no, tensors] of parts.entries()) {
    const notes = {
      ...(no === 0 ? file.notes : {}),
      "split.no": { type: "u16", value: no },
      "split.count": { type: "u16", value: count },
      "split.tensors.count": { type: "i32", value: file.names.length },
    } as Parameters<typeof planGguf>[1];
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of planGguf(tensors, notes).chunks()) chunks.push(chunk.slice());
    writeFileSync(nameOf(no), new Uint8Array(await new Blob(chunks).arrayBuffer()));
  }
  return nameOf(0);
}

/** Runs `run` with an address on this machine that serves one file, by ranges alone. */
export async function byRange<T>(path: string, run: (address: URL) => Promise<T>): Promise<T> {
  const bytes = readFileSync(path);
  const server = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (request.method === "HEAD") {
      response.writeHead(200, { "content-length": bytes.length, "accept-ranges": "bytes" });
      return void response.end();
    }
    if (from === undefined) {
      response.writeHead(400);
      return void response.end("this address gives ranges alone");
    }
    const end = Math.min(Number(to) + 1, bytes.length);
    response.writeHead(206, {
      "content-range": `bytes ${from}-${end - 1}/${bytes.length}`,
      "content-length": end - Number(from),
    });
    response.end(bytes.subarray(Number(from), end));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  try {
    return await run(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/model.gguf`));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
