/** Texts are taken out of the states that stand for removed events: out of what was written, and of nothing that readers go by. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { SessionEvent } from "../../journal/Event.ts"
import { Journal, type Row } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { ALL_BASES, allBases } from "../../projections/BaseState.ts"
import { Buffers, rawTail, textTail } from "../../projections/Buffers.ts"
import { Commands } from "../../projections/Commands.ts"
import { maskKept } from "../../projections/KeptMask.ts"
import { decodeRow } from "../../projections/ProjectionRunner.ts"
import { Screen } from "../../projections/Screen.ts"
import { maskScreen } from "../../projections/ScreenMask.ts"
import { ScreenService } from "../../projections/ScreenService.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { readSnapshot, snapshotName, snapshotValue } from "../../projections/SnapshotRow.ts"
import { Title } from "../../projections/Title.ts"
import { WorkingDirectory } from "../../projections/WorkingDirectory.ts"
import { SecretMask } from "../../src/redact/SecretMask.ts"
import { commandFinished, commandStarted, created, entriesOf, output, STREAM, started, stateChanged } from "./events.ts"

const layer = Layer.mergeAll(JournalMemory.layer, ScreenService.layer)
const size = { cols: 80, rows: 24 }
const maskOf = (...texts: ReadonlyArray<string>) => new SecretMask({ texts, size })

/** What is kept of all of these events. */
const kept = (events: ReadonlyArray<SessionEvent>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    yield* journal.append(STREAM, entriesOf([...events, { _tag: "MarkerSet", label: "last" }]))
    const bases = yield* allBases(STREAM, events.length, 0)
    return bases!.rows
  }).pipe(Effect.provide(Layer.fresh(layer)))

const masked = (rows: ReadonlyArray<Row>, ...texts: ReadonlyArray<string>): ReadonlyArray<Row> =>
  rows.map((row) => {
    const answer = maskKept(row, maskOf(...texts))
    assert.notStrictEqual(answer._tag, "Unreadable", snapshotName(row.key))
    return answer._tag === "Masked" ? answer.row : row
  })

const stateIn = <State>(rows: ReadonlyArray<Row>, projection: { readonly name: string }): State => {
  const row = rows.find(({ key }) => snapshotName(key) === projection.name)!
  return decodeRow(Object.values(ALL_BASES).find(({ name }) => name === projection.name)!, row) as State
}

const SECRET = "hunter2secret"
const STARS = "*".repeat(SECRET.length)

const RICH: ReadonlyArray<SessionEvent> = [
  created({
    kind: "exec",
    language: "bash",
    name: `with ${SECRET}`,
    group: `of ${SECRET}`,
    argv: ["deploy", "--token", SECRET],
    envNames: ["HOME", SECRET],
    secretEnvNames: [SECRET],
    deny: [`(${SECRET}|rm)`],
    cwd: `/home/${SECRET}`,
    owner: SECRET
  }),
  started(),
  output(`\x1b]0;title ${SECRET}\x07\x1b]7;file://host/tmp/${SECRET}\x07status ${SECRET} 12345\r\n`, 0),
  commandStarted(1, `echo ${SECRET}`, { execId: SECRET }),
  commandFinished(1, { cwd: `/tmp/${SECRET}` }),
  stateChanged(1, {
    env: { A: SECRET, [SECRET]: "1", B: "2" },
    functions: { f: `echo ${SECRET}` },
    aliases: { a: SECRET },
    imports: [`. ${SECRET}`],
    omitted: [`variable ${SECRET}`],
    masked: [SECRET]
  }),
  output(`open ${SECRET}`, 200)
]

describe("a state that stands for removed events", () => {
  it.live("loses a text wherever somebody wrote it, and nothing that its readers go by", () =>
    Effect.gen(function* () {
      const rows = yield* kept(RICH)
      const before = stateIn<SessionState>(rows, SessionState)
      const after = masked(rows, SECRET)
      const state = stateIn<SessionState>(after, SessionState)
      assert.deepStrictEqual(state, {
        ...before,
        name: `with ${STARS}`,
        group: `of ${STARS}`,
        argv: ["deploy", "--token", STARS],
        envNames: ["HOME", STARS],
        kernelCwd: `/home/${STARS}`
      })
      const { cwd, source } = stateIn<{ cwd: string; source: string }>(after, WorkingDirectory)
      assert.deepStrictEqual([cwd, source], [`/tmp/${STARS}`, "osc7"])
      assert.strictEqual(stateIn<{ title: string }>(after, Title).title, `title ${STARS}`)
      const buffers = stateIn<ReturnType<typeof Buffers.initial>>(after, Buffers)
      assert.deepStrictEqual(textTail(buffers).lines, [`status ${STARS} 12345`])
      assert.strictEqual(textTail(buffers).open, `open ${STARS}`)
      assert.notInclude(Buffer.from(rawTail(buffers).bytes).toString(), SECRET)
      assert.strictEqual(buffers.bytes, stateIn<typeof buffers>(rows, Buffers).bytes)
      const commands = stateIn<ReturnType<typeof Commands.initial>>(after, Commands)
      assert.deepStrictEqual(
        [...commands.env],
        [
          ["A", STARS],
          [STARS, "1"],
          ["B", "2"]
        ]
      )
      assert.deepStrictEqual([...commands.masked], [STARS])
      assert.deepStrictEqual([...commands.functions], [["f", `echo ${STARS}`]])
      // What it is asked for by, and that it refuses what it refused.
      const [command] = [...commands.commands.values()]
      assert.deepInclude(command!, {
        execId: SECRET,
        code: `echo ${STARS}`,
        cwdAfter: `/tmp/${STARS}`,
        status: "completed"
      })
      assert.isTrue(new RegExp(commands.deny[0]!, "u").test(SECRET))
      assert.notInclude(commands.deny[0], SECRET)
      // The same once more: nothing is left to find.
      for (const row of after) assert.strictEqual(maskKept(row, maskOf(SECRET))._tag, "Clean", snapshotName(row.key))
    })
  )

  it.live("keeps its names, numbers and words of our own when the text is one of them", () =>
    Effect.gen(function* () {
      const rows = yield* kept(RICH)
      const before = stateIn<SessionState>(rows, SessionState)
      for (const text of [
        "cwd",
        "status",
        "1",
        "running",
        "state",
        "exec",
        '"',
        ",",
        "{",
        "completed",
        "osc7",
        "null"
      ]) {
        const after = masked(rows, text)
        const state = stateIn<SessionState>(after, SessionState)
        const { createdAt, id, keeper, kind, pid, size, startTime, status } = before
        assert.deepInclude(state, { createdAt, id, keeper, kind, pid, size, startTime, status }, text)
        assert.strictEqual(stateIn<{ source: string }>(after, WorkingDirectory).source, "osc7", text)
        for (const projection of [Title, Buffers, Commands]) stateIn(after, projection)
      }
    })
  )

  it.live("is left as it is where nobody can read it", () =>
    Effect.gen(function* () {
      const rows = yield* kept(RICH)
      const row = rows.find(({ key }) => snapshotName(key) === Title.name)!
      const { state } = readSnapshot(row)!
      const newer = { ...row, value: snapshotValue(Title.version + 1, state) }
      const damaged = { ...row, value: snapshotValue(Title.version, state.subarray(0, 9)) }
      const unknown = { ...row, key: Buffer.concat([Buffer.from("un"), row.key]) }
      for (const other of [newer, damaged, unknown]) {
        assert.deepStrictEqual(maskKept(other, maskOf(SECRET)), { _tag: "Unreadable", name: snapshotName(other.key) })
      }
    })
  )

  it("loses a text in a sequence that has not ended, and one whose beginning fell out of the tail", () => {
    const of = (text: string, cut = 0) => {
      const state = Buffers.fold(Buffers.initial(STREAM), {
        ...entriesOf([output(Buffer.concat([Buffer.alloc(cut, "x"), Buffer.from(text)]))])[0]!,
        sequence: 1
      })
      return Buffers.mask!(state, maskOf(SECRET))
    }
    const tail = "y".repeat(64 * 1024 - 8)
    assert.strictEqual(Buffer.from(rawTail(of(`${SECRET}${tail}`)).bytes).toString(), `${"*".repeat(8)}${tail}`)
    const open = entriesOf([output(`\x1b]0;${SECRET}`)])[0]!
    const title = Title.mask!(Title.fold(Title.initial(STREAM), { ...open, sequence: 1 }), maskOf(SECRET))
    const ended = Title.fold(title, { ...entriesOf([output("\x07")])[0]!, sequence: 2 })
    assert.strictEqual(ended.title, STARS)
  })
})

describe("a screen that stands for removed events", () => {
  const drawn = (text: string, cols = 20, rows = 6): Screen => {
    const screen = new Screen({ cols, rows })
    screen.feed(Buffer.from(text))
    return screen
  }
  const without = (screen: Screen, ...texts: ReadonlyArray<string>): Screen => {
    const packed = maskScreen(screen.serialize()!, maskOf(...texts))
    const restored = Screen.restore(packed)
    // Nothing in it is other than an emulator has it.
    assert.isDefined(restored.serialize())
    assert.isUndefined(restored.redraw().defect)
    return restored
  }
  const lines = (screen: Screen) => screen.view().lines.filter((line) => line !== "")

  it("loses a text in its rows, over rows that wrap, and above them", () => {
    assert.deepStrictEqual(lines(without(drawn(`a ${SECRET} b`), SECRET)), [`a ${STARS} b`])
    const wrapped = without(drawn(`0123456789 ${SECRET} b`), SECRET)
    assert.deepStrictEqual(lines(wrapped), ["0123456789 *********", "**** b"])
    // A program that goes on in the next row itself.
    const moved = without(drawn("0123456789 hunter2se\x1b[2;1Hcret b"), SECRET)
    assert.deepStrictEqual(lines(moved), ["0123456789 *********", "**** b"])
    const above = drawn(`${SECRET}\r\n${"x\r\n".repeat(20)}`)
    const taller = without(above, SECRET)
    taller.resize({ cols: 20, rows: 30 })
    assert.strictEqual(lines(taller)[0], STARS)
    assert.deepStrictEqual(lines(without(drawn("one two\r\nthree"), "two\nthree")), ["one ***", "*****"])
  })

  it("keeps cells, colours and the cursor", () => {
    const screen = drawn(`\x1b[31m日本\x1b[1;44mgo e\u0301x\x1b[m|`)
    const after = without(screen, "日本go e\u0301x")
    // As many cells, and a space is masked as any other character between two words.
    assert.deepStrictEqual(lines(after), ["\uff0a\uff0a*****|"])
    assert.deepStrictEqual(after.view().cursor, screen.view().cursor)
    const looks = (of: Screen) => JSON.stringify(of.picture()).replaceAll(/[日本goex\uff0a* ]|\u0301/gu, "")
    assert.strictEqual(looks(after), looks(screen))
    // A wide character that did not fit in the row.
    assert.deepStrictEqual(lines(without(drawn("0123456789012345678日b"), "8日b")), ["012345678901234567*", "\uff0a*"])
    // Hidden from a search, and from nobody else.
    assert.notInclude(lines(without(drawn("hun\u200bter2secret"), SECRET)).join(""), "secret")
  })

  it("loses it on both screens, in its title, and in a title that has begun", () => {
    const screen = drawn(`${SECRET}\x1b]0;t ${SECRET}\x07\x1b[?1049h\x1b[Hthe ${SECRET}\x1b]2;${SECRET}`)
    const after = without(screen, SECRET)
    assert.deepStrictEqual([after.view().title, ...lines(after)], [`t ${STARS}`, `the ${STARS}`])
    after.feed(Buffer.from("\x07\x1b[?1049l"))
    assert.deepStrictEqual([after.view().title, ...lines(after)], [STARS, STARS])
  })

  it("10.5 of random screens: what is left is a screen that goes on as it did, and holds it nowhere", () => {
    const words = [
      SECRET,
      "日本",
      "\x1b[3;4H",
      "\r\n",
      "\x1b[32m",
      "x".repeat(17),
      "\x1b[K",
      "\x1b[?1049h",
      "\x1b[?1049l",
      "e\u0301"
    ]
    for (let seed = 1; seed <= 60; seed++) {
      let text = ""
      for (let at = 0; at < 40; at++) text += words[(seed * 31 + at * at * 7 + at * seed) % words.length]
      const after = without(drawn(text, 5 + (seed % 30), 4 + (seed % 9)), SECRET)
      const all = after.view().lines.join("")
      assert.notInclude(all, SECRET, `seed ${seed}`)
    }
  })
})
