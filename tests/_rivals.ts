/**
 * Other people's programs, from `tests/rivals`, where `npm install --prefix tests/rivals` puts them.
 *
 * @module
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { repository } from "./_data.ts";

/** What the tests use of ONNX Runtime (`onnxruntime-node`). */
export interface OnnxRuntime {
  readonly InferenceSession: { create(bytes: Uint8Array): Promise<OnnxSession> };
  readonly Tensor: new (
    type: string,
    data: Float32Array | Float64Array | string[],
    shape: number[],
  ) => OnnxTensor;
}

/** A loaded model. */
export interface OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly {
    readonly name: string;
    readonly type: string;
    readonly shape: unknown[];
  }[];
  run(inputs: Record<string, OnnxTensor>): Promise<Record<string, OnnxTensor>>;
  release(): Promise<void>;
}

/** A tensor going in or out. */
export interface OnnxTensor {
  readonly type: string;
  readonly dims: readonly number[];
  // deno-lint-ignore no-explicit-any
  readonly data: any;
}

/** The program, or why it cannot be had, as the `skip` option of `it` wants it. */
export function rival<T>(name: string): { readonly program: T } | { readonly skip: string } {
  try {
    return { program: createRequire(join(repository, "tests", "rivals", "package.json"))(name) as T };
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    return { skip: `${name} cannot be loaded (${reason}); npm install --prefix tests/rivals` };
  }
}
