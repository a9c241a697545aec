/**
 * A folder that appears as a whole or not at all: it is made beside its place and renamed when everything in it is on disk. Backups
 * and bundles of evidence are such folders.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { describe } from "../../journal/JournalCore.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import { syncFolder } from "../../journal/JournalWriter.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { TargetFull, TargetRefused } from "./FileError.ts"

/**
 * `fill` is given the folder that becomes the target (0700). Throws TargetRefused, TargetFull and what `fill` throws; nothing is
 * left there then.
 */
export const makeTargetFolder = async <A>(
  paths: StorePaths,
  target: string,
  fill: (folder: string) => Promise<A>
): Promise<{ readonly done: A; readonly target: string }> => {
  const final = resolve(target)
  checkTarget(paths, final)
  const temporary = `${final}.tmp`
  try {
    mkdirSync(temporary, { mode: 0o700 })
  } catch (error) {
    throw targetRefused(temporary, error)
  }
  try {
    const done = await fill(temporary)
    // An empty folder is replaced; one that was filled meanwhile is not.
    renameSync(temporary, final)
    syncFolder(dirname(final))
    return { done, target: final }
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    throw isFull(error) ? new TargetFull({ target: final, reason: describe(error) }) : error
  }
}

const checkTarget = (paths: StorePaths, target: string): void => {
  const refuse = (reason: string) => {
    throw new TargetRefused({ target, reason })
  }
  if (`${target}/`.startsWith(`${paths.store}/`)) refuse("lies in the store itself; choose a folder outside")
  const stat = lstatSync(target, { throwIfNoEntry: false })
  if (stat?.isSymbolicLink()) refuse("is a symbolic link; name the folder itself")
  if (stat !== undefined && !stat.isDirectory()) refuse("is there and is no folder; choose another name")
  if (stat !== undefined && stat.uid !== process.getuid?.())
    refuse(`belongs to user ${stat.uid}; choose a folder of your own`)
  if (stat !== undefined && readdirSync(target).length > 0) refuse("is not empty; choose a new folder")
  if (!existsSync(dirname(target))) refuse(`there is no folder ${dirname(target)}; make it first`)
}

const targetRefused = (temporary: string, error: unknown): TargetRefused => {
  const { code, message } = error as NodeJS.ErrnoException
  const reason =
    code === "EEXIST"
      ? "is there, left by one that was interrupted or still runs; remove it first"
      : `cannot be made: ${message}`
  return new TargetRefused({ target: temporary, reason })
}

const isFull = (error: unknown): boolean =>
  error instanceof StorageUnavailable
    ? error.diskFull
    : ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException)?.code ?? "")
