/** The argument that names a session, the same in every command. */
import type { Effect } from "effect"
import { Argument } from "effect/cli"
import type { SessionId } from "../journal/Event.ts"
import { History } from "../src/session/History.ts"
import type { SessionNotFound, SessionUnavailable } from "../src/session/SessionError.ts"

export const sessionArgument = Argument.String("session").pipe(
  Argument.withMetavar("SESSION"),
  Argument.withDescription("An id, the beginning of one, a name, or `last`")
)

export const findSession = (
  reference: string
): Effect.Effect<SessionId, SessionNotFound | SessionUnavailable, History> =>
  History.use((history) => history.resolve(reference))
