/**
 * The commands, in the order that help lists them.
 *
 * @module
 */
import type { Command } from "../command.ts";
import { batch } from "./batch.ts";
import { bench } from "./bench.ts";
import { chat } from "./chat.ts";
import { completions } from "./completions.ts";
import { convert } from "./convert.ts";
import { distill } from "./distill.ts";
import { doctor } from "./doctor.ts";
import { evalCommand } from "./eval.ts";
import { explain } from "./explain.ts";
import { generate } from "./generate.ts";
import { inspect } from "./inspect.ts";
import { logits } from "./logits.ts";
import { prune } from "./prune.ts";
import { list, pull, rm } from "./pull.ts";
import { runCommand } from "./run.ts";
import { serve } from "./serve.ts";
import { sweep } from "./sweep.ts";
import { tabularExplain } from "./tabular_explain.ts";
import { tabularInspect } from "./tabular_inspect.ts";
import { tabularPredict } from "./tabular_predict.ts";
import { tabularTrain } from "./tabular_train.ts";
import { tokenize, tokenizerTrain } from "./tokenize.ts";
import { train } from "./train.ts";

/** Every command. */
export const commands: readonly Command[] = [
  generate,
  chat,
  serve,
  batch,
  train,
  sweep,
  evalCommand,
  explain,
  logits,
  tokenize,
  tokenizerTrain,
  inspect,
  convert,
  prune,
  distill,
  runCommand,
  tabularTrain,
  tabularPredict,
  tabularInspect,
  tabularExplain,
  pull,
  list,
  rm,
  bench,
  doctor,
  completions(() => commands),
];
