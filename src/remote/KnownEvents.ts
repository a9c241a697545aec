/**
 * Which kinds of events the client at the other end of a connection knows: it says so in its Handshake. What came later is
 * passed on to it as `Unknown`, as its own version would read it from the store; the encoding would leave it out, and the
 * client would find an event that is none. EngineServer.ts uses it.
 */
import { Context } from "effect"
import type { Rpc } from "effect/rpc"
import type { SessionEvent } from "../../journal/Event.ts"
import { EVENT_KIND_MAX } from "../../journal/EventKind.ts"
import { eventFor } from "../../journal/Record.ts"
import { HistoryDamaged, InvalidRequest } from "../session/SessionError.ts"
import { CURSOR_REVISION } from "./SessionRpcs.ts"

/** The last kind before clients told: they know it, or (the first ones) never knew the sessions that have it. */
const KIND_MAX_OF_SILENT_CLIENTS = 40

class KindMax extends Context.Service<KindMax, number>()("reprise/remote/KnownEvents/KindMax") {}

class Revision extends Context.Service<Revision, number>()("reprise/remote/KnownEvents/Revision") {}

/** Keeps what a client said, for as long as its connection. */
export const keep = (
  client: Rpc.ServerClient,
  said: { readonly events?: number | undefined; readonly revision?: number | undefined }
): void => {
  client.annotate(KindMax, said.events ?? KIND_MAX_OF_SILENT_CLIENTS)
  client.annotate(Revision, said.revision ?? 0)
}

/** Reading from a cursor: an earlier client cannot read that its cursor is refused, and is told it as damage. */
export const refusedCursor =
  (client: Rpc.ServerClient, session: string) =>
  <E>(error: E): E | HistoryDamaged =>
    error instanceof InvalidRequest && (Context.getOrUndefined(client.annotations, Revision) ?? 0) < CURSOR_REVISION
      ? new HistoryDamaged({ session, reason: error.message })
      : error

/** It was made before clients told what they know: errors that were added since, too, are unknown to it. */
export const isSilent = (client: Rpc.ServerClient): boolean =>
  Context.getOrUndefined(client.annotations, KindMax) === KIND_MAX_OF_SILENT_CLIENTS

/** What holds an event, as this client can take it; the same object where nothing is to be changed. */
export const forClient = (client: Rpc.ServerClient): (<A extends { readonly event: SessionEvent }>(holder: A) => A) => {
  const kindMax = Context.getOrUndefined(client.annotations, KindMax) ?? KIND_MAX_OF_SILENT_CLIENTS
  if (kindMax >= EVENT_KIND_MAX) return (holder) => holder
  return (holder) => {
    const event = eventFor(holder.event, kindMax)
    return event === holder.event ? holder : { ...holder, event }
  }
}
