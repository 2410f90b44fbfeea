/**
 * A tabular model in plain numbers: no tensors, so that it fits into one HTML file. The rules are those of `src/tabular/types.ts`.
 *
 * @module
 */
import { rawFeature } from "../../src/tabular/features.ts";
import type { FittedModel, Schema } from "../../src/tabular/types.ts";

/** A layer whose numbers are f32 of little endian order in base64. */
interface CarriedLayer {
  readonly weight: string;
  readonly bias: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: "relu" | "identity";
}

/** A model as JSON. */
export interface Carried {
  readonly schema: Schema;
  readonly networks: readonly {
    readonly share: number;
    readonly inputs: readonly number[] | null;
    readonly layers: readonly CarriedLayer[];
  }[];
}

function toBase64(numbers: Float32Array): string {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function fromBase64(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

/** The model as JSON holds it. */
export function carry({ schema, networks }: FittedModel): Carried {
  return {
    schema,
    networks: networks.map(({ share, inputs, layers }) => ({
      share,
      inputs,
      layers: layers.map((layer) => ({
        ...layer,
        weight: toBase64(layer.weight),
        bias: toBase64(layer.bias),
      })),
    })),
  };
}

/** Probabilities of the classes, or one value, for one row of cells. */
export function predictor({ schema, networks }: Carried): (cells: readonly number[]) => number[] {
  const { columns, features, target } = schema, isClassification = target.task === "classification";
  const ready = networks.map(({ layers, ...rest }) => ({
    ...rest,
    layers: layers.map((layer) => ({
      ...layer,
      weight: fromBase64(layer.weight),
      bias: fromBase64(layer.bias),
    })),
  }));
  return (cells) => {
    const all = features.map((feature) =>
      (rawFeature(feature, cells[feature.column], columns[feature.column]) - feature.center) / feature.scale
    );
    const total = new Array<number>(Math.max(1, target.classes.length)).fill(0);
    for (const { share, inputs, layers } of ready) {
      let x = inputs === null ? all : inputs.map((i) => all[i]);
      for (const { weight, bias, inputs, outputs, activation } of layers) {
        x = Array.from({ length: outputs }, (_, o) => {
          let sum = bias[o];
          for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * x[i];
          return activation === "relu" ? Math.max(0, sum) : sum;
        });
      }
      if (isClassification) {
        const most = Math.max(...x), shares = x.map((v) => Math.exp(v - most));
        const sum = shares.reduce((a, b) => a + b, 0);
        x = shares.map((v) => v / sum);
      }
      x.forEach((v, o) => total[o] += share * v);
    }
    return isClassification ? total : [total[0] * target.std + target.mean];
  };
}
