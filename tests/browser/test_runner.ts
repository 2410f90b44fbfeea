/**
 * As much of `node:test` as the shared suites use, for a page: declarations are collected and run in their order.
 *
 * @module
 */
type Step = () => void | Promise<void>;

/** One test and how it ended. */
export interface Outcome {
  readonly name: string;
  readonly error: string | null;
  readonly milliseconds: number;
}

interface Suite {
  readonly name: string;
  readonly steps: Step[];
  readonly after: Step[];
}

const outcomes: Outcome[] = [];
let declared = 0, share = 1;
let open: Suite[] = [{ name: "", steps: [], after: [] }];

/** Declares tests under a name. */
export function describe(name: string, declare: () => void): void {
  const outer = open[open.length - 1],
    inner: Suite = { name: `${outer.name}${outer.name && ": "}${name}`, steps: [], after: [] };
  open.push(inner);
  declare();
  open.pop();
  outer.steps.push(() => runSuite(inner));
}

/** Declares a test. */
export function it(name: string, step: Step): void {
  if (declared++ % share !== 0) return;
  const { name: suite, steps } = open[open.length - 1];
  steps.push(async () => {
    let error: string | null = null;
    const started = performance.now();
    try {
      await step();
    } catch (thrown) {
      error = thrown instanceof Error ? `${thrown.message}\n${thrown.stack}` : String(thrown);
    }
    outcomes.push({ name: `${suite}: ${name}`, error, milliseconds: performance.now() - started });
  });
}

/** Runs before the tests of the suite. */
export function before(step: Step): void {
  open[open.length - 1].steps.push(step);
}

/** Runs after the tests of the suite. */
export function after(step: Step): void {
  open[open.length - 1].after.push(step);
}

async function runSuite({ steps, after }: Suite): Promise<void> {
  for (const step of [...steps, ...after]) await step();
}

/** Has of the tests that are declared from now on only every `parts`th run. */
export function shareOf(parts: number): void {
  [declared, share] = [0, parts];
}

/** Runs everything declared so far. */
export async function runAll(): Promise<Outcome[]> {
  const [root] = open;
  open = [{ name: "", steps: [], after: [] }];
  await runSuite(root);
  return outcomes;
}
