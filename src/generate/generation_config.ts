/**
 * A model's own options of generation: to and from the value of its `generation_config.json`.
 *
 * @module
 */
import { demandObject } from "../core/json.ts";
import { nearest } from "../core/nearest.ts";
import { type Idle, idleOf } from "../core/options.ts";
import {
  aliases,
  type FieldName,
  fields,
  idFields,
  listFields,
  refused,
  silentFields,
  snake,
  unfelt,
} from "./fields.ts";
import { callerNames, demandHonoured, valueOf } from "./given.ts";
import {
  contradicting,
  type GenerateOptions,
  resolveOptions,
  sampling,
  samplingNames,
  without,
} from "./options.ts";
import { beamNames, idleBeside } from "./options_together.ts";

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * The options in a `generation_config.json`. What changes no token is passed over, whatever it says: notes of other
 * programs, how much memory they take, what they tell besides.
 *
 * @throws {FormatError} for what is no object.
 * @throws {OptionError} for a field of Hugging Face that changes tokens and cannot be honoured, or a value it cannot
 *   have.
 */
export function generationDefaults(json: unknown, where = "generation_config.json"): GenerateOptions {
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(demandObject(json, where))) {
    // `maxNewTokens` is no field of such a file, and neither is `stop`.
    if (/[A-Z]/.test(name) || name === "stop") continue;
    const plain = camel(name), own = Object.hasOwn(aliases, plain) ? aliases[plain] : plain;
    if (value === null || silentFields.includes(plain)) continue;
    if (!(Object.hasOwn(refused, plain) && refused[plain].besides)) demandHonoured(plain, value, where, name);
    if (!Object.hasOwn(fields, own)) continue;
    valueOf(own as FieldName, value, where, name);
    found[own] = value;
  }
  // Files often carry both; the number of new tokens is the one that holds.
  if (found.maxNewTokens !== undefined) delete found.maxLength;
  return found as GenerateOptions;
}

/**
 * Names in a `generation_config.json` that are no fields of it, as Hugging Face would warn of them, and what to do about each:
 * options of a call, fields in another spelling, slips; undefined for what nobody knows. Names that begin with `_` are notes of
 * other programs.
 */
export function strangersIn(json: unknown): [name: string, advice: string | undefined][] {
  if (typeof json !== "object" || json === null) return [];
  const known = [fields, aliases, refused, unfelt].flatMap((table) => Object.keys(table))
    .concat(silentFields);
  return Object.entries(json).flatMap(([name, value]): [string, string | undefined][] => {
    const plain = camel(name), isOwn = known.includes(plain) && snake(plain) === name;
    if (isOwn || value === null || name.startsWith("_")) return [];
    if (callerNames.includes(plain)) return [[name, "it is an option of a call"]];
    const meant = known.includes(plain) ? plain : nearest(plain, known);
    return [[name, meant === undefined ? undefined : `did you mean "${snake(meant)}"?`]];
  });
}

/** A sentence with the names of options as such files spell them. */
export const asInFile = (text: string): string => text.replace(/\b[a-z]+(?:[A-Z][a-z]*)+\b/g, snake);

/**
 * What the fields of a `generation_config.json` do not do, a sentence each: in a file of others' making it is no error. `own`
 * are those fields, with the tokens that end a text.
 */
export function idleFields(own: GenerateOptions, vocabSize: number): string[] {
  const said: string[] = [];
  for (const [name, ids] of Object.entries(idFields)) {
    const value = own[name as FieldName];
    if (value === undefined || value === null) continue;
    const outside = ids((listFields.includes(name as FieldName) ? [value].flat() : value) as never)
      .find((id) => id >= vocabSize);
    if (outside === undefined) continue;
    said.push(`${name} names token ${outside}, and the model's tokens go from 0 to ${vocabSize - 1}`);
  }
  const aside = contradicting({}, own), kept = without(own, aside.flatMap(([names]) => names));
  for (const [names, why] of aside) {
    said.push(
      `${why.replace(/^\w+: /, "")}; ${names.join(" and ")} ${names.length === 1 ? "is" : "are"} left aside`,
    );
  }
  const o = resolveOptions({}, kept);
  const { doSample, numBeams, penaltyAlpha } = o;
  const isOff = (name: FieldName): boolean => own[name] === fields[name].default;
  const idle: Idle<GenerateOptions>[] = [
    ...idleBeside(o),
    {
      option: samplingNames.filter((name) =>
        own[name] !== sampling[name] && !isOff(name) && !(name === "topK" && penaltyAlpha > 0) &&
        // 0 is greedy, as it is without sampling.
        !(name === "temperature" && own[name] === 0)
      ),
      when: () => !doSample,
      because: `it acts when sampling, and do_sample is ${own.doSample ? "left aside" : "not true"}`,
    },
    {
      option: beamNames.filter((name) => !isOff(name)),
      when: () => numBeams === 1,
      because: "it acts in beam search, and num_beams is 1",
    },
  ];
  for (const [name, why] of idleOf(kept, idle)) said.push(`${name} has no effect because ${why}`);
  for (const [least, most] of [["minLength", "maxLength"], ["minNewTokens", "maxNewTokens"]] as const) {
    const [few, many] = [kept[least], kept[most]];
    if (few === undefined || many === undefined || many === null || few <= many) continue;
    if (said.some((sentence) => sentence.startsWith(`${least} `))) continue;
    said.push(`${least} is ${few}, which no text reaches, as ${most} is ${many}`);
  }
  return said.map(asInFile);
}

/** The entries of a `generation_config.json` for the options in `defaults`. */
export function generationJson(defaults: GenerateOptions): Record<string, unknown> {
  const given = (Object.keys(fields) as FieldName[]).filter((name) => defaults[name] !== undefined);
  return Object.fromEntries(given.map((name) => [snake(name), defaults[name]]));
}
