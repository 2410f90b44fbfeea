/** The path through each page that `docs/pages.md` tells is walked in Chromium; and the page of documents tells it. */
import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pages } from "../web/pages.ts";
import { noBrowser, shows, TestSite } from "./_browser.ts";
import { repository } from "./_data.ts";
import { aServer, paths } from "./_page_paths.ts";
import { withServer } from "./_serve.ts";
import { after, before, describe, it } from "./_suite.ts";

const skip = noBrowser;

describe("the paths through the pages", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  it("docs/pages.md tells each of them", { skip }, () => {
    const told = readFileSync(join(repository, "docs/pages.md"), "utf8").replaceAll(/\s+/g, " ");
    for (const [id, steps] of Object.entries(paths)) {
      assert(pages.some((page) => page.id === id), id);
      for (const [i, { text }] of steps.entries()) {
        assert(told.includes(`${i + 1}. ${text}`), `${id}: ${text}`);
      }
    }
  });

  /** Walks a path; where it speaks of a server, one that runs is asked. */
  async function walk(id: string, server: string): Promise<void> {
    await site.open(`${id}/`, async (page) => {
      for (const { text, act, seen: [selector, wanted] } of paths[id]) {
        try {
          if (act !== undefined) {
            if ("click" in act) await page.locator(act.click).first().click();
            else if ("fill" in act) {
              await page.locator(act.fill[0]).first().fill(act.fill[1] === aServer ? server : act.fill[1]);
            } else if ("choose" in act) await page.selectOption(...act.choose);
            else await page.press(...act.press);
          }
          await shows(page, selector, wanted);
        } catch (error) {
          throw new Error(`"${text}": ${(error as Error).message}`);
        }
      }
    }, {
      expected: new RegExp(`^asked another origin: ${server}`),
      context: { reducedMotion: "reduce" },
      before: (page) => page.addInitScript("localStorage.setItem('race-tour', 'seen')"),
    });
  }

  it("there is one for each page but the start", () => {
    assertEquals(Object.keys(paths).sort(), pages.map(({ id }) => id).filter((id) => id !== "").sort());
  });

  for (const [id, steps] of Object.entries(paths)) {
    it(`${id}: ${steps.length} steps, each with what it shows`, { skip }, async () => {
      if (id !== "compare") return await walk(id, aServer);
      await withServer({ cors: [new URL(await site.url()).origin] }, ({ url }) => walk(id, url));
    });
  }
});
