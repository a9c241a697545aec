/** Programs of others that read what is exported. */
import { spawnSync } from "node:child_process"
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface ReaderResult {
  readonly code: number | null
  readonly output: Buffer
}

/**
 * In a terminal of its own: readers that play want one. What they print comes back as it was, errors among it. Nobody types.
 * `input: "ended"` also says so: `script` hands the end of its input on as a ^D. A sudoreplay that asks the terminal for its
 * size waits for that; a tlog-play that reads it before it has set its terminal up turns for ever.
 */
export const inTerminal = (command: ReadonlyArray<string>, input: "silent" | "ended" = "silent"): ReaderResult => {
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")
  const stdin = input === "silent" ? openSilence() : openSync("/dev/null", "r")
  try {
    const { status, stdout } = spawnSync("script", ["-qec", line, "/dev/null"], {
      stdio: [stdin, "pipe", "ignore"],
      // It plays what takes no time: one that waits is one that failed.
      timeout: 60_000,
      killSignal: "SIGKILL",
      env: { ...process.env, TERM: "xterm", LC_ALL: "C.UTF-8" },
      maxBuffer: 64 * 1024 * 1024
    })
    return { code: status, output: stdout }
  } finally {
    closeSync(stdin)
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
