/**
 * One picture of a replay: the recorded screen, cut to the window, a status line and what is typed there. Pure: lines of
 * text with colours, which ReplayPlayer.ts writes where they differ from the last ones. Texts of the session are escaped
 * here.
 */
import { CliOutput } from "effect/cli"
import type { TerminalSize } from "../journal/Event.ts"
import type { ScreenPicture } from "../projections/ScreenPicture.ts"
import { escapeText } from "./Escape.ts"
import { formatPosition } from "./Place.ts"
import { HELP } from "./ReplayKeys.ts"
import { formatSize } from "./Size.ts"
import { cutText } from "./Table.ts"

export interface ReplayStatus {
  readonly state: "playing" | "paused" | "end" | "live" | "waiting"
  /** Since the session's start, and of all of it. */
  readonly micros: number
  readonly totalMicros: number
  readonly speed: number
  readonly idleSeconds: number | undefined
  readonly sequence: number
  readonly head: number
  /** Takes the place of the command. */
  readonly message: string | undefined
  readonly command: string | undefined
}

export interface FrameParts {
  readonly picture: ScreenPicture
  readonly window: TerminalSize
  /** undefined: hidden. */
  readonly status: ReplayStatus | undefined
  /** What is being typed behind `:` or `/`. */
  readonly prompt: string | undefined
  readonly isHelp: boolean
}

export interface Frame {
  /** One string a row of the window. */
  readonly rows: ReadonlyArray<string>
  /** Where the cursor stands, from 1; undefined: it is not shown. */
  readonly cursor: { readonly x: number; readonly y: number } | undefined
}

const REVERSE = "\x1b[7m"
const FAINT = "\x1b[2m"
const PLAIN = "\x1b[m"

/** The part of the window that the recorded screen may take. */
export const pictureArea = (window: TerminalSize, hasLastLine: boolean): TerminalSize => ({
  cols: window.cols,
  rows: Math.max(1, window.rows - (hasLastLine ? 1 : 0))
})

export const frameOf = ({ isHelp, picture, prompt, status, window }: FrameParts): Frame => {
  const hasLastLine = status !== undefined || prompt !== undefined
  const area = pictureArea(window, hasLastLine)
  const { cols, rows: recorded } = picture.size
  const rows: Array<string> = []
  for (let row = 0; row < area.rows; row++) {
    const text = picture.rows[row]
    if (text !== undefined) {
      // To the right of a screen that is narrower than the window.
      rows.push(cols < window.cols ? `${text}\x1b[${cols + 1}G${FAINT}│${PLAIN}` : text)
    } else if (row === recorded) {
      rows.push(`${FAINT}${"─".repeat(Math.min(cols, window.cols))}${cols < window.cols ? "┘" : ""}${PLAIN}`)
    } else rows.push("")
  }
  if (isHelp) coverWithHelp(rows, window.cols)
  if (hasLastLine && window.rows > 1) {
    rows.push(
      prompt !== undefined
        ? cutText(escapeText(prompt), window.cols)
        : `${REVERSE}${statusLine(status!, picture, area)}${PLAIN}`
    )
  }
  const shownPrompt = prompt === undefined ? 0 : CliOutput.displayWidth(escapeText(prompt))
  const x = picture.cursor.x - picture.from.x
  const y = picture.cursor.y - picture.from.y
  const cursor =
    prompt !== undefined
      ? { x: Math.min(shownPrompt + 1, window.cols), y: window.rows }
      : picture.cursorVisible && !isHelp && x < area.cols && y < area.rows
        ? { x: x + 1, y: y + 1 }
        : undefined
  return { rows: rows.slice(0, window.rows), cursor }
}

const coverWithHelp = (rows: Array<string>, cols: number): void => {
  const lines = [" Keys ", ...HELP.map((line) => ` ${line} `), " any key closes this "]
  const width = Math.max(...lines.map((line) => line.length))
  for (const [index, line] of lines.entries()) {
    if (index < rows.length) rows[index] = `${REVERSE}${cutText(line.padEnd(width), cols)}${PLAIN}`
  }
}

const statusLine = (status: ReplayStatus, picture: ScreenPicture, area: TerminalSize): string => {
  const percent = status.totalMicros <= 0 ? 100 : Math.min(100, Math.floor((status.micros / status.totalMicros) * 100))
  const isCut = picture.size.cols > area.cols || picture.size.rows > area.rows
  const left = [
    status.state,
    `${formatPosition(status.micros)}/${formatPosition(status.totalMicros)} ${percent}%`,
    `${formatSpeed(status.speed)}${status.idleSeconds === undefined ? "" : ` idle<${status.idleSeconds}s`}`,
    `#${status.sequence}/${status.head}`,
    ...(status.message !== undefined ? [escapeText(status.message)] : []),
    ...(status.message === undefined && status.command !== undefined ? [`$ ${escapeText(status.command)}`] : [])
  ].join("  ")
  const right = `${formatSize(picture.size)}${isCut ? " cut" : ""}  ?=help`
  const room = area.cols - right.length - 3
  // A narrow window has no room for the right part.
  const text = room < 20 ? cutText(` ${left}`, area.cols) : ` ${cutText(left, room)}`
  const gap = room < 20 ? area.cols : area.cols - right.length - 1
  const padded = text + " ".repeat(Math.max(0, gap - CliOutput.displayWidth(text)))
  return room < 20 ? padded : `${padded}${right} `
}

const formatSpeed = (speed: number): string =>
  speed >= 1 ? `${Math.round(speed * 100) / 100}x` : `1/${Math.round(1 / speed)}x`

/** The bytes that turn the last frame into this one; all of it where there is none. */
export const frameBytes = (frame: Frame, last: Frame | undefined): string => {
  let text = ""
  for (const [index, row] of frame.rows.entries()) {
    if (last?.rows[index] !== row) text += `\x1b[${index + 1};1H\x1b[m\x1b[2K${row}`
  }
  const cursor = frame.cursor === undefined ? "\x1b[?25l" : `\x1b[${frame.cursor.y};${frame.cursor.x}H\x1b[?25h`
  const isMoved =
    last === undefined || last.cursor?.x !== frame.cursor?.x || last.cursor?.y !== frame.cursor?.y || text !== ""
  return isMoved ? `\x1b[?2026h\x1b[?25l${last === undefined ? "\x1b[m\x1b[2J" : ""}${text}${cursor}\x1b[?2026l` : ""
}
