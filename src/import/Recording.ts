/** What one recording in a file gives to whoever imports it, whatever its format. The formats are in Import.ts. */
import type { NewEvent, SessionId } from "../../journal/Event.ts"
import type { Row } from "../../journal/Journal.ts"
import type { RecordingFile } from "../files/RecordingFile.ts"

/** What a file holds, ready to be appended. */
export interface Recording {
  /** As RecordingImported has it, with its version: "asciicast-v2". At most 64 printable ASCII characters. */
  readonly format: string
  /**
   * Only of the lossless format: the session that the events are of. They are stored as they are, may end anywhere and may
   * begin with EventsRemoved; nothing is put between them.
   */
  readonly session?: SessionId | undefined
  /** Likewise: rows that stand for removed events. */
  readonly kept?: ReadonlyArray<Row> | undefined
  /**
   * In order; times rise or stay. The first is SessionCreated, the last SessionClosed (its exit code null where the file
   * does not say): an imported session is never a live one. Output has dense offsets from 0 and at most CHUNK_BYTES_MAX
   * (journal/Record.ts) in one event. RecordingImported is put behind the first by who imports. Throws RecordingRefused
   * where the file is not what it should be; nothing of it is in the store then. It is run more than once, and gives the
   * same each time.
   */
  readonly events: () => AsyncIterable<NewEvent> | Iterable<NewEvent>
}

/** Looks at the file, throws RecordingRefused. It reads no file but this one and those beside it that `beside` gives. */
export type OpenRecording = (file: RecordingFile) => Promise<Recording>
