/**
 * Every public function says what it throws, or is named here as one that throws nothing; every public name has a category.
 *
 * What is public is what `deno doc` says of mod.ts; so this is asked on Deno alone. Whether what is said of errors is all of
 * them, `throws_called_test.ts` tries.
 */
import { assert, assertEquals } from "@std/assert";
import * as ft from "../mod.ts";
import { allDeclarations, callables, has, thrownBy } from "./_face.ts";
import { describe, it } from "./_suite.ts";

/** Functions that take what they are given, or nothing. */
const throwNothing: readonly string[] = [
  ...["areDeterministicAlgorithmsEnabled", "defaultDevice", "defaultGenerator", "devices", "diagnose"],
  ...["getMaxMemory", "getThreads", "initQuantized", "initReference", "peakFlops", "randomState"],
  ...["nn.isParameter", "tabular.badge", "tabular.rangePosition", "tabular.zScore"],
];

/** Those whose tensors are a module's parameters or a model's own, or that call what they are given with any. */
const ofModels =
  /^(AssistantModel|Beside|Layer|Module|Recurrence|ExampleBatch|LogitsModel|LossModel|PreferenceBatch|StepPrecision|OnnxModel|BatchLanguageModel|LanguageModel|CausalNetwork|Place|optim\.ByOperations)#|^(byClass|nn\.isParameter)$/;

describe("the public face", { skip: !("Deno" in globalThis) && "deno doc tells what is public" }, () => {
  it("says what it throws: functions, and methods of tensors", () => {
    const all = allDeclarations(), functions = all.filter(([, { kind }]) => kind === "function");
    assert(functions.length > 300, `${functions.length} functions`);
    const silent = functions.filter(([name, one]) => !has(one, "throws") && !throwNothing.includes(name));
    assertEquals(silent.map(([name]) => name), []);
    const spoken = functions.filter(([name, one]) => has(one, "throws") && throwNothing.includes(name));
    assertEquals(spoken.map(([name]) => name), []);
    const methods = all.filter(([, { location }]) => location.filename.includes("/src/ops/methods/"))
      .flatMap(([name, { def }]) =>
        (def?.methods ?? []).map((method) => [`${name}.${method.name}`, method] as const)
      );
    assertEquals(methods.filter(([, method]) => !has(method, "throws")).map(([name]) => name), []);
  });

  it("names one class of this package a tag, and says when it is thrown", () => {
    const errors = Object.keys(ft).filter((name) => name.endsWith("Error")), wrong: string[] = [];
    for (const { name, ways } of callables(allDeclarations())) {
      for (const { kind, doc = "", tsType } of ways.flatMap(({ said }) => said.jsDoc?.tags ?? [])) {
        if (kind !== "throws") continue;
        const isWhole = errors.includes(tsType?.repr ?? "") && doc.trim() !== "" && !/\{\w+Error\}/.test(doc);
        if (!isWhole) wrong.push(`${name}: {${tsType?.repr}} ${doc}`);
      }
    }
    assertEquals(wrong, []);
  });

  it("says it by tags: what stands behind other words on a line is a part of them", () => {
    const written: string[] = [];
    for (const [name, one] of allDeclarations()) {
      const { methods = [], constructors = [], properties = [] } = one.def ?? {};
      for (const part of [one, ...methods, ...constructors, ...properties]) {
        const { doc = "", tags = [] } = part.jsDoc ?? {};
        const words = [doc, ...tags.map(({ doc = "" }) => doc)].join(" ").replaceAll(/`[^`]*`/g, "");
        if (/(^|\s)@(throws|returns|category|internal|example)\b/.test(words)) {
          written.push(part === one ? name : `${name}.${(part as { name?: string }).name}`);
        }
      }
    }
    assertEquals(written, []);
  });

  it("says of a tensor's method what it says of the function", () => {
    const all = callables(allDeclarations()), unlike: string[] = [];
    // A function is also given what is no tensor.
    const of = (name: string): string[] | undefined =>
      all.find((one) => one.name === name)?.ways.flatMap(({ said }) => thrownBy(said))
        .filter((error) => error !== "DTypeError").sort();
    for (const { name } of all) {
      const [, method] = /^\w+Methods#(\w+)$/.exec(name) ?? [], own = method && of(method);
      if (own && own.join() !== of(name)?.join()) unlike.push(`${method}: ${own}, as a method ${of(name)}`);
    }
    assertEquals(unlike, []);
  });

  it("says of which shape the tensors are that a function takes or gives", () => {
    const words = /\[[^\]]*\]|shape|\bdims?\b|element|\bax[ie]s\b|scalar|broadcast/i, silent: string[] = [];
    let asked = 0;
    for (const { name, ways } of callables(allDeclarations())) {
      if (ofModels.test(name)) continue;
      const types = JSON.stringify(ways.map(({ takes }) => [takes.params, takes.returnType]));
      if (!/"typeName":"(Tensor|Operand)"/.test(types)) continue;
      asked++;
      const text = ways.flatMap((
        { said },
      ) => [said.jsDoc?.doc, ...(said.jsDoc?.tags ?? []).map(({ doc }) => doc)]);
      if (!words.test(text.join(" "))) silent.push(name);
    }
    assertEquals(silent, []);
    assert(asked > 350, `${asked} functions`);
  });

  it("has a category", () => {
    const all = allDeclarations();
    assert(all.some(([name]) => name === "optim.SGD") && all.some(([name]) => name === "tabular.auc"));
    const without = all.filter(([, one]) => !has(one, "category"));
    assertEquals(
      without.map(([name, { location }]) => `${name} ${location.filename}:${location.line + 1}`),
      [],
    );
  });
});
