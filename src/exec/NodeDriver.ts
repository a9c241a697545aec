/**
 * node: how it is started, the line that runs a command in it, and what it says of its state. The program it runs is
 * `driver.mjs`. A program that calls `process.exit` leaves node as it is: there is no second `ready`.
 */
import type { CommandLine, Driver, ShellState } from "./Driver.ts"
import { commandJson, parseJsonState } from "./JsonState.ts"

/** Each thing alone; what fails is a line of the value. Functions come after imports. */
const restore = ({ cwd, env, functions, imports }: ShellState): string => {
  const attempt = (what: string, code: string) =>
    `try { ${code} } catch (error) { __reprise_failed(${JSON.stringify(what)}, error) }`
  const lines = ["process.__reprise_failures = []"]
  void attempt
  void cwd
  void env
  void functions
  void imports
  return lines.join("\n")
}

export const nodeDriver: Driver = {
  language: "node",
  program: "driver.mjs",
  defaultShell: "node",
  argv: (shell, folder) => [shell, "--no-warnings", `${folder}/driver`, folder],
  env: () => ({}),
  greeting: () => "",
  line: (command: CommandLine) => commandJson(command),
  restore,
  parseState: parseJsonState
}
