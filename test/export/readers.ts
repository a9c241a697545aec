/** Programs of others that read what is exported. */
import { spawnSync } from "node:child_process"

export const isInstalled = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

export interface ReaderResult {
  readonly code: number | null
  readonly output: Buffer
}

/** In a terminal of its own: readers that play want one. What they print comes back as it was, errors among it. */
export const inTerminal = (command: ReadonlyArray<string>): ReaderResult => {
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")
  const { status, stdout } = spawnSync("script", ["-qec", line, "/dev/null"], {
    stdio: ["ignore", "pipe", "ignore"],
    // It plays what takes no time: one that waits is one that failed.
    timeout: 60_000,
    killSignal: "SIGKILL",
    env: { ...process.env, TERM: "xterm", LC_ALL: "C.UTF-8" },
    maxBuffer: 64 * 1024 * 1024
  })
  return { code: status, output: stdout }
}
