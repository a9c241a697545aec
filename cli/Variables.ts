/** Environment variables on a command line: `--env NAME=VALUE` and `--secret-env NAME`, the same in every command. */
import { Effect } from "effect"
import { Flag } from "effect/cli"
import { Caller } from "./Caller.ts"
import { Usage } from "./Usage.ts"

export const envFlag = (description: string) =>
  Flag.String("env").pipe(
    Flag.withDescription(`${description}; may be repeated`),
    Flag.withMetavar("K=V"),
    Flag.between(0, Number.MAX_SAFE_INTEGER)
  )

export const secretEnvFlag = Flag.String("secret-env").pipe(
  Flag.withDescription("Pass on this variable of the caller, and keep its value out of the journal; may be repeated"),
  Flag.withMetavar("NAME"),
  Flag.between(0, Number.MAX_SAFE_INTEGER)
)

export const parseVariables = Effect.fnUntraced(function* (pairs: ReadonlyArray<string>, command: string) {
  const variables: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.indexOf("=")
    if (at < 1) return yield* new Usage({ reason: `--env: "${pair}" is not NAME=VALUE`, command })
    variables[pair.slice(0, at)] = pair.slice(at + 1)
  }
  return variables
})

/** Values come from the caller's environment: a command line can be read by every user of the machine. */
export const secretVariables = Effect.fnUntraced(function* (names: ReadonlyArray<string>, command: string) {
  const caller = yield* Caller
  const variables: Record<string, string> = {}
  for (const name of names) {
    const value = caller.env[name]
    if (value === undefined) {
      const reason = name.includes("=")
        ? "--secret-env: give the name only; the value comes from the environment"
        : `--secret-env: ${name} is not set here`
      return yield* new Usage({ reason, command })
    }
    variables[name] = value
  }
  return variables
})
