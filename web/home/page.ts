/**
 * The first page: what there is.
 *
 * @module
 */
import { pages } from "../pages.ts";
import { at, h, startPage } from "../shared/shell.ts";

startPage("home");
for (const { folder, name, does, home } of pages) {
  if (home) continue;
  at("cards").append(
    h("a", { class: "card", href: `./${folder}/` }, h("h2", {}, name), h("p", { class: "small" }, does)),
  );
}
