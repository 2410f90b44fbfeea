/**
 * `ferrotype chat`: a conversation in the terminal.
 *
 * With a chat template the model answers as it was trained to; without one it goes on with the text so far, which a line of
 * yours belongs to. Keys and values of the text are kept, so a turn costs its own tokens only.
 *
 * @module
 */
import { someText } from "../../src/core/kinds.ts";
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline/promises";
import {
  CancelledError,
  type CausalLM,
  type ChatMessage,
  type ChatTemplate,
  encodeChat,
  FerrotypeError,
  type GenerateOptions,
  loadChatTemplate,
} from "../../mod.ts";
import { isTerminal, onInterrupt } from "../../src/platform/platform.ts";
import type { Command } from "../command.ts";
import { generationFlags, noteSeveral, readGeneration } from "../generation.ts";
import { bundledModel, deviceIdle, loadModel, modelOptions } from "../model.ts";
import { note, printPart } from "../output.ts";

/** A conversation, one turn after the other. */
class Conversation {
  readonly #model: CausalLM;
  readonly #template: ChatTemplate | null;
  readonly #options: GenerateOptions;
  readonly #messages: ChatMessage[] = [];
  #text = "";

  constructor(model: CausalLM, template: ChatTemplate | null, options: GenerateOptions) {
    this.#model = model;
    this.#template = template;
    this.#options = options;
  }

  /** The model's answer to a line, as it comes. A line that the model cannot read leaves no trace. */
  async *turn(line: string, signal: AbortSignal): AsyncGenerator<string> {
    const messages = [...this.#messages, { role: "user", content: line }], text = `${this.#text}${line}\n`;
    // The end of a long conversation is what fits beside the answer.
    const whole = this.#template
      ? await encodeChat(this.#model.tokenizer!, this.#template(messages), { signal })
      : this.#model.encode(text);
    this.#messages.push(messages[messages.length - 1]);
    this.#text = text;
    const room = Math.max(1, this.#model.contextLength - (this.#options.maxNewTokens ?? 20));
    let answer = "";
    try {
      for await (const piece of this.#model.generate(whole.slice(-room), { ...this.#options, signal })) {
        answer += piece;
        yield piece;
      }
    } finally {
      this.#messages.push({ role: "assistant", content: answer });
      this.#text += answer.endsWith("\n") ? answer : `${answer}\n`;
    }
  }
}

/** The command. */
export const chat: Command = {
  name: "chat",
  usage: "[options]",
  summary: "A conversation in the terminal; Ctrl-C stops an answer, and twice the program.",
  details: "A line that is /exit ends it, and so does the end of the input (Ctrl-D).",
  positionals: [0, 0],
  options: {
    ...modelOptions,
    ...generationFlags(["maxNewTokens", "temperature", "seed"], {
      maxNewTokens: { help: "longest answer (default 100)" },
      temperature: { help: "wildness; 0 is greedy (default 0.8)" },
      seed: { help: "makes answers reproducible" },
    }),
    stop: {
      value: "TEXT",
      kind: someText,
      multiple: true,
      help: "end an answer before this text (may be given again)",
    },
  },
  idle: deviceIdle,
  noJson: "a conversation is text",
  async run(values) {
    const { model, name } = await loadModel(values),
      template = await loadChatTemplate(values.text("model") ?? bundledModel);
    await noteSeveral(model.generationConfig, "a turn has one answer");
    const conversation = new Conversation(model, template, {
      maxNewTokens: 100,
      temperature: 0.8,
      ...readGeneration(values),
    });
    const live = isTerminal("stdin");
    if (live) {
      await note(
        `${name}: ${template ? "ask something" : "write something, and the model goes on"}; /exit ends`,
      );
    }
    const lines = createInterface({
      input: stdin,
      terminal: live,
      ...(live ? { output: stdout, prompt: "> " } : {}),
    });
    let answering: AbortController | null = null, interrupted = 0;
    const interrupt = (): void => {
      // Twice within two seconds, or with nothing to stop: that is the program.
      const again = performance.now() - interrupted < 2000;
      interrupted = performance.now();
      if (answering && !again) answering.abort();
      else if (again || !answering) lines.close();
    };
    lines.on("SIGINT", interrupt);
    const remove = onInterrupt(interrupt);
    try {
      if (live) lines.prompt();
      for await (const line of lines) {
        if (line.trim() === "/exit") break;
        answering = new AbortController();
        try {
          for await (const piece of conversation.turn(line, answering.signal)) await printPart(piece);
        } catch (error) {
          if (error instanceof CancelledError) {
            // What came so far stands.
          } else if (error instanceof FerrotypeError) await note(`${error.message}; say it in other words`);
          else throw error;
        }
        answering = null;
        await printPart("\n");
        if (live) lines.prompt();
      }
    } finally {
      remove();
      lines.close();
      model.dispose();
    }
  },
};
