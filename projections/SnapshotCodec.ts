/**
 * The byte format of projection snapshots: a JSON header and raw parts behind it, so that states that hold bytes need
 * no base64. The projections' `encode`/`decode` use it; nothing else does. It never trusts what it reads: a snapshot
 * that is not exactly of this form throws, and the caller rebuilds the state from the journal.
 *
 *     u32 big-endian: length of the header | header: {"state": …, "parts": [byte lengths]} | parts
 */

/** Bytes of a header. A state with a larger one is not worth keeping: rebuilding it from the journal is cheaper to reason about. */
const HEADER_BYTES_MAX = 16 * 1024 * 1024

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export const encodeSnapshot = (state: unknown, parts: ReadonlyArray<Uint8Array> = []): Uint8Array => {
  const header = textEncoder.encode(JSON.stringify({ state, parts: parts.map((part) => part.byteLength) }))
  let length = 4 + header.byteLength
  for (const part of parts) length += part.byteLength
  const bytes = new Uint8Array(length)
  new DataView(bytes.buffer).setUint32(0, header.byteLength)
  bytes.set(header, 4)
  let at = 4 + header.byteLength
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

/** The state is of the type that the caller's own `encode` wrote; a version change ignores older snapshots before this. */
export const decodeSnapshot = <State>(
  bytes: Uint8Array,
  partCount = 0
): { readonly state: State; readonly parts: ReadonlyArray<Uint8Array> } => {
  if (bytes.byteLength < 4) throw new Error("snapshot: too short")
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
  if (headerBytes > HEADER_BYTES_MAX || 4 + headerBytes > bytes.byteLength) throw new Error("snapshot: bad header")
  const header = JSON.parse(textDecoder.decode(bytes.subarray(4, 4 + headerBytes))) as {
    state?: State
    parts?: unknown
  }
  if (header === null || typeof header !== "object" || typeof header.state !== "object" || header.state === null) {
    throw new Error("snapshot: no state")
  }
  if (!Array.isArray(header.parts) || header.parts.length !== partCount) throw new Error("snapshot: wrong parts")
  const parts: Array<Uint8Array> = []
  let at = 4 + headerBytes
  for (const length of header.parts as ReadonlyArray<unknown>) {
    if (typeof length !== "number" || !Number.isInteger(length) || length < 0 || at + length > bytes.byteLength) {
      throw new Error("snapshot: bad part")
    }
    // A copy: the row it came from may be a view of a larger read buffer, and states change their bytes in place.
    parts.push(new Uint8Array(bytes.subarray(at, at + length)))
    at += length
  }
  if (at !== bytes.byteLength) throw new Error("snapshot: trailing bytes")
  return { state: header.state, parts }
}

/** Every field of a decoded state has the type of the same field of an initial one; else it is not a state of ours. */
export const assertShape = (state: object, like: object): void => {
  for (const [key, value] of Object.entries(like)) {
    const found = (state as Record<string, unknown>)[key]
    if (found === undefined) throw new Error(`snapshot: no ${key}`)
    // null stands for "not known yet" in a state, so such a field says nothing about its later type.
    if (value !== null && found !== null && typeof found !== typeof value) throw new Error(`snapshot: bad ${key}`)
    if (Array.isArray(value) !== Array.isArray(found) && value !== null && found !== null) {
      throw new Error(`snapshot: bad ${key}`)
    }
  }
}
