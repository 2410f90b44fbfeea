/**
 * `ferrotype completions`: what a shell needs to complete commands and options, made from the commands themselves.
 *
 * @module
 */
import { type Command, optionsOf, UsageError } from "../command.ts";
import { print } from "../output.ts";

const flagsOf = (command: Command): string[] => optionsOf(command).map(([name]) => `--${name}`);

const scripts: Readonly<Record<string, (commands: readonly Command[]) => string>> = {
  bash: (commands) =>
    [
      "_ferrotype() {",
      '  local word="${COMP_WORDS[COMP_CWORD]}" line="${COMP_WORDS[*]:1:COMP_CWORD-1}" options=""',
      '  case "$line " in',
      ...commands.map((c) => `    "${c.name} "*) options="${flagsOf(c).join(" ")}" ;;`),
      "  esac",
      `  if [ -z "$options" ]; then options="${
        [...new Set(commands.flatMap((c) => c.name.split(" ")))].join(" ")
      }"; fi`,
      '  case "$word" in -*|"") COMPREPLY=($(compgen -W "$options" -- "$word")) ;;',
      '    *) COMPREPLY=($(compgen -W "$options" -- "$word") $(compgen -f -- "$word")) ;;',
      "  esac",
      "}",
      "complete -o default -F _ferrotype ferrotype",
    ].join("\n"),
  zsh: (commands) => `autoload -U +X bashcompinit && bashcompinit\n${scripts.bash(commands)}`,
  fish: (commands) =>
    commands.flatMap((c) => {
      const [first, second] = c.name.split(" "), seen = `__fish_seen_subcommand_from ${first}`;
      const quoted = (text: string): string => `'${text.replaceAll("'", "\\'")}'`;
      return [
        second
          ? `complete -c ferrotype -n '${seen}' -a ${second} -d ${quoted(c.summary)}`
          : `complete -c ferrotype -n __fish_use_subcommand -a ${first} -d ${quoted(c.summary)}`,
        ...optionsOf(c).map(([name, { help }]) =>
          `complete -c ferrotype -n '${seen}' -l ${name} -d ${quoted(help)}`
        ),
      ];
    }).join("\n"),
};

/** The command; it is given all the others. */
export const completions = (commands: () => readonly Command[]): Command => ({
  name: "completions",
  usage: "bash|zsh|fish",
  summary:
    'Prints what makes a shell complete commands and options; for example eval "$(ferrotype completions bash)".',
  positionals: [1, 1],
  options: {},
  noJson: "a shell reads the script",
  async run(_values, [shell]) {
    if (!Object.hasOwn(scripts, shell)) {
      throw new UsageError(`completions are for ${Object.keys(scripts).join(", ")}, not "${shell}"`);
    }
    await print(scripts[shell](commands()));
  },
});
