/**
 * A terminal that tells what it shows: panes of a private tmux server, which ends with the test. A test types into a
 * pane as a person would and waits until the pane shows what it should; nothing of the user's own tmux is touched.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable, Writable } from "node:stream"
import { Effect, type Scope } from "effect"

/** Between two looks at a pane, and before the first: what was just typed has hardly arrived. */
const LOOK_MILLIS = 100
/** A pane that does not come to show what is waited for: longer than any busy machine needs, shorter than a test's timeout. */
const WAIT_MILLIS = 60_000

export interface Pane {
  /** Keys by tmux's names (`Enter`, `C-c`) or as text. */
  keys(...keys: ReadonlyArray<string>): Effect.Effect<void>
  /** Text as it is, then Enter. */
  line(text: string): Effect.Effect<void>
  /** What it shows: one string a row, trailing blanks removed. */
  readonly shown: Effect.Effect<ReadonlyArray<string>>
  /** The same with colours and attributes as sequences, and the cursor's place in front. */
  readonly picture: Effect.Effect<string>
  /** The lines that scrolled out, and what it shows. */
  readonly history: Effect.Effect<ReadonlyArray<string>>
  resize(cols: number, rows: number): Effect.Effect<void>
  /** Pastes a text, as a terminal does: as fast as it is taken. */
  paste(text: string): Effect.Effect<void>
  /** The terminal goes away. */
  readonly close: Effect.Effect<void>
  /** Formats of tmux(1), such as `#{cursor_flag}`. */
  ask(format: string): Effect.Effect<string>
  /** Waits until its shell asks for a command: a program that is about to end may still take what is typed. */
  readonly atPrompt: Effect.Effect<void>
  /** Waits until a row, or all of them as lines, fits; gives what was shown then. */
  until(what: string | RegExp | ((rows: ReadonlyArray<string>) => boolean)): Effect.Effect<ReadonlyArray<string>>
}

export interface Tmux {
  /** A shell in a terminal of this size. */
  pane(cols: number, rows: number, env: NodeJS.ProcessEnv): Effect.Effect<Pane>
}

/** A shell that says `$ ` and nothing of the machine it runs on. */
const SHELL = "env PS1='$ ' HISTFILE= bash --norc --noprofile"

/** In words of tmux's own command language. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * The server, and one client of it for all that is asked (tmux(1), CONTROL MODE): a process for each look at a pane would cost more
 * than everything that is looked at.
 */
class Control {
  readonly #client: ChildProcessByStdio<Writable, Readable, null>
  readonly #asked: Array<{ readonly resolve: (text: string) => void; readonly reject: (error: Error) => void }> = []
  /** What the answer that is being given ends with, and its lines until now. */
  #answer: { readonly end: string; readonly error: string; readonly isOurs: boolean; lines: Array<string> } | undefined

  constructor(socket: string) {
    const { TMUX: _, TMUX_PANE: _pane, ...env } = process.env
    this.#client = spawn("tmux", ["-S", socket, "-f", "/dev/null", "-C", "new-session", "-s", "control", "cat"], {
      env,
      stdio: ["pipe", "pipe", "ignore"]
    })
    this.#client.stdin.on("error", () => {})
    const lines = createInterface({ input: this.#client.stdout })
    lines.on("line", (line) => this.#line(line))
    this.#client.on("close", () => {
      for (const { reject } of this.#asked.splice(0)) reject(new Error("tmux has ended"))
    })
  }

  call(words: ReadonlyArray<string>): Effect.Effect<string> {
    return Effect.promise(
      () =>
        new Promise<string>((resolve, reject) => {
          this.#asked.push({ resolve, reject: (error) => reject(new Error(`${words.join(" ")}: ${error.message}`)) })
          this.#client.stdin.write(`${words.map(quoted).join(" ")}\n`)
        })
    )
  }

  /** The server with all its panes. */
  readonly end: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.#client.exitCode !== null || this.#client.signalCode !== null) return resume(Effect.void)
    this.#client.on("close", () => resume(Effect.void))
    this.#client.stdin.write("kill-server\n")
  })

  #line(line: string): void {
    if (this.#answer === undefined) {
      const begun = /^%begin (\d+ \d+ (\d+))$/.exec(line)
      if (begun === null) return
      this.#answer = { end: `%end ${begun[1]}`, error: `%error ${begun[1]}`, isOurs: begun[2] === "1", lines: [] }
      return
    }
    const { end, error, isOurs, lines } = this.#answer
    if (line !== end && line !== error) {
      lines.push(line)
      return
    }
    this.#answer = undefined
    if (!isOurs) return
    const asked = this.#asked.shift()
    if (line === end) asked?.resolve(lines.map((one) => `${one}\n`).join(""))
    else asked?.reject(new Error(lines.join("\n")))
  }
}

export const makeTmux: Effect.Effect<Tmux, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rt-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const control = yield* Effect.acquireRelease(
    Effect.sync(() => new Control(join(folder, "tmux"))),
    ({ end }) => end
  )
  const call = (words: ReadonlyArray<string>) => control.call(words)
  // Without a status line a window is as large as its session.
  yield* call(["set", "-g", "status", "off"])
  let count = 0
  const pane = Effect.fnUntraced(function* (cols: number, rows: number, env: NodeJS.ProcessEnv) {
    count += 1
    const name = `p${count}`
    const size = ["-x", String(cols), "-y", String(rows)]
    const own = [`REPRISE_HOME=${env.REPRISE_HOME}`, "TERM=screen-256color"].flatMap((entry) => ["-e", entry])
    yield* call(["new-session", "-d", "-s", name, ...size, ...own, SHELL])
    yield* call(["resize-window", "-t", name, ...size])
    return makePane(call, folder, name)
  })
  return { pane }
})

const makePane = (call: (args: ReadonlyArray<string>) => Effect.Effect<string>, folder: string, name: string): Pane => {
  const capture = (options: ReadonlyArray<string>) =>
    Effect.map(call(["capture-pane", "-p", "-t", name, ...options]), (text) =>
      text
        .replace(/\n$/, "")
        .split("\n")
        .map((row) => row.trimEnd())
    )
  const ask = (format: string) =>
    Effect.map(call(["display-message", "-p", "-t", name, format]), (text) => text.trimEnd())
  const shown = capture([])
  const fits = (what: string | RegExp | ((rows: ReadonlyArray<string>) => boolean), rows: ReadonlyArray<string>) =>
    typeof what === "function"
      ? what(rows)
      : typeof what === "string"
        ? rows.some((row) => row.includes(what))
        : what.test(rows.join("\n"))
  return {
    keys: (...keys) => Effect.asVoid(call(["send-keys", "-t", name, ...keys])),
    line: (text) =>
      Effect.asVoid(
        Effect.andThen(call(["send-keys", "-t", name, "-l", text]), call(["send-keys", "-t", name, "Enter"]))
      ),
    shown,
    picture: Effect.gen(function* () {
      const cursor = yield* ask("#{cursor_x},#{cursor_y} #{cursor_flag} #{alternate_on}")
      return `${cursor}\n${(yield* capture(["-e"])).join("\n")}`
    }),
    history: capture(["-S", "-"]),
    resize: (cols, rows) => Effect.asVoid(call(["resize-window", "-t", name, "-x", String(cols), "-y", String(rows)])),
    ask,
    paste: (text) =>
      Effect.gen(function* () {
        const file = join(folder, `paste-${name}`)
        writeFileSync(file, text)
        yield* call(["load-buffer", "-b", name, file])
        yield* call(["paste-buffer", "-b", name, "-t", name])
      }),
    close: Effect.asVoid(call(["kill-session", "-t", name])),
    atPrompt: Effect.asVoid(
      waitFor(
        Effect.map(Effect.all([ask("#{cursor_y}"), shown]), ([row, rows]) => rows[Number(row)] ?? ""),
        (row) => row.endsWith("$"),
        "the shell's prompt"
      )
    ),
    until: (what) => waitFor(shown, (rows) => fits(what, rows), String(what))
  }
}

/** Looks again and again; dies with what was seen last when it does not come. */
export const waitFor = <A>(look: Effect.Effect<A>, fits: (seen: A) => boolean, what: string): Effect.Effect<A> =>
  Effect.suspend(() => {
    const until = performance.now() + WAIT_MILLIS
    const again: Effect.Effect<A> = Effect.flatMap(look, (seen) => {
      if (fits(seen)) return Effect.succeed(seen)
      if (performance.now() > until) {
        return Effect.die(
          new Error(`waited for ${what}; seen last:\n${Array.isArray(seen) ? seen.join("\n") : String(seen)}`)
        )
      }
      return later
    })
    const later = Effect.andThen(Effect.sleep(LOOK_MILLIS), again)
    return later
  })

/** Until both show the same, cell for cell with attributes and cursor. */
export const untilSame = (one: Pane, other: Pane): Effect.Effect<void> =>
  Effect.asVoid(
    waitFor(
      Effect.map(Effect.all([one.picture, other.picture]), (pictures) => pictures),
      ([a, b]) => a === b,
      "two panes that show the same"
    )
  )
