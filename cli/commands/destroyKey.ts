/** `reprise destroy-key`: destroys the key of a session of an encrypted store, so that nobody reads it again. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Redaction } from "../../src/erasure/Redaction.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { confirm } from "../Confirm.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { retaining } from "../Store.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "destroy-key"

export const destroyKey = Command.make(
  COMMAND,
  {
    session: sessionArgument,
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Why; it is kept in the store's own history"),
      Flag.withDefault("")
    ),
    yes: Flag.Boolean("yes").pipe(Flag.withDefault(false), Flag.withDescription("Do not ask")),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.destroyKey")(function* ({ json, reason, session: reference, yes }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const { events, session } = yield* Effect.gen(function* () {
      const session = yield* findSession(reference)
      const { hold, name } = yield* History.use((history) => history.get(session))
      if (hold != null) {
        const note = `session ${session} is held (${hold.reason}), and what is held is not destroyed; \`reprise release ${session}\` ends that`
        return yield* new Ending({ exitCode: ExitCode.denied, note })
      }
      if (!yes) yield* confirmed(session, name, json)
      const { events } = yield* Redaction.use((redaction) => redaction.destroyKey({ session, reason }))
      return { events, session }
    }).pipe(Effect.provide(retaining(paths)))
    if (json) return yield* caller.write(toJsonText({ session, events }))
    yield* caller.writeError(
      events === 0
        ? `the key of session ${session} was destroyed before\n`
        : `the key of session ${session} is destroyed: nobody reads its ${events} events again; backups made before still hold it\n`
    )
  })
).pipe(
  Command.withDescription(
    "Destroy the key of a session of an encrypted store. Its events, its line in the list and all that was made of it are then " +
      "gone from the store, for everybody and for ever; that it was there, when, how long, and who had the key destroyed is " +
      "kept, and so are the hashes that were sealed. The session must have ended. Asks on a terminal; without one it needs " +
      "--yes. Backups that were made before hold the key: run it on each (--store)."
  ),
  Command.withShortDescription("Destroy the key of a session"),
  Command.withExamples([
    { command: 'reprise destroy-key build --reason "case 4711"', description: "Asks, then destroys" },
    { command: "reprise --store /backup/monday destroy-key 01M7Y5 --yes", description: "In a backup" }
  ])
)

const confirmed = Effect.fnUntraced(function* (session: string, name: string | null, json: boolean) {
  const caller = yield* Caller
  if (json || !caller.isInteractive) {
    return yield* new Usage({ reason: "nobody can be asked here: --yes destroys without asking", command: COMMAND })
  }
  const named = name === null ? "" : ` (${escapeText(name)})`
  if (yield* confirm(`destroy the key of ${session}${named}? nobody can bring it back`)) return
  return yield* new Ending({ exitCode: ExitCode.denied, note: "nothing was destroyed" })
})
