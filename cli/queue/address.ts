/**
 * Where a queue is: the options that name it, and what is meant by them.
 *
 * @module
 */
import { kind, number } from "../../src/core/kinds.ts";
import type { Idle } from "../../src/core/options.ts";
import { show } from "../../src/core/show.ts";
import { environment } from "../../src/platform/platform.ts";
import { type Given, type Options, UsageError, type Values } from "../command.ts";

/** Where a queue is, and how long it waits for a worker. */
export interface QueueAddress {
  readonly command: string;
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly isSecure: boolean;
  /** What it is called there. */
  readonly name: string;
  /** Seconds after which a worker that was not heard of is taken for dead. */
  readonly lease: number;
  /** For people: without the password. */
  readonly where: string;
}

function addressOf(text: string): URL | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isGood = url !== null && /^rediss?:$/.test(url.protocol) && url.hostname !== "" &&
    /^\/?$|^\/\d{1,4}$/.test(url.pathname) && url.search === "" && url.hash === "" &&
    [url.username, url.password].every((part) => {
      try {
        return decodeURIComponent(part) !== null;
      } catch {
        return false;
      }
    });
  return isGood ? url : null;
}

const names = /^[A-Za-z0-9][\w.-]{0,99}$/;

/** The options; `work` is what there is in the queue: "requests". */
export function queueOptions(work: string): Options {
  return {
    queue: {
      value: "URL",
      // What is refused is shown, and may have a password in it: so it is looked at by addressFrom.
      help:
        `take ${work} from a queue, as any number of workers anywhere do: redis://HOST:PORT (Redis, Valkey)`,
    },
    "queue-name": {
      value: "NAME",
      kind: kind(
        "up to 100 letters, digits, '.', '_' and '-'",
        (x) => typeof x === "string" && names.test(x),
      ),
      help: "what it is called there, for all its workers (default: as the folder DIR)",
    },
    lease: {
      value: "SECONDS",
      kind: number({ from: 1, to: 3600 }),
      help: "the work of one who was not heard of for so long is taken up by another (default 30)",
    },
  };
}

/** What they have no effect beside. */
export const queueIdle: readonly Idle<Given>[] = [
  {
    option: ["queue-name", "lease"],
    when: ({ queue }) => queue === undefined,
    because: "there is no --queue URL",
  },
  {
    option: "share",
    when: ({ queue }) => queue !== undefined,
    because: "--queue hands out the work",
  },
  {
    option: "lease",
    when: ({ status }) => status === true,
    because: "--status takes no work",
  },
];

/** The queue that is meant; null where none is. @throws {UsageError} for an address that is none. */
export function addressFrom(command: string, values: Values, folder: string): QueueAddress | null {
  const text = values.text("queue");
  if (text === undefined) return null;
  const url = addressOf(text);
  if (url === null) {
    const said = show(text.replace(/\/\/[^/]*@/, "//…@"));
    throw new UsageError(
      `${command}: --queue is ${said}, expected redis://HOST:PORT/DATABASE, or rediss:// for TLS`,
    );
  }
  const name = values.text("queue-name") ?? folder.split(/[/\\]/).findLast((part) => part !== "") ?? "";
  if (!names.test(name)) {
    throw new UsageError(
      `${command}: the folder's name ${
        show(name)
      } cannot be that of a queue; give it one with --queue-name NAME`,
    );
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port = Number(url.port || 6379),
    db = Number(url.pathname.slice(1) || 0);
  const password = decodeURIComponent(url.password) || environment("REDISCLI_AUTH");
  return {
    ...{
      command,
      host,
      port,
      db,
      name,
      lease: values.number("lease") ?? 30,
      isSecure: url.protocol === "rediss:",
    },
    ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
    ...(password === undefined ? {} : { password }),
    where: `the queue ${name} at ${url.protocol}//${url.hostname}:${port}/${db}`,
  };
}
