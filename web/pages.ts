/**
 * The pages, in the order in which they are shown. The build and the navigation read this table.
 *
 * A page is a folder with `page.html` (what goes into `<main>`), `main.ts` and, if it likes, `page.css`.
 *
 * @module
 */

/** One page. */
export interface PageInfo {
  /** Its folder; "" is the landing page, whose files lie in `web` itself. */
  readonly id: string;
  /** In the title of the window. */
  readonly title: string;
  /** In the navigation. */
  readonly nav: string;
  /** What a visitor does there, in a sentence or two. */
  readonly about: string;
  /** Whether it asks servers that the visitor names: then it may reach any, and says so. */
  readonly asksServers?: true;
}

/** Every page. */
export const pages: readonly PageInfo[] = [
  {
    id: "",
    title: "Machine learning in a browser tab",
    nav: "Start",
    about: "What there is to see.",
  },
  {
    id: "playground",
    title: "Playground",
    nav: "Playground",
    about: "A language model writes as you watch. Look into every choice it makes, " +
      "and take another branch.",
  },
  {
    id: "train",
    title: "Watch a GPT being born",
    nav: "Train",
    about:
      "Paste a text, and a small GPT learns to write like it. Look inside while it learns, go back in time, " +
      "and take the model with you.",
  },
  {
    id: "race",
    title: "Optimizer race",
    nav: "Race",
    about: "Seven optimizers walk down the same slope. Change the learning rate while they run, " +
      "scrub back in time, and type a surface of your own.",
  },
  {
    id: "network",
    title: "A network you can see",
    nav: "Network",
    about:
      "A small network learns to tell two kinds of points apart. Every weight, every neuron and the border " +
      "it draws, live.",
  },
  {
    id: "tabular",
    title: "Tables",
    nav: "Tables",
    about:
      "Ten data sets and their models. Drag a slider and see what changes the answer, or drop a CSV file " +
      "and train on it.",
  },
  {
    id: "compare",
    title: "Compare",
    nav: "Compare",
    about:
      "Watch a running server: tokens a second, waits, queue, memory. And choose the better of two answers without " +
      "knowing whose it is.",
    asksServers: true,
  },
];
