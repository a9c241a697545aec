/**
 * bash: how it is started, the line that runs a command in it, and what it says of its state. The program it runs is
 * `driver.bash`. Nothing of ours is in the environment; the shell reads its script from the command pipe.
 */
import type { CommandLine, Driver, ShellState } from "./Driver.ts"
import { parseBashState, quote, restoreShell } from "./ShellText.ts"

const enter = (cwd: string): string => `__reprise_cd ${quote(cwd.startsWith("/") ? cwd : `./${cwd}`)} && `

const line = ({ cwd, env, exec, mark, source, stderr, stdin, stdout }: CommandLine): string => {
  const own = [
    cwd === undefined ? "" : enter(cwd),
    ...Object.entries(env).map(([name, value]) => `__reprise_put ${name} ${quote(value)} && `)
  ].join("")
  // A failed `__reprise_last` before `||` sets `$?` for the text without an ERR trap or `set -e` acting on it.
  // bash reads this one byte at a time: its length is a part of every command's time.
  const run =
    'case $__reprise_code in 0) __reprise_last; builtin . "$__reprise_src";; *) __reprise_last || builtin . "$__reprise_src";; esac'
  const streams = `<${quote(stdin)} >|${quote(stdout)} 2>|${quote(stderr)}`
  // DEBUG and RETURN traps can only be cleared outside a function; with them, the user's would fire for the next line.
  // What ends a traced command goes nowhere, and standard error is put right after that.
  const end = `{ __reprise_end ${exec} "$?"; builtin trap - DEBUG RETURN; } 2>/dev/null; exec 2>&0`
  return `{ __reprise_begin ${exec} ${quote(source)} ${mark}; ${own}${run}; } ${streams}; ${end}\n`
}

export const bashDriver: Driver = {
  language: "bash",
  program: "driver.bash",
  defaultShell: "bash",
  argv: (shell, folder) => [shell, "--norc", "--noprofile", `${folder}/command`],
  env: () => ({}),
  greeting: (folder) => `builtin . ${quote(`${folder}/driver`)}\n`,
  line,
  restore: (state: ShellState) => restoreShell(state, "bash"),
  parseState: parseBashState
}
