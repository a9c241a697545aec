/**
 * Everything that can be known about a program before it is forked. node-pty reports a missing program, a missing
 * folder or too long arguments as a program that printed something and ended with 1; a caller must never take our
 * failure for the program's own. Used by Terminals before each spawn. It starts nothing and changes nothing; what
 * changes between the check and the fork still ends as an exit code of 1.
 */
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from "node:fs"
import { isAbsolute, resolve } from "node:path"
import { missingHeadRoom } from "./HeadRoom.ts"
import { SpawnError, type SpawnRequest } from "./PtyHost.ts"

/** The kernel takes no longer single argument or variable (MAX_ARG_STRLEN, with its end mark). */
const ARGUMENT_BYTES_MAX = 128 * 1024 - 1
/** All of them together: a quarter of the usual 8 MiB stack is the kernel's limit; the rest is for the program's name. */
const ARGUMENTS_BYTES_MAX = 1536 * 1024
/** A pointer stands beside each string. */
const POINTER_BYTES = 8
/** The kernel's default where the environment has no PATH. */
const PATH_DEFAULT = "/bin:/usr/bin"
/** The kernel reads no more of a script's first line than this. */
const SHEBANG_BYTES_MAX = 256

/** Throws SpawnError with one line that says what to do. */
export const checkSpawn = (request: SpawnRequest): void => {
  checkStrings(request)
  checkFolder(request.cwd)
  checkProgram(request)
  const missing = missingHeadRoom()
  if (missing !== null) throw new SpawnError("limit", missing)
}

const checkStrings = ({ argv, cwd, env, firstOffset = 0, inputSequence = 0, size, term }: SpawnRequest): void => {
  const invalid = (message: string) => new SpawnError("invalid-argument", message)
  if (argv.length === 0 || argv[0] === "") throw invalid("no program given: name one as the first argument")
  for (const cells of [size.cols, size.rows]) {
    if (!Number.isInteger(cells) || cells < 1 || cells > 0xffff) {
      throw invalid(`a terminal of ${size.cols}x${size.rows} cells is not possible: give whole numbers above 0`)
    }
  }
  for (const number of [firstOffset, inputSequence]) {
    if (!Number.isSafeInteger(number) || number < 0) throw invalid(`${number} is no offset or sequence to go on from`)
  }
  let bytes = 0
  const add = (text: string, what: string) => {
    if (text.includes("\0")) throw invalid(`${what} holds a NUL character, which no program can be given: remove it`)
    const length = Buffer.byteLength(text)
    if (length > ARGUMENT_BYTES_MAX) {
      throw invalid(`${what} has ${length} bytes, the kernel takes ${ARGUMENT_BYTES_MAX}: pass it in a file`)
    }
    bytes += length + 1 + POINTER_BYTES
  }
  argv.forEach((argument, index) => {
    add(argument, `argument ${index}`)
  })
  add(cwd, "the working directory")
  add(`TERM=${term}`, "TERM")
  for (const [name, value] of Object.entries(env)) {
    if (name === "" || name.includes("=")) throw invalid(`${JSON.stringify(name)} cannot name an environment variable`)
    add(`${name}=${value}`, `the environment variable ${JSON.stringify(name.slice(0, 40))}`)
  }
  if (bytes > ARGUMENTS_BYTES_MAX) {
    throw invalid(
      `arguments and environment have ${bytes} bytes, the limit is ${ARGUMENTS_BYTES_MAX}: pass some of it in a file`
    )
  }
}

const checkFolder = (cwd: string): void => {
  const missing = (why: string) => new SpawnError("cwd-missing", `the working directory ${show(cwd)} ${why}`)
  if (!isAbsolute(cwd)) throw missing("is not an absolute path: give one that starts with /")
  const stats = statOf(cwd)
  if (stats === null) throw missing("does not exist: create it or choose another")
  if (!stats.isDirectory()) throw missing("is not a folder: choose another")
  if (!isAllowed(cwd, constants.X_OK)) throw missing("cannot be entered: its permissions forbid it")
}

const checkProgram = ({ argv, cwd, env }: SpawnRequest): void => {
  const program = argv[0]!
  const candidates = program.includes("/")
    ? [resolve(cwd, program)]
    : // An empty part of PATH is the working directory, as for the kernel's own lookup.
      (env.PATH ?? PATH_DEFAULT).split(":").map((folder) => resolve(cwd, folder, program))
  let refusal: string | null = null
  for (const file of candidates) {
    const stats = statOf(file)
    if (stats === null) continue
    const why = whyNotExecutable(file, stats)
    if (why === null) return
    refusal ??= why
  }
  if (refusal !== null) throw new SpawnError("program-not-executable", refusal)
  throw new SpawnError(
    "program-missing",
    program.includes("/")
      ? `there is no program ${show(candidates[0]!)}: check the path`
      : `the program ${show(program)} is in no folder of PATH: install it or give its full path`
  )
}

const whyNotExecutable = (file: string, stats: Stats): string | null => {
  if (stats.isDirectory()) return `${show(file)} is a folder: name a program`
  if (!stats.isFile() || !isAllowed(file, constants.X_OK)) return `${show(file)} is not executable: chmod +x it`
  const interpreter = interpreterOf(file)
  if (interpreter !== null && statOf(interpreter) === null) {
    return `${show(file)} asks for the interpreter ${show(interpreter)}, which does not exist: install it`
  }
  return null
}

/** The program that a script's first line asks for. */
const interpreterOf = (file: string): string | null => {
  try {
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const start = Buffer.alloc(SHEBANG_BYTES_MAX)
      const text = start.toString("utf8", 0, readSync(fd, start, 0, SHEBANG_BYTES_MAX, 0))
      return text.match(/^#![ \t]*(\/[^ \t\r\n]+)/)?.[1] ?? null
    } finally {
      closeSync(fd)
    }
  } catch {
    // Executable but not readable is allowed.
    return null
  }
}

const statOf = (path: string): Stats | null => {
  try {
    return statSync(path)
  } catch {
    return null
  }
}

const isAllowed = (path: string, mode: number): boolean => {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

/** Messages are shown in terminals: no control character of a path gets there. */
const show = (text: string): string => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
