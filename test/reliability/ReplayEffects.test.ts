/**
 * Showing again what a program printed asks nothing and does nothing: whatever looks at the history, no byte of it comes back
 * as input, and no clipboard is written. A real engine, a real program that keeps every byte it is typed.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { makeReplayFilter } from "../../cli/ReplayFilter.ts"
import { Attach, History, Sessions } from "../../src/index.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { eventsOf, idOf, type, until, untilEnd } from "../session/sessionsUnderTest.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** The sequences that terminals answer. */
const QUERIES: Readonly<Record<string, string>> = {
  "DSR, cursor position": "\x1b[6n",
  DA1: "\x1b[c",
  DA2: "\x1b[>c",
  DA3: "\x1b[=c",
  XTVERSION: "\x1b[>q",
  DECRQSS: "\x1bP$qm\x1b\\",
  "DECRQSS with lines": "\x1bP$q\nid\n\x1b\\",
  DECRQM: "\x1b[?2004$p",
  "background colour": "\x1b]11;?\x07",
  "palette colour": "\x1b]4;1;?\x07",
  "clipboard, read": "\x1b]52;c;?\x07",
  "title, set and reported": "\x1b]2;evil\x07\x1b[21t",
  "size in cells": "\x1b[18t",
  ENQ: "\x05",
  "focus reports": "\x1b[?1004h",
  XTGETTCAP: "\x1bP+q544e\x1b\\",
  DECREQTPARM: "\x1b[x",
  DECRQPSR: "\x1b[1$w"
}
const CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07"

/** What makes a terminal answer or act; without what only sets something. */
const ACTS = /\x05|\x1b\[(?:6n|[>=]?c|>q|\?2004\$p|21t|18t|x|1\$w)|\x1bP[$+]q|\x1b\](?:52|11;\?|4;1;\?)/

describe("reliability row 27: what is shown again", { timeout: TIMEOUT_MILLIS }, () => {
  it.live(
    `${Object.keys(QUERIES).length} queries and the clipboard: looked at, replayed and attached to, also after a crash, they type nothing`,
    () =>
      Effect.gen(function* () {
        const engine = yield* engineProcess
        const printed = join(engine.store, "printed")
        const typed = join(engine.store, "typed")
        writeFileSync(printed, `${Object.values(QUERIES).join("")}${CLIPBOARD}printed`)
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const attach = yield* Attach
          const script = `stty raw -echo; cat ${printed}; head -c 3 > ${typed}`
          const id = idOf(yield* sessions.create({ argv: ["sh", "-c", script], cwd: "/" }))
          yield* until(id, "printed")
          const replayed = (options: { readonly after?: number; readonly size?: { cols: number; rows: number } }) =>
            attach.attach(id, { ...options, readOnly: true }).pipe(
              Stream.takeUntil(({ _tag }) => _tag === "ReplayComplete"),
              Stream.runCollect
            )
          const look = Effect.gen(function* () {
            const { screen, view } = yield* history.stateAt(id, { _tag: "Head" })
            assert.strictEqual(screen.status, "ok")
            assert.include(screen.lines.join(""), "printed")
            for (let sequence = 1; sequence <= view.sequence; sequence++) {
              yield* history.stateAt(id, { _tag: "Sequence", sequence })
            }
            const drawn = yield* replayed({ size: { cols: 60, rows: 20 } })
            const screens = drawn.filter((item) => item._tag === "Screen").map((item) => JSON.stringify(item))
            assert.lengthOf(screens, 1)
            for (const item of drawn) {
              if (item._tag === "Screen") assert.notMatch(Buffer.from(item.data).toString("latin1"), ACTS)
            }
            // A client gets the bytes as they are; a terminal is shown them through the filter.
            const filter = makeReplayFilter()
            let shown = ""
            for (const item of yield* replayed({ after: 0 })) {
              if (item._tag === "Output") shown += Buffer.from(filter.feed(item.data)).toString("latin1")
            }
            shown += Buffer.from(filter.end()).toString("latin1")
            assert.include(shown, "printed")
            assert.notMatch(shown, ACTS)
          })
          yield* look
          for (let crash = 0; crash < 2; crash++) {
            yield* engine.kill("engine")
            yield* engine.start
            yield* look
          }
          yield* type(id, "own")
          const entries = yield* untilEnd(id)
          assert.strictEqual(readFileSync(typed, "latin1"), "own")
          assert.deepStrictEqual(
            eventsOf(entries, "InputWritten").map(({ data }) => Buffer.from(data).toString()),
            ["own"]
          )
          assert.strictEqual(eventsOf(entries, "InputHidden").length, 0)
        }).pipe(Effect.scoped, Effect.provide(engine.client()))
      })
  )

  it("the filter takes out each query and each write to the clipboard, in one piece and byte by byte", () => {
    for (const [name, query] of Object.entries({ ...QUERIES, clipboard: CLIPBOARD })) {
      for (const pieces of [[query], [...query]]) {
        const filter = makeReplayFilter()
        const shown = pieces.map((piece) => filter.feed(Buffer.from(piece, "latin1")))
        assert.notMatch(Buffer.concat([...shown, filter.end()]).toString("latin1"), ACTS, name)
      }
    }
  })
})
