/**
 * Cuts the bytes of a shell's control pipe into frames (Driver.ts says what a frame is). It keeps an unfinished frame and
 * gives each whole one with the offset behind it. It knows no shell. What is not a frame is skipped to the next field: a
 * user who writes into the control pipe by hand harms nobody's bytes but his own.
 */

export type ControlFrame =
  | { readonly _tag: "ready"; readonly pid: number; readonly again: boolean }
  | { readonly _tag: "state"; readonly dump: string }
  | {
      readonly _tag: "end"
      readonly exec: number
      readonly exitCode: number
      readonly how: "completed" | "exited" | "interrupted" | "refused"
      readonly cwd: string
      readonly value: string | null
    }

/** An unfinished frame: a state dump of a shell with thousands of functions takes a few MiB. More is thrown away. */
const UNFINISHED_BYTES_MAX = 16 * 1024 * 1024
const FIELDS = { ready: 2, state: 1, end: 6 } as const
const HOW = new Set(["completed", "exited", "interrupted", "refused"])

export class ControlReader {
  #chunks: Array<Buffer> = []
  #bytes = 0
  /** Offset in the pipe of the first byte kept. */
  #offset: number

  constructor(offset = 0) {
    this.#offset = offset
  }

  /** The frames that these bytes complete, each with the offset of the first byte behind it. */
  push(bytes: Uint8Array): ReadonlyArray<readonly [ControlFrame, number]> {
    this.#chunks.push(Buffer.from(bytes))
    this.#bytes += bytes.byteLength
    if (bytes.indexOf(0) < 0 && this.#bytes <= UNFINISHED_BYTES_MAX) return []
    const all = Buffer.concat(this.#chunks)
    const frames: Array<readonly [ControlFrame, number]> = []
    let at = 0
    for (;;) {
      const head = fieldAt(all, at)
      if (head === undefined) break
      const [tag, count] = head.text.split(":")
      const expected = FIELDS[tag as keyof typeof FIELDS]
      if (expected === undefined || Number(count) !== expected) {
        at = head.end
        continue
      }
      const fields: Array<string> = []
      let end = head.end
      while (fields.length < expected) {
        const field = fieldAt(all, end)
        if (field === undefined) break
        fields.push(field.text)
        end = field.end
      }
      if (fields.length < expected) break
      at = end
      const frame = frameOf(tag as keyof typeof FIELDS, fields)
      if (frame !== undefined) frames.push([frame, this.#offset + at])
    }
    if (all.length - at > UNFINISHED_BYTES_MAX) at = all.length
    this.#chunks = at === all.length ? [] : [all.subarray(at)]
    this.#bytes = all.length - at
    this.#offset += at
    return frames
  }
}

const fieldAt = (bytes: Buffer, at: number): { readonly text: string; readonly end: number } | undefined => {
  const end = bytes.indexOf(0, at)
  return end < 0 ? undefined : { text: bytes.toString("utf8", at, end), end: end + 1 }
}

const frameOf = (tag: keyof typeof FIELDS, fields: ReadonlyArray<string>): ControlFrame | undefined => {
  switch (tag) {
    case "ready":
      return { _tag: "ready", pid: Number(fields[0]), again: fields[1] === "again" }
    case "state":
      return { _tag: "state", dump: fields[0]! }
    case "end": {
      const [exec, exitCode, how, cwd, hasValue, value] = fields as [string, string, string, string, string, string]
      if (!/^\d+$/.test(exec) || !/^\d+$/.test(exitCode) || !HOW.has(how)) return undefined
      return {
        _tag: "end",
        exec: Number(exec),
        exitCode: Number(exitCode),
        how: how as "completed",
        cwd,
        value: hasValue === "1" ? value : null
      }
    }
  }
}
