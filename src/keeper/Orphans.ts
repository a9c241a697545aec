/**
 * What a dead keeper leaves behind: whether it is certainly dead, and ending the processes of one of its sessions. Used by
 * the engine for sessions whose processes nobody can ever speak to again. It signals nothing while a keeper may still hold
 * the session: one that does not answer, or answers another engine, lives.
 */
import { connect } from "node:net"
import { endSession } from "./EndSession.ts"
import { keeperSocket } from "./KeeperProcess.ts"
import type { SessionIdentity } from "./ProcessTable.ts"
import type { SurvivingProcess } from "./PtyHost.ts"

/** HUP, TERM and KILL within this: the kernel's hang-up, which came first, has ended most of them already. */
const ORPHANS_GRACE_MILLIS = 2000
/** A socket whose listener is dead answers at once. */
const CONNECT_MILLIS_MAX = 1000

/** Its socket is there and nobody listens: only a process that was killed leaves that. */
export const isKeeperDead = (folder: string, id: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(keeperSocket(folder, id))
    const finish = (isDead: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(isDead)
    }
    const timer = setTimeout(() => finish(false), CONNECT_MILLIS_MAX)
    socket.once("connect", () => finish(false))
    socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code === "ECONNREFUSED"))
  })

export const endOrphans = (session: SessionIdentity): Promise<ReadonlyArray<SurvivingProcess>> =>
  endSession(session, () => true, ORPHANS_GRACE_MILLIS)
