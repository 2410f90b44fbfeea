/** What the other commands need of Deno, most of them to write something. */
import { testPermissions } from "./_permissions.ts";

testPermissions((command) =>
  !/^(generate|chat|logits|eval|explain|tokenize|inspect|serve|run)$/.test(command)
);
