/**
 * `--format html`: one file for a browser, without a network, that plays the session as a terminal showed it
 * (PlayerParts.ts, player/) and holds its transcript (TranscriptSections.ts). The events are read twice, so that nothing
 * of a long session has to be held. A page is bounded by what browsers open: of a session with more output it has the
 * beginning, and says so in its first line.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry } from "../../journal/Event.ts"
import type { ExportSource, WriteExport } from "./ExportFormat.ts"
import { playerPage } from "./HtmlPage.ts"
import { PLAYER_OUTPUT_BYTES_MAX } from "./PlayerFormat.ts"
import { PlayerParts } from "./PlayerParts.ts"
import { openingOf } from "./RecordingBeginning.ts"
import { factsOf, titleOf } from "./SessionFacts.ts"
import { TranscriptSections } from "./TranscriptSections.ts"

export const html: WriteExport = (source) => boundedHtml(source, PLAYER_OUTPUT_BYTES_MAX)

/** With a bound of one's own, in bytes of output. */
export const boundedHtml = (source: ExportSource, outputBytesMax: number) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { events, note, view } = source
      const begun = yield* openingOf(source)
      const notices: Array<string> =
        view.kind === "exec"
          ? ["a shell for commands: its commands and their output, in the order in which they came"]
          : []

      const sections = new TranscriptSections(view)
      const inTranscript = new OutputBound(outputBytesMax)
      const transcript = inTranscript.pages(events).pipe(Stream.map((entries) => sections.page(entries)))

      const parts = new PlayerParts(view, begun)
      const player = new OutputBound(outputBytesMax).pages(events).pipe(
        Stream.map((entries) => {
          let text = ""
          for (const entry of entries) {
            parts.take(entry, (part) => {
              text += playerPage.part(part)
            })
          }
          return text
        })
      )

      const atEnd = (text: () => string) => Stream.fromEffect(Effect.sync(text))
      return Stream.concat(
        atEnd(() => playerPage.head({ title: titleOf(view), facts: factsOf(view) })),
        transcript
      ).pipe(
        Stream.concat(
          atEnd(() => {
            const { cutAfter } = inTranscript
            if (cutAfter !== undefined) {
              const text = `this page ends after event ${cutAfter} of ${view.sequence}: it holds at most ${outputBytesMax} bytes of output`
              notices.push(text)
              note?.(`${text}; --format transcript has the text of all of it`)
            }
            return sections.end() + playerPage.between
          })
        ),
        Stream.concat(player),
        Stream.concat(
          atEnd(() => {
            const { index, part } = parts.end(notices)
            return (part === undefined ? "" : playerPage.part(part)) + playerPage.index(index) + playerPage.end
          })
        ),
        Stream.filter((text) => text !== ""),
        Stream.map((text) => Buffer.from(text))
      )
    })
  )

/** The events up to the first whose output would be too much. */
class OutputBound {
  readonly #max: number
  #bytes = 0
  /** The last event that is in, when there are more. */
  cutAfter: number | undefined

  constructor(max: number) {
    this.#max = max
  }

  pages<E>(events: Stream.Stream<JournalEntry, E>): Stream.Stream<ReadonlyArray<JournalEntry>, E> {
    return Stream.chunks(events).pipe(
      Stream.map((entries) => this.#within(entries)),
      Stream.takeUntil(() => this.cutAfter !== undefined)
    )
  }

  #within(entries: ReadonlyArray<JournalEntry>): ReadonlyArray<JournalEntry> {
    for (const [index, { event, sequence }] of entries.entries()) {
      if (event._tag !== "OutputReceived") continue
      this.#bytes += event.data.byteLength
      if (this.#bytes > this.#max) {
        this.cutAfter = sequence - 1
        return entries.slice(0, index)
      }
    }
    return entries
  }
}
