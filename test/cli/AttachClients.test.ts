/** `reprise attach` in terminals beside each other, and every way in which one of them ends. */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isInstalled } from "../fixtures/installed.ts"
import { type Reprise, shareReprise } from "./reprise.ts"
import { assertSane, COMMAND, inTerminals, leave, leaveBehindEnter, makeTerminals } from "./terminals.ts"
import { type Pane, untilSame, waitFor } from "./tmux.ts"

/** Everything that was typed into it. */
const typedInto = (reprise: Reprise, reference: string) =>
  Effect.map(reprise.events(reference), (events) =>
    events.map(({ event }) => (event._tag === "InputWritten" ? Buffer.from(event.data).toString() : "")).join("")
  )

/** Attaches as the process whose id is in the file: the shell says how it ended. */
const attachWithPid = Effect.fnUntraced(function* (pane: Pane, file: string, command: string) {
  yield* pane.line(`clear; (echo $BASHPID > '${file}'; exec ${command}); echo left=$?`)
})
const pidIn = (file: string) => Number(readFileSync(file, "utf8"))

/** A program that shows its size and its lines, and knows nothing of terminals. */
const LINES = `sh -c 'stty size; while read line; do echo "got:$line"; stty size; done'`

describe.skipIf(!isInstalled("tmux"))("terminals at one session", { concurrent: true, timeout: 120_000 }, () => {
  /** For what leaves the engine alone. */
  const inShared = inTerminals(shareReprise())

  it.live("two of one size see the same and both type; the session goes on when one leaves", () =>
    Effect.gen(function* () {
      const { name, open, reprise } = yield* inShared
      const [one, other] = yield* Effect.all([open(80, 20), open(80, 20)])
      yield* one.line(`clear; reprise run --name ${name} -- ${LINES}`)
      yield* one.until("20 80")
      yield* other.line(`clear; reprise attach ${name}`)
      yield* other.until("20 80")
      yield* one.line("from one")
      yield* other.until("got:from one")
      yield* other.line("from other")
      yield* one.until("got:from other")
      yield* untilSame(one, other)
      yield* leave(other)
      yield* assertSane(other)
      yield* one.line("still here")
      yield* one.until("got:still here")
      yield* one.keys("C-d")
      // `run` ends as its program does, without a word; what is typed before is the program's.
      yield* one.until((rows) => rows.includes("$"))
      yield* one.line("echo co''de=$?")
      yield* one.until("code=0")
      assert.strictEqual((yield* reprise.view(name)).exitCode, 0)
    })
  )

  it.live("of two sizes the window typed into decides, and the other is shown a picture of it", () =>
    Effect.gen(function* () {
      const { name, open, reprise } = yield* inShared
      const [small, large] = yield* Effect.all([open(60, 12), open(100, 30)])
      const size = Effect.map(reprise.view(name), (found) => `${found.size.cols}x${found.size.rows}`)
      // Draws at places that only the larger window has; its own size stands in the middle.
      const draw = `printf "\\033[?1049h\\033[2J\\033[3;90Hfar\\033[20;1Hlow\\033[5;3H$line "; stty size`
      yield* small.line(
        `clear; reprise run --name ${name} -- sh -c 'stty -echo; line=begun; while ${draw}; read line; do :; done'`
      )
      yield* small.until(/begun 12 60/)
      yield* large.line(`clear; reprise attach ${name}`)
      yield* waitFor(size, (found) => found === "100x30", "the large window's size")
      yield* large.line("second")
      const whole = yield* large.until(/second 30 100/)
      assert.match(whole[2]!, /^ {89}far$/)
      assert.strictEqual(whole[19], "low")
      const part = yield* small.until(/second 30 100/)
      assert.strictEqual(part.length, 12)
      // Neither at the edge nor wrapped.
      assert.notMatch(part.join("\n"), /far?|r$/m)
      yield* small.line("third")
      yield* small.until(/third 12 60/)
      assert.strictEqual(yield* size, "60x12")
      yield* large.until(/third 12 60/)
      assert.strictEqual(yield* small.ask("#{alternate_on}"), "1")
      yield* leave(large)
      yield* assertSane(large)
      yield* leave(small)
      yield* assertSane(small)
    })
  )

  it.live("one that only watches types nothing, changes no size, and can leave", () =>
    Effect.gen(function* () {
      const { name, open, reprise } = yield* inShared
      const [writer, reader] = yield* Effect.all([open(80, 20), open(100, 26)])
      yield* writer.line(`clear; reprise run --name ${name} -- ${LINES}`)
      yield* writer.until("20 80")
      yield* reader.line(`clear; reprise attach ${name} --read-only`)
      yield* reader.until("20 80")
      yield* reader.keys("never typed", "Enter", "C-c", "C-d")
      yield* reader.resize(90, 24)
      yield* writer.line("hello")
      yield* reader.until(/got:hello\n20 80\s*$/)
      yield* leave(reader)
      yield* assertSane(reader)
      assert.strictEqual(yield* typedInto(reprise, name), "hello\r")
      const { size } = yield* reprise.view(name)
      assert.deepStrictEqual(size, { cols: 80, rows: 20 })
      const types = (yield* reprise.events(name)).map(({ event }) => event._tag)
      assert.notInclude(types, "Resized")
      assert.strictEqual(types.filter((type) => type === "ClientAttached").length, 2)
      yield* waitFor(
        reprise.events(name),
        (events) => events.filter(({ event }) => event._tag === "ClientDetached").length === 1,
        "the reader's leave"
      )
    })
  )

  it.live("one that has it to itself: others see, and what they type is refused until it leaves", () =>
    Effect.gen(function* () {
      const { name, open, reprise } = yield* inShared
      const [owner, other] = yield* Effect.all([open(80, 20), open(80, 20)])
      yield* reprise.run(["run", "--detach", "--name", name, "--", "sh", "-c", LINES.slice(7, -1)])
      yield* owner.line(`clear; reprise attach ${name} --exclusive`)
      yield* owner.until(/\d+ \d+/)
      yield* other.line(`clear; reprise attach ${name}`)
      yield* other.until(/\d+ \d+/)
      yield* other.line("refused")
      // The bell: it was refused, and is not still on its way when the owner has left.
      yield* waitFor(other.ask("#{window_bell_flag}"), (flag) => flag === "1", "the bell")
      yield* owner.line("mine")
      yield* other.until("got:mine")
      const second = yield* reprise.run(["attach", name, "--exclusive"])
      assert.strictEqual(second.code, 77)
      assert.match(second.stderr, /^reprise: [^\n]+to itself[^\n]*\n$/)
      assert.strictEqual((yield* reprise.run(["attach", name], "piped\n")).code, 77)
      yield* leave(owner)
      // The engine learns of it a moment later.
      yield* waitFor(
        Effect.andThen(other.line("now"), other.shown),
        (rows) => rows.some((row) => row.includes("got:now")),
        "got:now"
      )
      const typed = yield* typedInto(reprise, name)
      assert.notInclude(typed, "refused")
      assert.notInclude(typed, "piped")
    })
  )

  it.live.skipIf(!isInstalled("vim"))("the engine is killed under vim: the screen goes on, and so does typing", () =>
    Effect.gen(function* () {
      const { open, reprise } = yield* makeTerminals
      const [own, attached] = yield* Effect.all([open(80, 20), open(80, 20)])
      yield* own.line("clear; vim -n -u NONE -c 'set nocompatible laststatus=2'")
      yield* attached.line("clear; reprise run --name it -- vim -n -u NONE -c 'set nocompatible laststatus=2'")
      yield* Effect.all([own, attached].map((pane) => pane.until("~")))
      for (const word of ["one", "two", "three"]) {
        const type = Effect.fnUntraced(function* (text: string) {
          for (const pane of [own, attached]) yield* pane.keys("o", text, "Escape")
          // They are the same also before either of them has taken it.
          for (const pane of [own, attached]) yield* pane.until(text)
          yield* untilSame(own, attached)
        })
        yield* type(word)
        const pid = yield* waitFor(reprise.enginePid, (found) => found !== null, "an engine")
        process.kill(pid!, "SIGKILL")
        yield* type(`after ${word}`)
      }
      yield* own.keys("Enter")
      yield* leaveBehindEnter(attached, reprise, "it")
      yield* assertSane(attached)
      yield* attached.line("clear; reprise attach it")
      yield* untilSame(own, attached)
    })
  )

  for (const [signal, left] of [
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGINT", 130],
    ["SIGKILL", 137]
  ] as const) {
    it.live(
      `${signal} to the client leaves the session, which goes on${signal === "SIGKILL" ? "" : ", and a terminal as it was"}`,
      () =>
        Effect.gen(function* () {
          const { folder, name, open, reprise } = yield* inShared
          const pane = yield* open(80, 20)
          const file = join(folder, `pid-${name}`)
          const full = `printf "\\033[?1049h\\033[?1000h\\033[?1006h\\033[?25l\\033=\\033[2;5r\\033[4h\\033(0\\033[?1hfull"; read line`
          yield* reprise.run(["run", "--detach", "--name", name, "--", "sh", "-c", full])
          yield* attachWithPid(pane, file, `${COMMAND} attach ${name}`)
          yield* waitFor(
            pane.ask("#{alternate_on} #{mouse_any_flag} #{cursor_flag}"),
            (flags) => flags === "1 1 0",
            "the program's modes"
          )
          process.kill(pidIn(file), signal)
          yield* waitFor(pane.history, (rows) => rows.some((row) => row.includes(`left=${left}`)), `left=${left}`)
          // Nobody can tidy up after a kill; the session does not care.
          if (signal !== "SIGKILL") yield* assertSane(pane)
          assert.strictEqual((yield* reprise.view(name)).status, "running")
          yield* waitFor(
            reprise.events(name),
            (events) => events.some(({ event }) => event._tag === "ClientDetached"),
            "the client's leave"
          )
        })
    )
  }

  it.live("an engine that cannot be started again ends it with 69, and the session goes on", () =>
    Effect.gen(function* () {
      const { open, reprise } = yield* makeTerminals
      const pane = yield* open(80, 20)
      yield* pane.line(
        `clear; reprise run --name it -- sh -c 'printf "\\033[?1049h\\033[?1000hready"; ${LINES.slice(7, -1)}'; echo left=$?`
      )
      yield* pane.until("ready")
      const engine = (yield* reprise.enginePid)!
      // What is in the store's place now is not one.
      const aside = `${reprise.store}-aside`
      yield* Effect.acquireUseRelease(
        Effect.sync(() => {
          renameSync(reprise.store, aside)
          writeFileSync(reprise.store, "")
        }),
        () =>
          Effect.gen(function* () {
            process.kill(engine, "SIGKILL")
            const rows = yield* pane.until("left=69")
            assert.match(rows.join("\n"), /^reprise: /m)
            yield* assertSane(pane)
          }),
        () =>
          Effect.sync(() => {
            rmSync(reprise.store)
            renameSync(aside, reprise.store)
          })
      )
      yield* pane.line("clear; reprise attach it")
      yield* waitFor(pane.ask("#{alternate_on} #{mouse_any_flag}"), (flags) => flags === "1 1", "the session's screen")
      yield* pane.line("more")
      yield* pane.until("got:more")
      yield* leave(pane)
    })
  )

  it.live("a session is not shown in its own terminal, and one that has ended shows its last screen", () =>
    Effect.gen(function* () {
      const { name, open } = yield* inShared
      const pane = yield* open(80, 20)
      yield* pane.line(`clear; reprise run --name ${name} -- env PS1='inner> ' bash --norc --noprofile`)
      yield* pane.until("inner>")
      yield* pane.line(`${COMMAND} attach ${name}; echo ins''ide=$?; printf 'no end of line'; exit 3`)
      const rows = yield* pane.until("inside=64")
      assert.match(rows.join("\n"), /^reprise: session: this terminal is that session's own/m)
      yield* pane.line(`clear; reprise attach ${name}; echo le''ft=$?`)
      const shown = (yield* pane.until("left=3")).join("\n")
      assert.match(shown, /inside=64\nno end of line(exit)?\n(exit\n)?\[exited 3\]\nleft=3\n/)
      yield* assertSane(pane)
    })
  )

  it.live("the terminal goes away: that is a leave", () =>
    Effect.gen(function* () {
      const { name, open, reprise } = yield* inShared
      const pane = yield* open(80, 20)
      yield* pane.line(`clear; reprise run --name ${name} -- ${LINES}`)
      yield* pane.until("20 80")
      yield* pane.close
      yield* waitFor(
        reprise.events(name),
        (events) => events.some(({ event }) => event._tag === "ClientDetached"),
        "the client's leave"
      )
      assert.strictEqual((yield* reprise.view(name)).status, "running")
    })
  )

  it.live(
    "who leaves while the engine does not answer is told what may not have arrived, and nothing is said otherwise",
    () =>
      Effect.gen(function* () {
        const { open, reprise } = yield* makeTerminals
        const pane = yield* open(110, 20)
        yield* pane.line(`clear; reprise run --name it -- ${LINES}`)
        yield* pane.until("20 110")
        const engine = (yield* reprise.enginePid)!
        process.kill(engine, "SIGSTOP")
        yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(engine, "SIGCONT")))
        yield* pane.keys("late", "Enter", "~.")
        yield* pane.until(
          "[detached, and the last 5 bytes you typed may not have arrived; `reprise attach it` comes back]"
        )
        process.kill(engine, "SIGCONT")
        yield* pane.atPrompt
        yield* pane.line("clear; reprise attach it")
        yield* pane.until("20 110")
        yield* leaveBehindEnter(pane, reprise, "it")
        yield* pane.until("[detached; `reprise attach it` comes back]")
      })
  )

  it.live("the key that leaves is the flag's, else REPRISE_DETACH_KEY, else ~, or none", () =>
    Effect.gen(function* () {
      const { name, open, reprise } = yield* inShared
      const pane = yield* open(80, 20)
      yield* pane.line(`clear; REPRISE_DETACH_KEY=^] reprise run --name ${name} -- ${LINES}`)
      yield* pane.until("20 80")
      yield* pane.line("~.")
      yield* pane.until("got:~.")
      yield* pane.keys("half a line")
      // A client that leaves does not wait long for the engine to take what was typed.
      yield* pane.until("half a line")
      yield* pane.keys("C-]")
      yield* pane.until("[detached")
      yield* pane.line("echo le''ft=$?")
      yield* pane.until("left=80")
      yield* pane.line(`clear; REPRISE_DETACH_KEY=^] reprise attach ${name} --detach-key %`)
      yield* pane.until(/half a line/)
      yield* pane.keys("Enter", "%.")
      yield* pane.until("[detached")
      yield* pane.line(`clear; reprise attach ${name} --detach-key none`)
      yield* pane.until("got:half a line")
      yield* pane.line("~.")
      yield* pane.until((rows) => rows.filter((row) => row === "got:~.").length === 2)
      yield* pane.keys("C-d")
      yield* pane.until("[exited 0]")
      const wrong = yield* reprise.run(["attach", name, "--detach-key", "ab"])
      assert.strictEqual(wrong.code, 2)
      yield* pane.line(`clear; REPRISE_DETACH_KEY=ab reprise attach ${name}; echo le''ft=$?`)
      const rows = yield* pane.until("left=2")
      assert.isTrue(rows.some((row) => row.includes("REPRISE_DETACH_KEY")))
    })
  )

  it.live("the key that leaves works while the program reads nothing", () =>
    Effect.gen(function* () {
      const { name, open } = yield* inShared
      const pane = yield* open(80, 20)
      yield* pane.line(`clear; reprise run --name ${name} -- sh -c 'stty raw -echo; echo ready; exec sleep 1000'`)
      yield* pane.until("ready")
      // More than the terminal and the keeper hold for it.
      yield* pane.paste("x".repeat(1_500_000))
      yield* leave(pane)
      yield* assertSane(pane)
    })
  )

  it.live("the key that leaves works at once in a flood, and ^C ends the program", () =>
    Effect.gen(function* () {
      const { open } = yield* makeTerminals
      const pane = yield* open(80, 20)
      yield* pane.line(`clear; reprise run --name it -- sh -c 'trap "echo caught; exit 3" INT; yes'`)
      yield* pane.until((rows) => rows.filter((row) => row === "y").length > 10)
      const millis: Array<number> = []
      for (let time = 0; time < 3; time++) {
        yield* Effect.sleep(100)
        yield* pane.keys("Enter")
        const since = performance.now()
        yield* pane.keys("Enter", "~.")
        yield* pane.until("[detached")
        millis.push(performance.now() - since)
        yield* pane.atPrompt
        yield* pane.line("clear")
        yield* pane.until((rows) => !rows.includes("y"))
        yield* pane.line("reprise attach it")
        yield* pane.until((rows) => rows.filter((row) => row === "y").length > 10)
      }
      // The best: with the time that tmux takes to type it and to tell what it shows, on a machine that may stall.
      assert.isBelow(Math.min(...millis), 1000, `${millis.map(Math.round)}`)
      yield* pane.keys("C-c")
      yield* pane.until("[exited 3]")
      assert.include((yield* pane.shown).join("\n"), "caught")
      yield* assertSane(pane)
    })
  )
})
