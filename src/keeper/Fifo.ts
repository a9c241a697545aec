/**
 * Making and opening FIFOs: what OutputPipe and InputPipe have in common. It never waits: every descriptor is opened
 * without blocking, in an order in which the kernel lets it. Programs of a session inherit none of them.
 */
import { closeSync, constants, openSync, unlinkSync } from "node:fs"
import { isAbsolute } from "node:path"
import { getSystemErrorName } from "node:util"
import { hasDescriptorsLeft } from "./HeadRoom.ts"
import { libc } from "./Libc.ts"
import { PIPE_PATH_BYTES_MAX, PipeError, type PipeRequest } from "./PipeHost.ts"

/** It travels as 32 bits. */
const PIPE_NUMBER_MAX = 2 ** 32 - 1

/** Throws PipeError. A peer sent it: nothing of its shape is certain. */
export const checkPipe = (request: PipeRequest): void => {
  const invalid = (message: string) => new PipeError("invalid-argument", message)
  if (typeof request !== "object" || request === null) throw invalid("the request for a pipe is malformed")
  const { direction, path, pipe } = request
  if (!Number.isInteger(pipe) || pipe < 1 || pipe > PIPE_NUMBER_MAX) {
    throw invalid("the number of a pipe is a whole number from 1 to 4294967295")
  }
  if (direction !== "output" && direction !== "input") throw invalid(`pipe ${pipe} is neither for output nor for input`)
  if (typeof path !== "string" || !isAbsolute(path) || path.includes("\0")) {
    throw invalid(`the path of pipe ${pipe} is not absolute, or holds a NUL character`)
  }
  if (Buffer.byteLength(path) > PIPE_PATH_BYTES_MAX) {
    throw invalid(`the path of pipe ${pipe} is longer than ${PIPE_PATH_BYTES_MAX} bytes: use a shorter folder`)
  }
}

/** The ends of a new FIFO that is nobody's but ours. Throws PipeError and leaves nothing behind. */
export const makeFifo = (path: string, ends: ReadonlyArray<"read" | "write">): ReadonlyArray<number> => {
  const error = libc().mkfifo(path, 0o600)
  if (error !== 0) throw failed(path, getSystemErrorName(-error))
  const opened: Array<number> = []
  try {
    for (const end of ends) {
      const access = end === "read" ? constants.O_RDONLY : constants.O_WRONLY
      const fd = openSync(path, access | constants.O_NONBLOCK | constants.O_NOFOLLOW)
      opened.push(fd)
      if (!hasDescriptorsLeft(fd)) {
        throw new PipeError("limit", "the file descriptors of this host are in use: close pipes or sessions")
      }
    }
    return opened
  } catch (error) {
    for (const fd of opened) closeSync(fd)
    unlinkFifo(path)
    if (error instanceof PipeError) throw error
    const { code = String(error) } = error as NodeJS.ErrnoException
    throw code === "EMFILE" || code === "ENFILE"
      ? new PipeError("limit", "no file descriptor is left: close pipes or sessions, or raise ulimit -n")
      : failed(path, code)
  }
}

export const unlinkFifo = (path: string): void => {
  try {
    unlinkSync(path)
  } catch {
    // Its folder was removed before it.
  }
}

const failed = (path: string, code: string) =>
  new PipeError("failed", `the pipe ${JSON.stringify(path)} could not be made: ${code}`)
