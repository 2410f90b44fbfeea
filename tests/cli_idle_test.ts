/**
 * Options of the command that have no effect beside others are refused, in every command.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { common, parse } from "../cli/command.ts";
import { commands } from "../cli/commands/mod.ts";
import { call, fails } from "./_command.ts";

/** A call, and the option of it that has no effect, with the reason. */
const idle: [string, string, RegExp][] = [
  ["generate a --logprobs 3", "logprobs", /told with --json only/],
  ["generate a --device webgpu --threads 2", "threads", /belongs to the cpu device/],
  ["generate a --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["chat --device webgpu --threads 2", "threads", /belongs to the cpu device/],
  ["chat --json", "json", /a conversation is text/],
  ["logits --prompt-ids 1 --full", "full", /told with --json only/],
  ["logits --prompt-ids 1 --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["eval a --device reference --threads 2", "threads", /belongs to the cpu device/],
  [
    "train a -o b --schedule constant --min-lr 0.1",
    "min-lr",
    /the rate of --schedule constant does not fall/,
  ],
  ["train a -o b --init c --family gpt2", "family", /the model's own with --init/],
  ["train a -o b --init c --n-layer 2", "n-layer", /the model's own with --init/],
  ["train a -o b --init c --n-head 2", "n-head", /the model's own with --init/],
  ["train a -o b --init c --n-embd 2", "n-embd", /the model's own with --init/],
  ["train a -o b --init c --vocab-size 0", "vocab-size", /the model's own with --init/],
  ["train a -o b --init c --n-kv-head 2", "n-kv-head", /the model's own with --init/],
  ["train a -o b --init c --n-inner 2", "n-inner", /the model's own with --init/],
  ["train a -o b --optimizer adafactor --optimizer-bits 8", "optimizer-bits", /a number a row and a column/],
  ["train a -o b --optimizer sgd --momentum 0 --optimizer-bits 8", "optimizer-bits", /remembers nothing/],
  ["convert a b --dtype q8 --calibrate c", "calibrate", /in blocks of --dtype q4 alone/],
  ["convert a b --calibrate c", "calibrate", /in blocks of --dtype q4 alone/],
  ["train a -o b --deterministic --micro-batch 2", "micro-batch", /--deterministic cuts a batch/],
  ["train a -o b --lora 2", "lora", /an adapter stands beside a trained model/],
  ["train a -o b --init c --lora-alpha 2", "lora-alpha", /there is no --lora RANK/],
  ["train a -o b --init c --lora-targets x", "lora-targets", /there is no --lora RANK/],
  ["train a -o b --init c --lora-dropout 0.1", "lora-dropout", /there is no --lora RANK/],
  ["train a -o b --init c --rslora", "rslora", /there is no --lora RANK/],
  ["train a -o b --init c --dora", "dora", /there is no --lora RANK/],
  ["train a -o b --init c --lora 2 --dropout 0.1", "dropout", /stays as it is with --lora/],
  ["train a -o b --init c --lora 2 --dtype f16", "dtype", /stays as it is with --lora/],
  ["train a -o b --init c --lora 2 --qat q8", "qat", /an adapter has no blocks/],
  ["train a -o b --device webgpu --qat q8", "qat", /rounded on the cpu; take --device cpu/],
  ["train a -o b --qat ternary --dtype f16", "dtype", /written as q4, which holds it exactly/],
  ["train a -o b --qat q8 --dtype bf16", "dtype", /convert --dtype q8 does that/],
  ["train a -o b --optimizer sgd --beta2 0.9", "beta2", /--optimizer sgd has none/],
  ["train a -o b --momentum 0.9", "momentum", /--optimizer adamw has none/],
  ["train a -o b --schedule noam --min-lr 0.1", "min-lr", /falls with the root of the steps/],
  ["train a -o b --val-fraction 0 --eval-every 5", "eval-every", /--val-fraction 0 holds nothing out/],
  ["train a -o b --val-fraction 0 --patience 5", "patience", /--val-fraction 0 holds nothing out/],
  ["train a -o b --device webgpu --mfu", "mfu", /belongs to the cpu device/],
  ["train a -o b --pack", "pack", /there is no --data FILE/],
  ["train a -o b --train-on-prompt", "train-on-prompt", /there is no --data FILE/],
  ["train a -o b --objective dpo", "objective", /there is no --data FILE/],
  ["train --data a -o b --init c --beta 0.2", "beta", /there is no --objective dpo/],
  ["train --data a -o b --init c --objective dpo --pack", "pack", /compares two answers, a row each/],
  ["train --data a -o b --init c --objective dpo --z-loss 0.1", "z-loss", /compares two answers/],
  ["train --data a -o b --init c --shuffle epoch", "shuffle", /examples come once an epoch/],
  ["train a -o b --min-delta 0.1", "min-delta", /there is no --patience N/],
  ["train a -o b --steps 5 --stop-after 9", "stop-after", /the run has fewer steps/],
  ["train a -o b --zero 1", "zero", /one process trains alone; mpirun -n 2 or srun starts ranks/],
  ["train a -o b --wire bf16", "wire", /one process trains alone/],
  ["explain --batch-size 2", "batch-size", /a decoding step is of one id/],
  ["explain --block-size 9", "block-size", /a decoding step is of one id/],
  ["explain --train --dtype q8", "train", /do not learn/],
  ["explain --device webgpu --threads 2", "threads", /belongs to the cpu device/],
  ["serve --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["batch a -o b --status --share 0/2", "share", /--status only tells, and answers none/],
  ["batch a -o b --status --model c", "model", /--status only tells/],
  ["batch a -o b --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["eval a --share 0/2", "share", /there is no -o DIR/],
  ["eval a --queue redis://c", "queue", /there is no -o DIR/],
  ["eval a --status", "status", /there is no -o DIR/],
  ["eval a -o b --status --share 0/2", "share", /--status only tells, and evaluates none/],
  ["eval a -o b --status --block-size 64", "block-size", /--status only tells/],
  ["eval a -o b --status --stride 64", "stride", /--status only tells/],
  ["eval a -o b --queue redis://c --status --model d", "model", /--status only tells/],
  ["batch a -o b --queue-name c", "queue-name", /there is no --queue URL/],
  ["batch a -o b --lease 9", "lease", /there is no --queue URL/],
  ["batch a -o b --queue redis://c --status --lease 9", "lease", /--status takes no work/],
  ["batch a -o b --queue redis://c --share 0/2", "share", /--queue hands out the work/],
  ["sweep a -o b --search lr=1 --queue-name c", "queue-name", /there is no --queue URL/],
  ["sweep a -o b --search lr=1 --queue redis://c --share 0/2", "share", /--queue hands out the work/],
  ["sweep a -o b --search lr=1 --eta 3", "eta", /there is no --method asha/],
  ["sweep a -o b --search lr=1 --min-steps 3", "min-steps", /there is no --method asha/],
  ["sweep a -o b --search lr=1 --resume --force", "force", /--resume goes on with what is there/],
  ["sweep -o b --status --jobs 2", "jobs", /--status only tells, and tries nothing/],
  ["sweep -o b --status --resume", "resume", /--status only tells/],
  ["sweep -o b --status --steps 4", "steps", /--status only tells/],
  ["sweep -o b --status --search lr=1", "search", /--status only tells/],
  ["sweep -o b --status --data c", "data", /--status only tells/],
  ["sweep -o b --status --method tpe", "method", /--status only tells/],
  ["sweep -o b --status --search-seed 1", "search-seed", /--status only tells/],
  ["sweep -o b --status --force", "force", /--status only tells, and replaces nothing/],
  ["sweep a -o b --search lr=1 --zero 1", "zero", /a trial trains alone/],
  ["sweep a -o b --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["prune a b --sparsity 0.5 --recover 5", "recover", /there is no --text FILE/],
  ["prune a b --sparsity 0.5 --block-size 5", "block-size", /there is no --text FILE/],
  ["prune a b --sparsity 0.5 --text c --lr 0.1", "lr", /there is no --recover STEPS/],
  ["prune a b --sparsity 0.5 --text c --method magnitude --samples 3", "samples", /looks at weights alone/],
  ["prune a b --sparsity 0.5 --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["distill a b c -o d --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["train a -o b --resume --force", "force", /--resume goes on with what is there/],
  ["train a -o b --device reference --threads 2", "threads", /belongs to the cpu device/],
  ["train a -o b --device reference --deterministic", "deterministic", /belongs to the cpu device/],
  ["tokenize --decode 1 --no-special", "no-special", /--decode reads ids/],
  ["tokenizer train a --vocab-size 0 --min-frequency 3", "min-frequency", /has no pairs/],
  ["tabular train a -o b --model linear --hidden 8", "hidden", /--model linear has no perceptrons/],
  ["tabular train a -o b --model linear --steps 8", "steps", /--model linear has no perceptrons/],
  ["tabular train a -o b --task regression --bins 1,2", "bins", /--task regression has no classes/],
  ["tabular train a -o b --task regression --class-weights balanced", "class-weights", /has no classes/],
  ["tabular predict a --csv b --json -o c", "out", /--json prints the predictions/],
  ["tabular predict a x=1 -o c", "out", /goes with --csv/],
  ["tabular predict a x=1 --force", "force", /there is no -o FILE/],
  ["tabular inspect a --force", "force", /there is no --onnx FILE/],
  ["run a --force", "force", /there is no --output NAME=FILE/],
  ["tabular predict a x=1 --delimiter ,", "delimiter", /a row is given, and no --csv/],
  ["tabular predict a x=1 --ignore y", "ignore", /a row is given, and no --csv/],
  ["tabular predict a x=1 --explain-csv", "explain-csv", /a row is given, and no --csv/],
  ["tabular train a -o b --quote none --escape x", "escape", /--quote none leaves no quotes/],
  ["tabular train a -o b --quiet --explain-csv", "explain-csv", /--quiet says nothing/],
  ["tabular inspect a --delimiter ,", "delimiter", /FILE is a model; they go with --explain-csv/],
  ["tabular inspect a --explain-csv --onnx b", "onnx", /--explain-csv reads a CSV file/],
  ["completions bash --json", "json", /a shell reads the script/],
];

/** What goes together, though a look might doubt it. */
const fine = [
  "generate a --temperature 0 --top-k 0 --seed 1",
  "generate a --logprobs 3 --json",
  "generate a --device auto --threads 2",
  "generate a --device cpu --threads 2",
  "generate a --device reference --max-memory 2GB",
  "train a -o b --deterministic --device cpu",
  "batch a -o b --share 1/2 --max-batch 3 --name c --model d",
  "batch a -o b --queue redis://c --queue-name d --status",
  "sweep a -o b --search lr=1 --queue redis://c --queue-name d --lease 9 --jobs 2 --trials 5",
  "train a -o b --zero 0 --wire f32 --trace c",
  "prune a b --neurons 0.5 --heads 1 --text c --recover 5 --lr 0.1 --method magnitude --seed 3",
  "sweep a -o b --search optimizer=sgd,adamw --momentum 0.9 --method asha --eta 4 --min-steps 10",
  "sweep a -o b --search lr=1 --resume --force --plot c",
  "sweep -o b --status --force --plot c",
  "eval a b -o c --queue redis://d --status",
  "logits --prompt-ids 1 --full --json",
  "explain --train --batch-size 2 --block-size 9 --dtype bf16",
  "train a -o b --schedule linear --min-lr 0.1",
  "train a -o b --schedule constant --warmup 5",
  "train a -o b --init c --block-size 8 --dropout 0.1 --lr 0.1",
  "train a -o b --resume --stop-after 9 --steps 5",
  "train a -o b --init c --lora 2 --lora-alpha 4 --lora-dropout 0.1 --rslora",
  "train a -o b --resume --lora 2 --lora-alpha 4",
  "train a -o b --optimizer muon --momentum 0.9 --beta2 0.9",
  "train a -o b --family llama --n-kv-head 1 --n-inner 64",
  "train a -o b --precision f16 --dtype bf16 --optimizer-bits 8",
  "train a -o b --micro-batch auto --gradient-checkpointing",
  "train a -o b --qat ternary --precision bf16 --ema 0.9 --dtype f32",
  "train a -o b --val-fraction 0 --save-every 5",
  "train a -o b --ema 0.99 --shuffle epoch --patience 3 --min-delta 0.1",
  "train a -o b --resume --min-delta 0.1",
  "train --data a -o b --init c --pack --train-on-prompt",
  "train --data a -o b --resume --pack",
  "train --data a -o b --init c --objective dpo --beta 0.2 --lora 2",
  "train --data a -o b --resume --objective dpo --beta 0.2",
  "tabular train a -o b --model mlp --hidden 8 --steps 9",
  "tabular train a -o b --model linear --folds 3",
  "tabular train a -o b --task regression --class-weights none",
  "tabular train a -o b --task classification --bins 1,2 --class-weights balanced",
  "tabular predict a --csv b --json",
  "tabular predict a --csv b --delimiter , -o c",
  "tabular train a -o b --quote none --escape none --keep c",
  "tabular inspect a --explain-csv --delimiter , --json",
];

const csvFlags =
  "delimiter quote escape line-end encoding skip-lines comment header no-header kind decimal thousands " +
  "date-order missing no-default-missing ignore max-cells explain-csv";

/** Options of each command whose neighbours were looked at, pair by pair; a new one has to be put here. */
const considered: Record<string, string> = {
  generate:
    "model dtype device threads max-memory prompt-ids max-new-tokens temperature top-k top-p top-h min-p typical-p " +
    "repetition-penalty frequency-penalty presence-penalty repeat-last-n no-repeat-ngram-size seed num-beams length-penalty " +
    "num-return-sequences logprobs penalty-alpha cache-dtype max-time stop lora",
  chat: "model dtype device threads max-memory max-new-tokens temperature seed stop lora",
  serve:
    "host port api-key name max-batch max-queue max-texts format-seconds pooling max-body patience cors allowed-host model dtype device threads max-memory lora",
  batch: "out share queue queue-name lease max-batch name status model dtype device threads max-memory lora",
  train:
    "out family init n-layer n-head n-embd block-size dropout vocab-size batch-size grad-accum steps lr min-lr warmup " +
    "schedule weight-decay beta2 clip seed val-fraction eval-every save-every deterministic dtype device threads max-memory resume force " +
    "stop-after plot quiet lora lora-alpha lora-targets lora-dropout rslora dora n-kv-head n-inner optimizer momentum zero wire trace " +
    "label-smoothing z-loss ema shuffle patience min-delta data pack train-on-prompt tensorboard objective beta mfu precision micro-batch gradient-checkpointing optimizer-bits qat",
  sweep:
    "out data search space method trials budget jobs search-seed eta min-steps max-parameters keep-all share queue queue-name lease resume force status plot " +
    "family init n-layer n-head n-embd block-size dropout vocab-size batch-size grad-accum steps lr min-lr warmup " +
    "schedule weight-decay beta2 clip seed val-fraction eval-every save-every deterministic dtype device threads max-memory " +
    "lora lora-alpha lora-targets lora-dropout rslora dora n-kv-head n-inner optimizer momentum zero wire " +
    "label-smoothing z-loss ema shuffle patience min-delta pack train-on-prompt objective beta precision micro-batch gradient-checkpointing optimizer-bits qat",
  prune:
    "method sparsity pattern neurons heads text samples recover lr block-size batch-size val-fraction seed dtype device threads " +
    "max-memory force",
  distill:
    "out steps lr temperature alpha hidden block-size batch-size val-fraction seed dtype device threads max-memory force",
  explain: "model dtype device threads max-memory lora train batch-size block-size",
  eval:
    "out share queue queue-name lease status model lora dtype device threads max-memory block-size stride batch-size cache-dtype fraction",
  logits: "model lora dtype device threads max-memory prompt-ids full loss",
  tokenize: "model decode no-special",
  "tokenizer train": "out vocab-size min-frequency force",
  inspect: "",
  run: "input output force device threads max-memory",
  convert: "dtype calibrate format opset contrib-ops shard-size force",
  "tabular train":
    `out target task bins folds keep seed class-weights model hidden steps report-fit ${csvFlags} force quiet`,
  "tabular predict": `csv out force ${csvFlags}`,
  "tabular inspect": `onnx force ${csvFlags}`,
  "tabular explain": "",
  pull: "revision",
  list: "",
  rm: "",
  bench: "small rounds threads",
  doctor: "",
  completions: "",
};

function parsed(line: string): unknown {
  const words = line.split(" ");
  const command = commands.find(({ name }) => line.startsWith(`${name} `));
  assert(command, line);
  return parse(command, words.slice(command.name.split(" ").length));
}

describe("options without effect", () => {
  it("are refused with the reason", () => {
    for (const [line, option, reason] of idle) {
      const { message } = assertThrows(() => parsed(line), Error, undefined, line);
      assertMatch(message, new RegExp(`: --${option} has no effect because .*; leave it out$`), line);
      assertMatch(message, reason, line);
    }
  });

  it("are told from those that have one", () => {
    for (const line of fine) parsed(line);
  });

  it("were looked for in every command", () => {
    for (const { name, options } of commands) {
      assertEquals(
        Object.keys(options).sort(),
        (considered[name] ?? "?").split(" ").filter(Boolean).sort(),
        name,
      );
    }
  });

  it("end with status 2 and nothing on standard output", async () => {
    for (const line of ["tabular train a -o b --model linear --hidden 8", "logits --prompt-ids 1 --full"]) {
      await fails(2, line.split(" "), /has no effect/);
    }
    await fails(2, ["tokenize", "text", "--decode", "1"], /give a TEXT or the ids of --decode, not both/);
  });
});

describe("--json", () => {
  it("prints one object or is refused, whatever is asked", async () => {
    for (const { name } of commands) {
      const { code, stdout } = await call([...name.split(" "), "--help", "--json"]);
      assertEquals([code, stdout], [2, ""], name);
    }
    for (
      const args of [["--help", "--json"], ["help", "--json"], ["--json"], ["help", "generate", "--json"]]
    ) {
      const { code, stdout, stderr } = await call(args);
      assertEquals([code, stdout], [2, ""], args.join(" "));
      assertMatch(stderr, /--json/);
    }
    const { stdout } = await call(["--version", "--json"]);
    assertMatch(JSON.parse(stdout).version, /^\d+\.\d+/);
  });
});

describe("numbers below zero", () => {
  it("are values, not options", async () => {
    await fails(2, ["generate", "a", "-n", "-5"], /--max-new-tokens is a whole number from 0, not "-5"/);
    await fails(2, ["generate", "a", "-n-5"], /--max-new-tokens is a whole number from 0, not "-5"/);
    await fails(2, ["generate", "a", "--seed", "-1"], /--seed is a whole number from 0, not "-1"/);
    await fails(2, ["generate", "a", "--temperature", "-.5"], /--temperature is a number from 0, not "-.5"/);
    await fails(
      2,
      ["generate", "a", "--num-beams", "100000"],
      /--num-beams is a whole number from 1 to 1024, not/,
    );
    await fails(2, ["generate", "a", "--temperature", "NaN"], /--temperature is a number from 0, not "NaN"/);
    await fails(2, ["generate", "a", "--max-time", "0"], /--max-time is seconds above 0, not "0"/);
    assertStrictEquals((await call(["generate", "a", "-x"])).code, 2);
    assert(Object.keys(common).includes("json"));
  });
});
