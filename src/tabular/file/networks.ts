/**
 * The networks of a model in its file: those of equal layers and inputs beside each other, a member's weights behind another's.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { SafetensorsFile, TensorToSave } from "../../files/mod.ts";
import { groupNetworks } from "../predictor.ts";
import type { DenseLayer, Network } from "../types.ts";
import { parseRanges, shapeOf } from "./check.ts";
import { f16Tensor, numbersOf } from "./numbers.ts";

/** A group of networks in JSON. */
export interface NetworksJson {
  /** The features that they see. */
  readonly inputs: string;
  readonly count: number;
  /** One for all, or each one's. */
  readonly share: number | readonly number[];
}

/** "0-6,9" for [0, 1, 2, 3, 4, 5, 6, 9]; "all" for null. */
function formatRanges(list: readonly number[] | null): string {
  if (list === null) return "all";
  const parts: string[] = [];
  for (let i = 0; i < list.length; i++) {
    const from = i;
    while (list[i + 1] === list[i] + 1) i++;
    parts.push(from === i ? `${list[i]}` : `${list[from]}-${list[i]}`);
  }
  return parts.join(",");
}

/** The networks as tensors and JSON. */
export function networksToFile(
  all: readonly Network[],
): { tensors: TensorToSave[]; json: NetworksJson[] } {
  const groups = groupNetworks(all), tensors: TensorToSave[] = [];
  groups.forEach(({ networks }, n) => {
    networks[0].layers.forEach(({ inputs, outputs }, l) => {
      const joined = (pick: (layer: DenseLayer) => Float32Array) => (): Float32Array =>
        Float32Array.from(networks.flatMap(({ layers }) => [...pick(layers[l])]));
      const prefix = `networks.${n}.layers.${l}`, m = networks.length;
      tensors.push(
        f16Tensor(`${prefix}.weight`, [m, outputs, inputs], joined((x) => x.weight)),
        f16Tensor(`${prefix}.bias`, [m, outputs], joined((x) => x.bias)),
      );
    });
  });
  const json = groups.map(({ inputs, networks }): NetworksJson => ({
    inputs: formatRanges(inputs),
    count: networks.length,
    // Members of a group are equals as a rule, and one number says it.
    share: networks.every(({ share }) => share === networks[0].share)
      ? networks[0].share
      : networks.map(({ share }) => share),
  }));
  return { tensors, json };
}

/** The layers of the members of group `n`, of which there are `count`. */
async function readLayers(
  file: SafetensorsFile,
  n: number,
  count: number,
  name: string,
): Promise<DenseLayer[][]> {
  const members: DenseLayer[][] = Array.from({ length: count }, () => []);
  let depth = 0;
  while (file.has(`networks.${n}.layers.${depth}.weight`)) depth++;
  for (let l = 0; l < depth; l++) {
    const prefix = `networks.${n}.layers.${l}`;
    const [m, outputs, inputs] = shapeOf(file, `${prefix}.weight`, name, 3, 0);
    const [biases0, biases1] = shapeOf(file, `${prefix}.bias`, name, 2);
    if (m !== count || biases0 !== m || biases1 !== outputs) {
      throw new FormatError(
        `${name}: ${prefix} holds weights of ${
          counted(m, "network")
        } and biases [${biases0}, ${biases1}], and there are ` +
          `${count} with ${counted(outputs, "output")}`,
      );
    }
    const weights = await numbersOf(file, `${prefix}.weight`),
      biases = await numbersOf(file, `${prefix}.bias`);
    members.forEach((own, i) =>
      own.push({
        weight: weights.slice(i * outputs * inputs, (i + 1) * outputs * inputs),
        bias: biases.slice(i * outputs, (i + 1) * outputs),
        inputs,
        outputs,
        activation: l + 1 < depth ? "relu" : "identity",
      })
    );
  }
  return members;
}

/** The networks of what {@link networksToFile} made, of a model with so many features. */
export async function readNetworks(
  file: SafetensorsFile,
  json: readonly NetworksJson[],
  features: number,
  name: string,
): Promise<Network[]> {
  const networks: Network[] = [];
  for (const [n, { inputs, count, share }] of json.entries()) {
    // There is a bias for each, so the number is one of the file's size.
    if (count !== shapeOf(file, `networks.${n}.layers.0.bias`, name, 2)[0]) {
      throw new FormatError(
        `${name}: networks ${n} are said to be ${count}, and their weights are of others`,
      );
    }
    const shares = typeof share === "number" ? new Array<number>(count).fill(share) : share;
    const chosen = parseRanges(inputs, features, `${name}: networks ${n}`);
    const layers = await readLayers(file, n, shares.length, name);
    shares.forEach((share, i) => networks.push({ share, inputs: chosen, layers: layers[i] }));
  }
  return networks;
}
