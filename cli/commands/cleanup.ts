/**
 * `reprise cleanup`: removes what ended shells left behind beside the store's sockets (their pipes and helper files). It
 * removes no event: ended sessions stay in `list`, with their history.
 */
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { SESSION_ID_PATTERN } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { reading } from "../Store.ts"

export const cleanup = Command.make(
  "cleanup",
  { json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object")) },
  Effect.fn("cli.cleanup")(function* ({ json }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    // Before the list: a session that is made meanwhile is not in it and its folder is not seen.
    const folders = leftovers(paths.exec)
    const views = yield* History.use((history) => history.list).pipe(Effect.provide(reading(paths)))
    // A lost one can be brought back, and a failed one has none.
    const ended = new Set<string>(
      views.filter((view) => view.kind === "exec" && view.status === "exited" && !view.terminalOpen).map(({ id }) => id)
    )
    const cleaned = folders.filter((name) => ended.has(name))
    for (const name of cleaned) {
      yield* Effect.try({
        try: () => rmSync(join(paths.exec, name), { recursive: true, force: true }),
        catch: (cause) =>
          new Ending({
            exitCode: ExitCode.denied,
            note: `cannot remove ${join(paths.exec, name)}: ${cause instanceof Error ? cause.message : String(cause)}`
          })
      })
    }
    yield* caller.write(json ? toJsonText({ cleaned }) : cleaned.map((id) => `${id}\n`).join(""))
  })
).pipe(
  Command.withDescription(
    "Remove the pipes and helper files that ended shells left behind, and print the ids of those sessions. Live and lost " +
      "sessions are left alone. No history is removed: ended sessions stay in `reprise list`."
  ),
  Command.withShortDescription("Remove leftovers of ended shells"),
  Command.withExamples([{ command: "reprise cleanup --json", description: '{"cleaned":[…]}' }])
)

/** Folders are named after their session; anything else there is not ours to remove. */
const leftovers = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && SESSION_ID_PATTERN.test(entry.name))
      .map((entry) => entry.name)
      .sort()
  } catch {
    // No shell was ever started here.
    return []
  }
}
