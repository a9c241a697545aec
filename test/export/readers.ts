/** Programs of others that read what is exported. */
import { spawnSync } from "node:child_process"
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const isInstalled = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

export interface ReaderResult {
  readonly code: number | null
  readonly output: Buffer
}

/**
 * In a terminal of its own: readers that play want one. What they print comes back as it was, errors among it. Nobody types,
 * and nothing says so: `script` hands an end of its input on as a ^D, and a tlog-play that reads it before it has set its
 * terminal up turns for ever.
 */
export const inTerminal = (command: ReadonlyArray<string>): ReaderResult => {
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")
  const silence = openSilence()
  try {
    const { status, stdout } = spawnSync("script", ["-qec", line, "/dev/null"], {
      stdio: [silence, "pipe", "ignore"],
      // It plays what takes no time: one that waits is one that failed.
      timeout: 60_000,
      killSignal: "SIGKILL",
      env: { ...process.env, TERM: "xterm", LC_ALL: "C.UTF-8" },
      maxBuffer: 64 * 1024 * 1024
    })
    return { code: status, output: stdout }
  } finally {
    closeSync(silence)
  }
}

/** An input that never has anything and never ends: a pipe, both ends of which are this descriptor. */
const openSilence = (): number => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-silence-"))
  try {
    const pipe = join(folder, "pipe")
    spawnSync("mkfifo", [pipe])
    return openSync(pipe, constants.O_RDWR)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
