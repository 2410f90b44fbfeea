/**
 * Under Slurm, a controller and a node on loopback: ranks that `srun` starts train as one process does, and an array's tasks share a batch.
 */
import { assertAlmostEquals, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Ended, ferrotype } from "./_command.ts";
import { nodeCache, repository } from "./_data.ts";
import { mpiRuns } from "./_mpi.ts";
import { noSlurm, type Slurm, startSlurm } from "./_slurm.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

// Debian's Slurm speaks PMI 2, as MPICH does.
const noRanks = mpiRuns.find(({ family }) => family === "MPICH")!.skip;

describe("under Slurm", { skip: noSlurm }, () => {
  let folder = "", slurm: Slurm | null = null, problem = "";
  const at = (name: string): string => join(folder, name);
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-slurm-"));
    slurm = await startSlurm().catch((error: Error) => {
      problem = `Slurm does not start here: ${error.message}`;
      return null;
    });
    writeFileSync(at("t.txt"), "to be or not to be, that is the question. ".repeat(20));
  });
  after(async () => {
    await slurm?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const command = (args: readonly string[]): string[] => [
    process.execPath,
    ...("Deno" in globalThis ? ["run", "-A", "--no-check"] : []),
    join(repository, "cli/main.ts"),
    ...args,
  ];
  const run = (program: string, args: readonly string[]): Promise<Ended> => {
    const env = { NODE_COMPILE_CACHE: nodeCache, ...process.env, ...slurm!.env, NO_COLOR: "1" };
    const child = spawn(program, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    const ended: Ended = { code: null, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text) => ended.stdout += text);
    child.stderr.setEncoding("utf8").on("data", (text) => ended.stderr += text);
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve({ ...ended, code }));
    });
  };
  const train = (out: string): string[] => [
    ...[
      "train",
      at("t.txt"),
      "-o",
      at(out),
      "--steps",
      "10",
      "--batch-size",
      "4",
      "--block-size",
      "8",
      "--json",
    ],
    ...["--n-layer", "1", "--n-head", "1", "--n-embd", "8", "--threads", "1"],
  ];
  const losses = (out: string): number[] =>
    readFileSync(at(`${out}/log.jsonl`), "utf8").trim().split("\n").flatMap((line) =>
      JSON.parse(line).loss ?? []
    );

  it(
    "srun --mpi=pmi2 -n 2 trains on two ranks, with the losses of one process",
    { skip: noRanks },
    async (t) => {
      if (slurm === null) return t.skip(problem);
      const ranks = await run("srun", [
        "--mpi=pmi2",
        "-n",
        "2",
        "--kill-on-bad-exit=1",
        ...command(train("two")),
      ]);
      assertStrictEquals(ranks.code, 0, ranks.stderr);
      assertMatch(ranks.stderr, /2 ranks/);
      const alone = await ferrotype(train("one"));
      assertStrictEquals(alone.code, 0, alone.stderr);
      const one = losses("one"), two = losses("two");
      assertStrictEquals(two.length, one.length);
      one.forEach((loss, i) => assertAlmostEquals(two[i], loss, 1e-5));
    },
  );

  it("sbatch --array has its tasks share a batch, with no server", { skip: asksNothing }, async (t) => {
    if (slurm === null) return t.skip(problem);
    const request = (i: number): string =>
      JSON.stringify({
        custom_id: `r${i}`,
        url: "/v1/completions",
        body: { prompt: "ROMEO:", max_tokens: 2, seed: i },
      });
    writeFileSync(at("in.jsonl"), `${[0, 1, 2, 3, 4].map(request).join("\n")}\n`);
    const line = command(["batch", at("in.jsonl"), "-o", at("answers"), "--threads", "1"]).join(" ");
    const array = ["--array=1-5:2", "--wait", "-n", "1", `--output=${at("said-%a")}`, `--chdir=${folder}`];
    const { code, stderr } = await run("sbatch", [...array, `--wrap=${line}`]);
    const said = [1, 3, 5].map((task) => readFileSync(at(`said-${task}`), "utf8")).join("");
    assertStrictEquals(code, 0, stderr + said);
    const lines = readFileSync(at("answers/output.jsonl"), "utf8").trim().split("\n").map((text) =>
      JSON.parse(text)
    );
    assertEquals(
      lines.map(({ custom_id, response }) => [custom_id, response.status_code]),
      [0, 1, 2, 3, 4].map((i) => [`r${i}`, 200]),
    );
    const parts = [0, 1, 2].map((i) =>
      readFileSync(at(`answers/part-${i}.jsonl`), "utf8").trim().split("\n").length
    );
    assertEquals(parts, [2, 2, 1]);
  });
});
