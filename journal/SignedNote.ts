/**
 * Texts that are signed and can be checked without us: the signed notes, checkpoints and proofs of c2sp.org (signed-note,
 * tlog-checkpoint, tlog-proof@v1), with Ed25519. Used for the checkpoints of sessions and of the store. It makes and reads
 * texts; where keys lie and what is signed is not its business.
 *
 *   note        text ending in "\n", an empty line, one or more lines "— NAME BASE64(key id | signature)"
 *   key id      the first 4 bytes of SHA-256(NAME | "\n" | 0x01 | public key)
 *   checkpoint  a note whose text is ORIGIN "\n" SIZE "\n" BASE64(root) "\n", and perhaps more lines
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto"
import { HASH_BYTES, sha256 } from "./Merkle.ts"

/** Signature type of Ed25519 in verifier keys and key ids. */
const ED25519 = 1
const KEY_ID_BYTES = 4
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** A note is text that somebody sent: as large as a checkpoint with many witnesses may be, and far below memory. */
export const NOTE_BYTES_MAX = 1024 * 1024
/** More signatures than any checkpoint has witnesses. */
const SIGNATURES_MAX = 100
/** RFC 6962 trees of up to 2^53 entries need no longer path. */
const PROOF_HASHES_MAX = 63
const SIGNATURE_PREFIX = "— "
const PROOF_HEADER = "c2sp.org/tlog-proof@v1"

/** Who may have signed: the name and the public key. */
export interface Verifier {
  readonly name: string
  /** 4 bytes. */
  readonly keyId: Uint8Array
  readonly publicKey: KeyObject
  /** 32 bytes. */
  readonly publicBytes: Uint8Array
}
export interface Signer extends Verifier {
  readonly privateKey: KeyObject
}

export interface NoteSignature {
  readonly name: string
  readonly keyId: Uint8Array
  readonly signature: Uint8Array
}
export interface Note {
  /** With its final newline: these are the bytes that are signed. */
  readonly text: string
  readonly signatures: ReadonlyArray<NoteSignature>
}

export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
}

export interface TlogProof {
  readonly extra: Uint8Array | undefined
  readonly index: number
  readonly hashes: ReadonlyArray<Uint8Array>
  /** The signed checkpoint, as it was made. */
  readonly checkpoint: string
}

/** Not empty, without spaces and "+": else a line could be read in two ways. */
const isKeyName = (name: string): boolean => name !== "" && !/[\s+]/u.test(name) && name.isWellFormed()

/** The bytes of canonical base64; undefined for any other text: one signature has one spelling. */
const fromBase64 = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, "base64")
  return bytes.toString("base64") === text ? bytes : undefined
}
const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

/** A number as it must be written: no sign, no leading zero, at most 2^53 - 1. */
const fromDecimal = (text: string | undefined): number | undefined =>
  text !== undefined && /^(0|[1-9][0-9]{0,15})$/.test(text) && Number.isSafeInteger(Number(text))
    ? Number(text)
    : undefined

// --- keys ------------------------------------------------------------------------------------------------------------

const keyIdOf = (name: string, publicBytes: Uint8Array): Buffer =>
  sha256(Buffer.concat([Buffer.from(`${name}\n`, "utf8"), Buffer.of(ED25519), publicBytes])).subarray(0, KEY_ID_BYTES)

/** Throws a TypeError for a name that no line could hold. */
const verifierOf = (name: string, publicBytes: Uint8Array): Verifier => {
  if (!isKeyName(name)) throw new TypeError(`"${name}" cannot be the name of a key`)
  const x = Buffer.from(publicBytes).toString("base64url")
  const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })
  return { name, keyId: keyIdOf(name, publicBytes), publicKey, publicBytes }
}

/** `NAME+KEYID(hex)+BASE64(0x01 | public key)`. */
export const verifierKey = ({ name, keyId, publicBytes }: Verifier): string =>
  `${name}+${Buffer.from(keyId).toString("hex")}+${toBase64(Buffer.concat([Buffer.of(ED25519), publicBytes]))}`

/** The key parts of `NAME+KEYID+BASE64`; undefined when the text is not that. */
const keyParts = (
  text: string
): { readonly name: string; readonly keyId: string; readonly bytes: Buffer } | undefined => {
  const [, name = "", keyId = "", base64 = ""] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? []
  const bytes = fromBase64(base64)
  if (!isKeyName(name) || bytes?.byteLength !== 1 + KEY_BYTES || bytes[0] !== ED25519) return undefined
  return { name, keyId, bytes: bytes.subarray(1) }
}

/** Reads a verifier key; undefined when it is none, or its key id is not that of its key. */
export const parseVerifierKey = (text: string): Verifier | undefined => {
  const parts = keyParts(text)
  if (parts === undefined || keyIdOf(parts.name, parts.bytes).toString("hex") !== parts.keyId) return undefined
  return verifierOf(parts.name, parts.bytes)
}

/** What stands before the 32 bytes of a private key in PKCS #8 (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex")
const SIGNER_PREFIX = "PRIVATE+KEY+"

const signerOf = (name: string, privateKey: KeyObject): Signer => {
  const { x } = createPublicKey(privateKey).export({ format: "jwk" })
  return { ...verifierOf(name, Buffer.from(x ?? "", "base64url")), privateKey }
}

export const generateSigner = (name: string): Signer => signerOf(name, generateKeyPairSync("ed25519").privateKey)

/** `PRIVATE+KEY+NAME+KEYID(hex)+BASE64(0x01 | private key)`: a secret. */
export const signerKey = ({ name, keyId, privateKey }: Signer): string => {
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(PKCS8_PREFIX.byteLength)
  return `${SIGNER_PREFIX}${name}+${Buffer.from(keyId).toString("hex")}+${toBase64(Buffer.concat([Buffer.of(ED25519), seed]))}`
}

/** Reads what `signerKey` wrote; undefined when it is anything else. */
export const parseSignerKey = (text: string): Signer | undefined => {
  const parts = text.startsWith(SIGNER_PREFIX) ? keyParts(text.slice(SIGNER_PREFIX.length)) : undefined
  if (parts === undefined) return undefined
  const key = Buffer.concat([PKCS8_PREFIX, parts.bytes])
  const signer = signerOf(parts.name, createPrivateKey({ key, format: "der", type: "pkcs8" }))
  return Buffer.from(signer.keyId).toString("hex") === parts.keyId ? signer : undefined
}

// --- notes -----------------------------------------------------------------------------------------------------------

/** The text, which must end in a newline, with one signature behind it. */
export const signNote = (text: string, signer: Signer): string => {
  if (!text.endsWith("\n")) throw new TypeError("a note must end in a newline")
  const signature = sign(null, Buffer.from(text, "utf8"), signer.privateKey)
  return `${text}\n${SIGNATURE_PREFIX}${signer.name} ${toBase64(Buffer.concat([signer.keyId, signature]))}\n`
}

/** The note with one signature more. */
export const cosignNote = (note: string, signer: Signer): string => {
  const signed = signNote(note.slice(0, note.lastIndexOf("\n\n") + 1), signer)
  return note + signed.slice(signed.lastIndexOf("\n\n") + 2)
}

/** Reads a note without asking whose it is; undefined when it is none. */
export const parseNote = (note: string): Note | undefined => {
  if (note.length > NOTE_BYTES_MAX || !note.isWellFormed() || !note.endsWith("\n")) return undefined
  // No control characters but the newline: what is signed is what a person sees.
  if (/[\x00-\x09\x0b-\x1f]/.test(note)) return undefined
  const split = note.lastIndexOf("\n\n")
  if (split < 0) return undefined
  const lines = note.slice(split + 2, -1).split("\n")
  if (lines.length > SIGNATURES_MAX) return undefined
  const signatures: Array<NoteSignature> = []
  for (const line of lines) {
    const [, name = "", base64 = ""] = /^— ([^ ]+) ([^ ]+)$/u.exec(line) ?? []
    const bytes = fromBase64(base64)
    if (!isKeyName(name) || bytes === undefined || bytes.byteLength <= KEY_ID_BYTES) return undefined
    signatures.push({ name, keyId: bytes.subarray(0, KEY_ID_BYTES), signature: bytes.subarray(KEY_ID_BYTES) })
  }
  return { text: note.slice(0, split + 1), signatures }
}

/**
 * The text of a note if the verifier's signature is on it and right; undefined otherwise. Signatures of others are not
 * looked at. `isSignedBy` alone tells a wrong signature from none.
 */
export const openNote = (note: string, verifier: Verifier): string | undefined => {
  const parsed = parseNote(note)
  return parsed !== undefined && isSignedBy(parsed, verifier) ? parsed.text : undefined
}

/** All signatures under the verifier's name and key id are right, and there is one. */
export const isSignedBy = (note: Note, verifier: Verifier): boolean => {
  const own = note.signatures.filter(
    ({ name, keyId }) => name === verifier.name && Buffer.compare(keyId, verifier.keyId) === 0
  )
  const text = Buffer.from(note.text, "utf8")
  return (
    own.length > 0 &&
    own.every(
      ({ signature }) => signature.byteLength === SIGNATURE_BYTES && verify(null, text, verifier.publicKey, signature)
    )
  )
}

// --- checkpoints and proofs --------------------------------------------------------------------------------------------

export const checkpointText = ({ origin, size, root }: Checkpoint): string => `${origin}\n${size}\n${toBase64(root)}\n`

/** Reads the text of a checkpoint (of a note that was opened); undefined when it is none. */
export const parseCheckpoint = (text: string): Checkpoint | undefined => {
  if (!text.endsWith("\n")) return undefined
  const [origin = "", sizeText, base64 = "", ...more] = text.slice(0, -1).split("\n")
  const size = fromDecimal(sizeText)
  const root = fromBase64(base64)
  if (origin === "" || size === undefined || root?.byteLength !== HASH_BYTES || more.includes("")) return undefined
  return { origin, size, root }
}

export const tlogProofText = ({ extra, index, hashes, checkpoint }: TlogProof): string =>
  [
    PROOF_HEADER,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${index}`,
    ...hashes.map(toBase64),
    "",
    checkpoint
  ].join("\n")

/** Reads a proof without checking anything but its form; undefined when it has another. */
export const parseTlogProof = (text: string): TlogProof | undefined => {
  const split = text.indexOf("\n\n")
  if (split < 0) return undefined
  const [header, ...lines] = text.slice(0, split).split("\n")
  if (header !== PROOF_HEADER) return undefined
  const extraText = lines[0]?.startsWith("extra ") ? lines.shift()?.slice("extra ".length) : undefined
  const extra = extraText === undefined ? undefined : fromBase64(extraText)
  const index = fromDecimal(/^index (.+)$/.exec(lines.shift() ?? "")?.[1])
  if (index === undefined || (extraText !== undefined && extra === undefined)) return undefined
  const hashes: Array<Uint8Array> = []
  for (const line of lines) {
    const hash = fromBase64(line)
    if (hash?.byteLength !== HASH_BYTES || hashes.length === PROOF_HASHES_MAX) return undefined
    hashes.push(hash)
  }
  const checkpoint = text.slice(split + 2)
  return parseNote(checkpoint) === undefined ? undefined : { extra, index, hashes, checkpoint }
}
