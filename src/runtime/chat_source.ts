/**
 * Where a model says how it wants conversations written: files of its folder, or notes of its GGUF. There may be several
 * templates by name, and what they call `bos_token` and the like comes with them.
 *
 * @module
 */
import { listed, show } from "../core/show.ts";
import { FormatError } from "../core/errors.ts";
import { demand, demandList, demandObject, type JsonObject } from "../core/json.ts";
import { text } from "../core/kinds.ts";
import type { TokenizerNotes } from "../text/gguf_tokenizer.ts";
import { type ModelFolder, readJson } from "./model_folder.ts";

/** Templates, and texts of special tokens by the names they have in them. */
export interface ChatSource {
  /** By name; the one that is used unless another is asked for is "default". */
  readonly templates: ReadonlyMap<string, string>;
  readonly tokens: Readonly<Record<string, string>>;
}

/** The file of a template by itself. */
export const templateName = "chat_template.jinja";

/** Files of `additional_chat_templates/` that are looked for: a folder behind an address does not say what it holds. */
const knownNames = ["tool_use", "rag"];

/**
 * The templates in tokenizer_config.json: one, or a list of them by name.
 * @throws {FormatError} for what is neither.
 */
export function configTemplates(config: JsonObject, where: string): Map<string, string> {
  const own = config.chat_template ?? null;
  if (typeof own === "string") return new Map([["default", own]]);
  if (own === null) return new Map();
  return new Map(
    demandList(own, `${where}: chat_template`, 1000).map((entry, i): [string, string] => {
      const { name, template } = demandObject(entry, `${where}: entry ${i} of chat_template`);
      return [
        demand(name, text, `${where}: the name of entry ${i} of chat_template`),
        demand(template, text, `${where}: the template of entry ${i} of chat_template`),
      ];
    }),
  );
}

/**
 * The text of `chat_template.jinja`, or null. Behind an address it is not asked for where `"chat_template": null` in
 * tokenizer_config.json says that there is none.
 */
export async function templateFile(folder: ModelFolder, config: JsonObject): Promise<string | null> {
  return folder.isRemote && config.chat_template === null ? null : await folder.text(templateName);
}

/** The templates of a folder, or null where it has none: then its model was not trained on conversations. */
export async function folderChat(folder: ModelFolder): Promise<ChatSource | null> {
  const where = `${folder.name}/tokenizer_config.json`;
  const config = demandObject(await readJson(folder, "tokenizer_config.json") ?? {}, where);
  const templates = configTemplates(config, where), file = await templateFile(folder, config);
  // A file of its own counts before the configuration.
  if (file !== null) templates.set("default", file);
  if (templates.size === 0) return null;
  if (file !== null) {
    for (const name of knownNames) {
      const more = await folder.text(`additional_chat_templates/${name}.jinja`);
      if (more !== null) templates.set(name, more);
    }
  }
  const { tokenSettings } = await import("../text/special_tokens.ts");
  const isNew = (config.added_tokens_decoder ?? null) !== null;
  const specialTokensMap = isNew ? null : await readJson(folder, "special_tokens_map.json");
  const { named } = tokenSettings({ config, specialTokensMap }, folder.name);
  return { templates, tokens: Object.fromEntries([...named].map(([name, { content }]) => [name, content])) };
}

/** Names of special tokens in a template, and in a GGUF. */
const roles: readonly (readonly [name: string, role: string])[] = [
  ["bos_token", "bos"],
  ["eos_token", "eos"],
  ["unk_token", "unknown"],
  ["sep_token", "seperator"],
  ["pad_token", "padding"],
  ["cls_token", "cls"],
  ["mask_token", "mask"],
];

const note = "tokenizer.chat_template";

/**
 * The templates in a GGUF's notes, or null where there are none.
 * @throws {FormatError} for notes of another kind.
 */
export function ggufChat(metadata: TokenizerNotes, where: string): ChatSource | null {
  const templates = new Map<string, string>();
  for (const [key, value] of metadata) {
    const name = key === note ? "default" : key.startsWith(`${note}.`) ? key.slice(note.length + 1) : null;
    if (name !== null) templates.set(name, demand(value, text, `${where}: ${key}`));
  }
  if (templates.size === 0) return null;
  const list = metadata.get("tokenizer.ggml.tokens"), tokens: Record<string, string> = {};
  for (const [name, role] of roles) {
    const id = metadata.get(`tokenizer.ggml.${role}_token_id`);
    const token = Array.isArray(list) && typeof id === "number" ? list[id] : undefined;
    if (typeof token === "string") tokens[name] = token;
  }
  return { templates, tokens };
}

/**
 * The template for a request: the one asked for; else the one for tools where there are any; else the default.
 *
 * @throws {FormatError} when there is none of that name, or several and no default.
 */
export function chooseTemplate(
  { templates }: ChatSource,
  name: string | undefined,
  hasTools: boolean,
  where: string,
): string {
  const asked = name ?? (hasTools && templates.has("tool_use") ? "tool_use" : "default");
  const found = templates.get(asked) ??
    (name === undefined && templates.size === 1 ? [...templates.values()][0] : undefined);
  if (found !== undefined) return found;
  throw new FormatError(
    `${where} has no chat template called ${show(asked)}; it has ${
      listed([...templates.keys()].map((name) => show(name).slice(1, -1)))
    }`,
  );
}
