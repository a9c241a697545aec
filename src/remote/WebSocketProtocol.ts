/**
 * What both ends of the WebSocket door (WebSocketDoor.ts, WebSocketConnection.ts) and clients of other languages agree
 * on. The messages themselves are those of the Unix socket: their bytes in order, as binary messages cut anywhere.
 */
import { FRAME_BYTES_MAX, PROTOCOL_VERSION } from "./SessionRpcs.ts"

/** The WebSocket subprotocol that a client offers and the door accepts: a client of another version ends right there. */
export const SUBPROTOCOL = `reprise.v${PROTOCOL_VERSION}`
/** A browser cannot set `Authorization`, so it offers the token, in base64url, as a second subprotocol with this prefix. */
export const TOKEN_SUBPROTOCOL_PREFIX = "reprise.token."

/** One WebSocket message: the largest of the engine's messages and its length prefix fit in one. */
export const WEBSOCKET_MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 16

/** How often the door asks a peer whether it is there: below the minute after which proxies drop a quiet connection. */
export const PING_INTERVAL_MILLIS = 20_000
/** Two unanswered pings and some: a peer that has been silent for this long is gone. */
export const PEER_SILENT_MILLIS_MAX = 50_000

/** Close codes of the door (RFC 6455 and its registry). */
export const CloseCode = {
  normal: 1000,
  /** The door ends. */
  goingAway: 1001,
  /** A text message; all of ours are binary. */
  unsupportedData: 1003,
  /** The engine ended the connection: it ends, or what was sent is not its protocol. */
  engineClosed: 1012,
  /** There is no engine and none could be started; the reason says why. */
  engineAbsent: 1013
} as const

/** This machine itself. Names as URL writes them: IPv6 in brackets. */
export const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname)
