/**
 * Reads the JUnit reports of `deno test`, `bun test` and `node --test`, which nest and count differently, into
 * one list of tests.
 *
 * @module
 */

/** How one test went. */
export interface TestResult {
  /** The names of its suites and its own, joined by " > ". */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** What failed and where, or why it was skipped; may be empty. */
  readonly detail: string;
  /** The file in `tests/`, where a suite of the report is called after one, or Deno says that it was declared there. */
  readonly file?: string;
}

/**
 * The tests of a report, in its order. What contains other tests is none itself, unless it failed and none of them
 * did: then the failure is its own.
 */
export function parseJUnit(xml: string): TestResult[] {
  const results: TestResult[] = [];
  const suites: string[] = [];
  let name = "", file: string | undefined, outcome: TestResult["outcome"] = "passed", detail = "";
  const tag = /<(\/?)([\w:-]+)((?:\s+[\w:-]+="[^"]*")*)\s*(\/?)>([^<]*)/g;
  for (const [, closing, element, attributes = "", single, text = ""] of xml.matchAll(tag)) {
    const attribute = (key: string) =>
      unescapeXml(new RegExp(`\\s${key}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    if (element === "testsuite") {
      if (closing) suites.pop();
      else if (!single) suites.push(attribute("name"));
    } else if (element === "testcase") {
      if (!closing) {
        // Deno puts the whole path into the name and calls its suites after files, as Bun does its outermost.
        const path = suites.filter((suite) => !/\.(ts|js|tsx|mjs)$/.test(suite));
        [name, outcome, detail] = [[...path, attribute("name")].join(" > "), "passed", ""];
        file = [...suites, attribute("classname")].map(fileIn).find((one) => one !== undefined);
        // A suite of Deno's that is called after a file.
        const own = /^tests\/(\S+_test\.ts)(?: > |$)/.exec(name);
        if (own !== null && file === undefined) [file, name] = [own[1], name.slice(own[0].length)];
      }
      if (closing || single) results.push({ name, outcome, detail, ...(file === undefined ? {} : { file }) });
    } else if (!closing && (element === "failure" || element === "error")) {
      outcome = "failed";
      detail = unescapeXml(text).trim() || attribute("message");
    } else if (!closing && element === "skipped") {
      outcome = "skipped";
      detail = attribute("message");
    }
  }
  // Of what is inside another test Deno does not say where it was declared.
  const outer = results.filter((test) => test.file !== undefined);
  for (const [i, test] of results.entries()) {
    const around = test.file ?? outer.find(({ name }) => test.name.startsWith(`${name} > `))?.file;
    if (around !== undefined) results[i] = { ...test, file: around };
  }
  return results.filter((test) => {
    const inside = results.filter((other) =>
      (other.file ?? test.file) === (test.file ?? other.file) &&
      (test.name === "" ? other.name !== "" : other.name.startsWith(`${test.name} > `))
    );
    return inside.length === 0 ||
      (test.outcome === "failed" && !inside.some((other) => other.outcome === "failed"));
  });
}

function fileIn(path: string): string | undefined {
  return /(?:^|\/)tests\/(.+_test\.ts)$/.exec(path.replaceAll("\\", "/"))?.[1];
}

const entities: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(#x?[\da-f]+|\w+);/gi, (whole, code: string) => {
    if (!code.startsWith("#")) return entities[code] ?? whole;
    return String.fromCodePoint(code[1] === "x" ? parseInt(code.slice(2), 16) : Number(code.slice(1)));
  });
}
