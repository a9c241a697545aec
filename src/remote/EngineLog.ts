/**
 * How the background engine logs: one record is one line of JSON in the store's engine.log, whatever text it is about. An
 * error message that holds line breaks, escape sequences or a forged record stays inside its own record, and a terminal
 * that shows the file does nothing but show it. Used by engineMain.ts alone; a program that embeds the engine logs as it
 * likes.
 */
import { writeSync } from "node:fs"
import { type Layer, Logger } from "effect"
import { escapeJson } from "../SafeText.ts"

/** Standard error, which is the log's file. */
const LOG_FD = 2

/** A line that cannot be written is lost: the log lies on the store's disk, and no engine ends because that is full. */
const writeLine = (line: string): void => {
  try {
    writeSync(LOG_FD, `${line}\n`)
  } catch {
    // What happened shows in `status` and in what clients are answered.
  }
}

export const layer: Layer.Layer<never> = Logger.layer([
  Logger.map(Logger.map(Logger.formatJson, escapeJson), writeLine)
])
