/**
 * Every operator that is read, by its domain and name.
 *
 * @module
 */
import type { Operator, OperatorTable } from "../call.ts";
import { attentions } from "./attention.ts";
import { contrib } from "./contrib.ts";
import { control } from "./control.ts";
import { deformed } from "./deformed.ts";
import { images } from "./images.ts";
import { classical } from "./labels.ts";
import { indexing } from "./index.ts";
import { logic } from "./logic.ts";
import { math } from "./math.ts";
import { neural } from "./neural.ts";
import { quantized } from "./quantized.ts";
import { recurrence } from "./recurrent.ts";
import { reductions } from "./reduce.ts";
import { resizing } from "./resize.ts";
import { shapes } from "./shapes.ts";
import { signals } from "./signal.ts";
import { texts } from "./text.ts";
import { training } from "./training.ts";
import { vision } from "./vision.ts";

/** The operators of a domain; "" is ONNX's own. */
export const operators: Readonly<Record<string, OperatorTable>> = {
  "": {
    ...math,
    ...logic,
    ...reductions,
    ...shapes,
    ...indexing,
    ...neural,
    ...attentions,
    ...control,
    ...quantized,
    ...recurrence,
    ...resizing,
    ...signals,
    ...texts,
    ...vision,
    ...images,
    ...deformed,
  },
  "ai.onnx.ml": classical,
  "ai.onnx.preview.training": training,
  "com.microsoft": contrib,
};

/** The newest opset whose operators are known, by domain. */
export const newestOpset: Readonly<Record<string, number>> = {
  "": 24,
  "ai.onnx.ml": 5,
  "ai.onnx.preview.training": 1,
  "com.microsoft": 1,
};

/** An operator; undefined when there is none of that name. */
export function operatorOf(domain: string, name: string): Operator | undefined {
  const table = Object.hasOwn(operators, domain) ? operators[domain] : undefined;
  return table && Object.hasOwn(table, name) ? table[name] : undefined;
}
