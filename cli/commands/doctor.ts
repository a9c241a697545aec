/** `reprise doctor`: what there is in a store, what is wrong with it, and what to do. Changes nothing. */
import { Clock, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import type { DoctorReport, Finding } from "../../src/care/Doctor.ts"
import { EngineControl } from "../../src/remote/EngineClient.ts"
import { Caller } from "../Caller.ts"
import { counted } from "../Counted.ts"
import { toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { longWork } from "../LongWork.ts"
import { formatLocalTime } from "../Moment.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { runningEngine, tellLook } from "../Store.ts"
import { fields, table } from "../Table.ts"
import { formatBytes } from "../WatchTable.ts"

/** Lines of findings on a terminal; all of them are in the JSON. */
const FINDINGS_SHOWN_MAX = 100
const HEAD = ["", "WHERE", "WHAT", "WHAT TO DO"]

export const doctor = Command.make(
  "doctor",
  { json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object")) },
  Effect.fn("cli.doctor")(function* ({ json }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const engine = yield* EngineControl.use((control) => control.status).pipe(
      Effect.provide(runningEngine(paths)),
      // Absent, or one that does not answer: the store is looked at all the same.
      Effect.catchCause(() => Effect.succeed(undefined))
    )
    const report = yield* longWork((care, signal) => care.doctor(paths, { engine, signal }))
    yield* tellLook(paths, "verify", { isSound: report.state === "healthy" })
    const now = (yield* Clock.currentTimeMillis) * 1000
    yield* caller.write(json ? toJsonText(report) : describe(report, now))
    if (report.state !== "healthy") return yield* new Ending({ exitCode: EXIT_CODES[report.state], note: "" })
  })
).pipe(
  Command.withDescription(
    "Read and verify everything in the store, and tell what is damaged, what is missing and what to do about it. It changes " +
      "nothing but the list of who looked (of a store that is as it should be) and needs no engine; one that runs goes on meanwhile. Ends with 0 when all is well, 65 when " +
      "something is damaged, 73 when no engine would open the store."
  ),
  Command.withShortDescription("Check the store"),
  Command.withExamples([
    { command: "reprise doctor", description: "Look at everything" },
    { command: "reprise doctor --store /backup/monday", description: "Is the backup still good?" },
    { command: "reprise doctor --json | jq .damages", description: "Which events are damaged" }
  ])
)

const EXIT_CODES = { damaged: ExitCode.damaged, refused: ExitCode.storeRefused }

const describe = (report: DoctorReport, nowMicros: number): string => {
  const { backup, content, encryption, engine, evidence, findings, format, freeBytes, keepers, state, store } = report
  const head = fields([
    ["store", store],
    ["state", state],
    ...(format === null ? [] : [["format", String(format)] as const]),
    ...(encryption === null
      ? []
      : [
          ["encrypted", `with the key ${encryption.key}${encryption.isOpened ? "" : ", which was not given"}`] as const
        ]),
    [
      "engine",
      engine === null
        ? "not running"
        : `process ${engine.pid}${engine.version === null ? "" : `, version ${engine.version}`}`
    ],
    ...keepers.map(
      ({ id, pid, sessions }) => ["keeper", `${id}, process ${pid ?? "?"}: ${counted(sessions, "session")}`] as const
    ),
    ...(content === null
      ? []
      : ([
          ["sessions", String(content.sessions)],
          ["events", `${content.events}, ${formatBytes(content.eventBytes)}; ${counted(content.rows, "row")}`],
          ["files", formatBytes(content.fileBytes)],
          ["sha256", content.sha256]
        ] as const)),
    ...(evidence === null ? [] : [["evidence", describeEvidence(evidence)] as const]),
    ...(freeBytes === null ? [] : [["free", formatBytes(freeBytes)] as const]),
    ...(backup === null ? [] : [["backup", `of ${backup.store}, made ${formatLocalTime(backup.timeMicros)}`] as const]),
    ["looked at", formatLocalTime(nowMicros)]
  ])
  if (findings.length === 0) return head
  const more = findings.length - FINDINGS_SHOWN_MAX
  return `${head}\n${table(HEAD, findings.slice(0, FINDINGS_SHOWN_MAX).map(row))}${more > 0 ? `and ${more} more, see --json\n` : ""}`
}

const describeEvidence = (evidence: NonNullable<DoctorReport["evidence"]>): string => {
  const { lastMillis, sealedSessions, statements, unsealedEvents } = evidence
  if (statements === 0) return "nothing is sealed"
  const last = lastMillis === null ? "" : `, the last of ${formatLocalTime(lastMillis * 1000)}`
  return `${counted(statements, "statement")}${last}; ${counted(sealedSessions, "session")}, ${counted(unsealedEvents, "event")} not sealed yet`
}

const row = ({ advice, level, what, where }: Finding): ReadonlyArray<string> => [level, where, what, advice]
