/** Tabular models without tensors, as an HTML file carries them: the answers of the library; and words for all columns. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { TabularModel } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { type Carried, carry, predictor } from "../web/tabular/plain.ts";
import { standalonePage } from "../web/tabular/take.ts";
import { columnWords, words } from "../web/tabular/words.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

describe("a model that is carried away", () => {
  for (const name of Object.keys(words)) {
    it(`${name}: answers as the library does, for known and missing cells; its columns have words`, async () => {
      using model = await TabularModel.load(join(repository, `web/models/tabular/${name}.safetensors`));
      const { columns, target } = model.schema, random = new Generator(3), rows = 8;
      // A number outside of what training saw, and a missing one, now and then.
      const cells = Float64Array.from({ length: rows * columns.length }, (_, i) => {
        const { min, max } = columns[i % columns.length];
        return i % 11 === 7 ? NaN : min + (max - min) * (1.4 * random.uniform() - 0.2);
      });
      const predict = predictor(JSON.parse(JSON.stringify(carry(model.fitted))) as Carried);
      const expected = await model.predictCells(cells), each = expected.length / rows;
      for (let row = 0; row < rows; row++) {
        const said = predict([...cells.subarray(row * columns.length, (row + 1) * columns.length)]);
        assertEquals(said.length, each);
        said.forEach((x, o) => {
          const scale = target.task === "regression" ? target.std : 1;
          assertAlmostEquals(x / scale, expected[row * each + o] / scale, 1e-4);
        });
      }
      const { columns: known, target: title } = words[name];
      assertEquals(Object.keys(known).sort(), columns.map((column) => column.name).sort());
      for (const { name: column, min, max } of columns) {
        const [, , values] = columnWords(words[name], column);
        if (values) {
          assert(`${min}` in values && `${max}` in values, `${column}: ${min} or ${max} has no words`);
        }
      }
      if (title[2]) assertEquals(Object.keys(title[2]), [...target.classes]);
    });
  }

  it("is a page that nothing in its names can break out of", () => {
    const evil = "</script><script>alert(1)</script><!--";
    const page = standalonePage({
      ...{ title: evil, source: evil, script: `"${evil}"` },
      data: {
        model: { schema: { name: evil }, networks: [] } as never,
        target: [evil],
        columns: [[evil]],
        radius: null,
      },
    });
    assertEquals(page.match(/<script/g)!.length, 2 + (page.match(/<script>alert/g)?.length ?? 0));
    assertEquals(page.match(/<\/script>/g)!.length, 2);
    assert(!page.includes("<!--"));
  });
});
