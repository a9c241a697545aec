/**
 * node: how it is started, the line that runs a command in it, and what it says of its state. The program it runs is
 * `driver.cjs`. A program that calls `process.exit` leaves node as it is: there is no second `ready`.
 */
import type { CommandLine, Driver, ShellState } from "./Driver.ts"
import { commandJson, parseJsonState } from "./JsonState.ts"

/** Each thing alone; what fails is a line of the value. Functions come after imports: one may call what was imported. */
const restore = ({ cwd, env, functions, imports }: ShellState): string => {
  const program = [
    ...imports.map((source) => [source, source]),
    ...[...functions].map(([name, source]) => [
      `function ${name}`,
      // A function that was assigned to a name says its own name, or none.
      `globalThis[${JSON.stringify(name)}] = (${source})`
    ])
  ]
  return `void await (async (cwd, env, program) => {
  const failed = []
  const attempt = async (what, action) => {
    try { await action() } catch (error) { failed.push((what + ": " + error?.message).replaceAll("\\n", " ")) }
  }
  for (const [name, value] of Object.entries(env)) await attempt("variable " + name, () => { process.env[name] = value })
  await attempt("directory " + cwd, () => process.chdir(cwd))
  for (const [what, source] of program) await attempt(what, () => process[Symbol.for("reprise.evaluate")](source))
  if (failed.length > 0) process[Symbol.for("reprise.value")] = failed.join("\\n")
})(${JSON.stringify(cwd)}, ${JSON.stringify(Object.fromEntries(env))}, ${JSON.stringify(program)})
`
}

export const nodeDriver: Driver = {
  language: "node",
  program: "driver.cjs",
  defaultShell: "node",
  argv: (shell, folder) => [shell, "--no-warnings", `${folder}/driver`, folder],
  env: () => ({}),
  greeting: () => "",
  line: (command: CommandLine) => commandJson(command),
  restore,
  parseState: parseJsonState
}
