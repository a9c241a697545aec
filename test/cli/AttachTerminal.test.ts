/**
 * `reprise attach` in a terminal, with programs people use, in panes of tmux: what a pane shows is compared with the same
 * program run in a pane of its own, or with known contents.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isInstalled } from "../fixtures/installed.ts"
import { shareReprise } from "./reprise.ts"
import { assertSane, inTerminals, leave, leaveBehindEnter } from "./terminals.ts"
import { untilSame, waitFor } from "./tmux.ts"

const NUMBERED = Array.from(
  { length: 400 },
  (_, index) => `line ${index + 1} of the file, "quoted", 0x${index.toString(16)}`
).join("\n")

describe.skipIf(!isInstalled("tmux"))("attach in a terminal", { concurrent: true, timeout: 120_000 }, () => {
  const shared = inTerminals(shareReprise())

  /** The program, what is done in it before it is left and after, and how it is ended. */
  const programs: ReadonlyArray<{
    readonly name: string
    readonly command: string
    readonly shows: string
    readonly act: ReadonlyArray<string>
    readonly afterwards: ReadonlyArray<string>
    readonly quit: ReadonlyArray<string>
  }> = [
    {
      name: "vim",
      command: "vim -n -u NONE -c 'set nocompatible number mouse=a nomore ruler laststatus=2' -c 'syntax on' text.c",
      shows: "line 1 of",
      act: ["50G", "zt", "i", "typed here", "Escape"],
      afterwards: ["G", "o", "the last", "Escape"],
      quit: [":q!", "Enter"]
    },
    {
      name: "less",
      command: "less -N text.c",
      shows: "line 1 of",
      act: ["100g", "/quoted", "Enter"],
      afterwards: ["G"],
      quit: ["q"]
    },
    {
      name: "nano",
      command: "nano --ignorercfiles text.c",
      shows: "line 1 of",
      act: ["Down", "Down", "typed here"],
      afterwards: ["C-_", "300", "Enter"],
      quit: ["C-x", "n"]
    }
  ]
  for (const { name, command, shows, act, afterwards, quit } of programs) {
    it.live.skipIf(!isInstalled(name))(
      `${name}: left and come back to in another size, it looks as it does without`,
      () =>
        Effect.gen(function* () {
          const { folder, name: session, open, reprise } = yield* shared
          const place = join(folder, session)
          mkdirSync(place)
          writeFileSync(join(place, "text.c"), NUMBERED)
          const [own, attached] = yield* Effect.all([open(80, 24), open(80, 24)], { concurrency: 2 })
          yield* own.line(`cd '${place}'; clear; ${command}`)
          yield* attached.line(`cd '${place}'; clear; reprise run --name ${session} -- ${command}`)
          for (const pane of [own, attached]) {
            yield* pane.until(shows)
            yield* pane.keys(...act)
          }
          yield* untilSame(own, attached)
          assert.strictEqual(yield* attached.ask("#{alternate_on}"), "1")

          if (name === "vim") assert.strictEqual(yield* attached.ask("#{mouse_any_flag}"), "1")
          // Typed in the middle of a line the escape character would be the program's.
          yield* attached.keys("~")
          yield* own.keys("~")
          yield* attached.keys(...(name === "nano" ? ["BSpace"] : []))
          yield* own.keys(...(name === "nano" ? ["BSpace"] : []))
          yield* untilSame(own, attached)
          yield* own.keys("Enter")
          yield* leaveBehindEnter(attached, reprise, session)
          yield* assertSane(attached)

          for (const [cols, rows] of [
            [61, 15],
            [120, 40]
          ] as const) {
            yield* Effect.all([own.resize(cols, rows), attached.resize(cols, rows)])
            yield* attached.line(`clear; reprise attach ${session}`)
            yield* untilSame(own, attached)
            // A window that changes while it is attached.
            yield* Effect.all([own.resize(cols + 7, rows - 3), attached.resize(cols + 7, rows - 3)])
            // Before the keys that follow, as in the other pane.
            yield* waitFor(reprise.view(session), ({ size }) => size.cols === cols + 7, "the window's size")
            yield* untilSame(own, attached)
            yield* own.keys("Enter")
            yield* leaveBehindEnter(attached, reprise, session)
          }
          yield* attached.line(`clear; reprise attach ${session}`)
          yield* untilSame(own, attached)
          for (const pane of [own, attached]) yield* pane.keys(...afterwards)
          yield* untilSame(own, attached)
          yield* attached.keys(...quit)
          yield* attached.until("[exited 0]")
          yield* assertSane(attached)
        })
    )
  }

  for (const [name, command, head] of [
    ["top", "top -d 900", /^top - .*load average/],
    ["htop", "htop -d 100 --readonly", /Tasks:/]
  ] as const) {
    it.live.skipIf(!isInstalled(name))(`${name}: a pane shows the session's own screen in every size`, () =>
      Effect.gen(function* () {
        const { name: session, open, reprise } = yield* shared
        const pane = yield* open(100, 30)
        yield* pane.line(`clear; HTOPRC=/dev/null reprise run --name ${session} -- ${command}`)
        yield* pane.until((rows) => rows.some((row) => head.test(row.trim())))
        yield* leave(pane)
        yield* assertSane(pane)
        for (const [cols, rows] of [
          [80, 20],
          [130, 35]
        ] as const) {
          yield* pane.resize(cols, rows)
          yield* pane.line(`clear; reprise attach ${session}`)
          yield* pane.until((shown) => shown.length === rows && shown.some((row) => head.test(row.trim())))
          const both = Effect.gen(function* () {
            const { screen } = JSON.parse((yield* reprise.run(["inspect", session, "--json"])).stdout.toString())
            return {
              screen: screen.text.trimEnd() as string,
              size: screen.size,
              pane: (yield* pane.shown).join("\n").trimEnd()
            }
          })
          // While it is drawn anew, both show little of it.
          const same = yield* waitFor(
            both,
            (seen) => seen.screen === seen.pane && seen.size.cols === cols && seen.screen.split("\n").length > 8,
            "the same screen"
          )
          assert.deepStrictEqual(same.size, { cols, rows })
          yield* leave(pane)
        }
        yield* pane.line(`clear; reprise attach ${session}`)
        yield* pane.until((shown) => shown.some((row) => head.test(row.trim())))
        yield* pane.keys("q")
        yield* pane.until("[exited 0]")
        yield* assertSane(pane)
      })
    )
  }
})
