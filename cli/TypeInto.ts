/** Types into a session: into the command that runs in its shell, or into its terminal. Shared by `send` and `key`. */
import { Effect } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Exec } from "../src/exec/Exec.ts"
import { History } from "../src/session/History.ts"
import { InvalidRequest } from "../src/session/SessionError.ts"
import { Sessions } from "../src/session/Sessions.ts"
import { ExitCode } from "./ExitCode.ts"
import { Ending } from "./Outcome.ts"

/** `keys`: the names that `bytes` stand for, when they were given by name. */
export const typeInto = Effect.fnUntraced(function* (
  session: SessionId,
  bytes: Uint8Array,
  keys?: ReadonlyArray<string> | undefined
) {
  const { kind } = yield* History.use((history) => history.get(session))
  if (kind === "terminal") {
    const { truncatedTo } = yield* Sessions.use((sessions) => sessions.write(session, bytes))
    if (truncatedTo === null) return
    const note = `typed, but the terminal keeps only ${truncatedTo} bytes of a line and dropped the rest`
    return yield* new Ending({ exitCode: ExitCode.invalid, note })
  }
  const exec = yield* Exec
  const { running } = yield* exec.state(session)
  if (running === null) {
    return yield* new Ending({ exitCode: ExitCode.ended, note: `session ${session} runs no command to type into` })
  }
  yield* exec.send(session, running, keys === undefined ? { text: yield* textOf(bytes) } : { keys })
})

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A shell's commands are typed to in text. */
const textOf = (bytes: Uint8Array) =>
  Effect.try({
    try: () => utf8.decode(bytes),
    catch: () =>
      new InvalidRequest({ field: "text", reason: "\\x80 to \\xff are no characters; write them as \\uHHHH" })
  })
