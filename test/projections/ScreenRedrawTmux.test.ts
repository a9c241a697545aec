/**
 * The redraw on a terminal that is not ours: tmux shows what a program printed, and in another window what the redraw of
 * it prints there. Both are the same cells, cursor, modes, margins and tab stops. Left out where there is no tmux.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Screen } from "../../projections/Screen.ts"

const PROGRAMS = new URL("./fixtures/programs/", import.meta.url)
const SIZE = { cols: 80, rows: 24 }
const CUTS = [0.4, 0.7, 1]
/** Everything tmux tells of a window's terminal. */
const STATE = [
  "cursor_x",
  "cursor_y",
  "cursor_flag",
  "alternate_on",
  "insert_flag",
  "keypad_cursor_flag",
  "keypad_flag",
  "wrap_flag",
  "mouse_any_flag",
  "mouse_sgr_flag",
  "scroll_region_upper",
  "scroll_region_lower",
  "origin_flag",
  "pane_tabs"
]
/** As an earlier program may have left it. */
const USED = "\x1b]2;old\x1b\\old\r\n\x1b[?1049h\x1b[2;5r\x1b[?6h\x1b[4h\x1b[?1000h\x1b[3gold\x1b(0\x1b[7m"

const hasTmux = spawnSync("tmux", ["-V"]).status === 0

describe.skipIf(!hasTmux)("Screen.redraw in tmux", () => {
  let folder = ""
  const tmux = (...args: ReadonlyArray<string>): string =>
    execFileSync("tmux", ["-S", join(folder, "socket"), "-f", "/dev/null", ...args], { encoding: "utf8" })
  let windows = 0

  /** What a window shows that was sent these bytes. */
  const shown = (data: Uint8Array) => {
    const name = `w${windows++}`
    const file = join(folder, name)
    writeFileSync(file, data)
    // The answer to the last question comes when everything before it was taken in.
    const script = `stty raw -echo; cat ${file}; printf '\\033[6n'; head -c 1 >/dev/null; tmux -S ${join(folder, "socket")} wait-for -S ${name}; exec sleep 1000`
    // One client for all of it: what starts a process for each command takes longer than tmux.
    const told = tmux(
      ...["new-window", "-d", "-n", name, script, ";", "wait-for", name, ";"],
      ...["display-message", "-p", "-t", `:${name}`, STATE.map((key) => `#{${key}}`).join(" "), ";"],
      ...["capture-pane", "-p", "-e", "-N", "-t", `:${name}`, ";", "kill-window", "-t", `:${name}`]
    )
    const end = told.indexOf("\n")
    const [state, cells] = [told.slice(0, end).trim(), told.slice(end + 1)]
    return { state, cells: normal(cells) }
  }
  /** The same look in the same words: tmux tells the colours of what is not printed in one of several ways. */
  const normal = (cells: string): ReadonlyArray<string> => {
    const screen = new Screen(SIZE)
    screen.feed(Buffer.from(cells.replace(/\n$/, "").replaceAll("\n", "\x1b[m\r\n")))
    const drawn = Buffer.from(screen.redraw({ scrollback: 0 }).data!).toString()
    // What comes after the cells begins with this. The colour of a blank is not seen.
    const lines = drawn.split("\x1b[?6l\x1b[3g")[0]!.split("\r\n")
    return lines.map((line) => line.replace(/(\x1b\[0;[39]\dm)( +)/g, "$2$1").replace(/( |\x1b\[[0-9;]*[mK])+$/, ""))
  }

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "reprise-tmux-"))
    tmux("new-session", "-d", "-x", String(SIZE.cols), "-y", String(SIZE.rows), "sleep 1000")
  })
  afterAll(() => {
    tmux("kill-server")
    rmSync(folder, { recursive: true, force: true })
  })

  for (const file of readdirSync(PROGRAMS)) {
    it(`10.5.9 shows ${file.replace(".bin", "")} as it was`, () => {
      const output = readFileSync(new URL(file, PROGRAMS))
      for (const part of CUTS) {
        const seen = output.subarray(0, Math.floor(output.length * part))
        const screen = new Screen(SIZE)
        screen.feed(seen)
        const { data } = screen.redraw()
        assert.deepStrictEqual(shown(Buffer.concat([Buffer.from(USED), data!])), shown(seen), `${part} of it`)
      }
    })
  }
})
