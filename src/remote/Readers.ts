/**
 * What the client at the other end of a connection calls itself, and what it reads for: it says so in its Handshake. What it
 * is given is told under that name (AccessLog.ts). It is the client's own word: the socket lets in one user alone.
 */
import { Context, Effect, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import { READER_TEXT_LENGTH_MAX, Reader, type ReaderShape } from "../session/Reader.ts"

class Said extends Context.Service<Said, ReaderShape>()("reprise/remote/Readers/Said") {}

const NAMELESS: ReaderShape = { through: "client" }

/** Keeps what a client said, for as long as its connection. */
export const keep = (
  client: Rpc.ServerClient,
  said: {
    readonly client?: string | undefined
    readonly what?: string | undefined
    readonly reason?: string | undefined
  }
): void => {
  const { client: name, reason, what } = said
  client.annotate(Said, {
    through: name === undefined || name === "" ? NAMELESS.through : name.slice(0, READER_TEXT_LENGTH_MAX),
    ...(what !== undefined && { what: what.slice(0, READER_TEXT_LENGTH_MAX) }),
    ...(reason !== undefined && { reason: reason.slice(0, READER_TEXT_LENGTH_MAX) })
  })
}

/** The name of one that said none is `client`. */
const of = (client: Rpc.ServerClient): ReaderShape => Context.getOrUndefined(client.annotations, Said) ?? NAMELESS

/** What is read is read by this client. */
export const as =
  (client: Rpc.ServerClient) =>
  <W extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(work: W): W =>
    // It is a reference with a default: neither has it among its requirements.
    (Effect.isEffect(work)
      ? Effect.provideService(work, Reader, of(client))
      : Stream.provideService(work, Reader, of(client))) as W
