/**
 * Recordings that become sessions: the formats there are, and which one a file is of. `reprise import` asks here; what it
 * does with the events is RecordingImporter.ts's. A new format is a file of its own that gives an `OpenRecording`, and a
 * line here.
 */
import { EVENT_LINES_FORMAT } from "../export/EventLine.ts"
import { RecordingRefused } from "../files/FileError.ts"
import type { OpenRecording } from "./Recording.ts"
import { isAsciicast, isScript, isTlog, isTtyrec } from "./Signatures.ts"

export interface RecordingImport {
  readonly name: string
  /** One line for the help. */
  readonly description: string
  /** Whether a file that begins so (at most DETECT_BYTES of it) and is called so (its last part) is of this format. */
  readonly detect: (first: Uint8Array, name: string) => boolean
  /** Loaded when it is wanted. */
  readonly load: () => Promise<OpenRecording>
}

/** What `detect` is given of a file: more than any header line that says what it is. */
export const DETECT_BYTES = 4096

/** The first that detects a file has it: those that are sure by a name or a number in it come before those that guess. */
const RECORDING_IMPORTS: ReadonlyArray<RecordingImport> = [
  {
    name: "events",
    description: "JSON Lines of `reprise export --format events`",
    detect: (first) => Buffer.from(first.subarray(0, 512)).toString("latin1").includes(`"${EVENT_LINES_FORMAT}"`),
    load: () => import("./EventLinesImport.ts").then(({ openEventLines }) => openEventLines)
  },
  {
    name: "tlog",
    description: "messages of tlog, those of one recording",
    detect: isTlog,
    load: () => import("./TlogImport.ts").then(({ openTlog }) => openTlog)
  },
  {
    name: "asciicast",
    description: "recordings of asciinema, versions 1 to 3",
    detect: isAsciicast,
    load: () => import("./AsciicastImport.ts").then(({ openAsciicast }) => openAsciicast)
  },
  {
    name: "script",
    description: "typescript and timing of script(1), side by side",
    detect: isScript,
    load: () => import("./ScriptImport.ts").then(({ openScript }) => openScript)
  },
  {
    name: "ttyrec",
    description: "recordings of ttyrec",
    detect: isTtyrec,
    load: () => import("./TtyrecImport.ts").then(({ openTtyrec }) => openTtyrec)
  }
]

/** Throws RecordingRefused when it is of none. */
export const importFormat = (file: string, first: Uint8Array, name: string): RecordingImport => {
  const found = RECORDING_IMPORTS.find(({ detect }) => detect(first, name))
  if (found !== undefined) return found
  const formats = RECORDING_IMPORTS.map(({ description, name }) => `${name} (${description})`).join(", ")
  throw new RecordingRefused({ file, line: 0, reason: `is of no format that can be imported: a backup, ${formats}` })
}
