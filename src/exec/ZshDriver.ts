/**
 * zsh: how it is started, the line that runs a command in it, and what it says of its state. The program it runs is
 * `driver.zsh`, which reads the command pipe itself. Nothing of ours is in the environment.
 */
import type { CommandLine, Driver, ShellState } from "./Driver.ts"
import { parseZshState, quote, restoreShell } from "./ShellText.ts"

const line = ({ cwd, env, exec, mark, source, stderr, stdin, stdout }: CommandLine): string => {
  const own = [
    cwd === undefined ? "" : `__reprise_cd ${quote(cwd.startsWith("/") ? cwd : `./${cwd}`)} && `,
    ...Object.entries(env).map(([name, value]) => `__reprise_put ${name} ${quote(value)} && `)
  ].join("")
  // A failed `__reprise_last` before `||` sets `$?` for the text without a ZERR trap or `set -e` acting on it.
  const run =
    `case $__reprise_code in 0) __reprise_last; builtin source ${quote(source)};; ` +
    `*) __reprise_last || builtin source ${quote(source)};; esac`
  const streams = `<${quote(stdin)} >|${quote(stdout)} 2>|${quote(stderr)}`
  // Outside of a function, where the EXIT trap would be the function's, and xtrace be on again when it returns.
  const end =
    `{ __reprise_keep "$?"; builtin unsetopt xtrace verbose; builtin trap >|"$__reprise_dir/traps"; __reprise_end ${exec}; ` +
    "builtin trap '__reprise_leave $?' EXIT; } 2>/dev/null; exec 2>&0"
  return `{ __reprise_begin ${exec} ${quote(mark)}; ${own}${run}; } ${streams}; ${end}\n`
}

export const zshDriver: Driver = {
  language: "zsh",
  program: "driver.zsh",
  defaultShell: "zsh",
  // -f: what the user's own files should do is a command like any other, with its output and its failure.
  argv: (shell, folder) => [shell, "-f", `${folder}/driver`, shell],
  env: () => ({}),
  greeting: () => "",
  line,
  restore: (state: ShellState) => restoreShell(state, "zsh"),
  parseState: parseZshState
}
