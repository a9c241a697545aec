/**
 * Which versions of the protocol between engine and keeper (Frames.ts) this version speaks, and what the older ones cannot
 * do. Engines and keepers of different versions meet at every upgrade, because a keeper lives as long as its sessions:
 * both sides ask here what they have in common. It holds no frame and knows no socket.
 */
import { PROTOCOL_VERSION } from "./Frames.ts"
import type { HostCapabilities } from "./PtyHost.ts"

/** The oldest version that is spoken, by either side. Raising it takes the sessions of older keepers away from their users. */
export const PROTOCOL_OLDEST = 1

/**
 * The last version whose engines asked who is there (`Probe`) without a word about themselves, and believe only in their
 * own: who asks like that is told this one.
 */
export const PROTOCOL_OF_SILENT_PROBES = 3

export interface ProtocolRange {
  readonly protocol: number
  /** Absent where a peer speaks one version only. */
  readonly oldest?: number | undefined
}

/** What this version says of itself. */
export const PROTOCOL_RANGE = { protocol: PROTOCOL_VERSION, oldest: PROTOCOL_OLDEST } as const

/** The newest version that both speak; undefined when there is none. */
export const commonProtocol = (peer: ProtocolRange): number | undefined => {
  const protocol = Math.min(peer.protocol, PROTOCOL_VERSION)
  const oldest = Math.max(peer.oldest ?? peer.protocol, PROTOCOL_OLDEST)
  return protocol >= oldest ? protocol : undefined
}

/** What a peer said of itself; undefined when it is no range. */
export const rangeIn = (said: unknown): ProtocolRange | undefined => {
  if (typeof said !== "object" || said === null) return undefined
  const { oldest, protocol } = said as Record<string, unknown>
  if (!isVersion(protocol) || !(oldest === undefined || isVersion(oldest))) return undefined
  return { protocol, oldest }
}

/** Of a host of this version. */
export const OWN_CAPABILITIES: HostCapabilities = { takesSessions: true, pipes: true, notes: true }

const isVersion = (value: unknown): value is number => typeof value === "number" && Number.isInteger(value) && value > 0

/** Version 1 held terminals; 2 added pipes, other programs in the place of ended ones, and the look for who waits; 3 notes. */
export const capabilitiesOf = (protocol: number): HostCapabilities => ({
  takesSessions: protocol === PROTOCOL_VERSION,
  pipes: protocol >= 2,
  notes: protocol >= 3
})
