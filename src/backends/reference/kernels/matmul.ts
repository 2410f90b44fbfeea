/**
 * Matrix products with an epilogue. See `Backend.matmul`.
 *
 * Floats are summed in double precision and handed to the epilogue unrounded; integers wrap.
 *
 * @module
 */
import { isFloat, isQuantized } from "../../../core/dtype.ts";
import type { ComputeType } from "../../../expr/nodes.ts";
import type { Epilogue, View } from "../../contract.ts";
import { computeTypeOf, inLane, type Lane } from "../lane.ts";
import { walk } from "../walk.ts";

/** The matrices of `a` times those of `b`, through the epilogue into `out`. */
export function matmul(a: View, b: View, out: View, epilogue?: Epilogue): void {
  const floating = isFloat(a.dtype) || isFloat(b.dtype) || isQuantized(b.dtype);
  const wide = a.dtype === "f64" || b.dtype === "f64" || out.dtype === "f64";
  const type: ComputeType = floating ? (wide ? "f64" : "f32") : computeTypeOf(out.dtype);
  inLane(type, (lane) => product(lane, a, b, out, epilogue));
}

function product<T>(lane: Lane<T>, a: View, b: View, out: View, epilogue?: Epilogue): void {
  const rank = out.shape.length, [m, n] = out.shape.slice(-2), k = a.shape[rank - 1];
  const { binary: { add, mul }, from } = lane.arithmetic;
  const readA = lane.read(a), readB = lane.read(b), write = lane.write(out);
  const extra = epilogue?.inputs ?? [], readExtra = extra.map((view) => lane.read(view));
  const evaluate = epilogue && lane.compile(epilogue.program), scalars = epilogue?.scalars ?? [];
  const views = [a, b, out, ...extra], values: T[] = [], result: T[] = [];
  const row = new Array<T>(k), columns = new Array<T>(k * n);
  const [aRow, aColumn] = a.strides.slice(-2), [bRow, bColumn] = b.strides.slice(-2);
  const steps = views.map((v) => v.strides.slice(-2));
  const leading = out.shape.slice(0, -2), starts = views.map((v) => v.offset);
  walk(leading, starts, views.map((v) => v.strides.slice(0, -2)), (at) => {
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) columns[j * k + p] = readB(at[1] + p * bRow + j * bColumn);
    }
    for (let i = 0; i < m; i++) {
      for (let p = 0; p < k; p++) row[p] = readA(at[0] + i * aRow + p * aColumn);
      for (let j = 0; j < n; j++) {
        let sum = from(0);
        for (let p = 0, q = j * k; p < k; p++, q++) sum = add(sum, mul(row[p], columns[q]));
        if (evaluate) {
          values[0] = sum;
          for (let e = 0; e < extra.length; e++) {
            const [down, right] = steps[3 + e];
            values[1 + e] = readExtra[e](at[3 + e] + i * down + j * right);
          }
          evaluate(values, scalars, result);
          sum = result[0];
        }
        write(at[2] + i * steps[2][0] + j * steps[2][1], sum);
      }
    }
  });
}
