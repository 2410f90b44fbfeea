/** What commands that use a model need of Deno. */
import { testPermissions } from "./_permissions.ts";

testPermissions((command) =>
  /^(generate|chat|logits|eval|explain|tokenize|inspect|serve|run)$/.test(command)
);
