/**
 * The output that is measured with: coloured log lines as a web server prints them, the same on every machine, and
 * bytes that nothing can compress. Used by throughput and disk. It writes files and gives what a terminal makes of them.
 */
import { createHash, randomBytes } from "node:crypto"
import { closeSync, openSync, writeSync } from "node:fs"
import { seededRandom } from "../fixtures/seededRandom.ts"

export interface Sample {
  readonly file: string
  readonly bytes: number
  /** After the terminal put a carriage return before each line feed. */
  readonly terminalBytes: number
  readonly terminalSha256: string
}

/** Written at a time. */
const PIECE_BYTES = 1024 * 1024
const SEED = 20_261_121
const LEVELS = [
  ["32", "INFO"],
  ["33", "WARN"],
  ["31", "ERROR"],
  ["36", "DEBUG"]
] as const

export const coloredLine = ({ below }: ReturnType<typeof seededRandom>, index: number): string => {
  // Most lines of a log are of one level.
  const [color, level] = LEVELS[below(100) < 85 ? 0 : below(LEVELS.length)]!
  const time = new Date(1_795_000_000_000 + index * 7).toISOString()
  const path = `/v1/${["items", "users", "orders", "events"][below(4)]}/${below(1_000_000)}`
  return (
    `\x1b[90m${time}\x1b[0m \x1b[${color}m${level.padEnd(5)}\x1b[0m \x1b[36mapi.worker-${below(32)}\x1b[0m ` +
    `request ${below(2 ** 32).toString(16)} GET ${path} served in \x1b[1m${below(900)}\x1b[0m ms, ${below(100_000)} bytes\n`
  )
}

/** The same line without its colours. */
export const plainLine = (random: ReturnType<typeof seededRandom>, index: number): string =>
  coloredLine(random, index).replaceAll(COLORS, "")

const COLORS = /\x1b\[[0-9;]*m/g

/** At least `bytes` of whole lines. */
export const writeLogLines = (file: string, bytes: number, lineOf = coloredLine): Sample => {
  const random = seededRandom(SEED)
  let index = 0
  return writeSample(file, bytes, () => {
    let text = ""
    while (text.length < PIECE_BYTES) text += lineOf(random, index++)
    return Buffer.from(text, "latin1")
  })
}

export const writeIncompressible = (file: string, bytes: number): Sample =>
  writeSample(file, bytes, () => randomBytes(PIECE_BYTES))

const writeSample = (file: string, bytes: number, piece: () => Buffer): Sample => {
  const fd = openSync(file, "w", 0o600)
  const hash = createHash("sha256")
  let written = 0
  let terminalBytes = 0
  try {
    while (written < bytes) {
      const data = piece()
      for (let at = 0; at < data.length; ) at += writeSync(fd, data, at)
      const shown = Buffer.from(data.toString("latin1").replaceAll("\n", "\r\n"), "latin1")
      hash.update(shown)
      written += data.length
      terminalBytes += shown.length
    }
  } finally {
    closeSync(fd)
  }
  return { file, bytes: written, terminalBytes, terminalSha256: hash.digest("hex") }
}
