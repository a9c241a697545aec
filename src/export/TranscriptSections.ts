/**
 * A session's transcript as plain text in HTML: a section for each command of a shell, or one for a session of another
 * program. Output is text, whatever it holds; of its hyperlinks those to web pages and mail addresses can be clicked.
 * What is not in the journal is named. The page around it is HtmlPage.ts.
 */
import { type JournalEntry, type OutputChannel, type SessionEvent, TERMINAL_CELLS_MAX } from "../../journal/Event.ts"
import type { SessionView } from "../session/SessionView.ts"
import { describeCommand } from "./CommandOutcome.ts"
import type { ExportFold } from "./ExportFormat.ts"
import { isoTime } from "./ExportTime.ts"
import { htmlLines, htmlLink, htmlText, safeUrl } from "./HtmlText.ts"
import { type LinePart, LinkedLines } from "./LinkedLines.ts"

/** Links in one file. An address may be repeated on every line it spans, so without a bound a few bytes become gigabytes. */
const LINKS_MAX = 4096
/** Blanks in a row: no terminal is wider, but a program can send its cursor across thousands of columns again and again. */
const TOO_MANY_BLANKS = new RegExp(`( {${TERMINAL_CELLS_MAX}}) +`, "g")

type EventOf<Tag extends SessionEvent["_tag"]> = Extract<SessionEvent, { readonly _tag: Tag }>

export class TranscriptSections implements ExportFold {
  readonly #view: SessionView
  #html = ""
  /** Number of the command whose section is open; 0 for the session's own, null for none. */
  #open: number | null = null
  /** The section's `pre` is open. */
  #isPrinting = false
  /** The command that runs: what the terminal shows meanwhile is shown with it. */
  #running = 0
  #lines = new Map<OutputChannel, LinkedLines>()
  #links = 0
  #sequence = 0

  constructor(view: SessionView) {
    this.#view = view
  }

  readonly page = (entries: ReadonlyArray<JournalEntry>): string => {
    for (const entry of entries) {
      if (entry.event._tag !== "EventsRemoved" && entry.sequence !== this.#sequence + 1) {
        this.#missing(`events ${this.#sequence + 1} to ${entry.sequence - 1} are not in the journal any more`)
      }
      this.#sequence = entry.sequence
      this.#take(entry)
    }
    return this.#taken()
  }

  readonly end = (): string => {
    if (this.#running > 0) this.#outcome(this.#view.status === "running" ? "running" : "how it ended is not known")
    this.#close()
    return this.#taken()
  }

  #taken(): string {
    const html = this.#html
    this.#html = ""
    return html
  }

  #take({ event, timeMicros }: JournalEntry): void {
    switch (event._tag) {
      case "OutputReceived":
        this.#output(event)
        break
      case "CommandStarted": {
        this.#close()
        this.#running = event.exec
        this.#open = event.exec
        const heading = `${event.exec} · ${isoTime(timeMicros)}${event.cwd === undefined ? "" : ` · in ${event.cwd}`}`
        this.#html += `<section><h2>${htmlText(heading)}</h2>\n<pre class="command">\n${htmlLines(event.code)}</pre>\n`
        break
      }
      case "CommandFinished":
        if (this.#open !== event.exec) this.#section(event.exec, `output of command ${event.exec}`)
        this.#outcome(describeCommand(event))
        this.#running = 0
        break
      case "EventsRemoved":
        this.#missing(`events ${event.from} to ${event.to} were removed (${event.policy})`)
        break
      case "GapDetected":
        this.#missing(`${event.what} ${event.from} to ${event.to ?? "?"} is missing: ${event.why}`)
        break
      case "SessionLost":
        this.#missing(`the session was lost: ${event.reason}`)
        break
      case "ShellRestarted":
        this.#missing(`the shell was started again (${event.reason})`)
        break
    }
  }

  #output({ channel, data, exec }: EventOf<"OutputReceived">): void {
    // The terminal of a shell belongs to the command that runs, and between two to the session.
    const section = channel === "tty" ? this.#running : exec
    if (this.#open !== section) {
      this.#section(section, section === 0 ? "terminal" : `output of command ${section} after its end`)
    }
    if (!this.#isPrinting) {
      this.#isPrinting = true
      // A browser drops a line feed that stands here: it must not be the output's.
      this.#html += `<pre class="output">\n`
    }
    let lines = this.#lines.get(channel)
    if (lines === undefined) {
      lines = new LinkedLines()
      this.#lines.set(channel, lines)
    }
    lines.feed(data, (parts) => this.#line(parts, channel))
  }

  #section(exec: number, heading: string): void {
    this.#close()
    this.#open = exec
    this.#html += `<section><h2>${htmlText(heading)}</h2>\n`
  }

  #line(parts: ReadonlyArray<LinePart>, channel: OutputChannel): void {
    let line = ""
    for (const part of parts) {
      const { address } = part
      const text = part.text.replace(TOO_MANY_BLANKS, "$1")
      const url = address === undefined || this.#links >= LINKS_MAX ? undefined : safeUrl(address)
      if (url === undefined) line += htmlText(text)
      else {
        this.#links++
        line += htmlLink(url, text)
      }
    }
    this.#html += channel === "stderr" ? `<span class="stderr">${line}</span>\n` : `${line}\n`
  }

  /** What has no line's end yet, and the end of the output. */
  #endOutput(): void {
    if (!this.#isPrinting) return
    for (const [channel, lines] of this.#lines) {
      const open = lines.open()
      if (open.length > 0) this.#line(open, channel)
    }
    this.#lines = new Map()
    this.#isPrinting = false
    this.#html += "</pre>\n"
  }

  #outcome(text: string): void {
    this.#endOutput()
    this.#html += `<p class="outcome">${htmlText(text)}</p>\n`
  }

  /** Between the lines of the output it is about. */
  #missing(text: string): void {
    if (this.#open === null) this.#section(0, "session")
    this.#endOutput()
    this.#html += `<p class="missing">${htmlText(text)}</p>\n`
  }

  #close(): void {
    if (this.#open === null) return
    this.#endOutput()
    this.#open = null
    this.#html += "</section>\n"
  }
}
