/**
 * `ferrotype prune`: a model with fewer weights, heads or neurons.
 *
 * @module
 */
import { CausalLM, FerrotypeError, type Tensor } from "../../mod.ts";
import { number, oneOf, whole } from "../../src/core/kinds.ts";
import { flawIn } from "../../src/nn/flaw.ts";
import { type Command, UsageError } from "../command.ts";
import { applyMask, inputNorms, layersOf, likeWeight, type PrunedLayer, rowsOf } from "../compress/layers.ts";
import { maskOf, type Sparsity } from "../compress/masks.ts";
import { type CompressionText, heldLoss, materialOptions, readMaterial } from "../compress/material.ts";
import { demandRoomFor, storedOption, writeModel } from "../compress/place.ts";
import { smaller } from "../compress/structure.ts";
import { trainShortly } from "../compress/training.ts";
import { applyDevice, deviceIdle, deviceOptions } from "../model.ts";
import { counted, formatBytes, note, print, printJson } from "../output.ts";

/** Masks of layers, so that what went stays away. */
interface Masks {
  readonly masks: readonly { readonly weight: Tensor; readonly mask: Tensor }[];
  /** The part of the weights in blocks that is 0. */
  readonly zeros: number;
}

/** Sets weights to 0. */
async function sparse(
  layers: readonly PrunedLayer[],
  norms: ReadonlyMap<string, Float32Array> | null,
  sparsity: Sparsity,
): Promise<Masks> {
  let zeros = 0, all = 0;
  const masks = [];
  for (const layer of layers) {
    if ("of" in sparsity && layer.inputs % sparsity.of !== 0) {
      throw new UsageError(
        `prune: --pattern 2:4: ${layer.name} has ${
          counted(layer.inputs, "input")
        }, which are no groups of 4; take --sparsity 0.5`,
      );
    }
    const { name, inputs, parts, weight } = layer;
    const kept = maskOf(await rowsOf(layer), inputs, norms?.get(name) ?? null, sparsity, parts);
    all += kept.length;
    for (const one of kept) zeros += 1 - one;
    const mask = likeWeight(layer, kept);
    applyMask(weight, mask);
    masks.push({ weight, mask });
  }
  return { masks, zeros: zeros / all };
}

/** The command. */
export const prune: Command = {
  name: "prune",
  usage: "MODEL OUT [options]",
  summary: "Takes weights, neurons or heads out of a model, and trains what is left to make up for it.",
  details:
    "--sparsity and --pattern 2:4 set weights of the blocks to 0; --neurons and --heads take rows and columns out of the files, so that\n" +
    "the model is smaller and faster. What counts least goes: by its size (magnitude), or by its size times the norm of what goes\n" +
    "into it over windows of --text (wanda, Sun et al. 2023). --recover trains on --text; what went stays away. The end of the text\n" +
    "is held out, and its loss printed: before, pruned, and recovered.",
  positionals: [2, 2],
  options: {
    method: {
      value: "NAME",
      kind: oneOf("wanda", "magnitude"),
      help: "wanda or magnitude (default: wanda with --text, else magnitude)",
    },
    sparsity: {
      value: "P",
      kind: number({ above: 0, below: 1 }),
      help: "part of the weights that become 0: of each output's with wanda, else of each matrix's",
    },
    pattern: { value: "N:M", kind: oneOf("2:4"), help: "2 of every 4 weights of an output become 0" },
    neurons: {
      value: "P",
      kind: number({ above: 0, below: 1 }),
      help: "part of the neurons of each MLP that leave",
    },
    heads: {
      value: "N",
      kind: whole(1),
      help:
        "heads of keys and values of each block that leave, with the queries that look there (of one: heads of queries)",
    },
    text: { value: "FILE", help: "text for wanda, --recover, and the held-out loss" },
    samples: { value: "N", kind: whole(1, 65_536), help: "windows of the text for wanda (default 32)" },
    recover: { value: "STEPS", kind: whole(1), help: "steps of training afterwards (default: none)" },
    lr: { value: "R", kind: number({ above: 0 }), help: "highest learning rate of --recover (default 3e-4)" },
    ...materialOptions,
    dtype: storedOption,
    ...deviceOptions,
    force: { help: "replace what OUT holds; without it that is refused" },
  },
  idle: [
    ...deviceIdle,
    {
      option: [...Object.keys(materialOptions), "samples", "recover"],
      when: ({ text }) => text === undefined,
      because: "there is no --text FILE",
    },
    { option: "lr", when: ({ recover }) => recover === undefined, because: "there is no --recover STEPS" },
    {
      option: "samples",
      when: ({ method }) => method === "magnitude",
      because: "--method magnitude looks at weights alone",
    },
  ],
  async run(values, [from, out]) {
    const textPath = values.text("text"), part = values.number("sparsity"), pattern = values.text("pattern");
    const neurons = values.number("neurons") ?? 0, heads = values.number("heads") ?? 0;
    if (part !== undefined && pattern !== undefined) {
      throw new UsageError("prune: --sparsity and --pattern both say which weights go; give one of them");
    }
    const sparsity: Sparsity | null = part !== undefined
      ? { part }
      : pattern !== undefined
      ? { of: 4, keep: 2 }
      : null;
    if (!sparsity && neurons === 0 && heads === 0) {
      throw new UsageError("prune: say what goes, by --sparsity P, --pattern 2:4, --neurons P or --heads N");
    }
    const method = values.text("method") ?? (textPath === undefined ? "magnitude" : "wanda");
    if (method === "wanda" && textPath === undefined) {
      throw new UsageError(
        "prune: --method wanda looks at what goes through the model; give a text with --text FILE",
      );
    }
    await demandRoomFor("prune", out, values.flag("force"));
    await applyDevice(values);
    let model = await CausalLM.load(from, { dtype: "f32", onWarning: (message) => void note(message) });
    const flaw = await flawIn(model.namedParameters());
    if (flaw !== null) {
      throw new FerrotypeError(`prune: ${flaw}, which is of no size; begin from weights that are finite`);
    }
    const before = model.numParameters();
    const text = textPath === undefined ? null : await readMaterial("prune", values, textPath, model, from);
    const lossBefore = text && await heldLoss(model, text);
    const observed = async (layers: readonly PrunedLayer[]): Promise<Map<string, Float32Array> | null> =>
      method === "wanda"
        ? await inputNorms(model, layers, text as CompressionText, values.number("samples") ?? 32)
        : null;
    if (neurons > 0 || heads > 0) {
      const layers = layersOf(model),
        less = await smaller(model, layers, await observed(layers), { neurons, heads });
      model.dispose();
      model = less;
    }
    let masks: Masks = { masks: [], zeros: 0 };
    if (sparsity) {
      const layers = layersOf(model);
      masks = await sparse(layers, await observed(layers), sparsity);
    }
    const pruned = text && await heldLoss(model, text), steps = values.number("recover");
    if (text && steps !== undefined) {
      await trainShortly({
        model: model.network,
        text,
        steps,
        lr: values.number("lr") ?? 3e-4,
        loss: (batch) => model.loss(batch),
        after: () => masks.masks.forEach(({ weight, mask }) => applyMask(weight, mask)),
      });
    }
    const recovered = text && steps !== undefined ? await heldLoss(model, text) : null;
    const bytes = await writeModel(model, out, values), parameters = model.numParameters();
    if (values.flag("json")) {
      return await printJson({
        model: from,
        out,
        method,
        parameters_before: before,
        parameters,
        sparsity: masks.zeros,
        loss_before: lossBefore,
        loss_pruned: pruned,
        loss_recovered: recovered,
        bytes,
      });
    }
    const losses = [
      ...[["before", lossBefore], ["pruned", pruned], ["recovered", recovered]] as const,
    ].flatMap(([when, loss]) => loss === null ? [] : [`${loss.toFixed(4)} ${when}`]);
    await print(
      `${counted(parameters, "parameter")} of ${before.toLocaleString("en")}` +
        (sparsity ? `, ${(100 * masks.zeros).toFixed(1)} % of those in blocks 0` : "") +
        (losses.length > 0 ? `; held-out loss ${losses.join(", ")}` : ""),
    );
    await note(`wrote ${out} (${formatBytes(bytes)} of weights)`);
  },
};
