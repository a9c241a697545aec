/**
 * The hosts of one engine: which keeper (or the in-process host) holds which session, a new keeper when all are full,
 * and what to do when one goes away. A keeper of an older version keeps what it has and gets nothing new; when that has
 * ended it is let go. `SessionEngine` asks it; it knows neither journal nor events.
 */
import { readlink } from "node:fs/promises"
import { ulid } from "ulid"
import type { SessionId } from "../../journal/Event.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { PROTOCOL_VERSION } from "../keeper/Frames.ts"
import { makeInProcessHost } from "../keeper/InProcessHost.ts"
import { connectKeeper } from "../keeper/KeeperClient.ts"
import { listKeepers, startKeeper, untilFinal } from "../keeper/KeeperProcess.ts"
import { capabilitiesOf, commonProtocol, PROTOCOL_OLDEST } from "../keeper/Protocol.ts"
import { HostUnavailable, type PtyHost, type PtyHostListener } from "../keeper/PtyHost.ts"

/**
 * Sessions in one keeper: it costs 15 MB alone, and its death costs what it holds. 1 isolates each session. With these
 * figures up to 256 sessions are held in keepers of 64, and 1,000 in 4 keepers (docs/decisions/0011).
 */
export const SESSIONS_PER_KEEPER = 256
/** Few sessions share a keeper only up to this many ... */
const SESSIONS_SPREAD = 64
/** ... and until there are this many keepers; then these fill up. */
const KEEPERS_SPREAD = 4

/** Waits between attempts to reach a keeper whose connection broke: quick at first, then once in 2 s for as long as it is there. */
const RECONNECT_DELAYS_MILLIS = [5, 50, 250, 1000, 2000]

/** What is told to the engine, with the host it concerns. */
export interface HostEvents {
  readonly deliver: (host: string) => Omit<PtyHostListener, "disconnected">
  /** The connection broke and was made again: its sessions must be taken back. */
  readonly returned: (host: PtyHost) => void
  /** The host is dead: its sessions are lost. */
  readonly gone: (host: string, reason: string) => void
}

/**
 * Rejects with StoreRefused when one of the keepers speaks no protocol that this version does (Protocol.ts): to go on would
 * be to call sessions lost that live.
 */
export const checkKeepers = async (folder: string, { list }: Pick<KeeperPort, "list"> = KEEPER_PORT): Promise<void> => {
  const keepers = await list(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTDIR") throw error
    throw new StoreRefused({ path: folder, reason: "keeper", detail: "is not a folder; move it away" })
  })
  for (const { pid, protocol } of keepers) {
    if (commonProtocol({ protocol }) !== undefined) continue
    const spoken = `protocol ${PROTOCOL_OLDEST} to ${PROTOCOL_VERSION}`
    const way = protocol > PROTOCOL_VERSION ? "newer" : "older"
    throw new StoreRefused({
      path: folder,
      reason: "keeper",
      detail: `its keeper ${pid} speaks protocol ${protocol}, this version ${spoken}; use the ${way} reprise that started it, or end its sessions with that one first`
    })
  }
}

export interface Hosts {
  /** Connects to the hosts an earlier engine left behind. */
  recover(): Promise<ReadonlyArray<PtyHost>>
  /** A host with room; the session is counted there until it is released. */
  acquire(session: SessionId): Promise<PtyHost>
  /** Counts a session that its host already holds. */
  keep(session: SessionId, host: PtyHost): void
  release(session: SessionId): void
  find(id: string): PtyHost | undefined
  list(): ReadonlyArray<{ readonly host: PtyHost; readonly sessions: ReadonlyArray<SessionId> }>
  /** Where a process of this machine is at the moment, asked of the kernel; undefined when it is gone or not ours. */
  directoryOf(pid: number): Promise<string | undefined>
  /** Keepers go on with their sessions; sessions in this process end with it. */
  dispose(): Promise<void>
}

interface Held {
  readonly host: PtyHost
  readonly sessions: Set<SessionId>
}

class HostTable {
  readonly held = new Map<string, Held>()

  add(host: PtyHost, sessions: Set<SessionId> = new Set()): Held {
    const held = { host, sessions }
    this.held.set(host.id, held)
    return held
  }

  /** A host that is gone is not taken in again: it would be offered to new sessions for ever. */
  keep(session: SessionId, host: PtyHost): void {
    this.held.get(host.id)?.sessions.add(session)
  }

  release(session: SessionId): void {
    for (const { sessions } of this.held.values()) sessions.delete(session)
  }

  list() {
    return [...this.held.values()].map(({ host, sessions }) => ({ host, sessions: [...sessions] }))
  }
}

export interface KeeperHostsOptions {
  readonly folder: string
  /** The keeper's program. */
  readonly entry: string
  /** Rises with every engine of the store: a keeper refuses an older one. */
  readonly generation: number
  readonly sessionsPerKeeper?: number | undefined
  /** The umask of the programs: the engine's own is 077. */
  readonly programUmask?: number | undefined
  readonly events: HostEvents
  readonly keepers?: KeeperPort | undefined
}

/** Everything through which an engine meets its keepers and their processes: where faults are put between them. */
export interface KeeperPort {
  readonly start: typeof startKeeper
  readonly list: typeof listKeepers
  readonly connect: typeof connectKeeper
  readonly directoryOf: Hosts["directoryOf"]
}

const directoryOf = (pid: number): Promise<string | undefined> => readlink(`/proc/${pid}/cwd`).catch(() => undefined)

export const KEEPER_PORT: KeeperPort = { start: startKeeper, list: listKeepers, connect: connectKeeper, directoryOf }

export const keeperHosts = (options: KeeperHostsOptions): Hosts => {
  const { entry, events, folder, generation, keepers = KEEPER_PORT } = options
  const sessionsMax = options.sessionsPerKeeper ?? SESSIONS_PER_KEEPER
  const table = new HostTable()
  let starting: Promise<Held> | undefined
  let isDisposed = false

  const connect = async (id: string, socket: string): Promise<PtyHost> => {
    /** A keeper that is there and cannot be reached holds its sessions all the same: only one that has ended is given up. */
    const disconnected = async (reason: string) => {
      for (let attempt = 0; ; attempt++) {
        const held = table.held.get(id)
        if (isDisposed || held === undefined) return
        try {
          const host = await connect(id, socket)
          if (isDisposed) return await host.dispose()
          table.add(host, held.sessions)
          return events.returned(host)
        } catch (error) {
          if (isDisposed) return
          if (!(error instanceof HostUnavailable) || error.isFinal) {
            table.held.delete(id)
            return events.gone(id, reason)
          }
          const millis = RECONNECT_DELAYS_MILLIS[Math.min(attempt, RECONNECT_DELAYS_MILLIS.length - 1)]!
          await new Promise((resolve) => setTimeout(resolve, millis).unref())
        }
      }
    }
    const listener: PtyHostListener = { ...events.deliver(id), disconnected: (reason) => void disconnected(reason) }
    return keepers.connect({ socket, generation, listener })
  }

  const start = async (): Promise<Held> => {
    const { id, socket } = await keepers.start({
      entry,
      folder,
      id: ulid(),
      execPath: process.execPath,
      sessionsMax,
      programUmask: options.programUmask
    })
    return table.add(await connect(id, socket))
  }

  const isBelow = ({ host, sessions }: Held, max: number) =>
    sessions.size < Math.min(max, sessionsMax, host.sessionsMax)
  const withRoom = (): Held | undefined => {
    const all = [...table.held.values()].filter(({ host }) => host.capabilities.takesSessions)
    const ofFew = all.find((held) => isBelow(held, SESSIONS_SPREAD))
    if (ofFew !== undefined || all.length < KEEPERS_SPREAD) return ofFew
    return all
      .filter((held) => isBelow(held, sessionsMax))
      .reduce<Held | undefined>((least, held) => {
        return least === undefined || held.sessions.size < least.sessions.size ? held : least
      }, undefined)
  }

  return {
    recover: async () => {
      const hosts: Array<PtyHost> = []
      for (const { id, protocol, sessions, socket } of await keepers.list(folder)) {
        // Nothing is given to it any more, and without an engine it ends by itself.
        if (sessions === 0 && !capabilitiesOf(protocol).takesSessions) continue
        try {
          const host = await untilFinal(() => connect(id, socket))
          table.add(host)
          hosts.push(host)
        } catch {
          // It ended since it was listed; its sessions are lost, as those of every keeper that is not there.
        }
      }
      return hosts
    },
    acquire: async (session) => {
      for (;;) {
        const held = withRoom()
        if (held !== undefined) {
          held.sessions.add(session)
          return held.host
        }
        // Everybody who finds no room waits for the same new keeper, then looks again.
        starting ??= start().finally(() => {
          starting = undefined
        })
        await starting
      }
    },
    keep: (session, host) => table.keep(session, host),
    release: (session) => {
      table.release(session)
      for (const { host, sessions } of table.held.values()) {
        if (host.capabilities.takesSessions || sessions.size > 0) continue
        table.held.delete(host.id)
        // It ends when it holds nothing, and goes on with what no journal knows of.
        void host.dispose()
      }
    },
    find: (id) => table.held.get(id)?.host,
    list: () => table.list(),
    directoryOf: keepers.directoryOf,
    dispose: async () => {
      isDisposed = true
      await Promise.all([...table.held.values()].map(({ host }) => host.dispose()))
    }
  }
}

/** One host inside this process, for tests and embedding: its sessions end with the engine. */
export const inProcessHosts = (events: HostEvents): Hosts => {
  const table = new HostTable()
  const host = makeInProcessHost({ ...events.deliver(""), disconnected: () => undefined })
  table.add(host)
  return {
    recover: async () => [host],
    acquire: async (session) => {
      table.keep(session, host)
      return host
    },
    keep: (session) => table.keep(session, host),
    release: (session) => table.release(session),
    find: (id) => table.held.get(id)?.host,
    list: () => table.list(),
    directoryOf,
    dispose: () => host.dispose()
  }
}
