/**
 * `ferrotype run`: an ONNX model on arrays of NumPy.
 *
 * @module
 */
import {
  type DType,
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

/** What holds a number of ONNX's types; f32 what is not here. */
const dtypes: Readonly<Record<string, DType>> = {
  double: "f64",
  float16: "f16",
  bfloat16: "bf16",
  bool: "bool",
  uint8: "u8",
  ...Object.fromEntries(["int8", "int16", "uint16", "int32"].map((type) => [type, "i32"])),
  ...Object.fromEntries(["int64", "uint32", "uint64"].map((type) => [type, "i64"])),
};

/** One number, truth value or text, as an input of `type`. */
function single(name: string, text: string, type: string): OnnxValue {
  if (type === "string") return { shape: [], data: [text] };
  const dtype = dtypes[type] ?? "f32", plain = text.trim(), isWhole = /^[+-]?\d+$/.test(plain);
  const truth = type === "bool" ? ["false", "true"].indexOf(plain.toLowerCase()) : -1;
  const value = truth >= 0 ? truth : Number(plain);
  if (plain === "" || Number.isNaN(value)) {
    throw new UsageError(`run: --input ${name} is "${text}", expected @file.npy or a number`);
  }
  if (!isWhole && ["i32", "i64", "u8"].includes(dtype) || dtype === "bool" && value !== 0 && value !== 1) {
    throw new UsageError(
      `run: --input ${name} is "${text}", and ${type} is ${
        dtype === "bool" ? "true or false" : "a whole number"
      }`,
    );
  }
  if (dtype !== "i64") {
    return tensor(value, { dtype, ...(dtype === "f64" ? { device: "reference" } : {}) });
  }
  const [whole, bits] = [BigInt(plain), type === "uint64" ? BigInt.asUintN : BigInt.asIntN];
  if (bits(64, whole) !== whole) {
    throw new UsageError(`run: --input ${name} is "${text}", more than ${type} holds`);
  }
  return tensor(BigInt64Array.of(BigInt.asIntN(64, whole)), { shape: [] });
}

/** Whether a file is an archive of arrays. */
const isArchive = (path: string): boolean => /\.npz$/i.test(path);

/** A value as JSON has it: nested lists, numbers beyond doubles as texts. */
async function shown(value: OnnxValue, type = ""): Promise<unknown> {
  if (value === null) return null;
  if (value instanceof Tensor) {
    const { dtype, shape } = value;
    if (dtype !== "i64") return { dtype, shape, data: await value.toArray() };
    const bits = type === "uint64" ? BigInt.asUintN : BigInt.asIntN;
    const list = Array.from(await value.data() as BigInt64Array, (v) => {
      const whole = bits(64, v), number = Number(whole);
      return Number.isSafeInteger(number) ? number : String(whole);
    });
    return { dtype, shape, data: nested(list, shape) };
  }
  if (Array.isArray(value)) return await Promise.all(value.map((item) => shown(item)));
  return value;
}

/** A row-major list as lists in lists. */
function nested(list: readonly unknown[], shape: readonly number[]): unknown {
  if (shape.length === 0) return list[0];
  const [count, ...rest] = shape, size = count ? list.length / count : 0;
  return Array.from({ length: count }, (_, i) => nested(list.slice(i * size, (i + 1) * size), rest));
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
      help: "an input; again for more. A number or text stands for itself; @FILE.npz holds inputs by name",
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
        put(name, single(name, rest, type ?? "float"));
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
        Object.entries(results).map(async ([name, v]) =>
          [name, await shown(v, model.outputs.find((edge) => edge.name === name)?.type)] as const
        ),
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
