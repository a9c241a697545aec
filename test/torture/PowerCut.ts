/**
 * A disk whose power can be cut: a file system in a file, mounted through a loop device. What the kernel has not written into
 * that file yet is what a power cut loses, so a copy of the file is the disk as the next start would find it. Needs root
 * and loop devices; `canCutPower` says whether they are there.
 */
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const DISK_BYTES = 48 * 1024 * 1024
/** Far longer than a test: the file system writes nothing by itself. */
const COMMIT_SECONDS = 300

const run = (program: string, ...args: ReadonlyArray<string>) => spawnSync(program, args).status === 0

/** What event number `number` of a test says: from 20 bytes to 16 KB. */
export const eventText = (number: number): string => `event ${number} `.padEnd(20 + ((number * 7919) % 16_000), "p")

export interface PowerDisk {
  /** Where it is mounted. */
  readonly folder: string
  /** The disk as it would be found if the power went now, mounted elsewhere while `look` looks at it. */
  readonly cut: <A>(look: (folder: string) => Promise<A>) => Promise<A>
}

export const withPowerDisk = async <A>(use: (disk: PowerDisk) => Promise<A>): Promise<A> => {
  const base = mkdtempSync(join(tmpdir(), "reprise-power-"))
  const mounted: Array<string> = []
  const mount = (image: string, name: string): string => {
    const folder = join(base, name)
    mkdirSync(folder, { recursive: true })
    if (!run("mount", "-t", "ext4", "-o", `loop,commit=${COMMIT_SECONDS}`, image, folder))
      throw new Error("cannot mount")
    mounted.push(folder)
    return folder
  }
  const unmount = (folder: string) => {
    if (!run("umount", folder)) run("umount", "-l", folder)
    mounted.splice(mounted.indexOf(folder), 1)
  }
  try {
    const image = join(base, "disk")
    writeFileSync(image, "")
    truncateSync(image, DISK_BYTES)
    if (!run("mkfs.ext4", "-q", "-F", image)) throw new Error("cannot make a file system")
    const folder = mount(image, "mounted")
    let cuts = 0
    return await use({
      folder,
      cut: async (look) => {
        const name = `cut-${cuts++}`
        const copy = join(base, `${name}.disk`)
        copyFileSync(image, copy)
        const found = mount(copy, name)
        try {
          return await look(found)
        } finally {
          unmount(found)
          rmSync(copy)
        }
      }
    })
  } finally {
    for (const folder of [...mounted]) unmount(folder)
    rmSync(base, { recursive: true, force: true })
  }
}

export const canCutPower: boolean = await withPowerDisk(async () => true).catch(() => false)
