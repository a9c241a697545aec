/** A store and shells in panes of tmux, in which `reprise` is typed as a person would. */
import { dirname } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { makeRepriseInside, PROGRAM, type Reprise, type shareReprise } from "./reprise.ts"
import { makeTmux, type Pane, waitFor } from "./tmux.ts"

/** The built command, in words of a shell. */
export const COMMAND = `'${process.execPath}' '${PROGRAM}'`

/** A pane of tmux, and `reprise` typed into its shell. */
const terminalsOf = Effect.fnUntraced(function* (reprise: Reprise) {
  const tmux = yield* makeTmux
  const open = Effect.fnUntraced(function* (cols: number, rows: number) {
    const pane = yield* tmux.pane(cols, rows, reprise.env)
    yield* pane.line(`reprise() { ${COMMAND} "$@"; }; clear; echo rea''dy`)
    yield* pane.until("ready")
    return pane
  })
  return { reprise, open, folder: dirname(reprise.store) }
})

/** The same in a store of its own. */
export const makeTerminals = Effect.flatMap(makeRepriseInside, terminalsOf)

/** The same at the engine that a file's tests share, with a name for the test's session. */
export const inTerminals = (shared: ReturnType<typeof shareReprise>) =>
  Effect.flatMap(shared, ({ name, reprise }) =>
    Effect.map(terminalsOf(reprise), (terminals) => ({ ...terminals, name }))
  )

/**
 * Leaves behind an Enter that the session's program gets, as `leave` does: a client that leaves waits only a moment for the
 * engine to take what was typed before.
 */
export const leaveBehindEnter = Effect.fnUntraced(function* (pane: Pane, reprise: Reprise, session: string) {
  const enters = Effect.map(
    reprise.events(session),
    (events) => events.filter(({ event }) => event._tag === "InputWritten" && event.data.at(-1) === 13).length
  )
  const before = yield* enters
  yield* pane.keys("Enter")
  yield* waitFor(enters, (count) => count > before, "the Enter")
  yield* pane.keys("~.")
  yield* pane.until("[detached")
  yield* pane.atPrompt
})

/** Leaves by the detach key, and sees that it is left and that the shell is back. */
export const leave = (pane: Pane) =>
  pane.keys("Enter", "~.").pipe(Effect.andThen(pane.until("[detached")), Effect.andThen(pane.atPrompt))

/** What a program may leave behind in a terminal, and the terminal driver's own settings. */
export const assertSane = Effect.fnUntraced(function* (pane: Pane) {
  yield* pane.atPrompt
  yield* pane.line(
    "clear; echo sa''ne; stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo|opost|isig|ixon|icrnl|onlcr);?$' | tr '\\n' ' '"
  )
  yield* pane.until(/^sane\n(?=.*icanon)/m)
  const rows = yield* pane.shown
  const settings = rows.join(" ")
  for (const setting of ["icanon", "echo", "opost", "isig", "icrnl", "onlcr"]) {
    assert.match(settings, new RegExp(`(^|\\s)${setting}\\s`), settings)
  }
  const flags =
    "#{alternate_on} #{mouse_any_flag} #{cursor_flag} #{insert_flag} #{keypad_flag} #{keypad_cursor_flag} #{origin_flag} #{wrap_flag}"
  assert.strictEqual(yield* pane.ask(flags), "0 0 1 0 0 0 0 1")
  const height = Number(yield* pane.ask("#{pane_height}"))
  assert.strictEqual(yield* pane.ask("#{scroll_region_upper} #{scroll_region_lower}"), `0 ${height - 1}`)
})
