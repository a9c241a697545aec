/** `reprise stop`: ends the engine of a store; the sessions only when asked to. */
import { existsSync, readFileSync } from "node:fs"
import { kill } from "node:process"
import { Effect, Schedule } from "effect"
import { Command, Flag } from "effect/cli"
import { EngineControl } from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { engine, reading, runningEngine } from "../Store.ts"
import { reportSurvivors } from "./end.ts"

/** A process that is no child of ours tells nobody that it ended: it is asked for. */
const GONE_POLL_DELAY = "10 millis"
/** Flushing the journal takes moments; the engine ends itself after 15 s. */
const GONE_POLLS_MAX = 2_000

export const stop = Command.make(
  "stop",
  {
    sessions: Flag.Boolean("sessions").pipe(
      Flag.withDefault(false),
      Flag.withDescription("End every live session of the store first")
    )
  },
  Effect.fn("cli.stop")(function* ({ sessions }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const stopEngine = Effect.gen(function* () {
      const control = yield* EngineControl
      const { pid, survivors } = yield* control.stop({ sessions })
      yield* reportSurvivors(survivors)
      yield* waitUntilGone(pid)
    })
    yield* stopEngine.pipe(
      Effect.provide(runningEngine(paths)),
      Effect.catchTag("EngineAbsent", () =>
        Effect.gen(function* () {
          // Sessions go on without an engine; ending them needs one again.
          const live = sessions ? yield* liveSessions.pipe(Effect.provide(reading(paths))) : 0
          if (live > 0) return yield* stopEngine.pipe(Effect.provide(engine(paths)))
          yield* caller.writeError("reprise: no engine is running\n")
        })
      )
    )
  })
).pipe(
  Command.withDescription(
    "End the engine of the store. Its sessions go on, and the next command that needs an engine starts one that takes them " +
      "back; with --sessions they are ended first."
  ),
  Command.withShortDescription("End the engine"),
  Command.withExamples([
    { command: "reprise stop", description: "For an upgrade: sessions go on" },
    { command: "reprise stop --sessions", description: "Leave nothing behind but the history" }
  ])
)

const liveSessions = Effect.gen(function* () {
  const history = yield* History
  const views = yield* history.list
  return views.filter((view) => view.status === "running" || view.terminalOpen).length
})

const waitUntilGone = (pid: number) =>
  Effect.suspend(() => (isAlive(pid) ? Effect.fail("alive" as const) : Effect.void)).pipe(
    Effect.retry({ times: GONE_POLLS_MAX, schedule: Schedule.spaced(GONE_POLL_DELAY) }),
    Effect.mapError(
      () =>
        new Ending({
          exitCode: ExitCode.unavailable,
          note: `the engine (process ${pid}) was told to stop and is still there`
        })
    )
  )

/** A process that ended and was not yet waited for (a zombie, for seconds under some inits) still takes signals. */
const isAlive = (pid: number): boolean => {
  try {
    kill(pid, 0)
    return !/^\d+ \(.*\) Z /s.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch (error) {
    // Another user's, or a system without /proc: it took the signal.
    const { code, syscall } = error as NodeJS.ErrnoException
    return code === "EPERM" || (syscall === "open" && !existsSync("/proc/self/stat"))
  }
}
