/**
 * Low-rank adapters: a trained model stays as it is, and beside the products of some layers stands a small one that learns.
 *
 *     y = x · Wᵀ + scale · (x · Aᵀ) · Bᵀ        A [rank, in], B [out, rank], scale = alpha / rank
 *
 * Hu and others: "LoRA", ICLR 2022. rsLoRA (Kalajdzievski 2023) has scale = alpha / √rank; DoRA (Liu and others, ICML 2024)
 * learns the length of each row of W + scale · B · A apart. Several adapters may stand beside one model, of which one is in use.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { byDefault, checkOptions, type OptionTable, required } from "../core/options.ts";
import { show } from "../core/show.ts";
import { empty, zeros } from "../ops/create.ts";
import { dropout } from "../ops/dropout.ts";
import { add, div, mul, sub } from "../ops/elementwise.ts";
import { sqrt, square } from "../ops/functions.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { sum } from "../ops/reduce.ts";
import { toDType } from "../ops/row.ts";
import type { Tensor } from "../ops/tensor.ts";
import { reshape, transpose } from "../ops/views.ts";
import { activeCapture, asLeaf, noGrad, tidy } from "../tensor/mod.ts";
import { kaimingUniform } from "./init.ts";
import { type Beside, Conv1D, Linear } from "./layers.ts";
import { Module, parameter } from "./module.ts";

/**
 * A layer that can have adapters.
 *
 * @category Modules
 */
export type Adaptable = Linear | Conv1D;

/**
 * Options of {@link lora}, named as in PEFT's `LoraConfig`.
 *
 * @category Modules
 */
export interface LoraOptions {
  /** The inner width of what is learned, 1 to 65,536. */
  rank: number;
  /** What is learned counts alpha / rank times (rsLoRA: alpha / √rank). Default: the rank. */
  alpha?: number;
  /**
   * The layers: ends of their paths (`"q_proj"`, `"attn.c_attn"`), or "all-linear" for all but the output layer and the experts of a
   * mixture, which lie one below the other in one matrix. Default: what makes queries and values in attention, as PEFT has it for each
   * family; all layers of a module without attention.
   */
  targets?: readonly string[] | "all-linear";
  /** Dropout of what goes into A while training. Default 0. */
  dropout?: number;
  /** Scale by alpha / √rank. Default false. */
  rslora?: boolean;
  /** Learn the lengths of rows apart. Default false. */
  dora?: boolean;
  /** What the adapter is called. Default "default". */
  name?: string;
}

/** {@link LoraOptions} as data. */
export const loraOptions: OptionTable<LoraOptions> = {
  rank: required(kinds.whole(1, 65_536)),
  alpha: kinds.number({ above: 0 }),
  targets: kinds.either(
    kinds.listOf(kinds.someText, "a list of ends of paths of layers", 1),
    kinds.oneOf("all-linear"),
  ),
  dropout: byDefault(0, kinds.number({ from: 0, below: 1 })),
  rslora: byDefault(false, kinds.flag),
  dora: byDefault(false, kinds.flag),
  name: byDefault("default", kinds.kind("a name of 1 to 512 characters", isName)),
};

function isName(x: unknown): boolean {
  return typeof x === "string" && x !== "" && x.length <= 512;
}

/**
 * How much the adapter of one layer counts, and what it drops while training.
 *
 * @category Modules
 */
export interface LoraLayerOptions {
  /** The inner width. */
  readonly rank: number;
  /** What the scale is made of. */
  readonly alpha: number;
  /** What B · A is multiplied with. */
  readonly scale: number;
  /** Dropout of what goes into A. */
  readonly dropout: number;
  /** Whether lengths of rows are learned apart. */
  readonly dora: boolean;
}

/** Whether a layer has its weight as [in, out]. */
export function isTurned(layer: Module | undefined): boolean {
  return layer instanceof Conv1D;
}

/** [in, out] of a layer. */
export function widthsOf(layer: Adaptable): [from: number, to: number] {
  const [a, b] = layer.weight.shape;
  return layer instanceof Conv1D ? [a, b] : [b, a];
}

/** The weight as numbers, [out, in]. */
function rowsOf(layer: Adaptable): Tensor {
  const { weight } = layer;
  return toDType(layer instanceof Conv1D ? transpose(weight, 0, 1) : weight, "f32");
}

/**
 * What an adapter has for one layer.
 *
 * @category Modules
 */
export class LoraLayer extends Module {
  /** [rank, in]. */
  lora_A: Tensor;
  /** [out, rank]. */
  lora_B: Tensor;
  /** DoRA's lengths of rows, [out]; null in other adapters. */
  lora_magnitude_vector: Tensor | null;
  /** How it counts. */
  readonly options: LoraLayerOptions;

  /** A begins uniform in ±1/√in and B as 0, so that at first nothing is changed. */
  constructor(layer: Adaptable, options: LoraLayerOptions) {
    demandNoMore(arguments, 2, "LoraLayer");
    super();
    const [from, to] = widthsOf(layer), { device } = layer.weight, { rank } = options;
    this.lora_A = parameter(kaimingUniform(empty([rank, from], { device }), Math.sqrt(5)));
    this.lora_B = parameter(zeros([to, rank], { device }));
    this.lora_magnitude_vector = options.dora ? parameter(rowLengths(rowsOf(layer))) : null;
    this.options = options;
  }

  /** scale · B · A, [out, in]. */
  delta(): Tensor {
    return tidy(() => mul(matmul(this.lora_B, this.lora_A), this.options.scale));
  }

  /** How many times each row counts: what was learned over the length it has, which is taken for a constant. */
  #stretch(layer: Adaptable): Tensor {
    const lengths = noGrad(() => tidy(() => rowLengths(add(rowsOf(layer), this.delta()))));
    return div(this.lora_magnitude_vector as Tensor, lengths);
  }

  /**
   * What the layer gives for x […, in] with this beside it.
   * @throws {ShapeError} when shapes do not fit together.
   * @throws {DTypeError} for what is no tensor.
   */
  product(layer: Adaptable, x: Tensor, plain: (x: Tensor) => Tensor): Tensor {
    const { scale, dropout: p } = this.options;
    return tidy(() => {
      const drops = this.training && p > 0, seen = drops ? dropout(x, p, true) : x, y = plain(x);
      const learned = mul(linear(linear(seen, this.lora_A), this.lora_B), scale);
      if (!this.lora_magnitude_vector) return add(y, learned);
      const stretch = this.#stretch(layer), { bias } = layer;
      const bare = (t: Tensor): Tensor => bias ? sub(t, bias) : t;
      // Only what went through dropout is stretched, as PEFT does.
      if (drops) {
        const more = add(mul(bare(plain(seen)), sub(stretch, 1)), mul(learned, stretch));
        return toDType(add(y, more), y.dtype);
      }
      const whole = mul(add(bare(y), learned), stretch);
      // Lengths are learned in f32; what they stretch keeps its dtype.
      return toDType(bias ? add(whole, bias) : whole, y.dtype);
    });
  }

  /**
   * The weight with this in it, in the shape that it has in the layer; f32 where the layer holds blocks.
   * @throws {DTypeError} for what is no layer.
   * @throws {ShapeError} for a layer of other sizes.
   */
  merged(layer: Adaptable): Tensor {
    const { weight } = layer, isTurned = layer instanceof Conv1D;
    return noGrad(() =>
      tidy(() => {
        let rows = add(rowsOf(layer), this.delta());
        if (this.lora_magnitude_vector) {
          rows = mul(rows, reshape(div(this.lora_magnitude_vector, rowLengths(rows)), [-1, 1]));
        }
        const held = weight.dtype === "f16" || weight.dtype === "bf16" ? toDType(rows, weight.dtype) : rows;
        return isTurned ? transpose(held, 0, 1) : held;
      })
    );
  }
}

/** √Σw² of each row: [rows, columns] → [rows]. */
function rowLengths(rows: Tensor): Tensor {
  return noGrad(() => tidy(() => sqrt(sum(square(rows), 1))));
}

/**
 * An adapter: what one training added to some layers of a model. Its parameters are named by the layers' paths.
 *
 * @category Modules
 */
export class Lora extends Module {
  /** Its name. */
  readonly name: string;
  /** How it was made; `rank` and `alpha` are those of layers that have none of their own. */
  readonly options: Required<Omit<LoraOptions, "name" | "targets">>;
  readonly #parts: ReadonlyMap<string, LoraLayer>;

  /**
   * Made by {@link lora} and by loading.
   * @internal
   */
  constructor(name: string, options: Lora["options"], parts: ReadonlyMap<string, LoraLayer>) {
    demandNoMore(arguments, 3, "Lora");
    super();
    demand("Lora", "the parts", parts, parts instanceof Map, "layers by path; make one with nn.lora");
    this.name = name;
    this.options = options;
    this.#parts = parts;
  }

  /** The paths of its layers in the model, with what it has for each. */
  get layers(): ReadonlyMap<string, LoraLayer> {
    return this.#parts;
  }

  /** What it has, by the layers' paths. */
  override namedChildren(): [string, Module][] {
    return [...this.#parts];
  }
}

/** Base weights, and the parameter that stands in their place while an adapter is merged. */
interface Merged {
  readonly lora: Lora;
  readonly weights: ReadonlyMap<Adaptable, { readonly before: Tensor; readonly after: Tensor }>;
}

/**
 * The adapters of a model: all it has, the one in use, and the one that is in its weights.
 *
 * @category Modules
 */
export class AdapterSet {
  /** By name. */
  readonly all: Map<string, Lora> = new Map();
  #active: Lora | null = null;
  #merged: Merged | null = null;
  /** Parameters that learned before there were adapters. */
  readonly #frozen: Set<Tensor> = new Set();

  /** The one in use. */
  get active(): Lora | null {
    return this.#active;
  }

  /** The one that is in the weights. */
  get merged(): Lora | null {
    return this.#merged?.lora ?? null;
  }

  /** What stands beside the layer at `path` now, if anything. */
  at(path: string): LoraLayer | null {
    activeCapture()?.guard(this, "active", () => this.#active);
    activeCapture()?.guard(this, "merged", () => this.#merged);
    return this.#merged ? null : this.#active?.layers.get(path) ?? null;
  }

  /**
   * The adapter called `name`.
   * @throws {OptionError} naming those there are.
   */
  get(what: string, name: string): Lora {
    const found = this.all.get(name);
    if (found) return found;
    const have = [...this.all.keys()].map((n) => show(n)).join(", ") || "none";
    throw new OptionError(`${what}: there is no adapter ${show(name)}; loaded: ${have}`);
  }

  /**
   * Asks for weights without an adapter in them.
   * @throws {OptionError} while one is merged.
   */
  demandUnmerged(what: string): void {
    if (!this.#merged) return;
    throw new OptionError(
      `${what}: adapter ${
        show(this.#merged.lora.name)
      } is merged into the weights; call unmergeAdapter() first`,
    );
  }

  /**
   * Puts an adapter into use, or none.
   * @throws {OptionError} while one is merged.
   */
  activate(what: string, adapter: Lora | null): void {
    if (adapter === this.#active) return;
    this.demandUnmerged(what);
    this.#active = adapter;
  }

  /** Runs `f`, which is synchronous, with another adapter in use. */
  using<T>(adapter: Lora | null, f: () => T): T {
    const before = this.#active;
    if (adapter === before) return f();
    this.demandUnmerged("adapters of single texts");
    if (adapter) this.get("a text's adapter", adapter.name);
    this.#active = adapter;
    try {
      return f();
    } finally {
      this.#active = before;
    }
  }

  /** Puts an adapter beside layers of `module`, whose own parameters learn no more. The first one is in use at once. */
  add(module: Module, adapter: Lora): void {
    if (this.all.size === 0) {
      for (const p of module.parameters()) {
        if (!p.requiresGrad) continue;
        asLeaf(p, false);
        this.#frozen.add(p);
      }
      if (!this.#merged) this.#active = adapter;
    }
    const layers = adaptableLayers(module);
    this.all.set(adapter.name, adapter);
    for (const path of adapter.layers.keys()) {
      const layer = layers.get(path) as Adaptable;
      layer.adapters ??= new Adapters(this, layer, path);
    }
  }

  /** Takes an adapter away and gives its memory back; with the last one the model's own parameters learn again. */
  remove(what: string, module: Module, adapter: Lora): void {
    if (this.#merged?.lora === adapter) this.demandUnmerged(what);
    this.all.delete(adapter.name);
    if (this.#active === adapter) this.#active = null;
    adapter.dispose();
    for (const layer of adaptableLayers(module).values()) {
      if (layer.adapters?.namedChildren().length === 0) layer.adapters = null;
    }
    if (this.all.size) return;
    for (const p of this.#frozen) if (!p.isDisposed) asLeaf(p, true);
    this.#frozen.clear();
  }

  /** Puts the adapter in use into the weights; those before are kept for {@link unmerge}. */
  merge(what: string, module: Module): void {
    this.demandUnmerged(what);
    const lora = this.#active;
    if (!lora) throw new OptionError(`${what}: no adapter is in use; choose one with setAdapter(name)`);
    const layers = adaptableLayers(module), weights = new Map<Adaptable, { before: Tensor; after: Tensor }>();
    for (const [path, part] of lora.layers) {
      const layer = layers.get(path) as Adaptable, after = parameter(part.merged(layer));
      asLeaf(after, false);
      weights.set(layer, { before: layer.weight, after });
    }
    for (const [layer, { after }] of weights) layer.weight = after;
    this.#merged = { lora, weights };
  }

  /** Puts the weights back that were there before. */
  unmerge(): void {
    for (const [layer, { before, after }] of this.#merged?.weights ?? []) {
      layer.weight = before;
      after.dispose();
    }
    this.#merged = null;
  }
}

/** What stands beside one layer. */
class Adapters extends Module implements Beside {
  readonly #set: AdapterSet;
  readonly #layer: Adaptable;
  readonly #path: string;

  constructor(set: AdapterSet, layer: Adaptable, path: string) {
    super();
    this.#set = set;
    this.#layer = layer;
    this.#path = path;
  }

  get set(): AdapterSet {
    return this.#set;
  }

  /** The parts of all adapters that have one for this layer, by the adapters' names. */
  override namedChildren(): [string, Module][] {
    return [...this.#set.all].flatMap(([name, { layers }]): [string, Module][] => {
      const part = layers.get(this.#path);
      return part ? [[name, part]] : [];
    });
  }

  product(x: Tensor, plain: (x: Tensor) => Tensor): Tensor {
    const part = this.#set.at(this.#path);
    return part ? part.product(this.#layer, x, plain) : plain(x);
  }
}

/** The layers of a module that can have adapters, by path. */
export function adaptableLayers(module: Module): Map<string, Adaptable> {
  const found = new Map<string, Adaptable>();
  for (const [path, layer] of module.namedModules()) {
    if (layer instanceof Linear || layer instanceof Conv1D) found.set(path, layer);
  }
  return found;
}

/** The adapters of a module; null where it has none. */
export function adaptersOf(module: Module): AdapterSet | null {
  for (const { adapters } of adaptableLayers(module).values()) if (adapters) return adapters.set;
  return null;
}

/** Layers that adapters are for by default: those of attention, by the names of the families. */
const usual = ["q_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn"];
/** Output layers. */
const heads = ["lm_head", "embed_out"];

const lastOf = (path: string): string => path.slice(path.lastIndexOf(".") + 1);

/**
 * The paths that `targets` mean.
 * @throws {OptionError} for one that is no layer's.
 */
function targetPaths(module: Module, targets: LoraOptions["targets"]): string[] {
  const paths = [...adaptableLayers(module).keys()];
  const inside = paths.filter((path) => !heads.includes(lastOf(path)));
  if (targets === "all-linear") return inside;
  if (targets === undefined) {
    const found = inside.filter((path) => usual.includes(lastOf(path)));
    return found.length ? found : inside;
  }
  const names = [...new Set(paths.map(lastOf))].join(", ");
  const ends = (path: string, target: string): boolean => path === target || path.endsWith(`.${target}`);
  for (const target of targets) {
    if (paths.some((path) => ends(path, target))) continue;
    throw new OptionError(
      `lora: targets has ${show(target)}, which no layer with a product is called; there are ${names}`,
    );
  }
  return paths.filter((path) => targets.some((target) => ends(path, target)));
}

/** What B · A counts. */
export function scaleOf({ rank, alpha, rslora }: { rank: number; alpha: number; rslora: boolean }): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

/**
 * Puts a fresh adapter beside layers of a model and gives it. The model's own parameters, of whatever dtype (q8, q4 and blocks
 * of a GGUF too), learn no more: an optimizer is made for `adapter.parameters()`. At first the model gives what it gave.
 *
 * @example
 * ```ts
 * const model = new GPT2({ vocabSize: 65, nPositions: 32, nEmbd: 32, nLayer: 1, nHead: 2 });
 * const adapter = nn.lora(model, { rank: 4, alpha: 8 });
 * const optimizer = new optim.AdamW(adapter.parameters(), { lr: 1e-3 });
 * model.loss([[1, 2, 3, 4]]).backward();
 * optimizer.step();
 * ```
 *
 * @throws {OptionError} for a target that is no layer's, a name that is taken, a module without layers.
 * @category Modules
 */
export function lora(module: Module, options: LoraOptions): Lora {
  demandNoMore(arguments, 2, "lora");
  demand("lora", "the model", module, module instanceof Module, "a model, or another module");
  const given = checkOptions("lora", options, loraOptions), { rank, name = "default", targets } = given;
  const { alpha = rank, dropout: p = 0, rslora = false, dora = false } = given;
  const set = adaptersOf(module) ?? new AdapterSet();
  set.demandUnmerged("lora");
  if (set.all.has(name)) {
    throw new OptionError(`lora: the model has an adapter ${show(name)} already; give this one another name`);
  }
  const paths = targetPaths(module, targets), layers = adaptableLayers(module);
  if (!paths.length) {
    throw new OptionError(`lora: ${module.constructor.name} has no Linear and no Conv1D to adapt`);
  }
  const own = { rank, alpha, scale: scaleOf({ rank, alpha, rslora }), dropout: p, dora };
  const parts = paths.map((path): [string, LoraLayer] => [
    path,
    new LoraLayer(layers.get(path) as Adaptable, own),
  ]);
  const adapter = new Lora(name, { rank, alpha, dropout: p, rslora, dora }, new Map(parts));
  set.add(module, adapter);
  set.activate("lora", adapter);
  return adapter.train(module.training);
}
