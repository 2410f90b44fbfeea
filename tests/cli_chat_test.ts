/**
 * `ferrotype chat` and `ferrotype completions`.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { describe, it } from "./_suite.ts";
import { call, ferrotype, interrupt } from "./_command.ts";
import { asksNothing } from "./_width.ts";

describe("ferrotype chat", () => {
  it("answers line after line, the same for the same seed, and ends with its input", async () => {
    const talk = () =>
      ferrotype(["chat", "-n", "30", "--seed", "3"], { input: "ROMEO:\nSpeak again!\n/exit\nnever\n" });
    const one = await talk(), two = await talk();
    assertEquals([one.code, one.stderr], [0, ""]);
    assertStrictEquals(one.stdout, two.stdout);
    assert(one.stdout.length >= 60 && one.stdout.length <= 70, one.stdout);
    const greedy = await ferrotype(["chat", "-n", "20", "--temperature", "0", "--stop", "\n"], {
      input: "JULIET:\n",
    });
    assertStrictEquals(greedy.stdout.trimEnd().split("\n").length, 1);
  });

  it("stops an answer when interrupted, and goes on", async () => {
    let sent = false;
    const ended = await ferrotype(["chat", "-n", "120", "--temperature", "0", "--threads", "1"], {
      input: "ROMEO:\nJULIET:\n",
      started(child) {
        child.stdout.on("data", () => {
          if (sent) return;
          sent = true;
          interrupt(child);
        });
      },
    });
    assertStrictEquals(ended.code, 0, ended.stderr);
    assert(ended.stdout.length > 120 && ended.stdout.length < 250, `${ended.stdout.length} characters`);
  });
});

describe("ferrotype completions", { skip: asksNothing }, () => {
  it("print scripts that their shells accept", async () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const { code, stdout } = await call(["completions", shell]);
      assertStrictEquals(code, 0);
      assertMatch(stdout, /max-new-tokens/);
      if (spawnSync(shell, ["--version"]).status === 0) {
        const { status, stderr } = spawnSync(shell, ["-n"], { input: stdout, encoding: "utf8" });
        assertStrictEquals(status, 0, stderr);
      }
    }
    const { stdout } = await call(["completions", "bash"]);
    const done = spawnSync("bash", [], {
      input:
        `${stdout}\nCOMP_WORDS=(ferrotype generate --temp); COMP_CWORD=2; _ferrotype; echo "\${COMPREPLY[@]}"`,
      encoding: "utf8",
    });
    assertStrictEquals(done.stdout, "--temperature\n", done.stderr);
    const wrong = await call(["completions", "tcsh"]);
    assertEquals([wrong.code, wrong.stdout], [2, ""]);
    assertMatch(wrong.stderr, /bash, zsh, fish, not "tcsh"/);
  });
});
