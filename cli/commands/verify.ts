/** `reprise verify`: whether what is recorded is what was recorded, and all of it, by the store's own evidence. */
import { statSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { SESSION_ID_PATTERN, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import type { BundleCheckOptions, BundleVerdict } from "../../src/evidence/BundleCheck.ts"
import type { EvidenceFinding, SessionEvidence } from "../../src/evidence/SessionWalk.ts"
import type { VerifyReport } from "../../src/evidence/Verify.ts"
import { Caller } from "../Caller.ts"
import { counted } from "../Counted.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { longWork } from "../LongWork.ts"
import { formatLocalTime } from "../Moment.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { reading, tellLook } from "../Store.ts"
import { fields, table } from "../Table.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "verify"
/** Lines on a terminal; all of them are in the JSON. */
const LINES_MAX = 100
const FINDINGS_HEAD = ["VERDICT", "REASON", "SESSION", "EVENTS", "WHAT"]
const GAPS_HEAD = ["SESSION", "EVENT", "RECORDED GAP"]

export const verify = Command.make(
  COMMAND,
  {
    sessions: Argument.String("session").pipe(
      Argument.withMetavar("SESSION"),
      Argument.withDescription(
        "Only these, and the store's log (default: all); or a folder of `export --format evidence`"
      ),
      Argument.variadic()
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withDefault(false),
      Flag.withDescription("All sessions: the default, said aloud")
    ),
    anchor: Flag.String("anchor").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A checkpoint of before (`reprise anchor`); may be given several times"),
      Flag.atLeast(0)
    ),
    key: Flag.String("key").pipe(
      Flag.withMetavar("VKEY"),
      Flag.withDescription("The verifier key, or a file that holds it (default: the store's own)"),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.verify")(function* ({ all, anchor, json, key, sessions }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    if (all && sessions.length > 0) return yield* wrong("--all and a SESSION exclude each other")
    const [first] = sessions
    if (first !== undefined && sessions.length === 1 && isBundle(resolve(caller.cwd, first))) {
      const anchors = yield* Effect.forEach(anchor, (name) => Effect.map(fileText(name), (text) => ({ name, text })))
      const given = Option.getOrUndefined(key)
      const keyText = given === undefined || isKey(given) ? given : (yield* fileText(given)).trim()
      return yield* verifyBundle(resolve(caller.cwd, first), { anchors, key: keyText }, json)
    }
    // A whole id is taken as it is: what it names may be gone.
    const needsStore = sessions.some((session) => !SESSION_ID_PATTERN.test(session))
    const chosen = needsStore
      ? yield* Effect.forEach(sessions, findSession).pipe(Effect.provide(reading(paths)))
      : (sessions as ReadonlyArray<SessionId>)
    const anchors = yield* Effect.forEach(anchor, (name) => Effect.map(fileText(name), (text) => ({ name, text })))
    const keyText = Option.getOrUndefined(key)
    const verifierText = keyText === undefined || isKey(keyText) ? keyText : (yield* fileText(keyText)).trim()
    const report = yield* longWork(async ({ parseVerifierKey, verifyStore }, signal) => {
      const verifier = verifierText === undefined ? undefined : parseVerifierKey(verifierText)
      if (verifierText !== undefined && verifier === undefined) return undefined
      return verifyStore(paths, { ...(chosen.length > 0 && { sessions: chosen }), anchors, key: verifier, signal })
    })
    if (report === undefined)
      return yield* wrong("--key: this is no verifier key (NAME+KEYID+BASE64) and no file with one")
    const isSound = report.integrity !== "violated" && report.completeness !== "incomplete"
    yield* tellLook(paths, COMMAND, { isSound, session: chosen.length === 1 ? chosen[0]! : null })
    yield* caller.write(json ? toJsonText(jsonOf(report)) : describe(report))
    const exitCode = exitCodeOf(report)
    if (exitCode !== ExitCode.ok) return yield* new Ending({ exitCode, note: "" })
  })
).pipe(
  Command.withDescription(
    "Check the recorded events against the signed evidence beside them, and tell two things apart: integrity (what is there is " +
      "what was recorded) and completeness (all of it is there). Each is told with reasons: edited, reordered, removed, truncated, " +
      "session gone, rolled back, forked, wrong key and more. What was recorded in the last seconds is not sealed yet, and told as " +
      "such; what the recorder itself knows to be missing is listed. It reads at one moment, changes nothing but the list of who " +
      "looked, and needs no engine. " +
      "Ends with 0 when both hold, 82 when integrity is violated, 83 when something is missing, 84 when there is no evidence."
  ),
  Command.withShortDescription("Check what is recorded against its evidence"),
  Command.withExamples([
    { command: "reprise verify", description: "The whole store, by its own key" },
    {
      command: "reprise verify --key reprise.vkey --anchor anchors/2026-11-01",
      description: "By a key and a checkpoint that were kept elsewhere"
    },
    { command: "reprise verify build --json | jq .integrity", description: "One session, for a program" }
  ])
)

/** A folder with a manifest, or with folders that have one. A session is never named by a path. */
const isBundle = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const verifyBundle = Effect.fnUntraced(function* (folder: string, options: BundleCheckOptions, json: boolean) {
  const caller = yield* Caller
  const verdicts = yield* longWork(({ checkBundles }) => checkBundles(folder, options))
  yield* caller.write(json ? toJsonText({ bundles: verdicts }) : verdicts.map(describeBundle).join("\n"))
  const codes = verdicts.map(({ completeness, integrity }) =>
    integrity === "violated"
      ? ExitCode.notAuthentic
      : completeness === "incomplete"
        ? ExitCode.incomplete
        : integrity === "unproven"
          ? ExitCode.unproven
          : ExitCode.ok
  )
  const worst = [ExitCode.notAuthentic, ExitCode.incomplete, ExitCode.unproven].find((code) => codes.includes(code))
  if (worst !== undefined) return yield* new Ending({ exitCode: worst, note: "" })
})

const describeBundle = ({
  completeness,
  events,
  findings,
  integrity,
  key,
  notes,
  sealed,
  session
}: BundleVerdict): string =>
  fields([
    ["session", session],
    ["integrity", integrity],
    ["completeness", completeness],
    ["key", key === "" ? "none" : key],
    ["events", `${events}: ${sealed} sealed`],
    ...notes.map((note) => ["note", escapeText(note)] as const)
  ]) +
  lines(
    ["VERDICT", "REASON", "WHAT"],
    findings.map(({ detail, reason, verdict }) => [verdict, reason, escapeText(detail)])
  )

const wrong = (reason: string) => new Usage({ reason, command: COMMAND })

const isKey = (text: string): boolean => /^[^+]+\+[0-9a-f]{8}\+/.test(text)

const fileText = (file: string): Effect.Effect<string, Usage> =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) => wrong(`${file} cannot be read: ${(cause as Error).message}`)
  })

const exitCodeOf = ({ completeness, integrity }: VerifyReport): number => {
  if (integrity === "violated") return ExitCode.notAuthentic
  if (completeness === "incomplete") return ExitCode.incomplete
  return integrity === "unproven" ? ExitCode.unproven : ExitCode.ok
}

const jsonOf = ({ log, ...report }: VerifyReport) => ({
  ...report,
  log: log && {
    statements: log.statements,
    last: log.lastMillis === null ? null : new Date(log.lastMillis).toISOString()
  }
})

const SOURCES = {
  given: "as given",
  "key file": "from the store's key file",
  store: "from the store itself, which proves nothing of who signed: give --key"
}

const describe = ({ anchors, completeness, findings, integrity, key, log, sessions, store }: VerifyReport): string => {
  const sum = (of: (session: SessionEvidence) => number) => sessions.reduce((total, session) => total + of(session), 0)
  const counts = [
    [sum(({ sealed }) => sealed), "sealed"],
    [sum(({ unsealed }) => unsealed), "not sealed yet"],
    [sum(({ removed }) => removed), "removed by retention"],
    [sum(({ redacted }) => redacted), "redacted"],
    [sum(({ absent }) => absent), "gone before they were sealed"]
  ] as const
  const head = fields([
    ["store", store],
    ["integrity", integrity],
    ["completeness", completeness],
    ["key", key === null ? "none" : `${key.verifier} (${SOURCES[key.from]})`],
    ...(key?.present === undefined ? [] : [["present key", `${key.present} (the log leads to it)`] as const]),
    [
      "log",
      log === null
        ? "none: nothing is sealed"
        : `${counted(log.statements, "statement")}${log.lastMillis === null ? "" : `, the last of ${formatLocalTime(log.lastMillis * 1000)}`}`
    ],
    ...anchors.map(
      ({ name, statements }) => ["anchor", `${escapeText(name)}: ${statements ?? "?"} statements`] as const
    ),
    ["sessions", String(sessions.filter(({ session }) => session !== STORE_STREAM).length)],
    [
      "events",
      `${sum(({ events }) => events)}: ${counts
        .filter(([count]) => count > 0)
        .map(([count, what]) => `${count} ${what}`)
        .join(", ")}`
    ]
  ])
  const gaps = sessions.flatMap(({ gaps, session }) =>
    gaps.map(({ sequence, what }) => [session, String(sequence), escapeText(what)])
  )
  return `${head}${lines(FINDINGS_HEAD, findings.map(findingRow))}${lines(GAPS_HEAD, gaps)}`
}

const lines = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  if (rows.length === 0) return ""
  const more = rows.length - LINES_MAX
  return `\n${table(head, rows.slice(0, LINES_MAX))}${more > 0 ? `and ${more} more, see --json\n` : ""}`
}

const findingRow = ({ detail, from, reason, session, to, verdict }: EvidenceFinding): ReadonlyArray<string> => [
  verdict,
  reason,
  session ?? "-",
  from === null ? "-" : from === to ? String(from) : `${from}-${to}`,
  escapeText(detail)
]
