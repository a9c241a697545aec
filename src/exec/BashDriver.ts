/**
 * bash: how it is started, the line that runs a command in it, and what it says of its state. The program it runs is
 * `driver.bash`. Nothing of ours is in the environment; the shell reads its script from the command pipe.
 */
import { dirname } from "node:path"
import type { CommandLine, Driver, ShellState } from "./Driver.ts"
import { parseBashState, quote, restoreShell } from "./ShellText.ts"

const enter = (cwd: string): string => `__reprise_cd ${quote(cwd.startsWith("/") ? cwd : `./${cwd}`)} && `

/** The words of a line as the shell reads them, quoted where they must be. */
interface Words extends Readonly<Record<"exec" | "source" | "mark" | "stdin" | "stdout" | "stderr", string>> {
  /** What belongs to this command only, each followed by `&&`. */
  readonly own: string
}

const lineOf = ({ exec, mark, own, source, stderr, stdin, stdout }: Words): string => {
  // A failed `__reprise_last` before `||` sets `$?` for the text without an ERR trap or `set -e` acting on it.
  const run =
    'case $__reprise_code in 0) __reprise_last; builtin . "$__reprise_src";; *) __reprise_last || builtin . "$__reprise_src";; esac'
  // DEBUG and RETURN traps can only be cleared outside a function; with them, the user's would fire for the next line.
  // What ends a traced command goes nowhere, and standard error is put right after that.
  const end = `{ __reprise_end ${exec} "$?"; builtin trap - DEBUG RETURN; } 2>/dev/null; exec 2>&0`
  return `{ __reprise_begin ${exec} ${source} ${mark}; ${own}${run}; } <${stdin} >|${stdout} 2>|${stderr}; ${end}`
}

/**
 * The line of nearly every command, kept in the shell and given the command's number: bash reads its script one byte at
 * a time, so the length of a line is a part of the time of each command. A user who changes the variable harms his shell
 * as with any other of `__reprise_`.
 */
const USUAL_LINE = lineOf({
  exec: '"$__reprise_next"',
  source: '"$__reprise_dir/$__reprise_next.src"',
  mark: "",
  stdin: "/dev/null",
  stdout: '"$__reprise_dir/$__reprise_next.out"',
  stderr: '"$__reprise_dir/$__reprise_next.err"',
  own: ""
})

const isUsual = ({ cwd, env, exec, mark, source, stderr, stdin, stdout }: CommandLine): boolean => {
  const file = `${dirname(source)}/${exec}`
  const isItsOwn = source === `${file}.src` && stdout === `${file}.out` && stderr === `${file}.err`
  return isItsOwn && stdin === "/dev/null" && mark === "" && cwd === undefined && Object.keys(env).length === 0
}

const line = (command: CommandLine): string => {
  if (isUsual(command)) return `__reprise_next=${command.exec}; builtin eval "$__reprise_usual"\n`
  const { cwd, env, exec, mark, source, stderr, stdin, stdout } = command
  const own = [
    cwd === undefined ? "" : enter(cwd),
    ...Object.entries(env).map(([name, value]) => `__reprise_put ${name} ${quote(value)} && `)
  ].join("")
  return `${lineOf({
    exec: String(exec),
    source: quote(source),
    mark,
    stdin: quote(stdin),
    stdout: quote(stdout),
    stderr: quote(stderr),
    own
  })}\n`
}

export const bashDriver: Driver = {
  language: "bash",
  program: "driver.bash",
  defaultShell: "bash",
  argv: (shell, folder) => [shell, "--norc", "--noprofile", `${folder}/command`],
  env: () => ({}),
  // A shell that executed itself again has the driver already, by BASH_ENV.
  greeting: (folder) =>
    `__reprise_usual=${quote(USUAL_LINE)}; builtin declare -F __reprise_begin >/dev/null || builtin . ${quote(`${folder}/driver`)}\n`,
  line,
  restore: (state: ShellState) => restoreShell(state, "bash"),
  parseState: parseBashState
}
