/**
 * ttyrec: frames of a time, a length and bytes. A frame that is nothing but the sequence for a size is that size, the first
 * one that of the beginning: so are sizes written there. Errors name the frame, from 1.
 */
import type { NewEvent } from "../../journal/Event.ts"
import type { RecordingFile } from "../files/RecordingFile.ts"
import { PieceReader } from "./PieceReader.ts"
import { type RecordedHead, RecordedSession } from "./RecordedSession.ts"
import type { OpenRecording } from "./Recording.ts"
import { TTYREC_FRAME_BYTES_MAX as FRAME_BYTES_MAX, TTYREC_HEADER_BYTES as HEADER_BYTES } from "./Signatures.ts"

const FORMAT = "ttyrec"
const MICROS_PER_SECOND = 1_000_000
/** Where a size may stand in the first frame. */
const SIZE_LOOK_BYTES = 4096
const SIZE = /\u001b\[8;(\d{1,5});(\d{1,5})t/

export const openTtyrec: OpenRecording = async (file) => {
  for await (const { data, timeMicros } of frames(file)) {
    const [, rows = 0, cols = 0] = SIZE.exec(data.subarray(0, SIZE_LOOK_BYTES).toString("latin1")) ?? []
    const head = { format: FORMAT, beganMicros: timeMicros, cols: Number(cols), rows: Number(rows) }
    return { format: FORMAT, events: () => events(file, head) }
  }
  throw file.refuse(0, "is empty")
}

async function* events(file: RecordingFile, head: RecordedHead): AsyncGenerator<NewEvent, undefined> {
  const session = new RecordedSession(head)
  yield session.created()
  let isFirst = true
  for await (const { data, timeMicros } of frames(file)) {
    session.at(timeMicros - head.beganMicros)
    const size = data.length > 32 ? null : SIZE.exec(data.toString("latin1"))
    if (size === null || size[0].length !== data.length) yield* session.output(data)
    else if (!isFirst) yield session.resize(Number(size[2]), Number(size[1]))
    isFirst = false
  }
  yield* session.ended()
}

interface Frame {
  readonly timeMicros: number
  readonly data: Buffer
}

async function* frames(file: RecordingFile): AsyncGenerator<Frame, undefined> {
  const reader = new PieceReader(file)
  try {
    for (let number = 1; ; number++) {
      const refused = (reason: string) => file.refuse(0, `frame ${number} ${reason}`)
      const header = await reader.read(HEADER_BYTES)
      if (header.length === 0) return
      if (header.length < HEADER_BYTES) throw refused("ends in the middle of its header")
      const micros = header.readUInt32LE(4)
      const bytes = header.readUInt32LE(8)
      if (micros >= MICROS_PER_SECOND) throw refused(`has ${micros} microseconds in its time; is it a ttyrec?`)
      if (bytes > FRAME_BYTES_MAX) throw refused(`says that it has ${bytes} bytes; is it a ttyrec?`)
      const data = await reader.read(bytes)
      if (data.length < bytes) throw refused(`ends after ${data.length} of ${bytes} bytes`)
      yield { timeMicros: header.readUInt32LE(0) * MICROS_PER_SECOND + micros, data }
    }
  } finally {
    await reader.close()
  }
}
