/**
 * `ferrotype run`: an ONNX model on arrays of NumPy.
 *
 * @module
 */
import {
  DTypeError,
  Onnx,
  type OnnxValue,
  readNpy,
  readNpz,
  saveNpy,
  saveNpz,
  Tensor,
  tensor,
} from "../../mod.ts";
import { show } from "../../src/core/show.ts";
import { type Command, UsageError } from "../command.ts";
import { applyDevice, deviceIdle, deviceOptions } from "../model.ts";
import { note, print, printJson } from "../output.ts";
import { forceHelp, letters, placeOf } from "../place.ts";

/** Splits `name=rest`. */
function named(text: string, option: string): [name: string, rest: string] {
  const at = text.indexOf("=");
  const form = option === "input" ? "name=@file.npy" : "name=file.npy";
  if (at < 1 || at === text.length - 1) {
    throw new UsageError(`run: --${option} is ${show(text)}, expected ${form}`);
  }
  return [text.slice(0, at), text.slice(at + 1)];
}

/** Whether a file is an archive of arrays. */
const isArchive = (path: string): boolean => /\.npz$/i.test(path);

/** A value as JSON has it: nested lists, numbers beyond doubles as texts. */
async function shown(value: OnnxValue): Promise<unknown> {
  if (value === null) return null;
  if (value instanceof Tensor) {
    return { dtype: value.dtype, shape: value.shape, data: await value.toArray() };
  }
  if (Array.isArray(value)) return await Promise.all(value.map(shown));
  return value;
}

/** The command. */
export const runCommand: Command = {
  name: "run",
  usage: "MODEL.onnx --input name=@file.npy [options]",
  summary: "Runs an ONNX model on arrays that NumPy saved.",
  details: "Without --json: each output's name, dtype and shape; with it their values.",
  positionals: [1, 1],
  options: {
    input: {
      value: "NAME=@FILE.npy",
      multiple: true,
      help: "an input; again for more. A number stands for itself; @FILE.npz holds inputs by name",
    },
    output: {
      value: "NAME=FILE.npy",
      multiple: true,
      help: "writes an output to a file; again for more. FILE.npz takes all outputs by name",
    },
    ...deviceOptions,
    force: { help: forceHelp },
  },
  idle: [
    ...deviceIdle,
    {
      option: "force",
      when: ({ output }) => output === undefined,
      because: "there is no --output NAME=FILE",
    },
  ],
  async run(values, positionals) {
    const places = new Map<string, { name: string; wrote: string }>();
    for (const text of values.texts("output")) {
      const isAll = isArchive(text) && !text.includes("=");
      const [name, path] = isAll ? ["", text] : named(text, "output");
      if (places.has(path)) throw new UsageError(`run: --output writes ${path} twice; name another file`);
      if (!isAll && isArchive(path)) {
        throw new UsageError(
          `run: --output ${text}: an .npz takes all outputs by name; give --output ${path}`,
        );
      }
      const wrote = await placeOf("run", path, values.flag("force"), {
        what: isAll ? "no archive of NumPy's" : "no array of NumPy's",
        is: (head) => isAll ? letters(head, 4) === "PK\x03\x04" : letters(head, 6) === "\x93NUMPY",
      });
      places.set(path, { name, wrote });
    }
    const device = await applyDevice(values);
    using model = await Onnx.load(positionals[0], { device });
    const inputs: Record<string, OnnxValue> = {};
    const put = (name: string, value: OnnxValue): void => {
      if (Object.hasOwn(inputs, name)) {
        throw new UsageError(`run: --input ${name} is given twice; give it once`);
      }
      inputs[name] = value;
    };
    for (const text of values.texts("input")) {
      if (text.startsWith("@") && isArchive(text)) {
        const path = text.slice(1), types = new Map(model.inputs.map(({ name, type }) => [name, type]));
        const given = await readNpz(path),
          isWide = [...given.keys()].some((key) => types.get(key) === "double");
        const wide = isWide ? await readNpz(path, { dtype: "f64", device: "reference" }) : given;
        for (const [key, value] of given) put(key, types.get(key) === "double" ? wide.get(key)! : value);
        continue;
      }
      const [name, rest] = named(text, "input");
      const type = model.inputs.find((edge) => edge.name === name)?.type;
      const place = type === "double" ? { dtype: "f64", device: "reference" } as const : {};
      if (rest.startsWith("@")) put(name, await readNpy(rest.slice(1), place));
      else {
        const number = Number(rest),
          dtype = type === "int64" ? "i64" : type === "int32" ? "i32" : place.dtype ?? "f32";
        if (rest.trim() === "" || Number.isNaN(number)) {
          throw new UsageError(`run: --input ${name} is "${rest}", expected @file.npy or a number`);
        }
        put(name, tensor(number, { ...place, dtype }));
      }
    }
    const results = await model.run(inputs);
    for (const [path, { name, wrote }] of places) {
      if (name === "") {
        const tensors = Object.entries(results).map(([name, value]) => {
          if (!(value instanceof Tensor)) throw new DTypeError(`run: the output "${name}" is no tensor`);
          return [name, value] as const;
        });
        await saveNpz(path, new Map(tensors));
        await note(`${wrote} ${path}`);
        continue;
      }
      if (!Object.hasOwn(results, name)) {
        throw new UsageError(
          `run: the model has no output "${name}"; there are ${Object.keys(results).join(", ")}`,
        );
      }
      const value = results[name];
      if (!(value instanceof Tensor)) throw new DTypeError(`run: the output "${name}" is no tensor`);
      await saveNpy(path, value);
      await note(`${wrote} ${path}`);
    }
    if (values.flag("json")) {
      const outputs = await Promise.all(
        Object.entries(results).map(async ([name, v]) => [name, await shown(v)]),
      );
      return await printJson({ model: positionals[0], device, outputs: Object.fromEntries(outputs) });
    }
    for (const [name, value] of Object.entries(results)) {
      const what = value instanceof Tensor
        ? `${value.dtype} [${value.shape.join(", ")}]`
        : JSON.stringify(value);
      await print(`${name}  ${what}`);
    }
  },
};
