/** Signed notes, checkpoints and proofs against the published vectors, and against every flipped byte. */
import { assert, describe, it } from "@effect/vitest"
import { leafHash, MerkleTree, verifyConsistency, verifyInclusion } from "../../journal/Merkle.ts"
import {
  checkpointText,
  generateSigner,
  isSignedBy,
  openNote,
  parseCheckpoint,
  parseNote,
  parseSignerKey,
  parseTlogProof,
  parseVerifierKey,
  signerKey,
  signNote,
  tlogProofText,
  verifierKey
} from "../../journal/SignedNote.ts"

// The example of c2sp.org/signed-note.
const vectorKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
const vectorNote =
  "This is an example message.\n\n" +
  "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
// The log in testdata/log of transparency-dev/tessera.
const testdataKey = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
const words = "one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split(" ")

describe("10.8 signed note", () => {
  const verifier = parseVerifierKey(vectorKey)!

  it("10.8 the published note is valid", () => {
    assert.strictEqual(openNote(vectorNote, verifier), "This is an example message.\n")
    assert.strictEqual(verifierKey(verifier), vectorKey)
    assert.strictEqual(verifierKey(parseVerifierKey(testdataKey)!), testdataKey)
    assert.isUndefined(openNote(vectorNote, parseVerifierKey(testdataKey)!))
  })

  it("10.8 the note in the documentation of golang.org/x/mod/sumdb/note is signed byte for byte as there", () => {
    const signer = parseSignerKey("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")!
    assert.strictEqual(verifierKey(signer), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    const text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    const line =
      "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    assert.strictEqual(signNote(text, signer), `${text}\n${line}`)
  })

  it("10.8 with any byte flipped it is not", () => {
    const bytes = Buffer.from(vectorNote, "utf8")
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 0x20, 0x80]) {
        const flipped = Buffer.from(bytes)
        flipped[at]! ^= bit
        assert.isUndefined(openNote(flipped.toString("utf8"), verifier), `byte ${at}`)
      }
    }
    for (let at = 0; at < vectorKey.length; at++) {
      const other = vectorKey.slice(0, at) + (vectorKey[at] === "A" ? "B" : "A") + vectorKey.slice(at + 1)
      assert.isUndefined(parseVerifierKey(other), `character ${at} of the key`)
    }
  })

  it("10.8 what is nearly a note is none", () => {
    const [text, line] = vectorNote.split("\n\n") as [string, string]
    const bad = [
      "",
      "\n",
      text,
      `${text}\n`,
      `${text}\n\n`,
      `${text}\n${line}`,
      `${text}\n\n${line.trimEnd()}`,
      `${text}\n\n${line}\n`,
      `${text}\r\n\r\n${line}`,
      `${text}\u001b[2J\n\n${line}`,
      `${text}\n\n${line.replace("— ", "- ")}`,
      `${text}\n\n${line.replace("Uw2Q", "Uw 2Q")}`,
      `${text}\n\n${line.replace("aQM=", "aQN=")}`,
      `${text}\n\n— example.com/foo \n`,
      `${text}\n\n${line.repeat(101)}`,
      `\ud800${vectorNote}`
    ]
    for (const note of bad) assert.isUndefined(openNote(note, verifier), JSON.stringify(note))
    // A right and a wrong signature of the same key: somebody tried, so it is not valid.
    const wrong = signNote("another text\n", generateSigner("example.com/foo")).split("\n\n")[1]!
    assert.isDefined(openNote(`${text}\n\n${line}${wrong}`, verifier))
    const forged = line.replace("Q=\n", "A=\n").replace("yaQM=", "yaQI=")
    assert.isUndefined(openNote(`${text}\n\n${line}${forged}`, verifier))
    // Empty lines in the text are part of it: the last one parts it from the signatures.
    const signer = generateSigner("reprise.local/x")
    assert.strictEqual(openNote(signNote("a\n\nb\n", signer), signer), "a\n\nb\n")
    assert.throws(() => signNote("no newline", signer), TypeError)
    assert.throws(() => generateSigner("two words"), TypeError)
  })

  it("10.8 a key is read as it was written, and another of the same name did not sign", () => {
    const signer = generateSigner("reprise.local/x")
    const note = signNote("text\n", parseSignerKey(signerKey(signer))!)
    assert.strictEqual(openNote(note, parseVerifierKey(verifierKey(signer))!), "text\n")
    const other = generateSigner("reprise.local/x")
    assert.isFalse(isSignedBy(parseNote(note)!, other))
    for (const text of ["", signerKey(signer).slice(1), `${signerKey(signer)}A`, verifierKey(signer)]) {
      assert.isUndefined(parseSignerKey(text))
    }
  })
})

describe("10.8 checkpoints and proofs", () => {
  const root = leafHash(Buffer.from("root"))

  it("10.8 a checkpoint is three lines, and nothing that is nearly so", () => {
    const text = checkpointText({ origin: "example.com/log", size: 15, root })
    assert.strictEqual(text, `example.com/log\n15\n${root.toString("base64")}\n`)
    assert.deepStrictEqual(parseCheckpoint(text), { origin: "example.com/log", size: 15, root })
    assert.isDefined(parseCheckpoint(`${text}an extension\n`))
    const bad = [
      text.slice(0, -1),
      text.replace("15", "015"),
      text.replace("15", "+15"),
      text.replace("15", "1e3"),
      text.replace("15", "9007199254740993"),
      text.replace("example.com/log", ""),
      text.replace("=\n", "\n"),
      checkpointText({ origin: "o", size: 1, root: root.subarray(1) }),
      `${text}\n`
    ]
    for (const each of bad) assert.isUndefined(parseCheckpoint(each), JSON.stringify(each))
  })

  it("10.8 fifteen checkpoints of a log: every root, signature, entry and consistency verifies from text alone", () => {
    const origin = "example.com/log/testdata"
    const signer = generateSigner(origin)
    const verifier = parseVerifierKey(verifierKey(signer))!
    const leaves = words.map((word) => leafHash(Buffer.from(word)))
    const tree = MerkleTree.of(leaves)
    const checkpoints = Array.from({ length: words.length + 1 }, (_, size) =>
      signNote(checkpointText({ origin, size, root: tree.root(size) }), signer)
    )
    for (const [size, note] of checkpoints.entries()) {
      const checkpoint = parseCheckpoint(openNote(note, verifier)!)!
      assert.strictEqual(checkpoint.size, size)
      assert.deepStrictEqual(checkpoint.root, MerkleTree.of(leaves.slice(0, size)).root())
      const last = parseCheckpoint(openNote(checkpoints[words.length]!, verifier)!)!
      const proof = tree.consistencyProof(size, last.size)
      assert.isTrue(verifyConsistency(size, last.size, checkpoint.root, last.root, proof))
      for (let index = 0; index < size; index++) {
        const text = tlogProofText({
          extra: index % 2 === 0 ? undefined : Buffer.from("extra"),
          index,
          hashes: tree.inclusionProof(index, size),
          checkpoint: note
        })
        const read = parseTlogProof(text)!
        assert.strictEqual(read.checkpoint, note)
        assert.strictEqual(read.extra === undefined, index % 2 === 0)
        const signed = parseCheckpoint(openNote(read.checkpoint, verifier)!)!
        assert.isTrue(verifyInclusion(leaves[index]!, read.index, signed.size, signed.root, read.hashes))
      }
    }
  })

  it("10.8 a proof is read in its own form only", () => {
    const signer = generateSigner("example.com/log")
    const note = signNote(checkpointText({ origin: "example.com/log", size: 2, root }), signer)
    const text = tlogProofText({ extra: undefined, index: 1, hashes: [root], checkpoint: note })
    assert.strictEqual(text, `c2sp.org/tlog-proof@v1\nindex 1\n${root.toString("base64")}\n\n${note}`)
    const bad = [
      text.replace("@v1", "@v2"),
      text.replace("index 1", "index 01"),
      text.replace("index 1\n", ""),
      text.replace("index 1", "extra ???\nindex 1"),
      text.replace("=\n", "\n"),
      text.replace(`${root.toString("base64")}\n`, `${root.toString("base64")}\n`.repeat(64)),
      text.replace(`\n\n${note}`, `\n${note}`),
      text.slice(0, -1)
    ]
    for (const each of bad) assert.isUndefined(parseTlogProof(each), JSON.stringify(each))
  })
})
