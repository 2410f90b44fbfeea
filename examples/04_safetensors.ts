/**
 * Lesson 4: files of tensors.
 *
 * Opening reads the header; a tensor's bytes are read when they are asked for. Paths, URLs (by ranges), Blobs and
 * bytes open the same way, and so does the index of a model in several files.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { arange, openSafetensors, saveSafetensors } from "../mod.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrotype-lesson-"));
try {
  const path = join(folder, "lesson.safetensors");
  const tensors = { small: arange(6).reshape([2, 3]), large: arange(100_000).to({ dtype: "f32" }) };
  await saveSafetensors(path, tensors, { metadata: { made_by: "lesson 4" } });

  {
    await using file = await openSafetensors(path);
    console.log(file.names, file.metadata, file.info("large").shape);
    console.log("read to open:", file.bytesRead, "bytes");
    console.log(await (await file.tensor("small", { dtype: "f32" })).toArray());
    console.log("read in all:", file.bytesRead, "bytes");
    // A view is lazy too: these are ten numbers of a hundred thousand.
    console.log("ten rows:", (await file.view("large").rows(500, 510).bytes()).byteLength, "bytes");
  }

  await saveSafetensors(path, tensors, { dtype: "bf16", shardSize: 100_000 });
  console.log(readdirSync(folder).sort());
} finally {
  rmSync(folder, { recursive: true });
}
