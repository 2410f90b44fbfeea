/**
 * The pages, in the order of the navigation.
 *
 * @module
 */

/** A page. */
export interface Page {
  /** Its folder in `web`, and its path. */
  readonly folder: string;
  /** Its name. */
  readonly name: string;
  /** One line on what it does. */
  readonly does: string;
  /** Whether it is the first one, at the root. */
  readonly home?: boolean;
}

/** All of them. */
export const pages: readonly Page[] = [
  { folder: "home", name: "Home", does: "What there is", home: true },
  { folder: "playground", name: "Playground", does: "A GPT writes, token by token, and shows its doubts" },
  { folder: "race", name: "Optimizer race", does: "Optimizers race down loss surfaces" },
  { folder: "tabular", name: "Tables", does: "Ten data sets answer as you drag" },
];
