/**
 * Every options object of the public face is checked: a name that does not exist, a value of another kind, and what is no
 * object are OptionErrors that name it. The exported types are walked, so that no option and no function escapes.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as ft from "../mod.ts";
import {
  BpeTokenizer,
  CharTokenizer,
  GPT2,
  nn,
  Normalizer,
  optim,
  tabular,
  type Tensor,
  tensor,
} from "../mod.ts";
import { CheckpointStore } from "../src/train/mod.ts";
import { type Property, takingOptions } from "./_public_options.ts";
import { describe, it } from "./_suite.ts";

type Options = Record<string, unknown>;
type Call = (options: never) => unknown;

const config = { vocabSize: 16, nPositions: 8, nEmbd: 8, nLayer: 1, nHead: 2 };
const model = new GPT2(config).eval(), ids = [1, 2];
const x = tensor([[1, 2], [3, 4]]), cube = tensor(new Float32Array(16), { shape: [1, 1, 4, 4] });
const targets = tensor([0, 1], { dtype: "i32" }), parameter = tensor([1, 2], { requiresGrad: true });
const characters = CharTokenizer.from("abc"), bytes = BpeTokenizer.train("a b", { vocabSize: 257 });
const huggingFace = ft.tokenizerFromJson(bytes.toJSON(), undefined, { engine: "huggingface" });
const sizes = { vocabSize: 8, contextLength: 8, width: 4, layers: 1, heads: 2 };
const linear = new nn.Linear(2, 2), full = ft.gpt2Config(config);
const data = ft.randomBatches(new Int32Array(9), { batchSize: 1, blockSize: 2 });
const examples: ft.ExampleSet = {
  length: 1,
  sha256: "",
  at: () => ({ ids: [1, 2, 3], counts: [1, 1, 1] }),
  where: String,
};
const preferences: ft.PreferenceSet = {
  ...examples,
  at: (i) => ({ chosen: examples.at(i), rejected: examples.at(i) }),
};
const nowhere = "/no/such/place", fileSystem = { writeFileAtomic: 1, rename: 1 };
const parts = { vocab: {}, merges: [] }, rotary = { width: 4, theta: 1e4, maxPositions: 8 };
const wordPiece = { tokens: ["[UNK]", "a"] };
const sentencePiece: ft.SentencePieceParts = {
  pieces: [{ text: "<unk>", score: 0, type: 2 }, { text: "a", score: 0, type: 1 }],
  model: "bpe",
  byteFallback: false,
  addDummyPrefix: false,
  removeExtraWhitespaces: false,
};

async function anOpenFile(): Promise<ft.Safetensors> {
  const header = new TextEncoder().encode(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`);
  const file = new Uint8Array(8 + header.length + 1);
  new DataView(file.buffer).setUint32(0, header.length, true);
  file.set(header, 8);
  return await ft.openSafetensors(file);
}
const file = anOpenFile();

const csv = new TextEncoder().encode(`x,y\n${"1,2.5\n2,4.5\n4,8.5\n".repeat(4)}`), table = ft.readCsv(csv);
const fitted = table.then((read) => ft.TabularModel.fit(read, { folds: 0, model: "linear" }));

/** How each is called, and what it cannot do without. */
const calls: Record<string, Call | [Call, Options]> = {
  "SafetensorsFile#plan(options)": async (o) => (await file).plan(["a"], o),
  "SafetensorsFile#read(options)": async (o) => (await file).read(["a"], o),
  "Safetensors#tensor(options)": async (o) => await (await file).tensor("a", o),
  "checkGradients(options)": (o) => ft.checkGradients((t: Tensor) => t.mul(2), [x], o),
  "grad(options)": (o) => ft.grad((t: Tensor) => t.sum(), o),
  "valueAndGrad(options)": (o) => ft.valueAndGrad((t: Tensor) => t.sum(), o),
  "memory(options)": (o) => ft.memory(o),
  "new CausalSelfAttention(options)": (o) => new nn.CausalSelfAttention(4, 2, o),
  "new Conv1D(options)": (o) => new nn.Conv1D(2, 2, o),
  "Conv1D#forward(options)": (o) => new nn.Conv1D(2, 2).forward(x, o),
  "new Embedding(options)": (o) => new nn.Embedding(2, 2, o),
  "new KVCache(options)": (o) => new nn.KVCache(1, 1, 2, 2, o),
  "new LayerNorm(options)": (o) => new nn.LayerNorm(2, o),
  "new RMSNorm(options)": (o) => new nn.RMSNorm(2, o),
  "new RNN(options)": (o) => new nn.RNN(2, 2, o),
  "new GRU(options)": (o) => new nn.GRU(2, 2, o),
  "new LSTM(options)": (o) => new nn.LSTM(2, 2, o),
  "new Linear(options)": (o) => new nn.Linear(2, 2, o),
  "new GELU(options)": (o) => new nn.GELU(o),
  "new MLP(options)": (o) => new nn.MLP([2, 2, 2], o),
  "new Conv1d(options)": (o) => new nn.Conv1d(1, 1, 1, o),
  "new Conv2d(options)": (o) => new nn.Conv2d(1, 1, 1, o),
  "Module#loadStateDict(options)": (o) => linear.loadStateDict(linear.stateDict(), o),
  "Module#to(target)": (o) => linear.to(o),
  "new CheckpointStore(options)": [(o) => new CheckpointStore(nowhere, o), { fileSystem }],
  "new CheckpointManager(options)": (o) => new ft.CheckpointManager(nowhere, o),
  "CheckpointStore#loadLatest(options)": (o) => new ft.CheckpointManager(nowhere).loadLatest(o),
  "CheckpointStore#loadBest(options)": (o) => new ft.CheckpointManager(nowhere).loadBest(o),
  "gptq(options)": (o) => ft.gptq(model, Array.from({ length: 20 }, (_, i) => i % 3), o),
  "evaluate(options)": [(o) => ft.evaluate(model, [1, 2, 3], o), { blockSize: 2 }],
  "Distributed#init(options)": (o) => ft.distributed.init(o),
  "Distributed#allReduce(options)": (o) => ft.distributed.allReduce(x, o),
  "Distributed#broadcast(options)": (o) => ft.distributed.broadcast(x, o),
  "Distributed#reduceScatter(options)": (o) => ft.distributed.reduceScatter(x, o),
  "randomBatches(options)": [(o) => ft.randomBatches(new Int32Array(9), o), { batchSize: 1, blockSize: 2 }],
  "exampleBatches(options)": [(o) => ft.exampleBatches(examples, o), { batchSize: 1, blockSize: 2 }],
  "evaluateExamples(options)": [
    (o) => ft.evaluateExamples(model, examples, o),
    { batchSize: 1, blockSize: 2 },
  ],
  "preferenceBatches(options)": [
    (o) => ft.preferenceBatches(preferences, o),
    { batchSize: 1, blockSize: 2 },
  ],
  "evaluatePreferences(options)": [
    (o) => ft.evaluatePreferences(model, preferences, o),
    { batchSize: 1, blockSize: 2 },
  ],
  "openPreferences(options)": [
    (o) => ft.openPreferences(new TextEncoder().encode('{"prompt":"","chosen":"a","rejected":"b"}'), o),
    { model: withTokenizer() },
  ],
  "openExamples(options)": [
    (o) => ft.openExamples(new TextEncoder().encode('{"text":"ab"}'), o),
    { model: withTokenizer() },
  ],
  "new SummaryWriter(options)": (o) => new ft.SummaryWriter(nowhere, o),
  "epochBatches(options)": [(o) => ft.epochBatches(new Int32Array(9), o), { batchSize: 1, blockSize: 2 }],
  "sequentialBatches(options)": [
    (o) => ft.sequentialBatches(new Int32Array(9), o),
    { batchSize: 1, blockSize: 2 },
  ],
  "new Trainer(options)": [
    (o) => new ft.Trainer(o),
    { model, data, optimizer: new optim.SGD(model.parameters()), steps: 1 },
  ],
  "arange(options)": (o) => ft.arange(3, o),
  "empty(options)": (o) => ft.empty([1], o),
  "eye(options)": (o) => ft.eye(2, o),
  "full(options)": (o) => ft.full([1], 2, o),
  "linspace(options)": (o) => ft.linspace(0, 1, 2, o),
  "ones(options)": (o) => ft.ones([1], o),
  "onesLike(options)": (o) => ft.onesLike(x, o),
  "tensor(options)": (o) => tensor([1], o),
  "zeros(options)": (o) => ft.zeros([1], o),
  "zerosLike(options)": (o) => ft.zerosLike(x, o),
  "rand(options)": (o) => ft.rand([1], o),
  "randn(options)": (o) => ft.randn([1], o),
  "randint(options)": (o) => ft.randint(3, [1], o),
  "uniform(options)": (o) => ft.uniform([1], 0, 1, o),
  "sampleLogits(options)": (o) => ft.sampleLogits(tensor([1, 2]), 0.5, o),
  "gelu(approximate)": (o) => ft.gelu(x, o),
  "FunctionMethods#gelu(approximate)": (o) => x.gelu(o),
  "scaledDotProductAttention(options)": (o) => ft.scaledDotProductAttention(cube, cube, cube, o),
  "conv1d(options)": (o) => ft.conv1d(ft.zeros([1, 1, 2]), ft.zeros([1, 1, 1]), null, o),
  "conv2d(options)": (o) => ft.conv2d(cube, ft.zeros([1, 1, 1, 1]), null, o),
  "conv3d(options)": (o) => ft.conv3d(ft.zeros([1, 1, 2, 2, 2]), ft.zeros([1, 1, 1, 1, 1]), null, o),
  "convTranspose1d(options)": (o) => ft.convTranspose1d(ft.zeros([1, 1, 2]), ft.zeros([1, 1, 1]), null, o),
  "convTranspose2d(options)": (o) => ft.convTranspose2d(cube, ft.zeros([1, 1, 1, 1]), null, o),
  "convTranspose3d(options)": (o) =>
    ft.convTranspose3d(ft.zeros([1, 1, 2, 2, 2]), ft.zeros([1, 1, 1, 1, 1]), null, o),
  "batchNorm(options)": (o) => ft.batchNorm(cube, ft.zeros([1]), ft.ones([1]), null, null, o),
  "readNpy(options)": (o) => ft.readNpy(new Uint8Array(0), o),
  "readNpz(options)": (o) => ft.readNpz(new Uint8Array(0), o),
  "exportOnnx(options)": async (o) => ft.exportOnnx(await fitted, nowhere, o),
  "Onnx.load(options)": (o) => ft.Onnx.load(new Uint8Array(0), o),
  "OnnxModel#run(options)": async (o) =>
    await (await ft.Onnx.load(new URL("./data/onnx/linear.onnx", import.meta.url))).run({}, o),
  "maxPool1d(options)": (o) => ft.maxPool1d(ft.zeros([1, 1, 2]), 2, o),
  "maxPool2d(options)": (o) => ft.maxPool2d(cube, 2, o),
  "maxPool3d(options)": (o) => ft.maxPool3d(ft.zeros([1, 1, 2, 2, 2]), 2, o),
  "avgPool1d(options)": (o) => ft.avgPool1d(ft.zeros([1, 1, 2]), 2, o),
  "avgPool2d(options)": (o) => ft.avgPool2d(cube, 2, o),
  "avgPool3d(options)": (o) => ft.avgPool3d(ft.zeros([1, 1, 2, 2, 2]), 2, o),
  "lpPool1d(options)": (o) => ft.lpPool1d(ft.zeros([1, 1, 2]), 2, 2, o),
  "lpPool2d(options)": (o) => ft.lpPool2d(cube, 2, 2, o),
  "lpPool3d(options)": (o) => ft.lpPool3d(ft.zeros([1, 1, 2, 2, 2]), 2, 2, o),
  "interpolate(options)": [(o) => ft.interpolate(cube, o), { size: 3 }],
  "indexPut(options)": (o) => ft.indexPut(x, [targets], x, o),
  "pad(options)": (o) => ft.pad(x, [1, 1], o),
  "ViewMethods#pad(options)": (o) => x.pad([1, 1], o),
  "mseLoss(options)": (o) => ft.mseLoss(x, x, o),
  "l1Loss(options)": (o) => ft.l1Loss(x, x, o),
  "huberLoss(options)": (o) => ft.huberLoss(x, x, o),
  "bceWithLogits(options)": (o) => ft.bceWithLogits(x, x, o),
  "nllLoss(options)": (o) => ft.nllLoss(x, targets, o),
  "crossEntropy(options)": (o) => ft.crossEntropy(x, targets, o),
  "affine(options)": (o) => ft.affine(x, x, null, o),
  "variance(options)": (o) => ft.variance(x, null, o),
  "var(options)": (o) => ft.var(x, null, o),
  "std(options)": (o) => ft.std(x, null, o),
  "sort(options)": (o) => ft.sort(x, -1, o),
  "argsort(options)": (o) => ft.argsort(x, -1, o),
  "topk(options)": (o) => ft.topk(x, 1, -1, o),
  "ReduceMethods#var(options)": (o) => x.var(null, o),
  "ReduceMethods#std(options)": (o) => x.std(null, o),
  "ReduceMethods#sort(options)": (o) => x.sort(-1, o),
  "ReduceMethods#argsort(options)": (o) => x.argsort(-1, o),
  "ReduceMethods#topk(options)": (o) => x.topk(1, -1, o),
  ...Object.fromEntries(
    [
      "sum",
      "mean",
      "prod",
      "max",
      "min",
      "amax",
      "amin",
      "logsumexp",
      "any",
      "all",
      "norm",
      "argmax",
      "argmin",
    ]
      .flatMap((name): [string, Call][] => [
        [`${name}(keepdim)`, (o) => (ft as unknown as Record<string, CallableFunction>)[name](x, null, o)],
        [
          `ReduceMethods#${name}(keepdim)`,
          (o) => (x as unknown as Record<string, (...a: unknown[]) => unknown>)[name](null, o),
        ],
      ]),
  ),
  "add(options)": (o) => ft.add(x, x, o),
  "sub(options)": (o) => ft.sub(x, x, o),
  "div(options)": (o) => ft.div(x, x, o),
  "round(options)": (o) => ft.round(x, o),
  "ElementwiseMethods#add(options)": (o) => x.add(x, o),
  "ElementwiseMethods#sub(options)": (o) => x.sub(x, o),
  "ElementwiseMethods#div(options)": (o) => x.div(x, o),
  "ElementwiseMethods#round(options)": (o) => x.round(o),
  "Tensor#to(target)": (o) => x.to(o),
  "Tensor#backward(options)": (o) => parameter.mul(2).sum().backward(undefined, o),
  "new BpeTokenizer(parts)": [(o) => new BpeTokenizer(o), parts],
  "BpeTokenizer.train(options)": [(o) => BpeTokenizer.train("a", o), { vocabSize: 257 }],
  "BpeTokenizer.fromVocabMerges(options)": (o) => BpeTokenizer.fromVocabMerges({}, "", o),
  "BpeTokenizer#encode(options)": (o) => bytes.encode("a", o),
  "BpeTokenizer#encodeSteps(options)": (o) => [...bytes.encodeSteps("a", o)],
  "BpeTokenizer#decode(options)": (o) => bytes.decode([1], o),
  "BpeTokenizer#stream(options)": (o) => bytes.stream(o),
  "new CharTokenizer(options)": (o) => new CharTokenizer("ab", o),
  "CharTokenizer.from(options)": (o) => CharTokenizer.from("ab", o),
  "CharTokenizer#encode(options)": (o) => characters.encode("a", o),
  "CharTokenizer#decode(options)": (o) => characters.decode([1], o),
  "CharTokenizer#stream(options)": (o) => characters.stream(o),
  "HuggingFaceTokenizer#encode(options)": async (o) => (await huggingFace).encode("a", o),
  "HuggingFaceTokenizer#decode(options)": async (o) => (await huggingFace).decode([1], o),
  "HuggingFaceTokenizer#stream(options)": async (o) => (await huggingFace).stream(o),
  "tokenizerFromJson(options)": (o) => ft.tokenizerFromJson(bytes.toJSON(), null, o),
  "new Batcher(options)": (o) => new ft.Batcher(model, o),
  "resolveOptions(options)": (o) => ft.resolveOptions(o),
  "resolveOptions(modelOptions)": (o) => ft.resolveOptions({}, o),
  "step2d(options)": [(o) => ft.step2d("sgd", ft.landscapes.rosenbrock, ft.state2d(0, 0), o), { lr: 1 }],
  "new GPT2Cache(options)": (o) => new ft.GPT2Cache(full, 1, 2, o),
  "gpt2Config(values)": [(o) => ft.gpt2Config(o), config],
  "new GPT2MLP(options)": (o) => new ft.GPT2MLP(full, o),
  "new GPT2Block(options)": (o) => new ft.GPT2Block(full, o),
  "new GPT2Model(config)": [(o) => new ft.GPT2Model(o), config],
  "new GPT2Model(options)": (o) => new ft.GPT2Model(config, o),
  "CausalModel#createCache(options)": (o) => model.createCache(1, 2, o),
  "CausalModel#forward(options)": (o) => model.forward(ids, o),
  "CausalModel#loss(options)": (o) => model.loss(ids, undefined, o),
  "CausalModel#hidden(options)": (o) => model.hidden(ids, o),
  "CausalModel#attentions(options)": (o) => model.attentions(ids, o),
  "encodeChat(options)": (o) => ft.encodeChat(bytes, "a", o),
  "loadChatTemplate(options)": (o) => ft.loadChatTemplate(nowhere, o),
  "benchmark(options)": (o) => ft.benchmark(o),
  "chooseDevice(config)": [(o) => ft.chooseDevice(o), config],
  "initWebGPU(options)": (o) => ft.initWebGPU(o),
  "copySafetensors(options)": async (o) =>
    await ft.copySafetensors(await file, nowhere + "/x.safetensors", o),
  "saveSafetensors(options)": (o) => ft.saveSafetensors(nowhere + "/x.safetensors", { x }, o),
  "loadTokenizer(options)": (o) => ft.loadTokenizer(nowhere, o),
  "new GPT2(config)": [(o) => new GPT2(o), config],
  "new GPT2(options)": (o) => new GPT2(config, o),
  "new CausalCache(options)": (o) => new ft.CausalCache({ layers: 1, heads: 1, width: 2 }, 1, 2, o),
  "CausalLM.load(options)": (o) => ft.CausalLM.load(nowhere, o),
  "CausalLM.fromConfig(options)": (o) =>
    ft.CausalLM.fromConfig({ vocab_size: 8, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 1 }, o),
  "CausalLM.fromSizes(sizes)": [(o) => ft.CausalLM.fromSizes("llama", o), sizes],
  "CausalLM.fromSizes(options)": (o) => ft.CausalLM.fromSizes("llama", sizes, o),
  "NetworkModel#createCache(options)": (o) => model.createCache(1, 2, o),
  "NetworkModel#forward(options)": (o) => model.forward(ids, o),
  "NetworkModel#loss(options)": (o) => model.loss(ids, undefined, o),
  "NetworkModel#hidden(options)": (o) => model.hidden(ids, o),
  "NetworkModel#attentions(options)": (o) => model.attentions(ids, o),
  "TextModel#chat(options)": (o) => withTokenizer().chat([{ role: "user", content: "a" }], o),
  "TextModel#chatIds(options)": (o) => withTokenizer().chatIds([{ role: "user", content: "a" }], o),
  "TextModel#embed(options)": (o) => model.embed([ids], o),
  "TextModel#loadTokenizer(options)": (o) => model.loadTokenizer(nowhere, o),
  "GPT2.load(options)": (o) => GPT2.load(nowhere, o),
  "NetworkModel#loadAdapter(options)": (o) => model.loadAdapter(nowhere, o),
  "NetworkModel#saveAdapter(options)": (o) => model.saveAdapter(nowhere, o),
  "lora(options)": [(o) => nn.lora(new nn.Linear(2, 2), o), { rank: 1 }],
  "TextModel#generate(options)": (o) => withTokenizer().generate("a", o),
  "TextModel#complete(options)": (o) => withTokenizer().complete("a", o),
  "TextModel#stream(options)": (o) => model.stream(ids, o),
  "TextModel#completion(options)": (o) => model.completion(ids, o),
  "TextModel#completions(options)": (o) => model.completions(ids, o),
  "TextModel#completeBatch(options)": (o) => model.completeBatch([ids], o),
  "TextModel#batcher(options)": (o) => model.batcher(o),
  "TextModel#prepare(options)": (o) => model.prepare([ids], o),
  "TextModel#generateIds(options)": (o) => model.generateIds(ids, o),
  "TextModel#save(options)": (o) => model.save(nowhere, o),
  "TextModel#files(options)": (o) => model.files(o),
  "removeCached(options)": (o) => ft.removeCached("a/b", o),
  "scanCache(options)": (o) => ft.scanCache(o),
  "pullModel(options)": [(o) => ft.pullModel("a/b", o), { offline: true, cacheDir: nowhere }],
  "linearWarmup(options)": [(o) => optim.schedules.linearWarmup(o), { lr: 1, warmup: 2 }],
  "cosine(options)": [(o) => optim.schedules.cosine(o), { lr: 1, steps: 3 }],
  "linear(options)": [(o) => optim.schedules.linear(o), { lr: 1, steps: 3 }],
  "step(options)": [(o) => optim.schedules.step(o), { lr: 1, stepSize: 3 }],
  "exponential(options)": [(o) => optim.schedules.exponential(o), { lr: 1, gamma: 0.5 }],
  "inverseSqrt(options)": [(o) => optim.schedules.inverseSqrt(o), { lr: 1, warmup: 2 }],
  "oneCycle(options)": [(o) => optim.schedules.oneCycle(o), { maxLr: 1, totalSteps: 3 }],
  "wsd(options)": [(o) => optim.schedules.wsd(o), { lr: 1, steps: 3 }],
  "noam(options)": [(o) => optim.schedules.noam(o), { lr: 1, warmup: 2 }],
  "new Adafactor(options)": (o) => new optim.Adafactor([parameter], o),
  "new Lion(options)": (o) => new optim.Lion([parameter], o),
  "new Muon(options)": (o) => new optim.Muon([parameter], o),
  "new Adagrad(options)": (o) => new optim.Adagrad([parameter], o),
  "new Adam(options)": (o) => new optim.Adam([parameter], o),
  "new AdamW(options)": (o) => new optim.AdamW([parameter], o),
  "new RMSprop(options)": (o) => new optim.RMSprop([parameter], o),
  "new SGD(options)": (o) => new optim.SGD([parameter], o),
  "new SentencePieceTokenizer(parts)": [(o) => new ft.SentencePieceTokenizer(o), { ...sentencePiece }],
  "SentencePieceTokenizer#encode(options)": (o) =>
    new ft.SentencePieceTokenizer(sentencePiece).encode("a", o),
  "SentencePieceTokenizer#encodeSteps(options)": (o) => [
    ...new ft.SentencePieceTokenizer(sentencePiece).encodeSteps("a", o),
  ],
  "SentencePieceTokenizer#decode(options)": (o) =>
    new ft.SentencePieceTokenizer(sentencePiece).decode([1], o),
  "SentencePieceTokenizer#stream(options)": (o) => new ft.SentencePieceTokenizer(sentencePiece).stream(o),
  "new WordPieceTokenizer(parts)": [(o) => new ft.WordPieceTokenizer(o), wordPiece],
  "WordPieceTokenizer#encodeSteps(options)": (
    o,
  ) => [...new ft.WordPieceTokenizer(wordPiece).encodeSteps("a", o)],
  "WordPieceTokenizer#encode(options)": (o) => new ft.WordPieceTokenizer(wordPiece).encode("a", o),
  "WordPieceTokenizer#decode(options)": (o) => new ft.WordPieceTokenizer(wordPiece).decode([1], o),
  "WordPieceTokenizer#stream(options)": (o) => new ft.WordPieceTokenizer(wordPiece).stream(o),
  "Gguf#tensor(options)": (o) => ft.Gguf.prototype.tensor.call({ view: () => ({}) } as never, "a", o),
  "saveGguf(options)": (o) => ft.saveGguf(nowhere + "/x.gguf", { x }, o),
  "convertToGguf(options)": (o) => ft.convertToGguf(nowhere, nowhere + "/x.gguf", o),
  "rotaryFrequencies(options)": [(o) => nn.rotaryFrequencies(o, 3), rotary],
  "new RotaryEmbedding(options)": [(o) => new nn.RotaryEmbedding(o), rotary],
  "compile(options)": (o) => ft.compile((t: Tensor) => t.mul(2), o),
  "vmap(options)": (o) => ft.vmap((t: Tensor) => t.mul(2), o),
  "jacobian(options)": (o) => ft.jacobian((t: Tensor) => t.mul(2), o),
  "hessian(options)": (o) => ft.hessian((t: Tensor) => t.sum(), o),
  "Optimizer#step(options)": (o) => new optim.SGD([parameter]).step(o),
  "bootstrapInterval(options)": (o) => tabular.bootstrapInterval(() => 1, 3, o),
  "readCsv(options)": (o) => ft.readCsv(csv, o),
  "readCsvStream(given)": (o) => tabular.readCsvStream("a", [csv], o),
  "Normalizer.fit(given)": async (o) => Normalizer.fit(await table, o),
  "fitTable(given)": async (o) => tabular.fitTable(await table, o),
  "TabularModel.fit(options)": async (o) => ft.TabularModel.fit(await table, o),
  "TabularModel#readCsv(options)": async (o) => (await fitted).readCsv(csv, o),
  "TabularModelBase#explain(options)": async (o) => (await fitted).explain({ x: 1 }, o),
  "TabularModelBase#toOnnx(options)": async (o) => (await fitted).toOnnx(o),
  "toOnnx(options)": async (o) => tabular.toOnnx((await fitted).fitted, o),
};

/** What looks like options and is none, and why. */
const none: Record<string, string> = {
  "new TensorView(info)": "what a file holds",
  "new LoraLayer(options)": "made by nn.lora, and known here by its type alone",
  "new Optimizer(options)": "abstract",
  "new Table(parts)": "what reading gives",
  "Table#missing(column)": "what a table has",
  "new TabularModelBase(info)": "what a fit or a file gives",
};
for (
  const where of [
    "Batcher#submit(asked)",
    "generateMany(asked)",
    "generatePieces(options)",
    "generateText(options)",
    "generateWhole(options)",
    "textOfTokens(options)",
    "generateTokens(asked)",
  ]
) none[where] = "what resolveOptions gave, which checked it";

function withTokenizer(): GPT2 {
  model.tokenizer = characters;
  return model;
}

/** What `call` throws, now or later; null when nothing. */
async function thrownBy(call: () => unknown): Promise<unknown> {
  try {
    const result = await call();
    // What is begun is ended.
    await (result as AsyncGenerator | undefined)?.return?.(undefined);
    return null;
  } catch (error) {
    return error;
  }
}

async function refuses(call: Call, options: unknown, message: RegExp, what: string): Promise<void> {
  const error = await thrownBy(() => call(options as never));
  assert(error instanceof ft.OptionError, `${what}: ${error}`);
  assertMatch(error.message, message, what);
}

const found = takingOptions(), skip = typeof found === "string" ? found : false;
const surface = (typeof found === "string" ? [] : found).filter(({ where }) => !Object.hasOwn(none, where));
const called = surface.filter(({ where }) => calls[where]);
const of = (where: string): [Call, Options] => {
  const given = calls[where];
  return Array.isArray(given) ? given : [given, {}];
};

describe("options of the public face", () => {
  it("are all called here", { skip }, () => {
    const known = surface.map(({ where }) => where), missing = known.filter((where) => !calls[where]);
    assertEquals(missing, [], "new functions with options: give each a call above");
    assertEquals(Object.keys(calls).filter((where) => !known.includes(where)), [], "no longer there");
  });

  it("refuse a name that does not exist, and what is no object", async () => {
    for (const where of Object.keys(calls)) {
      const [call, base] = of(where);
      await refuses(call, { ...base, qqxx: 1 }, /there is no option "qqxx"/, where);
      await refuses(call, { ...base, qqxx: undefined }, /there is no option "qqxx"/, where);
      for (const wrong of ["f32", null, [1], Symbol("s")]) {
        await refuses(call, wrong, /the options are |approximate is /, `${where} ${String(wrong)}`);
      }
    }
  });

  it("refuse a value of another kind for each, by its name", { skip }, async () => {
    for (const { where, properties } of called) {
      const [call, base] = of(where);
      for (const { name, optional } of properties) {
        const wrong = new RegExp(`\\b${name} is Symbol\\(wrong\\), expected .`);
        await refuses(call, { ...base, [name]: Symbol("wrong") }, wrong, `${where} ${name}`);
        if (optional || base[name] === undefined) continue;
        await refuses(
          call,
          { ...base, [name]: undefined },
          new RegExp(`\\b${name} is missing`),
          `${where} ${name}`,
        );
      }
    }
  });

  it("refuse what a kind of scaling does not take", async () => {
    const scaled = (scaling: object): Call => () => nn.rotaryFrequencies({ ...rotary, scaling } as never, 8);
    const wrong: [object, RegExp][] = [
      [{ ropeType: "linnear", factor: 2 }, /scaling.ropeType is "linnear", expected "default", "linear"/],
      [{ ropeType: "linear" }, /rotaryFrequencies: scaling: factor is missing/],
      [{ ropeType: "linear", factr: 2 }, /scaling: there is no option "factr"; did you mean "factor"/],
      [{ ropeType: "default", factor: 2 }, /scaling: there is no option "factor"/],
      [
        { ropeType: "yarn", factor: 0, originalMaxPositionEmbeddings: 8 },
        /factor is 0, expected a number above 0/,
      ],
      [{ ropeType: "factors", factors: [0] }, /factors is \[0\], expected a list of numbers above 0/],
    ];
    for (const [scaling, message] of wrong) {
      await refuses(scaled(scaling), {}, message, JSON.stringify(scaling));
    }
  });

  it("take undefined for what was not given", { skip }, async () => {
    for (const { where, properties } of called) {
      const [call, base] = of(where);
      const gaps = Object.fromEntries(properties.filter(isFree(base)).map(({ name }) => [name, undefined]));
      const error = await thrownBy(() => call({ ...base, ...gaps } as never));
      assert(!(error instanceof ft.OptionError && /undefined/.test(error.message)), `${where}: ${error}`);
    }
  });
});

const isFree = (base: Options) => ({ name, optional }: Property): boolean =>
  optional && base[name] === undefined;
