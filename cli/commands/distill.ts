/**
 * `ferrotype distill`: a model learns what another one would say.
 *
 * @module
 */
import {
  add,
  CausalLM,
  exp,
  logSoftmax,
  mean,
  mul,
  nn,
  noGrad,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
  tidy,
} from "../../mod.ts";
import { number, whole } from "../../src/core/kinds.ts";
import { show } from "../../src/core/show.ts";
import { type Command, UsageError } from "../command.ts";
import { heldLoss, materialOptions, readMaterial } from "../compress/material.ts";
import { demandRoomFor, storedOption, writeModel } from "../compress/place.ts";
import { trainShortly } from "../compress/training.ts";
import { applyDevice, deviceIdle, deviceOptions } from "../model.ts";
import { counted, formatBytes, note, print, printJson } from "../output.ts";
import { readText } from "../text.ts";

/** Letters of the text by which tokenizers are compared, beside all their tokens. */
const compared = 100_000;

/** @throws {UsageError} where two models read a text as other ids. */
function demandSameTokens(teacher: CausalLM, student: CausalLM, text: string): number {
  const [one, other] = [teacher.tokenizer, student.tokenizer];
  if (!one || !other) {
    throw new UsageError(
      `distill: the ${one ? "student" : "teacher"} has no tokenizer; both models have to read the text`,
    );
  }
  const differ = (how: string): never => {
    throw new UsageError(
      `distill: teacher and student have other tokenizers (${how}); the teacher's words have to be the student's`,
    );
  };
  if (one.vocabSize !== other.vocabSize) differ(`of ${one.vocabSize} and ${other.vocabSize} tokens`);
  for (let id = 0; id < one.vocabSize; id++) {
    const [a, b] = [one.idToToken(id), other.idToToken(id)];
    if (a !== b) differ(`${id} is ${show(a)} and ${show(b)}`);
  }
  const [a, b] = [one, other].map((tokenizer) => tokenizer.encode(text.slice(0, compared)));
  const at = a.findIndex((id, i) => id !== b[i]);
  if (at >= 0 || a.length !== b.length) {
    differ(`token ${at < 0 ? Math.min(a.length, b.length) : at} of the text is another`);
  }
  return one.vocabSize;
}

/** The student, and what makes its states as wide as the teacher's while it learns. */
class Learner extends nn.Module {
  readonly student: nn.Module;
  readonly bridge: nn.Linear | null;

  constructor(student: nn.Module, bridge: nn.Linear | null) {
    super();
    this.student = student;
    this.bridge = bridge;
  }
}

/** States of mean square 1, so that the size of a teacher's does not count. */
const normal = (x: Tensor): Tensor => mul(x, mean(mul(x, x), -1, { keepdim: true }).add(1e-6).rsqrt());

/** The command. */
export const distill: Command = {
  name: "distill",
  usage: "TEACHER STUDENT TEXTFILE -o OUT [options]",
  summary: "Trains a model to say what a larger one would, and writes it.",
  details:
    "The student learns the teacher's whole distribution of the next token (Hinton, Vinyals, Dean 2015): KL of both at --temperature,\n" +
    "times its square, beside the text's own cross-entropy. --hidden adds how far the last states are apart, through a matrix where\n" +
    "the widths differ. Families may differ; the tokenizer has to be the same, and that is checked. A student to begin with:\n" +
    "ferrotype train TEXT -o STUDENT, or what ferrotype prune wrote.",
  positionals: [3, 3],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required)" },
    steps: { value: "N", kind: whole(1), help: "steps (default 1000)" },
    lr: { value: "R", kind: number({ above: 0 }), help: "highest learning rate (default 1e-3)" },
    temperature: {
      value: "T",
      kind: number({ above: 0, to: 100 }),
      help: "of both distributions (default 2)",
    },
    alpha: {
      value: "P",
      kind: number({ above: 0, to: 1 }),
      help: "how much the teacher counts beside the text (default 0.9; 1: the text does not)",
    },
    hidden: {
      value: "W",
      kind: number({ above: 0 }),
      help: "how much the last states count besides (default: not)",
    },
    ...materialOptions,
    dtype: storedOption,
    ...deviceOptions,
    force: { help: "replace what OUT holds; without it that is refused" },
  },
  idle: deviceIdle,
  async run(values, [from, to, textPath]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("distill: say where to write with -o DIR");
    if (textPath === "-") {
      throw new UsageError("distill: the text is read more than once; name a file instead of -");
    }
    await demandRoomFor("distill", out, values.flag("force"));
    await applyDevice(values);
    const onWarning = (message: string): void => void note(message);
    using teacher = await CausalLM.load(from, { onWarning });
    using student = await CausalLM.load(to, { dtype: "f32", onWarning });
    const vocabulary = demandSameTokens(teacher, student, await readText(textPath));
    const text = await readMaterial("distill", values, textPath, student, to);
    if (text.blockSize > teacher.contextLength) {
      throw new UsageError(
        `distill: --block-size is ${text.blockSize}, expected at most the ${teacher.contextLength} positions of ${from}`,
      );
    }
    teacher.eval();
    const temperature = values.number("temperature") ?? 2, alpha = values.number("alpha") ?? 0.9;
    const weight = values.number("hidden") ?? 0, steps = values.number("steps") ?? 1000;
    const [wide, narrow] = [teacher, student].map((model) => model.network.embeddings.shape[1]);
    const bridge = weight > 0 && wide !== narrow ? new nn.Linear(narrow, wide, { bias: false }) : null;
    const learner = new Learner(student.network, bridge);
    const losses = { teacher: await heldLoss(teacher, text), before: await heldLoss(student, text) };
    /** Log-probabilities [tokens, vocabulary] at the temperature; rows of a model may be more than tokens are. */
    const softened = (logits: Tensor): Tensor => {
      const size = logits.shape.at(-1)!, rows = reshape(logits, [-1, size]);
      return logSoftmax(
        mul(size === vocabulary ? rows : slice(rows, null, [0, vocabulary]), 1 / temperature),
        -1,
      );
    };
    const loss = (batch: Tensor): Tensor =>
      tidy(() => {
        const ids = slice(batch, null, [0, -1]), targets = reshape(slice(batch, null, [1, null]), [-1]);
        const { network } = student, states = network.hidden(ids), logits = network.logits(states);
        const [told, theirs] = noGrad(() => {
          const states = teacher.network.hidden(ids);
          return [softened(teacher.network.logits(states)), weight > 0 ? normal(states) : null];
        });
        const kl = mean(sum(mul(exp(told), sub(told, softened(logits))), -1));
        let total = mul(kl, alpha * temperature ** 2);
        if (alpha < 1) {
          const flat = reshape(logits, [-1, logits.shape.at(-1)!]);
          total = add(total, mul(nn.crossEntropy(flat, targets), 1 - alpha));
        }
        if (theirs) {
          const own = normal(bridge ? bridge.forward(states) : states), apart = sub(own, theirs);
          total = add(total, mul(mean(mul(apart, apart)), weight));
        }
        return total;
      });
    await trainShortly({ model: learner, text, steps, lr: values.number("lr") ?? 1e-3, loss });
    const after = await heldLoss(student, text), bytes = await writeModel(student, out, values);
    const [parameters, ofTeacher] = [student.numParameters(), teacher.numParameters()];
    if (values.flag("json")) {
      return await printJson({
        teacher: from,
        student: to,
        out,
        steps,
        parameters,
        teacher_parameters: ofTeacher,
        loss_teacher: losses.teacher,
        loss_before: losses.before,
        loss_after: after,
        bytes,
      });
    }
    await print(
      `held-out loss ${losses.before.toFixed(4)} before, ${after.toFixed(4)} after; the teacher's ${
        losses.teacher.toFixed(4)
      }; ${counted(parameters, "parameter")} of the teacher's ${ofTeacher.toLocaleString("en")}`,
    );
    await note(`wrote ${out} (${formatBytes(bytes)} of weights)`);
  },
};
