/**
 * The journal of a store whose engine does not run, in this process for as long as a command needs it. It makes no store. What
 * the opening found damaged is told on standard error, once: what the command gives may lack it.
 */
import { Context, Effect, Layer, Option } from "effect"
import { STORE_STREAM } from "../journal/Event.ts"
import { Journal } from "../journal/Journal.ts"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import * as JournalLevel from "../journal/JournalLevel.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { Caller, type CallerShape } from "./Caller.ts"
import { escapeText } from "./Escape.ts"

export const layer = ({ journal, key }: StorePaths): Layer.Layer<Journal, StoreRefused | StorageUnavailable> => {
  // LevelDB writes files when it is opened, also for reading: they are as private as the engine's.
  process.umask(0o077)
  return JournalLevel.layer({ location: journal, create: false, key }).pipe(
    Layer.tap((context) => tellDamages(Context.get(context, Journal).openingDamages))
  )
}

/** A command may open the journal several times. */
const told = new WeakSet<CallerShape>()

const tellDamages = Effect.fnUntraced(function* (damages: Journal["Service"]["openingDamages"]) {
  const [first] = damages
  const caller = Option.getOrUndefined(yield* Effect.serviceOption(Caller))
  if (first === undefined || caller === undefined || told.has(caller)) return
  told.add(caller)
  const where = first.stream === STORE_STREAM ? "" : `session ${first.stream}: `
  const more = damages.length === 1 ? "" : ` (and ${damages.length - 1} more)`
  yield* caller.writeError(
    `reprise: the store is damaged: ${where}${escapeText(first.reason)}${more}; see \`reprise doctor\`\n`
  )
})
