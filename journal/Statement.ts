/**
 * The entries of a store's log: short texts that say what was sealed when. Used by the sealer, by verification and by
 * bundles. A person can read one; a program reads it without our code, line by line, `name value`.
 *
 *   reprise statement v1
 *   session 01ARZ3NDEKTSV4RRFFQ69G5FAV     absent, with size and root: nothing happened
 *   size 42                                events of the session that are sealed
 *   root BASE64                            of its tree
 *   time 2026-11-21T16:05:00.123Z
 *   reason quiet
 *   predecessor ORIGIN SIZE BASE64         of a log under another key that this one follows; rare
 *   from VERIFIERKEY                       the key until here, and
 *   to VERIFIERKEY                         the one that signs from here on; rare
 */
import { SESSION_ID_PATTERN, type SessionId } from "./Event.ts"
import { HASH_BYTES } from "./Merkle.ts"

/**
 * events: as many as one seal covers. quiet: nothing came for a while. age: the first waited long enough. closed: the session
 * ended. stop: the engine stops. asked: before events are removed. removed: their salts were thrown away. stopped: what is
 * there is not what was sealed. idle: an hour without a statement. key: the first under this key. rotated: the log goes on
 * under another key.
 */
export type StatementReason =
  | "events"
  | "quiet"
  | "age"
  | "closed"
  | "stop"
  | "asked"
  | "removed"
  | "stopped"
  | "idle"
  | "key"
  | "rotated"

export interface Statement {
  /** undefined: nothing happened. */
  readonly sealed: { readonly session: SessionId; readonly size: number; readonly root: Uint8Array } | undefined
  readonly timeMillis: number
  /** A StatementReason, or a word of a later version. */
  readonly reason: string
  readonly predecessor?: string | undefined
  /** Verifier keys. */
  readonly successor?: { readonly from: string; readonly to: string } | undefined
}

const HEADER = "reprise statement v1"

export const statementText = ({ predecessor, reason, sealed, successor, timeMillis }: Statement): string =>
  [
    HEADER,
    ...(sealed === undefined
      ? []
      : [`session ${sealed.session}`, `size ${sealed.size}`, `root ${Buffer.from(sealed.root).toString("base64")}`]),
    `time ${new Date(timeMillis).toISOString()}`,
    `reason ${reason}`,
    ...(predecessor === undefined ? [] : [`predecessor ${predecessor}`]),
    ...(successor === undefined ? [] : [`from ${successor.from}`, `to ${successor.to}`]),
    ""
  ].join("\n")

/** undefined: this is no statement that this version can read. */
export const parseStatement = (text: string): Statement | undefined => {
  const [header, ...lines] = text.split("\n")
  if (header !== HEADER || lines.pop() !== "") return undefined
  const fields = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([a-z]+) (.+)$/.exec(line) ?? []
    if (name === undefined || value === undefined || fields.has(name)) return undefined
    fields.set(name, value)
  }
  const timeMillis = Date.parse(fields.get("time") ?? "")
  const reason = fields.get("reason")
  if (Number.isNaN(timeMillis) || reason === undefined) return undefined
  const predecessor = fields.get("predecessor")
  const [from, to] = [fields.get("from"), fields.get("to")]
  const rest = {
    timeMillis,
    reason,
    ...(predecessor !== undefined && { predecessor }),
    ...(from !== undefined && to !== undefined && { successor: { from, to } })
  }
  const session = fields.get("session")
  if (session === undefined) return { sealed: undefined, ...rest }
  const size = Number(fields.get("size"))
  const root = Buffer.from(fields.get("root") ?? "", "base64")
  if (!SESSION_ID_PATTERN.test(session) || !Number.isSafeInteger(size) || size < 0) return undefined
  return root.byteLength === HASH_BYTES ? { sealed: { session: session as SessionId, size, root }, ...rest } : undefined
}
