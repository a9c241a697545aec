/**
 * Opens a file of a store where anything may stand in its place: a FIFO would hold the whole process until somebody writes
 * into it, and a device never ends. It writes nothing; what cannot be used, whoever asks refuses by name.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from "node:fs"

export interface OpenedFile {
  readonly fd: number
  readonly stat: Stats
}

/** Makes the refusal. `what` follows the file's name; `code` is the system's, and undefined where it opened and is of no use. */
export type RefuseFile = (what: string, code?: string | undefined) => Error

/** undefined: it is not there. Whoever opens it closes it. */
export const openFile = (path: string, refuse: RefuseFile, flags = 0): OpenedFile | undefined => {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    // A socket.
    throw code === "ENXIO" ? refuse(NO_FILE) : refuse(`cannot be read: ${message}`, code)
  }
  const stat = fstatSync(fd)
  if (stat.isFile()) return { fd, stat }
  closeSync(fd)
  throw refuse(NO_FILE)
}

const NO_FILE = "is not a file"

/** For whoever goes on without the file. */
const anyError: RefuseFile = (what) => new Error(what)

/** All of it; undefined: it is not there. What is larger than it can be is refused too. */
export const readSmallFile = (path: string, bytesMax: number, refuse = anyError): string | undefined => {
  const file = openFile(path, refuse)
  if (file === undefined) return undefined
  try {
    if (file.stat.size > bytesMax) throw refuse(`has ${file.stat.size} bytes, and never more than ${bytesMax}`)
    return readFileSync(file.fd, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw code === undefined ? error : refuse(`cannot be read: ${message}`, code)
  } finally {
    closeSync(file.fd)
  }
}
