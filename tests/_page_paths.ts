/**
 * A path of about two minutes through each page: what a visitor does, and what is seen then. `docs/pages.md` tells it in
 * words, and a test walks it.
 *
 * @module
 */

/** One thing that a visitor does. */
export interface PathStep {
  /** In a sentence. */
  readonly text: string;
  /** What to do; nothing is to look. */
  readonly act?:
    | { readonly click: string }
    | { readonly fill: readonly [selector: string, value: string] }
    | { readonly choose: readonly [selector: string, value: string] }
    | { readonly press: readonly [selector: string, key: string] };
  /** What an element says then. */
  readonly seen: readonly [selector: string, text: RegExp];
}

/** In place of a running server's address. */
export const aServer = "http://127.0.0.1:8080";

/** The paths, by the page's folder. */
export const paths: Readonly<Record<string, readonly PathStep[]>> = {
  playground: [
    {
      text: "The page opens, and the model writes by itself, a letter at a time.",
      seen: ["#text", /^ROMEO:\s+\S{3}/],
    },
    {
      text:
        "Click a letter: beside the text stand the letters that might have come instead, and how likely each was.",
      act: { click: ".token:nth-of-type(12)" },
      seen: ["#choices", /Above: the model/],
    },
    {
      text: "Draw Temperature down to 0: without writing again, one letter is left.",
      act: { fill: ["[data-name=temperature]", "0"] },
      seen: ["#choices", /with your settings, 1 token left/],
    },
    {
      text: "Choose another letter: the model goes on from there.",
      act: { click: ".choice[aria-pressed=false]" },
      seen: ["#status", /^Wrote \d+ tokens/],
    },
    {
      text: "Look at the layers: what each of them would say next.",
      act: { click: "#inside >> text=Layer by layer" },
      seen: ["#inside .lens", /\S/],
    },
    {
      text: "Type into Text to cut: these are the numbers that the model reads.",
      act: { fill: ["#to-cut", "Good night"] },
      seen: ["#token-facts", /^10 tokens for 10 letters/],
    },
  ],
  train: [
    {
      text: "The page opens training: the loss falls, and the sample turns from noise into words.",
      seen: ["#samples", /Step \d/],
    },
    {
      text: "Choose Attention: who looks at whom, in a sentence of yours.",
      act: { click: "[data-view=attention]" },
      seen: ["#inside-hint", /Every head chooses/],
    },
    {
      text: "Choose Step: one step of training, operation by operation, with shapes.",
      act: { click: "[data-view=step]" },
      seen: [".op-title", /^1 of \d+/],
    },
    {
      text: "Go to Backward: the gradient begins its way at the scores.",
      act: { click: ".op >> text=Backward" },
      seen: [".op-title", /crossEntropyBackward/],
    },
    {
      text: "Stop, and write with what has been learnt.",
      act: { click: "#stop" },
      seen: ["#status", /^Stopped/],
    },
    { text: "Give it a beginning.", act: { press: ["#prompt", "Enter"] }, seen: ["#written", /^Jack.{8}/] },
  ],
  race: [
    {
      text: "Seven optimizers race down Rosenbrock's valley.",
      act: { click: "#play" },
      seen: ["#time-value", /^step \d{2}/],
    },
    {
      text: "Under the standings stands why the leader leads, from what was measured.",
      seen: ["#why", / leads /],
    },
    {
      text: "Choose the saddle: who divides by the slope's size leaves first, SGD lingers.",
      act: { choose: ["#surface", "saddle"] },
      seen: ["#racers", /Adam#1, out at step \d+/],
    },
    {
      text: "Find learning rates: forty are tried for each, from this start.",
      act: { click: "#find" },
      seen: ["#found", /^Saddle, from/],
    },
    {
      text: "Choose a formula of yours, and click blocks together.",
      act: { choose: ["#surface", "formula"] },
      seen: [".palette", /Ripples/],
    },
    { text: "A hole, for one.", act: { click: ".palette >> text=Hole" }, seen: ["#explain", /exp\(-2\*/] },
  ],
  network: [
    {
      text: "Play: the border bends until it runs between the kinds.",
      act: { click: "#play" },
      seen: ["#facts", /^step \d{2}/],
    },
    {
      text: "Choose circles: hollow points are held out, and have a loss of their own.",
      act: { choose: ["#data", "circles"] },
      seen: ["#facts", /right (9[5-9]|100).* held out/],
    },
    {
      text: "Pause and walk through a step: a point goes forward, its error comes back.",
      act: { click: "#walk" },
      seen: ["#walk-box", /^1 of \d+\. A point enters/],
    },
    {
      text: "Below stands how it converges, and why it stalls when it does.",
      seen: ["#verdict", /(learns|Solved|stays at)/],
    },
    {
      text: "Take weights with a penalty.",
      act: { choose: ["#penalty", "l2"] },
      seen: ["#strength-value", /0\.001/],
    },
    {
      text: "Copy the link: it holds everything, weights included.",
      act: { click: "#share" },
      seen: ["#status", /^The link/],
    },
  ],
  tabular: [
    {
      text: "A model of iris flowers is open, and says what a usual flower is, and how much it doubts.",
      seen: ["#answer", /Doubt: [\d.]+ of 1\.58 bits/],
    },
    {
      text: "Take a flower that is clearly setosa.",
      act: { click: "#presets >> text=clearly setosa" },
      seen: ["#answer .big", /^setosa$/],
    },
    { text: "See what moved the answer.", seen: ["#moved-about", /Usual rows are "setosa"/] },
    {
      text: "Open California homes: a value on the scale of all homes, and where 90 % of truths lie.",
      act: { click: "[data-set=housing]" },
      seen: ["#answer .scale", /mean [\d,]+/],
    },
    {
      text: "Take an expensive one.",
      act: { click: "#presets >> text=high" },
      seen: ["#answer .big", /^(1,\d{3}|[4-9]\d\d),\d{3}$/],
    },
    { text: "Copy the link: it keeps the values.", act: { click: "#link" }, seen: ["#status", /^The link/] },
  ],
  compare: [
    {
      text: "The page says how to start a server that it may ask; start one.",
      seen: ["#command", /^ferrotype serve --model/],
    },
    {
      text: "Name its address under One.",
      act: { fill: ["#server-a", aServer] },
      seen: ["#live-hint", /^Nothing is connected yet/],
    },
    {
      text: "Name it, or another one, under Other.",
      act: { fill: ["#server-b", aServer] },
      seen: ["#live-hint", /^Nothing is connected yet/],
    },
    {
      text: "Connect: tokens a second, the queue and the memory, every second.",
      act: { click: "#connect" },
      seen: ["#live", /Tokens a second/],
    },
    {
      text: "Ask both: two answers stand side by side, and nothing tells whose they are.",
      act: { click: "#go" },
      seen: ["#status", /^Which is better/],
    },
    {
      text: "Choose the better one: now it says who wrote it, and keeps what you prefer.",
      act: { click: "[data-better=left]" },
      seen: ["#revealed", /^Left was/],
    },
  ],
};
