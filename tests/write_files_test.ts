/**
 * Writing: what stands where a file is to go, what is left by writers that failed or were killed, and files of a folder
 * that belong together.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  FerrotypeError,
  FormatError,
  GPT2,
  openSafetensors,
  saveSafetensors,
  TabularModel,
  tensor,
} from "../mod.ts";
import { commitFolder, currentPath } from "../src/platform/commit.ts";
import { openFile, readFile, writeFileAtomic, writeFiles } from "../src/platform/platform.ts";
import { temporaryName } from "../src/platform/temporary_files.ts";
import { call, ferrotype } from "./_command.ts";
import { repository } from "./_data.ts";
import { inFolder, smallModel } from "./_gpt2.ts";
import { describe, it } from "./_suite.ts";

const windows = process.platform === "win32" ? "POSIX files" : false;
const text = (path: string): string => readFileSync(path, "utf8");
const irisPath = join(repository, "web", "models", "tabular", "iris.safetensors");

/** The name that a process which is gone would have given. */
function leftByTheDead(): string {
  const gone = spawnSync(process.execPath, ["--version"]).pid;
  return temporaryName().replace(`-${process.pid}-`, `-${gone}-`);
}

describe("a file that is written over another", { skip: windows }, () => {
  it("keeps the mode and the owner, as far as the writer may", () =>
    inFolder(async (folder) => {
      const path = join(folder, "private");
      writeFileSync(path, "old");
      chmodSync(path, 0o640);
      const root = process.getuid?.() === 0;
      if (root) chownSync(path, 1234, 2345);
      await writeFileAtomic(path, "new");
      const { mode, uid, gid } = statSync(path);
      assertEquals([text(path), (mode & 0o7777).toString(8)], ["new", "640"]);
      if (root) assertEquals([uid, gid], [1234, 2345]);
    }));

  it("is the one that a link leads to, there or not", () =>
    inFolder(async (folder) => {
      mkdirSync(join(folder, "far"));
      writeFileSync(join(folder, "far", "file"), "old");
      symlinkSync("far/file", join(folder, "near"));
      symlinkSync("near", join(folder, "nearer"));
      symlinkSync("far/none", join(folder, "dangling"));
      await writeFileAtomic(join(folder, "nearer"), "new");
      await writeFileAtomic(join(folder, "dangling"), "made");
      assertEquals([text(join(folder, "far", "file")), text(join(folder, "far", "none"))], ["new", "made"]);
      for (const link of ["near", "nearer", "dangling"]) {
        assert(lstatSync(join(folder, link)).isSymbolicLink());
      }
      symlinkSync("round", join(folder, "about"));
      symlinkSync("about", join(folder, "round"));
      await assertRejects(
        () => writeFileAtomic(join(folder, "round"), ""),
        FerrotypeError,
        "lead in a circle",
      );
      assertEquals(readdirSync(join(folder, "far")).sort(), ["file", "none"]);
    }));

  it("is left alone where it may not be written, or is a folder", () =>
    inFolder(async (folder) => {
      mkdirSync(join(folder, "folder"));
      await assertRejects(
        () => writeFileAtomic(join(folder, "folder"), ""),
        FerrotypeError,
        "it is a folder",
      );
      const path = join(folder, "read-only");
      writeFileSync(path, "old");
      chmodSync(path, 0o444);
      if (process.getuid?.() !== 0) {
        await assertRejects(() => writeFileAtomic(path, "new"), FerrotypeError, "permission denied");
        assertEquals(text(path), "old");
      }
      assertEquals(readdirSync(folder).sort(), ["folder", "read-only"]);
    }));

  it("may have the longest name there is", () =>
    inFolder(async (folder) => {
      const path = join(folder, "x".repeat(255));
      await writeFileAtomic(path, "1");
      await writeFileAtomic(path, "2");
      assertEquals([text(path), readdirSync(folder).length], ["2", 1]);
    }));

  it("is written through where it is a pipe or a device", () =>
    inFolder(async (folder) => {
      const before = statSync("/dev/null");
      await writeFileAtomic("/dev/null", "nothing");
      assertEquals([statSync("/dev/null").ino, statSync("/dev/null").isCharacterDevice()], [
        before.ino,
        true,
      ]);
      const pipe = join(folder, "pipe");
      assertEquals(spawnSync("mkfifo", [pipe]).status, 0);
      const reader = spawn("cat", [pipe]);
      let seen = "";
      reader.stdout.setEncoding("utf8").on("data", (piece) => seen += piece);
      const closed = new Promise((resolve) => reader.on("close", resolve));
      await writeFileAtomic(pipe, "through it");
      await closed;
      assertEquals([seen, lstatSync(pipe).isFIFO(), readdirSync(folder)], ["through it", true, ["pipe"]]);
    }));

  it("is gone on with where it is an open stream of this process", () =>
    inFolder((folder) => {
      const out = join(folder, "out");
      writeFileSync(out, "before\n");
      const target = openSync(out, "a");
      const args = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
      const { status, stderr } = spawnSync(
        process.execPath,
        [...args, join(repository, "cli", "main.ts"), "convert", irisPath, "/dev/stdout"],
        { stdio: ["ignore", target, "pipe"], encoding: "utf8" },
      );
      closeSync(target);
      assertEquals(status, 0, stderr);
      const bytes = readFileSync(out);
      assertEquals(bytes.subarray(0, 7).toString(), "before\n");
      // The same tensors and notes; where they lie is the writer's business.
      assertEquals(bytes.length - 7, readFileSync(irisPath).length);
    }));
});

describe("what writers leave behind", () => {
  it("is removed by the next one, when its owner is gone", () =>
    inFolder(async (folder) => {
      const dead = leftByTheDead(), living = temporaryName(), strange = ".ferrotype-notes.tmp.txt";
      for (const name of [dead, living, strange]) writeFileSync(join(folder, name), "");
      await writeFileAtomic(join(folder, "file"), "1");
      assertEquals(readdirSync(folder).sort(), [living, strange, "file"].sort());
      // Nobody works a day on one piece of a file.
      utimesSync(join(folder, living), new Date(0), new Date(0));
      await writeFiles(folder, [{ name: "file", content: "2" }]);
      assertEquals(readdirSync(folder).sort(), [strange, "file"].sort());
    }));

  it("is nothing when what is written fails", () =>
    inFolder(async (folder) => {
      const place = join(folder, "new", "place");
      const failing = async function* (): AsyncGenerator<Uint8Array> {
        yield await Promise.resolve(new Uint8Array(9));
        throw new RangeError("no more");
      };
      const files = [{ name: "one", content: "1" }, { name: "two", content: failing() }];
      await assertRejects(() => writeFiles(place, files), RangeError);
      assertEquals(readdirSync(folder), []);
      mkdirSync(place, { recursive: true });
      writeFileSync(join(place, "one"), "old");
      await assertRejects(
        () => writeFiles(place, [files[0], { name: "two", content: failing() }]),
        RangeError,
      );
      assertEquals([readdirSync(place), text(join(place, "one"))], [["one"], "old"]);
    }));

  it("is gone on with when all was ready", () =>
    inFolder(async (folder) => {
      const [a, b, note] = [leftByTheDead(), leftByTheDead(), leftByTheDead()];
      for (const name of ["a", "b", "old.safetensors"]) writeFileSync(join(folder, name), "old");
      writeFileSync(join(folder, a), "new a");
      writeFileSync(join(folder, b), "new b");
      const { ino, size, mtimeMs: modified } = statSync(join(folder, "old.safetensors"));
      mkdirSync(join(folder, commitFolder));
      const files = [{ name: "a", temporary: a }, { name: "b", temporary: b }];
      const remove = [{ name: "old.safetensors", ino, size, modified }];
      writeFileSync(join(folder, commitFolder, note), JSON.stringify({ files, hide: [], remove }));
      // One rename had been made.
      renameSync(join(folder, a), join(folder, "a"));
      const seen = (name: string): string | null => {
        const path = currentPath(join(folder, name));
        return path && text(path);
      };
      assertEquals(["a", "b", "old.safetensors", "c"].map(seen), ["new a", "new b", null, null]);
      assertEquals(text(join(folder, "b")), "old");
      await writeFiles(folder, [{ name: "c", content: "c" }]);
      assertEquals(readdirSync(folder).sort(), ["a", "b", "c"]);
      assertEquals(["a", "b", "c"].map((name) => text(join(folder, name))), ["new a", "new b", "c"]);
    }));

  it("is not believed when it asks for more than a writer does", () =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, "precious"), "mine");
      writeFileSync(join(folder, "w.safetensors"), "mine");
      writeFileSync(join(folder, "loot"), "theirs");
      const { ino, size, mtimeMs: modified } = statSync(join(folder, "precious"));
      const place = join(folder, "model");
      mkdirSync(join(place, commitFolder), { recursive: true });
      writeFileSync(join(place, "w.safetensors"), "mine");
      const notes: unknown[] = [
        { files: [{ name: "../precious", temporary: leftByTheDead() }], hide: [], remove: [] },
        { files: [{ name: "x", temporary: "../loot" }], hide: [], remove: [] },
        { files: [], hide: [], remove: [{ name: "../precious", ino, size, modified }] },
        { files: [], hide: [], remove: [{ name: "w.safetensors", ino: 1, size: 4, modified }] },
        { files: 5, hide: [], remove: [] },
        { files: [null], hide: [{}], remove: "x" },
        [],
        null,
      ];
      for (const note of notes) {
        writeFileSync(join(place, commitFolder, leftByTheDead()), JSON.stringify(note));
      }
      writeFileSync(join(place, commitFolder, leftByTheDead()), "{");
      assertEquals(currentPath(join(place, "x")), null);
      await writeFiles(place, [{ name: "y", content: "y" }]);
      assertEquals([text(join(folder, "precious")), text(join(folder, "loot"))], ["mine", "theirs"]);
      assertEquals(readdirSync(place).sort(), ["w.safetensors", "y"]);
    }));
});

describe("a model's folder", () => {
  const other = (): GPT2 => smallModel({ layerNormEpsilon: 0.25 });

  it("refuses weights, shards and configuration of another save, and none of others' making", () =>
    inFolder(async (folder) => {
      const [a, b, c] = ["a", "b", "c"].map((name) => join(folder, name));
      using one = smallModel(), two = other();
      const shardSize = 2000;
      await one.save(a, { shardSize });
      await two.save(b, { shardSize });
      const shards = readdirSync(a).filter((name) => /-of-/.test(name)).sort();
      const mixed = async (name: string): Promise<void> => {
        await one.save(c, { shardSize });
        copyFileSync(join(b, name), join(c, name));
        const error = await assertRejects(() => GPT2.load(c), FormatError, "were not saved together");
        assert(error.message.length < 400);
      };
      for (
        const name of [shards[0], shards[shards.length - 1], "model.safetensors.index.json", "config.json"]
      ) {
        await mixed(name);
      }
      await one.save(c);
      await two.save(b);
      copyFileSync(join(b, "config.json"), join(c, "config.json"));
      await assertRejects(
        () => GPT2.load(c),
        FormatError,
        "config.json and the weights were not saved together",
      );
      // Weights without a note, as others write them, and a configuration without one.
      await saveSafetensors(join(c, "model.safetensors"), two.stateDict());
      (await GPT2.load(c)).dispose();
      const { ferrotype_sha256: _, ...plain } = JSON.parse(text(join(b, "config.json")));
      await one.save(c);
      writeFileSync(join(c, "config.json"), JSON.stringify(plain));
      (await GPT2.load(c)).dispose();
    }));

  it("keeps what others wrote, and what was changed since", () =>
    inFolder(async (folder) => {
      using model = smallModel();
      const shardSize = 2000,
        names = (): string[] => readdirSync(folder).filter((n) => /safetensors/.test(n)).sort();
      await model.save(folder, { shardSize });
      const shards = names().filter((name) => /-of-/.test(name)), [first, second] = shards;
      // One shard has become somebody else's, and there are others of the kind that no index names.
      await saveSafetensors(join(folder, second), { x: tensor([1]) });
      writeFileSync(join(folder, "model-00001-of-00099.safetensors"), "?");
      writeFileSync(join(folder, "notes.txt"), "?");
      await model.save(folder);
      assertEquals(names(), ["model-00001-of-00099.safetensors", second, "model.safetensors"].sort());
      assert(!existsSync(join(folder, first)) && existsSync(join(folder, "notes.txt")));
      // An index without notes is not ours: one file is written beside it, and found before it.
      await model.save(folder, { shardSize });
      const path = join(folder, "model.safetensors.index.json"), index = JSON.parse(text(path));
      writeFileSync(path, JSON.stringify({ ...index, metadata: { total_size: 1 } }));
      const before = names();
      await model.save(folder);
      assertEquals(names(), [...before, "model.safetensors"].sort());
      (await GPT2.load(folder)).dispose();
    }));

  it("loses nothing to a tabular model of the same name, or to single tensors", () =>
    inFolder(async (folder) => {
      using model = smallModel();
      await model.save(folder, { shardSize: 2000 });
      const before = readdirSync(folder).map((name) => [name, text(join(folder, name))]).sort();
      using tabular = await TabularModel.load(irisPath);
      await tabular.save(join(folder, "model.safetensors"));
      await saveSafetensors(join(folder, "model.safetensors"), { a: tensor([1]) });
      const after = readdirSync(folder).filter((name) => name !== "model.safetensors");
      assertEquals(after.map((name) => [name, text(join(folder, name))]).sort(), before);
    }));

  it("is what it was until a training run into it is done", () =>
    inFolder(async (folder) => {
      const input = join(folder, "text.txt"), out = join(folder, "out");
      writeFileSync(input, "abcdefgh ".repeat(200));
      using model = smallModel();
      await model.save(out);
      const config = text(join(out, "config.json"));
      const args = ["train", input, "-o", out, "--n-layer", "1", "--n-head", "1", "--n-embd", "8"];
      args.push("--block-size", "8", "--steps", "1000000", "--quiet");
      const ended = await ferrotype(args, {
        started(child) {
          const look = setInterval(() => {
            if (!existsSync(join(out, "training.json"))) return;
            clearInterval(look);
            child.kill("SIGKILL");
          }, 5);
          child.on("close", () => clearInterval(look));
        },
      });
      assert(ended.code !== 0);
      assertEquals([text(join(out, "config.json")), existsSync(join(out, "tokenizer.json"))], [
        config,
        false,
      ]);
      (await GPT2.load(out)).dispose();
    }));
});

describe("a file that is read while it changes", () => {
  it("is noticed, overwritten or replaced, by the same size too", () =>
    inFolder(async (folder) => {
      const path = join(folder, "x.safetensors"), next = join(folder, "next");
      const write = (to: string, value: number) => saveSafetensors(to, { x: tensor([value, value]) });
      await write(next, 2);
      const changes: [string, () => void][] = [
        ["overwritten", () => writeFileSync(path, readFileSync(next))],
        ["overwritten", () => writeFileSync(path, "short")],
        ["replaced by another file", () => renameSync(next, path)],
      ];
      for (const [how, change] of changes) {
        await write(path, 1);
        // At once: the time of the next write may be that of the last.
        await using file = await openSafetensors(path);
        const kept = await openFile(path);
        assertEquals(await (await file.tensor("x")).toArray(), [1, 1]);
        change();
        const said = how === "overwritten" ? /was overwritten|ends at byte/ : /was replaced/;
        for (const read of [() => file.view("x").bytes(), () => kept.read(0, 8)]) {
          assert(said.test((await assertRejects(read, FormatError)).message));
        }
        assert(said.test(assertThrows(() => kept.readSync?.(0, new Uint8Array(8)), FormatError).message));
        await kept.close();
      }
    }));

  it("is noticed when its size and time are set back, and not when only its names or its owner change", {
    skip: windows,
  }, () =>
    inFolder(async (folder) => {
      const path = join(folder, "x.safetensors"),
        changes = [
          () => chmodSync(path, 0o400),
          () => linkSync(path, join(folder, crypto.randomUUID())),
          () => chmodSync(path, 0o600),
          () => {},
        ];
      await saveSafetensors(path, { x: tensor([1, 2]) });
      const bytes = readFileSync(path);
      for (const count of [0, changes.length - 1]) {
        chmodSync(path, 0o644);
        utimesSync(path, 1e9, 1e9);
        await using file = await openSafetensors(path);
        const kept = await openFile(path);
        for (const change of changes.slice(count)) {
          change();
          assertEquals(await (await file.tensor("x")).toArray(), [1, 2]);
          await kept.read(0, 8);
        }
        // Deno tells times of change in whole seconds.
        await new Promise((resolve) => setTimeout(resolve, 1010));
        writeFileSync(path, bytes);
        utimesSync(path, 1e9, 1e9);
        for (const read of [() => file.view("x").bytes(), () => kept.read(0, 8)]) {
          await assertRejects(read, FormatError, "was overwritten");
        }
        await kept.close();
      }
    }));

  it("is what it was when it was removed", { skip: windows }, () =>
    inFolder(async (folder) => {
      const path = join(folder, "x.safetensors");
      await saveSafetensors(path, { x: tensor([1, 2]) });
      await using file = await openSafetensors(path);
      renameSync(path, join(folder, "elsewhere"));
      assertEquals(await (await file.tensor("x")).toArray(), [1, 2]);
    }));
});

describe("a pipe or a device that is to be read", { skip: windows }, () => {
  it("is refused at once, wherever a file is asked for", () =>
    inFolder(async (folder) => {
      const pipe = join(folder, "model.safetensors");
      assertEquals(spawnSync("mkfifo", [pipe]).status, 0);
      for (const path of [pipe, "/dev/null", "/dev/zero"]) {
        await assertRejects(() => openSafetensors(path), FormatError, "is a pipe or a device");
        await assertRejects(() => readFile(path), FormatError, "is a pipe or a device");
      }
      const tokenizer = join(folder, "tokenizer.json"), config = join(folder, "config.json");
      for (const path of [tokenizer, config]) assertEquals(spawnSync("mkfifo", [path]).status, 0);
      const commands = [
        ["inspect", pipe],
        ["inspect", folder],
        ["convert", pipe, join(folder, "out")],
        ["generate", "x", "--model", folder],
        ["tokenize", "x", "--model", folder],
        ["train", pipe, "-o", join(folder, "out")],
        ["eval", pipe],
        ["tabular", "train", pipe, "-o", join(folder, "out")],
        ["tabular", "predict", pipe, "a=1"],
        ["tokenizer", "train", pipe, "-o", join(folder, "out")],
      ];
      for (const args of commands) {
        const { code, stderr } = await call(args);
        assertStrictEquals(code, 1, args.join(" "));
        assert(/is a pipe or a device/.test(stderr), `${args.join(" ")}: ${stderr}`);
      }
      assertEquals(readdirSync(folder).sort(), ["config.json", "model.safetensors", "tokenizer.json"]);
    }));
});
