/**
 * The one-line summary of a session, kept as a row beside the events so that a list costs one row a session and not
 * its history. The engine writes the row in the same batch as the events that change it, lists read it. It is derived:
 * a row that is missing, damaged or of another version is rebuilt from the journal (ProjectionRunner.ts).
 */
import type { JournalEntry, RemovalReason, SessionId } from "../journal/Event.ts"
import type { Row } from "../journal/Journal.ts"
import type { SessionState } from "./SessionState.ts"
import { assertShape } from "./SnapshotCodec.ts"

/** Space of the rows; the key is the session's id in ASCII. */
export const INDEX_SPACE = "index"
/** First byte of a row's value. */
const INDEX_VERSION = 2

/** The fields of a session's view, and whether anything can still be added to it. */
export interface SessionSummary
  extends Pick<
    SessionState,
    | "status"
    | "exitCode"
    | "signal"
    | "terminalOpen"
    | "kind"
    | "name"
    | "group"
    | "limits"
    | "argv"
    | "size"
    | "term"
    | "owner"
    | "pid"
    | "keeper"
    | "createdAt"
    | "startedAt"
    | "endedAt"
    | "lastEventAt"
    | "outputBytes"
    | "inputBytes"
    | "sequence"
    | "interruptions"
    | "survivors"
    | "closed"
    | "hold"
    | "redact"
    | "redacted"
  > {
  readonly id: SessionId
  readonly cwd: string
  readonly title: string
  /** Its events 1 to `to`, if some were removed. */
  readonly removed: {
    readonly to: number
    readonly at: number
    readonly reason: RemovalReason
    readonly policy: string
  } | null
}

/** `gone`: the EventsRemoved that the stream begins with, if it does. */
export const summarize = (
  state: SessionState,
  cwd: string,
  title: string,
  gone?: JournalEntry | undefined
): SessionSummary => ({
  id: state.id,
  name: state.name,
  group: state.group,
  limits: state.limits,
  kind: state.kind,
  status: state.status,
  exitCode: state.exitCode,
  signal: state.signal,
  terminalOpen: state.terminalOpen,
  argv: state.argv,
  cwd,
  size: state.size,
  title,
  term: state.term,
  owner: state.owner,
  pid: state.pid,
  keeper: state.keeper,
  createdAt: state.createdAt,
  startedAt: state.startedAt,
  endedAt: state.endedAt,
  lastEventAt: state.lastEventAt,
  outputBytes: state.outputBytes,
  inputBytes: state.inputBytes,
  sequence: state.sequence,
  interruptions: state.interruptions,
  survivors: state.survivors,
  closed: state.closed,
  hold: state.hold,
  redact: state.redact,
  redacted: state.redacted,
  removed:
    gone?.event._tag === "EventsRemoved"
      ? { to: gone.sequence, at: gone.timeMicros, reason: gone.event.reason, policy: gone.event.policy }
      : null
})

/** The rule that a session of an encrypted store is removed by when its key is destroyed, in its EventsRemoved. */
export const KEY_DESTROYED_POLICY = "its key was destroyed"

/** Whether the events of a session cannot be read any more, because its key was destroyed. */
export const isKeyDestroyed = ({
  removed
}: {
  readonly removed?: { readonly policy: string } | null | undefined
}): boolean => removed?.policy === KEY_DESTROYED_POLICY

/** Nothing is left of the session but this, and it is not listed. That a key was destroyed, a list tells. */
export const isRemoved = ({ closed, removed, sequence, status }: SessionSummary): boolean =>
  (closed || status === "lost") && removed !== null && removed.to >= sequence && !isKeyDestroyed({ removed })

export const indexKey = (stream: SessionId): Uint8Array => Buffer.from(stream, "latin1")

export const indexRow = (summary: SessionSummary): Row => ({
  space: INDEX_SPACE,
  key: indexKey(summary.id),
  value: Buffer.concat([Buffer.from([INDEX_VERSION]), Buffer.from(JSON.stringify(summary))])
})

/** The summary, or undefined when the row is not one of this version: then rebuild it. */
export const readIndexRow = (row: Row | undefined): SessionSummary | undefined => {
  if (row === undefined || row.value[0] !== INDEX_VERSION) return undefined
  try {
    const summary: SessionSummary = { ...LATER_FIELDS, ...JSON.parse(Buffer.from(row.value.subarray(1)).toString()) }
    assertShape(summary, EMPTY)
    return summary.id === Buffer.from(row.key).toString("latin1") ? summary : undefined
  } catch {
    return undefined
  }
}

/** What a row that was written before there was such a thing does not say. */
const LATER_FIELDS: Pick<SessionSummary, "hold" | "removed" | "redact" | "redacted"> = {
  hold: null,
  removed: null,
  redact: [],
  redacted: { rules: {}, bytes: 0 }
}

const EMPTY: SessionSummary = {
  ...LATER_FIELDS,
  id: "" as SessionId,
  name: null,
  group: null,
  limits: {},
  kind: "terminal",
  status: "starting",
  exitCode: null,
  signal: null,
  terminalOpen: false,
  argv: [],
  cwd: "",
  size: { cols: 1, rows: 1 },
  title: "",
  term: "",
  owner: "",
  pid: null,
  keeper: null,
  createdAt: 0,
  startedAt: null,
  endedAt: null,
  lastEventAt: 0,
  outputBytes: 0,
  inputBytes: 0,
  sequence: 0,
  interruptions: 0,
  survivors: [],
  closed: false
}
