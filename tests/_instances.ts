/**
 * One of everything that the public face makes, small: for tests that walk its classes.
 *
 * By the name that `deno doc` has of the class or interface. Each is made anew, for what is called may change it.
 *
 * @module
 */
import * as ft from "../mod.ts";
import { nn, optim, type Tensor, tensor } from "../mod.ts";
import { CausalCache } from "../src/models/cache.ts";
import { StateCache } from "../src/nn/state_cache.ts";
import { tensors } from "./_values.ts";

/** Makes one. */
export type Make = () => unknown;

const config = { vocabSize: 16, nPositions: 8, nEmbd: 8, nLayer: 1, nHead: 2 };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const linear = (): nn.Linear => new nn.Linear(2, 2);
const cacheSizes = { layers: 2, heads: 2, width: 4, states: [null, [[2, 2]]] };

/** A tiny model, with a tokenizer of characters. */
export function tinyModel(): ft.GPT2 {
  const model = new ft.GPT2(config).eval() as ft.GPT2;
  model.tokenizer = ft.CharTokenizer.from("abcdefgh ");
  return model;
}

/** A file of one tensor, "a" [2] of f32. */
export function safetensorsBytes(): Uint8Array {
  const header = bytesOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`);
  const file = new Uint8Array(8 + header.length + 8);
  new DataView(file.buffer).setUint32(0, header.length, true);
  file.set(header, 8);
  return file;
}

/** A GGUF of one tensor, "a" [2] of f32, and no notes. */
export function ggufBytes(): Uint8Array {
  const file = new Uint8Array(128), view = new DataView(file.buffer);
  file.set(bytesOf("GGUF"));
  view.setUint32(4, 3, true);
  view.setBigUint64(8, 1n, true);
  // Its name, its rank, its sizes, its type and where its bytes begin, behind the header up to a multiple of 32.
  view.setBigUint64(24, 1n, true);
  file.set(bytesOf("a"), 32);
  view.setUint32(33, 1, true);
  view.setBigUint64(37, 2n, true);
  return file.subarray(0, 64 + 8);
}

export const csvBytes: Uint8Array = bytesOf(`x,y\n${"1,2.5\n2,4.5\n4,8.5\n".repeat(4)}`);

const ids = Array.from({ length: 20 }, (_, i) => i % 7);
const exampleSet: ft.ExampleSet = {
  length: 2,
  sha256: "",
  at: () => ({ ids: [1, 2, 3], counts: [1, 1, 1] }),
  where: String,
};
const preferenceSet: ft.PreferenceSet = {
  ...exampleSet,
  at: (i) => ({ chosen: exampleSet.at(i), rejected: exampleSet.at(i) }),
};

/** Of files that are closed and tensors that are disposed too. */
export async function makeInstances(): Promise<Record<string, readonly Make[]>> {
  const file = async (): Promise<ft.Safetensors> => await ft.openSafetensors(safetensorsBytes());
  const gguf = async (): Promise<ft.Gguf> => await ft.openGguf(ggufBytes());
  const closed = await file(), closedGguf = await gguf();
  closed.close(), closedGguf.close();
  const files = await Promise.all([file(), file(), file()]), ggufs = await Promise.all([gguf(), gguf()]);
  const table = await ft.readCsv(csvBytes);
  const tabular = await ft.TabularModel.fit(table, { folds: 0, model: "linear", seed: 1 });
  const onnx = await ft.Onnx.load(new URL("./data/onnx/linear.onnx", import.meta.url));
  const lines = bytesOf('{"text":"ab"}\n{"text":"cd"}\n'), model = tinyModel();
  const examples = await ft.openExamples(lines, { model } as ft.ExamplesOptions);
  const causal = await ft.CausalLM.fromConfig({
    model_type: "llama",
    vocab_size: 16,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 8,
  });
  const bpe = ft.BpeTokenizer.train("a b a b", { vocabSize: 258 });
  const huggingFace = ft.tokenizerFromJson(bpe.toJSON(), undefined, { engine: "huggingface" });
  const sentencePiece = new ft.SentencePieceTokenizer({
    pieces: [{ text: "<unk>", score: 0, type: 2 }, { text: "a", score: 0, type: 1 }],
    model: "bpe",
    byteFallback: false,
    addDummyPrefix: false,
    removeExtraWhitespaces: false,
  });
  const wordPiece = new ft.WordPieceTokenizer({ tokens: ["[UNK]", "a"] });
  const adapted = (): ft.GPT2 => {
    const made = tinyModel();
    nn.lora(made, { rank: 2 });
    return made;
  };
  const sgd = (): ft.Optimizer => new optim.SGD(linear().parameters(), { lr: 0.1 });
  const trainer = (): ft.Trainer => {
    const own = tinyModel(), data = ft.randomBatches(ids, { batchSize: 1, blockSize: 4 });
    return new ft.Trainer({
      model: own,
      data,
      optimizer: new optim.SGD(own.parameters(), { lr: 0.1 }),
      steps: 1,
    });
  };
  const kv = (): nn.KVCache => new nn.KVCache(1, 2, 4, 4);
  const causalCache = (): CausalCache => new CausalCache(cacheSizes, 1, 4);
  const kept: readonly Make[] = [
    () => ft.randomBatches(ids, { batchSize: 1, blockSize: 4 }),
    () => ft.epochBatches(ids, { batchSize: 1, blockSize: 4 }),
    () => ft.sequentialBatches(ids, { batchSize: 1, blockSize: 4 }),
    () => ft.exampleBatches(exampleSet, { batchSize: 1, blockSize: 4 }),
    () => ft.preferenceBatches(preferenceSet, { batchSize: 1, blockSize: 4 }),
  ];
  const gpt2 = new ft.GPT2Model(config);
  const everyTensor: readonly Make[] = tensors;
  const modules: readonly Make[] = [linear, () => new nn.Sequential(linear(), new nn.ReLU()), tinyModel];
  return {
    SafetensorsFile: [() => files[0], () => closed],
    Safetensors: [() => files[0], () => closed],
    TensorView: [() => files[0].view("a"), () => files[1].view("a")],
    ReadPlan: [() => files[2].plan(["a"])],
    GgufFile: [() => ggufs[0], () => closedGguf],
    Gguf: [() => ggufs[0], () => closedGguf],
    GgufView: [() => ggufs[1].view("a"), () => closedGguf.view("a")],
    Generator: [() => new ft.Generator(1)],
    TensorBase: everyTensor,
    Tensor: everyTensor,
    ElementwiseMethods: everyTensor,
    FunctionMethods: everyTensor,
    ReduceMethods: everyTensor,
    ViewMethods: everyTensor,
    ProductMethods: everyTensor,
    Compiled: [
      () => ft.compile((x: Tensor) => x instanceof ft.Tensor ? ft.relu(x) : x),
      () => ft.compile((x: Tensor) => void x.data()),
    ],
    Module: modules,
    Layer: [linear],
    Linear: [linear],
    Conv1D: [() => new nn.Conv1D(2, 2)],
    Embedding: [() => new nn.Embedding(3, 2)],
    LayerNorm: [() => new nn.LayerNorm(2)],
    CausalSelfAttention: [() => new nn.CausalSelfAttention(4, 2)],
    KVCache: [kv],
    StateCache: [() => new StateCache(1, [[2, 2]])],
    Lora: [() => nn.lora(tinyModel(), { rank: 2 })],
    LoraLayer: [() => [...nn.lora(tinyModel(), { rank: 2 }).layers.values()][0]],
    Optimizer: [sgd, () => new optim.Adam([tensor([1, 2], { requiresGrad: true })])],
    CheckpointStore: [() => new ft.CheckpointManager("checkpoints")],
    CheckpointManager: [() => new ft.CheckpointManager("checkpoints")],
    Trainer: [trainer],
    DataSource: kept,
    Distributed: [() => ft.distributed],
    Normalizer: [() => tabular.normalizer],
    Table: [() => table],
    TabularModelBase: [() => tabular],
    TabularModel: [() => tabular],
    OnnxModel: [() => onnx],
    Onnx: [() => onnx],
    BpeTokenizer: [() => bpe],
    CharTokenizer: [() => ft.CharTokenizer.from("abc")],
    HuggingFaceTokenizer: [() => huggingFace],
    SentencePieceTokenizer: [() => sentencePiece],
    WordPieceTokenizer: [() => wordPiece],
    Tokenizer: [() => bpe, () => huggingFace, () => sentencePiece, () => wordPiece],
    DecodeStream: [() => bpe.stream(), () => sentencePiece.stream()],
    Batcher: [() => new ft.Batcher(tinyModel())],
    PrefixStore: [() => tinyModel().prefixes],
    Landscape: Object.values(ft.landscapes).map((one) => () => one),
    CausalCache: [causalCache],
    GPT2Cache: [() => tinyModel().createCache(1)],
    CausalModel: [() => gpt2],
    GPT2Model: [() => gpt2],
    GPT2Block: [() => new ft.GPT2Block(ft.gpt2Config(config))],
    GPT2MLP: [() => new ft.GPT2MLP(ft.gpt2Config(config))],
    Examples: [() => examples],
    GPT2: [tinyModel, adapted],
    CausalLM: [() => causal],
    NetworkModel: [tinyModel, adapted, () => causal],
    TextModel: [tinyModel, adapted, () => causal],
    SummaryWriter: [() => new ft.SummaryWriter("board")],
    "nn.ReLU": [() => new nn.ReLU()],
    "nn.GELU": [() => new nn.GELU()],
    "nn.Tanh": [() => new nn.Tanh()],
    "nn.Sigmoid": [() => new nn.Sigmoid()],
    "nn.SiLU": [() => new nn.SiLU()],
    "nn.Softmax": [() => new nn.Softmax()],
    "nn.Dropout": [() => new nn.Dropout(0.5)],
    "nn.Sequential": [() => new nn.Sequential(linear()), () => new nn.Sequential()],
    "nn.MLP": [() => new nn.MLP([2, 2])],
    "nn.RMSNorm": [() => new nn.RMSNorm(2)],
    "nn.Conv1d": [() => new nn.Conv1d(1, 1, 1)],
    "nn.Conv2d": [() => new nn.Conv2d(1, 1, 1)],
    "nn.RNN": [() => new nn.RNN(2, 2)],
    "nn.GRU": [() => new nn.GRU(2, 2)],
    "nn.LSTM": [() => new nn.LSTM(2, 2)],
    "nn.RotaryEmbedding": [() => new nn.RotaryEmbedding({ width: 4, theta: 1e4, maxPositions: 8 })],
    // Of types of parameters alone.
    Adaptable: [linear],
    Params: [() => linear().parameters(), () => [{ params: linear().parameters() }]],
    ExampleSet: [() => exampleSet],
    PreferenceSet: [() => preferenceSet],
    LossModel: [tinyModel],
    LogitsModel: [tinyModel],
    LanguageModel: [tinyModel],
    AssistantModel: [tinyModel],
    BatchLanguageModel: [tinyModel],
    PreferenceModel: [tinyModel],
    TableColumn: [() => table.columns[0]],
    TokenIds: [() => ids, () => new Int32Array(ids), () => tensor(ids, { dtype: "i32" })],
    Ids: [() => [1, 2], () => [[1, 2]], () => tensor([[1, 2]], { dtype: "i32" }), () => [99], () => []],
    Openable: [safetensorsBytes, ggufBytes, () => "nothing.bin", () => bytesOf("x"), () => csvBytes],
    CsvSource: [() => csvBytes, () => "nothing.csv", () => bytesOf("")],
    Row: [() => ({ x: 1 }), () => ({ x: "b" }), () => ({})],
    FileSystem: [() => undefined],
    Dims: [() => 0, () => -1, () => [0, 1], () => 5, () => null],
    Shape: [() => [2, 2], () => [3], () => [], () => [-1], () => [1.5]],
    ResolvedOptions: [() => ft.resolveOptions({ maxNewTokens: 2 })],
  };
}
