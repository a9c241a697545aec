/**
 * How recordings of other programs begin, by which an import knows them. It looks at the first bytes and the name alone; what is
 * right is for each format's own reader to say.
 */

/** Of the file that script(1) writes the output into. */
export const TYPESCRIPT_BEGINNING = "Script started on "
/** An entry of script's classic timing: seconds and bytes. */
export const CLASSIC_TIMING = /^(\d+(?:\.\d+)?) (\d+)$/
const ADVANCED_TIMING = /^[HOIS] \d+\.\d+ \S/

export const TTYREC_HEADER_BYTES = 12
/** Of one frame. Recorders read a terminal in pieces of some KiB: what says more is no ttyrec. */
export const TTYREC_FRAME_BYTES_MAX = 16 * 1024 * 1024
/** 1990: before there was ttyrec. */
const SECONDS_MIN = 631_152_000
const MICROS_PER_SECOND = 1_000_000

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

/** A JSON object with a version, or one by the name. */
export const isAsciicast = (first: Uint8Array, name: string): boolean => {
  const text = latin1(first)
  return /^\s*\{/.test(text) && (/"version"\s*:\s*\d/.test(text) || name.endsWith(".cast"))
}

export const isTypescript = (first: Uint8Array): boolean => latin1(first).startsWith(TYPESCRIPT_BEGINNING)

/** Either of script's two files. */
export const isScript = (first: Uint8Array): boolean => {
  const [line = ""] = latin1(first).split("\n", 1)
  return isTypescript(first) || CLASSIC_TIMING.test(line) || ADVANCED_TIMING.test(line)
}

/** By the name, or by a first frame that looks like one. */
export const isTtyrec = (first: Uint8Array, name: string): boolean => {
  if (/\.(ttyrec|tty)$/i.test(name)) return true
  if (first.length <= TTYREC_HEADER_BYTES) return false
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength)
  const length = view.getUint32(8, true)
  return (
    view.getUint32(0, true) >= SECONDS_MIN &&
    view.getUint32(4, true) < MICROS_PER_SECOND &&
    length > 0 &&
    length <= TTYREC_FRAME_BYTES_MAX
  )
}

/** A JSON object whose version and fields are those of a message of tlog. */
export const isTlog = (first: Uint8Array): boolean => {
  const text = latin1(first)
  return /^\s*\{/.test(text) && /"ver"\s*:\s*"2(?:\.\d+)?"/.test(text) && /"(?:timing|out_txt)"\s*:/.test(text)
}
