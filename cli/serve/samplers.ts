/**
 * llama.cpp's `samplers`: which ways to narrow down the choice act, and in what order. Here each acts whose own field is given, in
 * one order; a list that says the same is accepted.
 *
 * @module
 */
import { show } from "../../src/core/show.ts";
import type { Body } from "./unhonoured.ts";

interface Sampler {
  /** Its other names. */
  readonly also?: readonly string[];
  /** The fields that make it act, each with what it is where it does not. */
  readonly fields: Readonly<Record<string, (value: number) => boolean>>;
}

/** llama.cpp's letters, of which a text may be made. */
const letters: Readonly<Record<string, string>> = {
  e: "penalties",
  t: "temperature",
  k: "top_k",
  p: "top_p",
  m: "min_p",
  y: "typ_p",
  d: "dry",
  s: "top_n_sigma",
  x: "xtc",
  f: "tfs_z",
  i: "infill",
};

/** In the order in which they act here. */
const samplers: Readonly<Record<string, Sampler>> = {
  penalties: {
    fields: {
      repetition_penalty: (x) => x === 1,
      presence_penalty: (x) => x === 0,
      frequency_penalty: (x) => x === 0,
    },
  },
  temperature: { also: ["temp"], fields: { temperature: (x) => x === 1 } },
  top_k: { also: ["top-k"], fields: { top_k: (x) => x <= 0 } },
  top_p: { also: ["top-p", "nucleus"], fields: { top_p: (x) => x >= 1 } },
  min_p: { also: ["min-p"], fields: { min_p: (x) => x <= 0 } },
  typ_p: { also: ["typical_p", "typical", "typ-p", "typ"], fields: { typical_p: (x) => x >= 1 } },
};

/** Those whose order makes no difference: the likeliest stay the likeliest, and as much likelier than one another. */
const commuting = new Set(["temperature top_k", "top_k min_p"]);

/** Ways of sampling that are off, as their own fields are to say. */
const off = ["dry", "top_n_sigma", "xtc", "tfs_z", "mirostat"];

const order = Object.keys(samplers);
const known = (name: string): string | undefined =>
  order.find((one) => one === name || samplers[one].also?.includes(name));

/** Why a list of samplers cannot be honoured; null where it says what is done anyway. */
export function samplersComplaint(value: unknown, body: Body): string | null {
  if (!Array.isArray(value) && typeof value !== "string") {
    return "it is a list of names, or a text of their letters";
  }
  const given: string[] = [];
  for (const letter of typeof value === "string" ? value : "") {
    if (!Object.hasOwn(letters, letter)) {
      return `no sampler has the letter ${show(letter)}; there are ${Object.keys(letters).join("")}`;
    }
  }
  for (const one of typeof value === "string" ? [...value].map((letter) => letters[letter]) : value) {
    const name = typeof one === "string" ? known(one) : undefined;
    if (name !== undefined) given.push(name);
    else if (!off.includes(one)) {
      return `there is no sampler ${show(one)} here; there are ${order.join(", ")}`;
    }
  }
  const greedy = body.temperature === 0;
  const acting = order.flatMap((name) => {
    if (greedy && name !== "penalties" && name !== "temperature") return [];
    const field = Object.entries(samplers[name].fields).find(([field, isOff]) =>
      typeof body[field] === "number" && !isOff(body[field])
    );
    return field ? [{ name, field: field[0] }] : [];
  });
  for (const { name, field } of acting) {
    const count = given.filter((other) => other === name).length;
    if (count === 0) return `it leaves ${name} out, and ${field} is given; leave ${field} out, too`;
    if (count > 1) return `it has ${name} more than once`;
  }
  for (const [i, { name: first }] of acting.entries()) {
    for (const { name: second } of acting.slice(i + 1)) {
      if (given.indexOf(first) < given.indexOf(second) || commuting.has(`${first} ${second}`)) continue;
      return `${first} acts before ${second} here, whatever the order of the list`;
    }
  }
  return null;
}
