/**
 * What one engine allows at most, whoever asks, and the limits that the client facade gives a session which names none.
 * Only numbers: `EngineCore` and its parts keep to them.
 */
import { Schema } from "effect"
import type { SessionLimits } from "../../journal/Event.ts"

export const EngineLimits = Schema.Struct({
  /** Live sessions in all. Beyond, `create` fails with ResourceExhausted. */
  sessions: Schema.Int,
  /** Live sessions of one group. */
  sessionsPerGroup: Schema.Int,
  /** Writes of one client to one session that are not answered yet. */
  inputQueueMessages: Schema.Int,
  /** Clients attached to one session. */
  clientsPerSession: Schema.Int,
  /** Changes of size within this time of each other become one, the last. */
  resizeDebounceMillis: Schema.Finite,
  /** Bytes of the store on disk: beyond, it is treated as a full disk (sessions wait, nothing is lost). null: no limit. */
  storeBytes: Schema.NullOr(Schema.Int)
})
export type EngineLimits = typeof EngineLimits.Type

export const ENGINE_LIMITS: EngineLimits = {
  sessions: 1000,
  sessionsPerGroup: 10,
  inputQueueMessages: 100,
  clientsPerSession: 1000,
  resizeDebounceMillis: 50,
  storeBytes: null
}

/** What `terminal()` of the client facade gives a session, field by field, where its caller says nothing. */
export const FACADE_LIMITS: SessionLimits = {
  inputChunkBytes: 16 * 1024,
  noClientMillis: 5 * 60_000,
  idleMillis: 60 * 60_000,
  retentionMillis: 5 * 60_000
}
