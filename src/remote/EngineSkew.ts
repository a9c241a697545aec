/**
 * What the difference of versions looks like in an engine's answers, told as what it is (EngineMismatch) and not as a bug:
 * a call that an older engine does not have, an answer that an older client does not understand. The services have no such
 * failure, because in one version it cannot happen: it passes through them as a defect that carries its code, and the
 * command line and the facade tell it as any other error. EngineClient.ts uses it.
 */
import { Cause, Schema } from "effect"
import { packageVersion } from "../EntryPoints.ts"
import { EngineMismatch } from "./EngineError.ts"
import { PROTOCOL_REVISION, PROTOCOL_VERSION } from "./SessionRpcs.ts"

/** What an engine answered to the Handshake. */
export interface EngineGreeting {
  readonly protocol: number
  /** Absent for engines that were made before there were revisions. */
  readonly revision?: number | undefined
  readonly version: string
  readonly pid: number
}

/** `lacks`: what one side does not know, in words. */
export const mismatchWith = (engine: EngineGreeting, lacks?: string): EngineMismatch =>
  new EngineMismatch({
    enginePid: engine.pid,
    engineVersion: engine.version,
    engineProtocol: engine.protocol,
    engineRevision: engine.revision ?? 0,
    clientVersion: packageVersion,
    clientProtocol: PROTOCOL_VERSION,
    clientRevision: PROTOCOL_REVISION,
    lacks
  })

/** The same cause, unless it comes from a difference of versions. */
export const asSkew = <E>(engine: EngineGreeting, cause: Cause.Cause<E>): Cause.Cause<E> => {
  for (const reason of cause.reasons) {
    if (reason._tag !== "Die") continue
    const [, call] = /^(?:Error: )?Unknown request tag: (\w+)/.exec(String(reason.defect)) ?? []
    if (call !== undefined) return Cause.die(mismatchWith(engine, `the call ${call}`))
    // Of one revision, it would be a bug.
    if (Schema.isSchemaError(reason.defect) && engine.revision !== PROTOCOL_REVISION) {
      return Cause.die(mismatchWith(engine, "an answer of the other"))
    }
  }
  return cause
}
