/** Types into a session: into the command that runs in its shell, or into its terminal. Shared by `send` and `key`. */
import { Effect } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Exec, type ExecInput } from "../src/exec/Exec.ts"
import { History } from "../src/session/History.ts"
import { Sessions } from "../src/session/Sessions.ts"
import { ExitCode } from "./ExitCode.ts"
import { Ending } from "./Outcome.ts"

/** `terminal` is what `input` is for a session that is a terminal and no shell for commands. */
export const typeInto = Effect.fnUntraced(function* (session: SessionId, input: ExecInput, terminal: string) {
  const { kind } = yield* History.use((history) => history.get(session))
  if (kind === "terminal") {
    return yield* Sessions.use((sessions) => Effect.asVoid(sessions.write(session, Buffer.from(terminal))))
  }
  const exec = yield* Exec
  const { running } = yield* exec.state(session)
  if (running === null) {
    return yield* new Ending({ exitCode: ExitCode.ended, note: `session ${session} runs no command to type into` })
  }
  yield* exec.send(session, running, input)
})
