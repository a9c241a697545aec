/**
 * What script(1) writes: the timing, classic or advanced, and beside it the typescript with the output and, where it was
 * kept, the input. Either file may be named; the other is found by the name that the timing gives, or by the usual ones.
 * Errors name the line of the timing.
 */
import type { NewEvent } from "../../journal/Event.ts"
import { CHUNK_BYTES_MAX } from "../../journal/Record.ts"
import { RecordingRefused } from "../files/FileError.ts"
import type { RecordingFile } from "../files/RecordingFile.ts"
import { PieceReader } from "./PieceReader.ts"
import { type RecordedHead, RecordedSession } from "./RecordedSession.ts"
import type { OpenRecording } from "./Recording.ts"
import { CLASSIC_TIMING as CLASSIC, TYPESCRIPT_BEGINNING as FIRST_LINE, isTypescript } from "./Signatures.ts"

const FORMAT = "script"
const HEAD_BYTES_MAX = 16 * 1024
/** Bytes behind the output: `Script done on …`. */
const FOOT_BYTES_MAX = 4096
const MICROS_PER_SECOND = 1_000_000
const SECONDS_MAX = 1e9
const ADVANCED = /^([A-Z]) (\d+(?:\.\d+)?)(?: (.*))?$/

export const openScript: OpenRecording = async (file) => {
  const isOutput = isTypescript(await file.first(FIRST_LINE.length))
  const named = isOutput ? undefined : await headersOf(file)
  const stem = file.name.replace(/\.[^.]+$/, "")
  const names = isOutput
    ? ["timing", `${stem}.timing`, `${stem}.tim`, `${file.name}.timing`, `${file.name}.tim`]
    : [named?.get("OUTPUT_LOG") ?? "", "typescript", `${stem}.typescript`, `${stem}.out`, `${stem}.script`, stem]
  const other = await findBeside(file, names)
  const timing = isOutput ? other.name : file.name
  const output = isOutput ? file.name : other.name
  await other.close()
  const parts: Parts = { file, timing, output, headers: named ?? (await withFile(file, timing, headersOf)) }
  const head = await withFile(file, output, (typescript) => headOf(parts, typescript))
  return { format: FORMAT, events: () => events(parts, head) }
}

/** The recording by the names of its files, all beside the one that was named. */
interface Parts {
  readonly file: RecordingFile
  readonly timing: string
  readonly output: string
  /** Of the advanced timing. */
  readonly headers: ReadonlyMap<string, string>
}

const withFile = async <A>(file: RecordingFile, name: string, use: (file: RecordingFile) => Promise<A>): Promise<A> => {
  const opened = await file.beside(name)
  try {
    return await use(opened)
  } finally {
    await opened.close()
  }
}

const findBeside = async (file: RecordingFile, names: ReadonlyArray<string>): Promise<RecordingFile> => {
  for (const name of names) {
    if (name === "" || name === file.name) continue
    try {
      return await file.beside(name)
    } catch (error) {
      if (!(error instanceof RecordingRefused)) throw error
    }
  }
  const missing = [...new Set(names.filter((name) => name !== "" && name !== file.name))].join(", ")
  throw file.refuse(0, `is one of the two files of a script, and none of these is beside it: ${missing}`)
}

const headersOf = async (timing: RecordingFile): Promise<ReadonlyMap<string, string>> => {
  const headers = new Map<string, string>()
  for await (const { line, number } of timing.lines()) {
    const [, kind, , rest = ""] = ADVANCED.exec(line.toString()) ?? []
    if (kind === "H") {
      const space = rest.indexOf(" ")
      if (space > 0 && !headers.has(rest.slice(0, space))) headers.set(rest.slice(0, space), rest.slice(space + 1))
    } else if (number > 1 && kind === undefined) break
  }
  return headers
}

const headOf = async ({ file, headers }: Parts, typescript: RecordingFile): Promise<RecordedHead> => {
  const line = await firstLine(file, typescript)
  const quoted = (key: string) => new RegExp(`\\b${key}="([^"]*)"`).exec(line)?.[1]
  const found = (key: string) => headers.get(key) ?? quoted(key)
  const cells = (key: string) => (/^\d{1,5}$/.test(found(key) ?? "") ? Number(found(key)) : 0)
  const began = Date.parse(
    (headers.get("START_TIME") ?? line.slice(FIRST_LINE.length).split(" [")[0]!).trim().replace(" ", "T")
  )
  return {
    format: FORMAT,
    beganMicros: Number.isNaN(began) || began < 0 ? 0 : began * 1000,
    cols: cells("COLUMNS"),
    rows: cells("LINES"),
    command: found("COMMAND"),
    term: found("TERM")
  }
}

/** Readers leave it out, whatever it says. */
const firstLine = async (file: RecordingFile, typescript: RecordingFile): Promise<string> => {
  const first = Buffer.from(await typescript.first(HEAD_BYTES_MAX))
  const end = first.indexOf(10)
  if (end < 0) throw file.refuse(0, `${typescript.name} has no first line of its own`)
  return first.subarray(0, end + 1).toString()
}

async function* events(parts: Parts, head: RecordedHead): AsyncGenerator<NewEvent, undefined> {
  const opened: Array<RecordingFile> = []
  const readers: Array<PieceReader> = []
  const open = async (name: string) => {
    const file = await parts.file.beside(name)
    opened.push(file)
    return file
  }
  const read = async (file: RecordingFile) => {
    const reader = new PieceReader(file)
    readers.push(reader)
    await reader.read(Buffer.byteLength(await firstLine(parts.file, file)))
    return reader
  }
  try {
    const timing = await open(parts.timing)
    const output = await read(await open(parts.output))
    let input: PieceReader | undefined
    const session = new RecordedSession(head)
    yield session.created()
    let micros = 0
    for await (const { line, number } of timing.lines()) {
      const refuse = (reason: string) => timing.refuse(number, reason)
      const { data, delay, kind } = entryOf(line, refuse)
      micros += delay
      if (micros > SECONDS_MAX * MICROS_PER_SECOND) throw refuse("the recording is too long")
      session.at(micros)
      if (kind === "S") {
        const [, rows, cols] = /^SIGWINCH ROWS=(\d{1,5}) COLS=(\d{1,5})/.exec(data) ?? []
        if (rows === undefined) yield session.marker(`script signal ${data}`)
        else yield session.resize(Number(cols), Number(rows))
      } else if (kind === "H") {
        const [key = "", ...rest] = data.split(" ")
        if (key === "EXIT_CODE" && /^\d{1,5}$/.test(rest.join(" "))) session.exit(Number(rest.join(" ")))
        else if (key === "MARKER") yield session.marker(rest.join(" "))
        else if (key === "GAP") yield session.marker(`gap: ${rest.join(" ")}`)
      } else {
        if (!/^\d{1,15}$/.test(data)) throw refuse("is not a delay and a number of bytes")
        if (kind === "I" && input === undefined) {
          const name = parts.headers.get("INPUT_LOG")
          input = name === undefined || name === parts.headers.get("OUTPUT_LOG") ? output : await read(await open(name))
        }
        const from = kind === "I" ? input! : output
        for (let missing = Number(data); missing > 0; ) {
          const bytes = await from.read(Math.min(missing, CHUNK_BYTES_MAX))
          if (bytes.length === 0) throw refuse(`asks for ${missing} bytes more than there are`)
          missing -= bytes.length
          yield* kind === "I" ? session.input(bytes) : session.output(bytes)
        }
      }
    }
    const [, code] = /COMMAND_EXIT_CODE="(\d{1,5})"\]\s*$/.exec((await output.read(FOOT_BYTES_MAX)).toString()) ?? []
    if (code !== undefined) session.exit(Number(code))
    yield* session.ended()
  } finally {
    for (const reader of readers) await reader.close()
    for (const file of opened) await file.close()
  }
}

const entryOf = (line: Buffer, refuse: (reason: string) => RecordingRefused) => {
  const text = line.toString()
  const classic = CLASSIC.exec(text)
  const [, kind, delay, data = ""] = classic === null ? (ADVANCED.exec(text) ?? []) : ["", "O", classic[1], classic[2]]
  if (kind === undefined || delay === undefined || !"OISH".includes(kind)) throw refuse("is no entry of a timing")
  if (Number(delay) > SECONDS_MAX) throw refuse("its delay is too large")
  return { kind, delay: Math.round(Number(delay) * MICROS_PER_SECOND), data }
}
