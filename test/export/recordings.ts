/** What the tests of recordings share: an export of events in memory, an import of bytes, and what asciinema-player makes of a file. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Effect, Stream } from "effect"
import type { JournalEntry, NewEvent, SessionEvent, TerminalSize } from "../../journal/Event.ts"
import { Screen } from "../../projections/Screen.ts"
import { SessionState } from "../../projections/SessionState.ts"
import type { ExportSource, WriteExport, WriteFolder } from "../../src/export/ExportFormat.ts"
import { ExportLosses } from "../../src/export/ExportLosses.ts"
import { RecordingFile } from "../../src/files/RecordingFile.ts"
import { DETECT_BYTES, importFormat } from "../../src/import/Import.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { STREAM } from "../projections/events.ts"

/** When the sessions of these tests begin: microseconds since 1970. */
export const BEGAN = 1_700_000_000_000_000

/** Events at times after the beginning, as the journal has them. */
export const entriesOf = (
  events: ReadonlyArray<readonly [micros: number, event: SessionEvent]>
): ReadonlyArray<JournalEntry> =>
  events.map(([micros, event], at) => ({ sequence: at + 1, timeMicros: BEGAN + micros, actor: "program", event }))

const viewOf = (entries: ReadonlyArray<JournalEntry>): SessionView => {
  const state = entries.reduce((state, entry) => SessionState.fold(state, entry), SessionState.initial(STREAM))
  const { size, term } = state
  return { ...state, id: STREAM, size, term, createdAt: BEGAN, sequence: entries.length } as unknown as SessionView
}

export interface Exported {
  readonly bytes: Buffer
  readonly losses: ExportLosses
}

const sourceOf = (entries: ReadonlyArray<JournalEntry>, input: boolean): ExportSource & { losses: ExportLosses } => ({
  view: viewOf(entries),
  events: Stream.fromIterable(entries),
  input,
  losses: new ExportLosses()
})

export const exportEntries = async (
  write: WriteExport,
  entries: ReadonlyArray<JournalEntry>,
  { input = false }: { readonly input?: boolean } = {}
): Promise<Exported> => {
  const source = sourceOf(entries, input)
  const pieces = await Effect.runPromise(Stream.runCollect(write(source)))
  return { bytes: Buffer.concat([...pieces]), losses: source.losses }
}

export const exportFiles = async (
  write: WriteFolder,
  entries: ReadonlyArray<JournalEntry>,
  { input = false }: { readonly input?: boolean } = {}
): Promise<Readonly<Record<string, Buffer>>> => {
  const files: Record<string, Array<Uint8Array>> = {}
  const pieces = await Effect.runPromise(Stream.runCollect(write(sourceOf(entries, input))))
  for (const { data, file } of pieces) files[file] = [...(files[file] ?? []), data]
  return Object.fromEntries(Object.entries(files).map(([name, parts]) => [name, Buffer.concat(parts)]))
}

/** A folder that is gone afterwards. */
export const withFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-recording-"))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The events that a recording becomes; the first of the files is the one that is named. */
export const importFiles = (
  files: Readonly<Record<string, string | Uint8Array>>
): Promise<{ readonly format: string; readonly events: ReadonlyArray<NewEvent> }> =>
  withFolder(async (folder) => {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
    const file = await RecordingFile.open(join(folder, Object.keys(files)[0]!))
    try {
      const format = importFormat(file.path, await file.first(DETECT_BYTES), file.name)
      const recording = await (await format.load())(file)
      const events: Array<NewEvent> = []
      for await (const event of recording.events()) events.push(event)
      return { format: recording.format, events }
    } finally {
      await file.close()
    }
  })

/** What a player shows: microseconds since the first event, a code as in asciicast, a text. */
export type Shown = readonly [micros: number, code: string, data: string]

export const shownOf = (events: ReadonlyArray<NewEvent>): ReadonlyArray<Shown> => {
  const began = events[0]!.timeMicros
  return events.flatMap(({ event, timeMicros }): ReadonlyArray<Shown> => {
    const micros = timeMicros - began
    const text = (data: Uint8Array) => Buffer.from(data).toString()
    switch (event._tag) {
      case "OutputReceived":
        return [[micros, "o", text(event.data)]]
      case "InputWritten":
        return [[micros, "i", text(event.data)]]
      case "Resized":
        return [[micros, "r", `${event.size.cols}x${event.size.rows}`]]
      case "MarkerSet":
        return [[micros, "m", event.label]]
      default:
        return []
    }
  })
}

export const sizeOf = (events: ReadonlyArray<NewEvent>): TerminalSize => {
  const [first] = events
  if (first?.event._tag !== "SessionCreated") throw new Error("does not begin with SessionCreated")
  return first.event.size
}

// --- asciinema-player -------------------------------------------------------------------------------------------------

const PLAYER = join(dirname(fileURLToPath(import.meta.url)), "../../node_modules/asciinema-player/dist")

/** The part of the player that has no page: what it gives to its terminal. The package exports it only within a page. */
const playerCore = async () => {
  const chunk = readdirSync(PLAYER).find((name) => /^core-.*\.js$/.test(name))!
  const { C } = await import(pathToFileURL(join(PLAYER, chunk)).href)
  return C
}

export interface PlayerScreen {
  readonly size: TerminalSize
  readonly lines: ReadonlyArray<string>
  readonly output: string
}

interface PlayerSource {
  readonly parser?: string
  readonly format?: string
  /** By the name that the player asks for. */
  readonly files: Readonly<Record<string, Uint8Array | string>>
  readonly urls: string | ReadonlyArray<string>
  readonly options?: Readonly<Record<string, unknown>>
}

/** What the player shows at these seconds, or at the end; it is moved there, as by a click on its bar. */
export const playerScreens = async (
  { files, format, options = {}, parser, urls }: PlayerSource,
  seconds: ReadonlyArray<number | "end">
): Promise<ReadonlyArray<PlayerScreen>> => {
  const server = createServer((request, response) => {
    const content = files[new URL(request.url!, "http://localhost").pathname.slice(1)]
    response.statusCode = content === undefined ? 404 : 200
    response.end(content)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = (name: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`
  const Core = await playerCore()
  const log = () => {}
  const logger = { log, debug: log, info: log, warn: log, error: log }
  const source = {
    driver: "recording",
    url: typeof urls === "string" ? url(urls) : urls.map(url),
    ...(parser !== undefined && { parser }),
    ...(format !== undefined && { format })
  }
  const core = new Core(source, { logger, speed: 1, preload: true, ...options })
  let screen = new Screen({ cols: 80, rows: 24 })
  let output = ""
  core.addEventListener("reset", ({ init, size }: { readonly init?: string; readonly size: TerminalSize }) => {
    screen.dispose()
    screen = new Screen(size)
    output = init ?? ""
    if (init) screen.feed(Buffer.from(init))
  })
  core.addEventListener("resize", ({ cols, rows }: TerminalSize) => screen.resize({ cols, rows }))
  // Of a seek it is a list of all that was passed over.
  core.addEventListener("output", (text: string | ReadonlyArray<string>) => {
    const data = typeof text === "string" ? text : text.join("")
    output += data
    screen.feed(Buffer.from(data))
  })
  try {
    core.terminalReady()
    await core.init()
    const screens: Array<PlayerScreen> = []
    for (const second of seconds) {
      await core.seek(second === "end" ? "100%" : second)
      screens.push({ size: screen.size, lines: screen.view().lines, output })
    }
    return screens
  } finally {
    await core.stop?.()
    screen.dispose()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

export const jsonLines = (bytes: Uint8Array): ReadonlyArray<unknown> =>
  Buffer.from(bytes)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
