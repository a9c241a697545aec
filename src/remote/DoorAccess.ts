/**
 * Who may come through a WebSocket door, decided from the head of the HTTP request alone: version, place, token, in this
 * order. WebSocketDoor.ts asks; this file opens nothing and remembers only how often it was asked in vain.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import { isLoopback, SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from "./WebSocketProtocol.ts"

/** Wrong tokens that get an answer within one second; more are cut off unheard, so that guessing costs the door nothing. */
export const WRONG_TOKENS_PER_SECOND_MAX = 20

export interface DoorAccess {
  readonly token: string
  /** Origins of web pages that may connect, as browsers send them: `https://host:port`. */
  readonly allowedOrigins: ReadonlyArray<string>
  /** Without TLS only names of this machine are taken for `Host`: any other is a page that had its name rebound to us. */
  readonly isEncrypted: boolean
}

export interface Refusal {
  readonly status: 400 | 401 | 403
  /** One line for whoever sent the request. */
  readonly reason: string
}

/** undefined: may come in. */
export const refusalFor = (headers: IncomingHttpHeaders, access: DoorAccess): Refusal | undefined => {
  const offered = subprotocols(headers)
  if (!offered.includes(SUBPROTOCOL)) {
    return { status: 400, reason: `this door speaks the WebSocket subprotocol ${SUBPROTOCOL}` }
  }
  if (!access.isEncrypted && !isLoopbackHost(headers.host)) {
    return { status: 403, reason: "the Host of the request is not this machine" }
  }
  if (headers.origin !== undefined && !access.allowedOrigins.includes(headers.origin)) {
    return { status: 403, reason: "pages of this origin may not connect; `reprise serve --allow-origin` allows one" }
  }
  if (!isToken(tokenIn(headers, offered), access.token)) {
    return { status: 401, reason: "the token is missing or wrong" }
  }
  return undefined
}

const subprotocols = (headers: IncomingHttpHeaders): ReadonlyArray<string> =>
  (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim())

const tokenIn = (headers: IncomingHttpHeaders, offered: ReadonlyArray<string>): string => {
  const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? "")?.[1]
  if (bearer !== undefined) return bearer
  const encoded = offered.find((name) => name.startsWith(TOKEN_SUBPROTOCOL_PREFIX))
  return encoded === undefined
    ? ""
    : Buffer.from(encoded.slice(TOKEN_SUBPROTOCOL_PREFIX.length), "base64url").toString()
}

/** Digests have one length, so the time tells nothing, not even the token's length. */
const isToken = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected))

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

const isLoopbackHost = (host: string | undefined): boolean => {
  const hostname = URL.parse(`http://${host}`)?.hostname
  return host !== undefined && hostname !== undefined && isLoopback(hostname)
}

/** Addresses with a count of their own until they are told; the others have one together. */
const WRONG_TOKEN_ADDRESSES_MAX = 50

/** Wrong tokens from one address, since that was told last. */
export interface WrongTokenCount {
  readonly address: string
  readonly times: number
}

/** Counts wrong tokens. A right one is never held up by it: whoever floods the door must not close it for others. */
export class WrongTokens {
  #second = 0
  #count = 0
  #byAddress = new Map<string, number>()

  came(from: string): void {
    const isKnown = this.#byAddress.has(from) || this.#byAddress.size < WRONG_TOKEN_ADDRESSES_MAX
    const address = isKnown ? from : "others"
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1)
  }

  /** What came since the last call. */
  take(): ReadonlyArray<WrongTokenCount> {
    const counts = Array.from(this.#byAddress, ([address, times]) => ({ address, times }))
    this.#byAddress = new Map()
    return counts
  }

  /** true: this one gets an answer. */
  admit(nowMillis: number): boolean {
    const second = Math.floor(nowMillis / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#count = 0
    }
    this.#count++
    return this.#count <= WRONG_TOKENS_PER_SECOND_MAX
  }
}
