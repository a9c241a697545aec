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

/** The last kind before clients told: they know it, or (the first ones) never knew the sessions that have it. */
const KIND_MAX_OF_SILENT_CLIENTS = 40

class KindMax extends Context.Service<KindMax, number>()("reprise/remote/KnownEvents/KindMax") {}

/** Keeps what a client said, for as long as its connection. */
export const keep = (client: Rpc.ServerClient, kindMax: number | undefined): void => {
  client.annotate(KindMax, kindMax ?? KIND_MAX_OF_SILENT_CLIENTS)
}

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
