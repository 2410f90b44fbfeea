/**
 * A command that another one started: it ends as if it were told to when that one closes its standard input, or is gone.
 *
 * @module
 */
import process from "node:process";

/** How long a signal to the whole group may be behind the end of the input, in milliseconds. */
const grace = 300;

const signals = ["SIGINT", "SIGTERM"] as const;

/** Has this process end in good order with who started it. */
export function endWithParent(): void {
  let wasTold = false;
  const hear = (): void => void (wasTold = true);
  // Who listens by itself is told by these signals, too; a second one would not let it finish.
  for (const signal of signals) process.on(signal, hear);
  const leave = (): void => {
    setTimeout(() => {
      if (!wasTold) process.kill(process.pid, "SIGTERM");
    }, grace).unref?.();
  };
  process.stdin.on("error", leave);
  process.stdin.on("end", leave);
  process.stdin.resume();
}
