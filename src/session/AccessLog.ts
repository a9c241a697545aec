/**
 * The list of who looked: keeps accesses to what sessions hold, and what was refused, as events of the store's own stream
 * (HistoryAccessed). What an access is, its callers say; who it is says `Reader`. AccessLogLive.ts keeps it, EngineClient.ts passes it on.
 */
import { Context, Effect, Layer } from "effect"
import type { SessionId } from "../../journal/Event.ts"

export interface Access {
  /** As in HistoryAccessed. */
  readonly what: string
  /** null: all of the store. */
  readonly session: SessionId | null
  /** Behind which event it begins, up to which it goes; null where that is not one range. */
  readonly after?: number | null | undefined
  readonly until?: number | null | undefined
  /** How often; once if absent. */
  readonly times?: number | undefined
  /** Nothing was given: what was asked for and why not. */
  readonly refused?: string | undefined
}

/** What was not given. */
export const refusal = (session: SessionId | null, refused: string, times = 1): Access => ({
  what: REFUSED,
  session,
  refused,
  times
})
const REFUSED = "refused"

export interface AccessLogShape {
  /** Never fails: a read is given also where the event cannot be kept, as on a full disk. */
  note(access: Access): Effect.Effect<void>
}

export class AccessLog extends Context.Service<AccessLog, AccessLogShape>()("reprise/session/AccessLog") {
  /** Where nothing is kept: of a store that does not exist, and of a copy. */
  static readonly layerNone: Layer.Layer<AccessLog> = Layer.succeed(AccessLog, { note: () => Effect.void })
}
