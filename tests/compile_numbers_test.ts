/** Numbers of compiled functions: whatever JavaScript does with one, the function gives what it gives; texts made at random try. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { compile, FerrotypeError, randn, Tensor, tidy } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { handedOn } from "../src/tensor/capture/handed_on.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { width } from "./_width.ts";

const numbers = [2, 0.25, 7, -3, 5, 1.5], x = randn([2, 3], { seed: 1 }), y = randn([2, 3], { seed: 2 });

/** What stands in closures under the names of tensors, methods and functions, and treats one number in a way of its own. */
function helpers(special: number): Record<string, unknown> {
  const other = (a: Tensor, k: number): Tensor => k === special ? a.neg() : a.mul(k);
  return {
    mul: other,
    step: other,
    add: (a: Tensor, k: number) => new Set([k]).has(special) ? a : a.add(k),
    box: {
      mul: (k: number) => other(y, k),
      add: (k: number) => other(y, k),
      neg: () => y,
      step: ({ k }: { k: number }) => other(y, k),
    },
    table: new Map([[special, 10]]),
    special,
  };
}

type Function = (x: Tensor, y: Tensor, k: number, n: number) => Tensor;

/** A function whose text is made at random; some only hand their numbers on. */
function functionFrom(random: Generator): { text: string; result: string; f: Function } {
  const at = (n: number): number => random.integer(0, n), special = numbers[at(numbers.length)];
  const pick = (list: readonly string[]): string => list[at(list.length)];
  const number = (): string => pick(["k", "n"]);
  const honest = at(3) === 0;
  const expression = (depth: number): string => {
    if (depth === 0) return pick(["x", "y"]);
    const e = (): string => expression(depth - 1), kind = at(honest ? 6 : 22);
    return [
      () => `${e()}.mul(${number()})`,
      () => `${e()}.add( ${number()} ).neg()`,
      () => `${e()}.sub(${e()})`,
      () => `${e()}.mul(${e()}).sub(${number()})`,
      () => `${e()}.clamp(${number()})`,
      () => `${e()}.add(y.mul(${number()}))`,
      () => `mul(${e()}, ${number()})`,
      () => `step(${e()}, ${number()})`,
      () => `add(${e()}, ${number()})`,
      () => `box.mul(${number()})`,
      () => `box.neg().add(box.mul(${number()}))`,
      () => `box.step({ k })`,
      () => `(${number()} === special ? ${e()} : ${e()}.neg())`,
      () => `(${number()} ? ${e()} : ${e()}.neg())`,
      () => `${e()}.mul(table.get(${number()}) ?? 3)`,
      () => `${e()}.mul([special].indexOf(${number()}))`,
      () => `${e()}.mul(Object.is(${number()}, special) ? 2 : 3)`,
      () => `((x) => x.mul(${number()}))(${pick(["box", "x"])})`,
      () => `[x = box][0].mul(${number()})`,
      () => `(x = ${pick(["box", "y"])}).mul(${number()})`,
      () => `[${e()}, box][${number()} === special ? 1 : 0].mul(2)`,
      () => `${e()}.mul(k > n ? 2 : 3)`,
    ][kind]();
  };
  const statement = honest
    ? ""
    : pick(["", "", "y = x;", "const z = box;", "{ const y = box; x = y.mul(k); }", "[y] = [box];"]);
  const result = expression(1 + at(3)), text = `(x, y, k, n) => { ${statement} return ${result}.mul(1); }`;
  const closed = helpers(special);
  return {
    text,
    result,
    f: new Function(...Object.keys(closed), `return ${text}`)(...Object.values(closed)),
  };
}

type Method = (this: Tensor, ...args: unknown[]) => unknown;

const unfit = [
  "constructor",
  "dispose",
  "item",
  "data",
  "toArray",
  "backward",
  "to",
  "toString",
  "watch",
  "exchangeGrad",
];

/** The methods of tensors, by name. */
const methods = new Map<string, Method>();
for (let own: object = Tensor.prototype; own !== Object.prototype; own = Object.getPrototypeOf(own)) {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(own))) {
    if (typeof value === "function" && !unfit.includes(name)) methods.set(name, value);
  }
}

describe("numbers of compiled functions", () => {
  it("may be treated by JavaScript in any way, in texts made at random", async () => {
    const proved: string[] = [];
    for (let seed = 0; seed < width(500, 120); seed++) {
      const random = new Generator(seed), { text, result, f } = functionFrom(random);
      using compiled = compile(f);
      for (let call = 0; call < 10; call++) {
        const k = numbers[random.integer(0, numbers.length)], n = numbers[random.integer(0, numbers.length)];
        let expected: number[] | null = null;
        try {
          expected = await numbersOf(f(x, y, k, n));
        } catch { /* A text that is no function of tensors: compiled, it throws as well. */ }
        try {
          const found = await numbersOf(compiled(x, y, k, n));
          assert(expected !== null, "compiled, it gives a result");
          assertClose(found, expected, `call ${call}`, { atol: 1e-4, rtol: 1e-4 });
        } catch (error) {
          if (expected !== null) {
            throw new Error(`text ${seed}: ${text} of ${k}, ${n}: ${(error as Error).message}`, {
              cause: error,
            });
          }
        }
      }
      const isMethod = (name: string): boolean =>
        typeof (x as unknown as Record<string, unknown>)[name] === "function";
      if (handedOn(f as never, [2, 3], [0, 1], isMethod) === "proved") proved.push(result);
    }
    assert(proved.length > width(100, 20), `only ${proved.length} texts prove something`);
    for (const text of proved) assert(!/box|table|special|step|(?<!\.)\b(?:mul|add)\(/.test(text), text);
  });

  it("go through every method of a tensor as they do eagerly", async () => {
    let tried = 0;
    for (const [name, method] of methods) {
      const calls: ((x: Tensor, k: number) => unknown)[] = [
        (x, k) => method.call(x, k),
        (x, k) => method.call(x, x, k),
        (x, k) => method.call(x, 1, k),
      ];
      for (const [form, f] of calls.entries()) {
        using compiled = compile(f as (x: Tensor, k: number) => Tensor);
        for (const k of [2, 1, 3, 0.5, 0, -1, 5, 2]) {
          const outcome = async (run: () => unknown): Promise<number[] | string> => {
            try {
              const result = tidy(run);
              if (!(result instanceof Tensor)) return "no tensor";
              return await numbersOf(result);
            } catch (error) {
              assert(error instanceof FerrotypeError, `${name}, form ${form}, of ${k}: ${error}`);
              return `an error: ${(error as Error).message}`;
            }
          };
          const expected = await outcome(() => f(x.abs(), k));
          if (expected === "no tensor") continue;
          const found = await outcome(() => compiled(x.abs(), k));
          if (typeof expected === "string") {
            assert(typeof found === "string", `${name}, form ${form}, of ${k}`);
          } else {
            tried++;
            assert(typeof found !== "string", `${name}, form ${form}, of ${k}: ${found}`);
            assertClose(found, expected, `${name}, form ${form}, of ${k}`, { atol: 1e-4, rtol: 1e-4 });
          }
        }
      }
    }
    assert(tried > 200, `only ${tried} calls gave something`);
  });

  it("are looked at for the first of them where a text makes it only likely", async () => {
    let runs = 0;
    const other = {
      mul: (k: number): Tensor => {
        runs++;
        return k === 11 ? x.neg() : x.mul(k);
      },
    };
    using f = compile((x: Tensor, k: number) => other.mul(k).add(x));
    for (const k of [2, 3, 5, 11, 7, 13, 11]) {
      const expected = await numbersOf(other.mul(k).add(x));
      assertClose(await numbersOf(f(x, k)), expected, `of ${k}`);
    }
    assertEquals(f.traces, 2);
    // Once it was found out, nothing is taken on trust.
    runs = 0;
    for (let k = 20; k < 60; k++) f(x, k).dispose();
    assertEquals(runs >= 40, true);
    // One that is honest is looked through ever more seldom.
    let looks = 0;
    const loss = { mul: (k: number): Tensor => (looks++, x.mul(k)) };
    using g = compile((x: Tensor, k: number) => loss.mul(k).add(x));
    for (let k = 2; k < 202; k++) g(x, k).dispose();
    assertEquals([looks < 24, g.traces], [true, 1]);
  });
});
