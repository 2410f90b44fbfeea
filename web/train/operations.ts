/**
 * The plan of a training step read line by line: what each operation takes and gives, and what it is for.
 *
 * @module
 */

/** Something that an operation takes or gives. */
export interface Operand {
  /** Such as "%12", "@5", "$0", "#6". */
  readonly name: string;
  /** A temporary, a weight or what the optimizer remembers, what is given to the step, a constant. */
  readonly kind: "between" | "kept" | "given" | "constant";
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** The parts of a step. */
export type Part = "forward" | "loss" | "backward" | "optimizer";

/** One operation. */
export interface Operation {
  readonly part: Part;
  /** Its name in the plan, or "copy" and "fill". */
  readonly name: string;
  /** Where in the model, such as "block 2, attention"; "" where it is said by the part. */
  readonly where: string;
  readonly takes: readonly Operand[];
  readonly gives: readonly Operand[];
  /** What it is for, in a sentence. */
  readonly text: string;
  /** The line of the plan. */
  readonly line: string;
}

const kinds = { "%": "between", "@": "kept", "$": "given", "#": "constant" } as const;

function operands(text: string): Operand[] {
  const found = new Map<string, Operand>();
  for (const [, name, dtype, shape] of text.matchAll(/([%@$#]\d+) ([a-z]+\d*)\[([\d, ]*)\]/g)) {
    found.set(name, {
      name,
      kind: kinds[name[0] as keyof typeof kinds],
      dtype,
      shape: shape === "" ? [] : shape.split(", ").map(Number),
    });
  }
  return [...found.values()];
}

/** A line before it is known what it is for. */
type Raw = Pick<Operation, "name" | "takes" | "gives" | "line">;

function readLine(line: string): Raw {
  const at = line.indexOf(" = "), right = line.slice(at + 3), [, called] = /^(\w+)\(/.exec(right) ?? [];
  const name = called ?? (/^[\d.-]/.test(right) ? "fill" : "copy");
  return { name, gives: operands(line.slice(0, at)), takes: operands(right), line };
}

const dimensions = ({ shape }: Operand): string => shape.length === 0 ? "one number" : shape.join(" × ");

/** What an operation of the way forward is for; `next` and `last` are its neighbours. */
function forward(one: Raw, last: string, next: string, gathers: number, vocab: number): string {
  const width = one.gives[0].shape.at(-1) ?? 1;
  switch (one.name) {
    case "lt":
      return "Is a number below 0? Such ones count from the end; here there are none.";
    case "select":
      return "The numbers as they are looked up.";
    case "upload":
      return "The places in the text: 0, 1, 2 and so on.";
    case "gather":
      return gathers === 0
        ? `Every letter's row of the table of embeddings: ${width} numbers stand for a letter.`
        : "Every place's row of the table of positions: the model has to know where a letter stands.";
    case "layerNorm":
      return "Each row is brought to mean 0 and variance 1, then scaled and moved by what is learnt.";
    case "attention":
      return "Every letter asks all letters before it: softmax of query times key says how much of each value it takes, in each head.";
    case "add":
      return last === "gather"
        ? "Letter and place are added: this is what enters the first block."
        : "What was found is added to what came in: the residual stream goes on.";
    case "mul":
      return "GELU: what is above 0 passes, what is below is held back. Without a bend, layers would be one layer.";
    case "matmul":
      if (next === "attention") return "One product makes queries, keys and values of all heads.";
      if (last === "attention") return "What the heads found is mixed into one row again.";
      if (next === "mul") return "The MLP looks for patterns: each row becomes four times as wide.";
      if (last === "mul") return "What the MLP found, as narrow as before.";
      return `Each row against every letter's embedding: ${vocab} scores (logits), how likely each letter is next.`;
    default:
      return "Part of the way forward.";
  }
}

function backward(one: Raw, last: string): string {
  switch (one.name) {
    case "crossEntropyBackward":
      return "The gradient of each score: the chance that the model gave, less 1 for the letter that came.";
    case "matmul":
      return one.takes.some(({ kind }) => kind === "kept")
        ? "The gradient goes back through the weights to what came in."
        : "The gradient of weights: what came in times the gradient that comes back, summed over all letters.";
    case "reduce":
      return "The gradient of a bias, or of positions: summed over all rows that used it.";
    case "mul":
      return "Back through GELU: times its slope, which is worked out again from what came in.";
    case "layerNormBackward":
      return "Back through the norm: gradients of what came in, of the scale and of the shift.";
    case "attentionBackward":
      return "Back through attention: gradients of queries, keys and values. The softmax is worked out again, not kept.";
    case "scatter":
      return "Each gradient is added to the row of the table that was looked up.";
    case "fill":
      return "Room in which gradients are collected, zeros at first.";
    case "copy":
      return "A gradient is put where its part lay: queries, keys and values came from one product.";
    case "add":
      return last === "layerNormBackward"
        ? "Two ways lead back, through the block and past it: their gradients are added."
        : "A gradient is added where its part lay.";
    default:
      return "Part of the way back.";
  }
}

function optimizer(one: Raw): string {
  if (one.name === "reduce") return "Is this gradient finite? Its largest number is looked at.";
  if (one.name === "sub") {
    return `AdamW: the means of the gradient and of its square are renewed, and ${
      dimensions(one.gives[0])
    } weights move by their quotient.`;
  }
  return "What was looked at is written down, so that a broken gradient is told.";
}

/** Reads a plan's operations, those that were asked for. */
export function readPlan(plan: string): Operation[] {
  const raw = plan.split("\n").filter((line) => /^ {2}[%@$#]\d/.test(line)).map((line) =>
    readLine(line.trim())
  );
  const loss = raw.findIndex(({ name }) => name === "crossEntropy");
  const back = raw.findIndex(({ name }) => name === "crossEntropyBackward");
  // Nothing of the way back writes what is kept; the optimizer does nothing else.
  const update = raw.findIndex(({ gives }, i) => i > back && gives[0].kind === "kept");
  const vocab = raw[loss].takes[0].shape.at(-1) ?? 0,
    blocks = raw.filter(({ name }) => name === "attention").length;
  let gathers = 0, norms = 0, backNorms = 0;
  return raw.map((one, i) => {
    const last = raw[i - 1]?.name ?? "", next = raw[i + 1]?.name ?? "";
    let part: Part = "optimizer", text = "", where = "";
    if (i < loss) {
      part = "forward";
      if (one.name === "layerNorm") norms++;
      text = forward(one, last, next, gathers, vocab);
      if (one.name === "gather") gathers++;
      const block = Math.ceil(norms / 2);
      where = norms === 0
        ? "embeddings"
        : block > blocks
        ? "the end"
        : `block ${block}, ${norms % 2 ? "attention" : "MLP"}`;
    } else if (i < back) {
      part = "loss";
      text = one.name === "crossEntropy"
        ? "The loss of every letter: −log of the chance that the model gave to the letter that came."
        : one.name === "fill"
        ? "The way back begins: the loss's gradient by itself is 1."
        : one.name === "div"
        ? "The mean over all letters: the sum by their number."
        : "Which letters count, their sum and their number.";
      if (one.name === "div" && last === "fill") text = "Each letter's share in the mean.";
      if (i === back - 1) text = "Each letter's share in the mean, for all of them.";
    } else if (i < update) {
      part = "backward";
      text = backward(one, last);
      const block = blocks - Math.floor((backNorms - 1) / 2);
      where = backNorms === 0
        ? "the end"
        : block < 1
        ? "embeddings"
        : `block ${block}, ${backNorms % 2 ? "MLP" : "attention"}`;
      if (one.name === "layerNormBackward") backNorms++;
    } else text = optimizer(one);
    return { ...one, part, where, text };
  });
}
