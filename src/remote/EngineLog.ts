/**
 * How the background engine logs: one record is one line of JSON in the store's engine.log, whatever text it is about. An
 * error message that holds line breaks, escape sequences or a forged record stays inside its own record, and a terminal
 * that shows the file does nothing but show it. Used by engineMain.ts alone; a program that embeds the engine logs as it
 * likes.
 */
import { type Layer, Logger } from "effect"
import { escapeJson } from "../SafeText.ts"

/** For standard error, which is the log's file. */
export const layer: Layer.Layer<never> = Logger.layer([
  Logger.withConsoleError(Logger.map(Logger.formatJson, escapeJson))
])
