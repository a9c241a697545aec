/** A session's events as a format is given them, without a store, and what a format makes of them. */
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import { exportFormat, folderFormat } from "../../src/export/Export.ts"
import type { ExportSource } from "../../src/export/ExportFormat.ts"
import { ExportLosses } from "../../src/export/ExportLosses.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { created, STREAM } from "../projections/events.ts"

/** An event, and so many milliseconds after the one before. */
export type Timed = readonly [event: SessionEvent, millis: number]

export const BEGAN_MICROS = 1_600_718_060_667_000

type Created = Extract<SessionEvent, { _tag: "SessionCreated" }>
type Removed = Extract<SessionEvent, { _tag: "EventsRemoved" }>

export const removed = (to: number, changes: Partial<Removed> = {}): Removed => ({
  _tag: "EventsRemoved",
  from: 1,
  to,
  events: to,
  bytes: 1000,
  outputBytes: 500,
  lastTimeMicros: BEGAN_MICROS - 1_000_000,
  sha256: "00",
  reason: "age",
  policy: "older than 30 days",
  kept: [],
  ...changes
})

export const stdout = (
  exec: number,
  data: Uint8Array | string,
  channel: "stdout" | "stderr" = "stdout"
): SessionEvent => ({
  _tag: "OutputReceived",
  channel,
  exec,
  offset: 0,
  data: Buffer.from(data)
})

/** The first event is EventsRemoved or SessionCreated; a session without either is given one that is created. */
export const sourceOf = (
  events: ReadonlyArray<SessionEvent | Timed>,
  changes: Partial<SessionView> & Pick<ExportSource, "input" | "whole"> = {}
): ExportSource & { readonly losses: ExportLosses } => {
  const { input, whole, ...view } = changes
  const all = events.map((one): Timed => ("_tag" in one ? [one, 0] : one))
  const first = all[0]?.[0]
  if (first?._tag !== "SessionCreated" && first?._tag !== "EventsRemoved") all.unshift([created(), 0])
  let timeMicros = BEGAN_MICROS
  let sequence = first?._tag === "EventsRemoved" ? first.to - 1 : 0
  let offset = 0
  const entries = all.map(([event, millis]): JournalEntry => {
    timeMicros += millis * 1000
    if (event._tag !== "OutputReceived" || event.channel !== "tty") {
      return { sequence: ++sequence, timeMicros, actor: "engine", event }
    }
    offset += event.data.length
    const placed = { ...event, offset: offset - event.data.length }
    return { sequence: ++sequence, timeMicros, actor: "program", event: placed }
  })
  const made = (all.map(([event]) => event).find(({ _tag }) => _tag === "SessionCreated") ?? created()) as Created
  const last = all.at(-1)![0]
  const end = last._tag === "SessionClosed" ? last : undefined
  return {
    view: {
      id: STREAM,
      name: null,
      kind: made.kind,
      status: end === undefined ? "running" : "exited",
      exitCode: end?.exitCode ?? null,
      signal: end?.signal ?? null,
      terminalOpen: end === undefined,
      argv: made.argv,
      cwd: made.cwd,
      size: made.size,
      title: "",
      term: made.term,
      owner: made.owner,
      pid: null,
      keeper: null,
      createdAt: BEGAN_MICROS,
      startedAt: BEGAN_MICROS,
      endedAt: end === undefined ? null : timeMicros,
      lastEventAt: timeMicros,
      outputBytes: 0,
      inputBytes: 0,
      sequence,
      interruptions: 0,
      survivors: [],
      ...view
    },
    // Two pages at least, as of a long session.
    events: Stream.fromIterable(entries).pipe(Stream.rechunk(2)),
    input,
    whole,
    losses: new ExportLosses()
  }
}

/** The whole export. */
export const bytesOf = async (format: string, source: ExportSource): Promise<Buffer> => {
  const write = await exportFormat(format)!.load()
  return Buffer.concat([...(await Effect.runPromise(Stream.runCollect(write(source))))])
}

/** The files of an export that is a folder, and which of them nobody may write any more. */
export const filesOf = async (
  format: string,
  source: ExportSource
): Promise<{ readonly files: Readonly<Record<string, Buffer>>; readonly readOnly: ReadonlyArray<string> }> => {
  const write = await folderFormat(format)!.load()
  const files: Record<string, Buffer> = {}
  const readOnly: Array<string> = []
  for (const { data, file, isReadOnly } of await Effect.runPromise(Stream.runCollect(write(source)))) {
    files[file] = Buffer.concat([files[file] ?? Buffer.alloc(0), data])
    if (isReadOnly === true) readOnly.push(file)
  }
  return { files, readOnly }
}
