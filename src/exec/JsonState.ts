/** The line and the state dump of the interpreters (python, node), which are JSON on both ways. Pure. */
import type { CommandLine, ShellState } from "./Driver.ts"

/** ASCII only: the reader need not know where a character ends. */
export const commandJson = ({ cwd, ...rest }: CommandLine): string =>
  `${JSON.stringify({ ...rest, cwd: cwd ?? null }).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
  )}\n`

const stringsOf = (value: unknown): Map<string, string> =>
  new Map(
    typeof value === "object" && value !== null
      ? Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string")
      : []
  )

export const parseJsonState = (dump: string): ShellState => {
  let parsed: Record<string, unknown> = {}
  try {
    const value: unknown = JSON.parse(dump)
    if (typeof value === "object" && value !== null) parsed = value as Record<string, unknown>
  } catch {
    // What cannot be read is left out.
  }
  const { cwd, env, functions, imports } = parsed
  return {
    cwd: typeof cwd === "string" ? cwd : "",
    env: stringsOf(env),
    functions: stringsOf(functions),
    aliases: new Map(),
    imports: Array.isArray(imports) ? imports.filter((one) => typeof one === "string") : []
  }
}
