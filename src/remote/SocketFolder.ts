/**
 * The folder a socket lives in. The folder keeps others out (on some systems the mode of a socket means nothing), so it
 * must be ours, 0700 and no symlink before anything is bound or connected in it. The engine's server and its clients use
 * it. It never changes the mode of a folder that was there before: a wide one may already hold someone else's socket.
 */
import { lstatSync, mkdirSync } from "node:fs"
import { dirname } from "node:path"
import { Effect, Schema } from "effect"
import { SOCKET_PATH_BYTES_MAX } from "../session/StorePaths.ts"

export class SocketFolderRefused extends Schema.TaggedError<SocketFolderRefused>()("SocketFolderRefused", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

const check = (path: string): void => {
  const stat = lstatSync(path)
  const refuse = (reason: string) => {
    throw new SocketFolderRefused({ path, reason })
  }
  if (stat.isSymbolicLink()) refuse("is a symbolic link; sockets are only made in a real folder")
  if (!stat.isDirectory()) refuse("is not a folder; move it away")
  if (stat.uid !== process.getuid?.()) refuse("belongs to another user; move it away or choose another --store")
  if ((stat.mode & 0o077) !== 0) refuse("can be entered by other users; `chmod 700` it")
}

/**
 * Makes the folder (and, when it is missing, the one above it) 0700, or checks the one that is there. `shared` is true
 * when the folder above lies in a place that others can write to, and so must be checked as well.
 */
export const makeSocketFolder = (folder: string, shared: boolean): Effect.Effect<void, SocketFolderRefused> =>
  Effect.try({
    try: () => {
      for (const path of shared ? [dirname(folder), folder] : [folder]) {
        mkdirSync(path, { recursive: true, mode: 0o700 })
        check(path)
      }
    },
    catch: (cause) => asRefused(folder, cause)
  })

const asRefused = (path: string, cause: unknown): SocketFolderRefused =>
  cause instanceof SocketFolderRefused
    ? cause
    : new SocketFolderRefused({ path, reason: cause instanceof Error ? cause.message : String(cause) })

/** Node 20 cut a longer path without a word and the kernel refuses it with EINVAL: say it first. */
export const checkSocketPath = (path: string): Effect.Effect<void, SocketFolderRefused> =>
  Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX
    ? Effect.void
    : Effect.fail(
        new SocketFolderRefused({
          path,
          reason: `a socket's path holds at most ${SOCKET_PATH_BYTES_MAX} bytes; choose a shorter --store`
        })
      )
