/**
 * The file, or the folder of files, an export is written to: it is there as a whole or not at all, and nobody else can
 * read it, since it holds what a session printed. It is made beside its final place (files 0600, folders 0700, under a name
 * nobody can guess) and takes that place when all of it is on disk. It never follows a symbolic link and never replaces
 * anything but an ordinary file or an empty folder.
 */
import { randomBytes } from "node:crypto"
import { chmod, constants, type FileHandle, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Data, Effect, Exit, Stream } from "effect"
import type { ErrorCode } from "../session/SessionError.ts"
import type { FilePiece } from "./ExportFormat.ts"

/** Of a name of a temporary file: what the final name gives to it. With the rest it fits the 255 of file systems. */
const NAME_BYTES_MAX = 64

/** The file cannot be written; there is none, or the one that was there before. */
export class ExportFailed extends Data.TaggedError("ExportFailed")<{
  readonly path: string
  readonly reason: string
  readonly code: ErrorCode
}> {
  override get message() {
    return `cannot write ${this.path}: ${this.reason}`
  }
}

/** Writes the bytes to `path`. Fails, and leaves what was there, when a piece cannot be had or written. */
export const writeExport = <E, R>(
  path: string,
  bytes: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<void, E | ExportFailed, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const attempt = <A>(run: () => Promise<A>) =>
        Effect.tryPromise({ try: run, catch: (error) => failed(path, error as NodeJS.ErrnoException) })
      yield* attempt(() => assertReplaceable(path))
      const temporary = besides(path)
      const file = yield* Effect.acquireRelease(
        attempt(() => open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)),
        (file, exit) =>
          Effect.promise(async () => {
            await file.close().catch(() => undefined)
            if (Exit.isFailure(exit)) await rm(temporary, { force: true }).catch(() => undefined)
          })
      )
      // Exactly this mode, whatever the caller's umask takes away.
      yield* attempt(() => file.chmod(0o600))
      yield* Stream.runForEach(bytes, (piece) => attempt(() => writeAll(file, piece)))
      yield* attempt(async () => {
        await file.sync()
        await assertReplaceable(path)
        await rename(temporary, path)
        await syncFolder(dirname(path))
      })
    })
  )

/** Writes the files into the folder `path`, which is new or empty. Fails, and leaves what was there, as `writeExport` does. */
export const writeExportFolder = <E, R>(
  path: string,
  pieces: Stream.Stream<FilePiece, E, R>
): Effect.Effect<void, E | ExportFailed, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const attempt = <A>(run: () => Promise<A>) =>
        Effect.tryPromise({ try: run, catch: (error) => failed(path, error as NodeJS.ErrnoException) })
      yield* attempt(() => assertNewFolder(path))
      const temporary = besides(path)
      const files = new Map<string, FileHandle>()
      const finish = async (name: string, file: FileHandle) => {
        files.delete(name)
        await file.sync().finally(() => file.close())
      }
      yield* Effect.acquireRelease(
        attempt(() => mkdir(temporary, { mode: 0o700 })),
        (_, exit) =>
          Effect.promise(async () => {
            for (const file of files.values()) await file.close().catch(() => undefined)
            if (Exit.isFailure(exit)) await rm(temporary, { recursive: true, force: true }).catch(() => undefined)
          })
      )
      yield* attempt(() => chmod(temporary, 0o700))
      yield* Stream.runForEach(pieces, ({ data, file: name, isLast = false, isReadOnly = false }) =>
        attempt(async () => {
          let file = files.get(name)
          if (file === undefined) {
            file = await open(
              join(temporary, basename(name)),
              constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
              0o600
            )
            files.set(name, file)
            await file.chmod(0o600)
          }
          await writeAll(file, data)
          if (isLast && isReadOnly) await file.chmod(0o400)
          if (isLast) await finish(name, file)
        })
      )
      yield* attempt(async () => {
        for (const [name, file] of files) await finish(name, file)
        await syncFolder(temporary)
        await assertNewFolder(path)
        await rename(temporary, path)
        await syncFolder(dirname(path))
      })
    })
  )

/** A name in the same folder. */
const besides = (path: string): string => {
  const name = Buffer.from(basename(path)).subarray(0, NAME_BYTES_MAX).toString().replaceAll("\ufffd", "")
  return join(dirname(path), `.${name}.${randomBytes(8).toString("hex")}.tmp`)
}

/** Throws where something stands that is not an empty folder. */
const assertNewFolder = async (path: string): Promise<void> => {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined
    throw error
  })
  if (found === undefined) return assertParent(path)
  if (found.isDirectory() && (await readdir(path)).length === 0) return
  throw Object.assign(new Error("something is there already; name a new folder"), { code: "ELOOP" })
}

/** Throws where there is no folder for it. Other than one that is not there, making the file itself tells of it. */
const assertParent = async (path: string): Promise<void> => {
  const folder = dirname(path)
  await lstat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error
    throw Object.assign(new Error(`there is no folder ${folder}; make it first`), { code: "ENOENT" })
  })
}

/** Throws where something stands that is not an ordinary file: a link, a folder, a device, a pipe. */
const assertReplaceable = async (path: string): Promise<void> => {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined
    throw error
  })
  if (found === undefined) return assertParent(path)
  if (!found.isFile()) {
    const what = found.isSymbolicLink() ? "a symbolic link" : found.isDirectory() ? "a folder" : "not an ordinary file"
    throw Object.assign(new Error(`it is ${what}; name another file, or - for standard output`), { code: "ELOOP" })
  }
}

const writeAll = async (file: FileHandle, piece: Uint8Array): Promise<void> => {
  for (let offset = 0; offset < piece.byteLength; ) {
    const { bytesWritten } = await file.write(piece, offset, piece.byteLength - offset, null)
    offset += bytesWritten
  }
}

/** The new name is on disk too. Where folders cannot be opened (some file systems), the file itself is. */
const syncFolder = async (path: string): Promise<void> => {
  const folder = await open(path, constants.O_RDONLY).catch(() => undefined)
  await folder?.sync().catch(() => undefined)
  await folder?.close()
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
  EROFS: "PermissionDenied",
  ENOSPC: "ResourceExhausted",
  EDQUOT: "ResourceExhausted",
  ENOENT: "InvalidArgument",
  ENOTDIR: "InvalidArgument",
  EISDIR: "InvalidArgument",
  ELOOP: "InvalidArgument",
  ENAMETOOLONG: "InvalidArgument"
}

const failed = (path: string, error: NodeJS.ErrnoException): ExportFailed =>
  new ExportFailed({ path, reason: error.message, code: CODES[error.code ?? ""] ?? "Unavailable" })
