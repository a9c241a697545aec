/**
 * Who looks into a store without an engine is told in its own stream too, by the process that has the journal open: the event
 * is there before anything is given. A copy is left as it was made (`doctor` says whether it is): looking into it is not
 * looking into the store.
 */
import { Effect, Layer } from "effect"
import { Journal } from "../journal/Journal.ts"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import { readNote } from "../src/care/BackupNote.ts"
import { AccessLog } from "../src/session/AccessLog.ts"
import { type AccessMemory, makeAccessLog } from "../src/session/AccessLogLive.ts"
import * as AuditedHistory from "../src/session/AuditedHistory.ts"
import type { History } from "../src/session/History.ts"
import { Reader, type ReaderShape } from "../src/session/Reader.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import * as LocalJournal from "./LocalJournal.ts"

export const LOCAL_READER: ReaderShape = { through: "cli without an engine" }

/** A command may open the journal several times; it is one reader. */
const told: AccessMemory = new Map()

export const accesses = (paths: StorePaths, reader: ReaderShape): Layer.Layer<AccessLog, never, Journal> =>
  readNote(paths) !== undefined
    ? AccessLog.layerNone
    : Layer.effect(
        AccessLog,
        Effect.map(Journal, (journal) => {
          const { note } = makeAccessLog(journal, told)
          return { note: (access) => note(access).pipe(Effect.provideService(Reader, reader)) }
        })
      )

/** The list alone, in the journal opened here. A copy is not even opened. */
export const layer = (
  paths: StorePaths,
  reader: ReaderShape
): Layer.Layer<AccessLog, StoreRefused | StorageUnavailable> =>
  readNote(paths) !== undefined
    ? AccessLog.layerNone
    : accesses(paths, reader).pipe(Layer.provide(LocalJournal.layer(paths)))

/** The history, audited, and where else an access can be told. */
export const audited = (
  paths: StorePaths,
  reader: ReaderShape
): Layer.Layer<History | AccessLog, never, History | Journal> =>
  AuditedHistory.layer.pipe(Layer.provideMerge(accesses(paths, reader)))
