/**
 * python: how it is started, the line that runs a command in it, and what it says of its state. The program it runs is
 * `driver.py`. A program that ends itself with `exit` leaves the interpreter as it is: there is no second `ready`.
 */
import type { CommandLine, Driver, ShellState } from "./Driver.ts"
import { commandJson, parseJsonState } from "./JsonState.ts"

const text = (value: unknown): string => JSON.stringify(JSON.stringify(value))

/** Each thing alone; what fails is a line of the value. Functions come after imports: their defaults may need them. */
const restore = ({ cwd, env, functions, imports }: ShellState): string => `
def __reprise_restore(cwd, env, functions, imports):
    import os, linecache
    failed = []
    names = globals()
    for name, value in env.items():
        try:
            os.environ[name] = value
        except Exception as error:
            failed.append("variable %s: %s" % (name, error))
    try:
        os.chdir(cwd)
    except Exception as error:
        failed.append("directory %s: %s" % (cwd, error))
    for statement in imports:
        try:
            exec(compile(statement, "<restore>", "exec"), names)
        except BaseException as error:
            failed.append("%s: %s" % (statement, error))
    for name, source in functions.items():
        try:
            file = "<restored %s>" % name
            linecache.cache[file] = (len(source), None, source.splitlines(True), file)
            exec(compile(source, file, "exec"), names)
        except BaseException as error:
            failed.append("function %s: %s" % (name, error))
    return "\\n".join(line.replace("\\n", " ") for line in failed)

import json as __reprise_json
__reprise_value = __reprise_restore(*__reprise_json.loads(${text([cwd, Object.fromEntries(env), Object.fromEntries(functions), imports])})) or None
del __reprise_restore, __reprise_json
`

export const pythonDriver: Driver = {
  language: "python",
  program: "driver.py",
  defaultShell: "python3",
  argv: (shell, folder) => [shell, "-u", `${folder}/driver`, folder],
  env: () => ({}),
  greeting: () => "",
  line: (command: CommandLine) => commandJson(command),
  restore,
  parseState: parseJsonState
}
