/** README.txt of a bundle: what it is and how to check it, for somebody who has nothing else. Pure. */
import { BUNDLE_FILES, type Coverage } from "./Bundle.ts"

export const bundleReadme = (
  session: string,
  coverage: Coverage,
  key: string | undefined
): string => `Evidence of session ${session}

What is there: ${coverage.text}.

To check it, with Node.js 20 or later and nothing else:

    node ${BUNDLE_FILES.verify} . --key FILE

FILE holds the key of the store (one line, beginning with its name). Get it from the store's owner, by another way than this
folder came: ${key === undefined ? "this bundle has no key and no seals" : `${BUNDLE_FILES.key} here is only a copy of it`}. Whoever has a checkpoint of the store from before can
check with --anchor FILE that the store's log still goes on from it.

It answers with two verdicts. Integrity: what is here is what was recorded. Completeness: everything that was recorded is
here. It ends with 0 when both hold, 82 when integrity does not, 83 when only completeness does not, 84 when nothing is signed, 64
when this is no bundle.
Nothing here proves that what was recorded is true.

${BUNDLE_FILES.events}
    every event: sequence, time (microseconds since 1970), actor, kind, payload (base64). leaf and salt tie it to the seal:
    leaf = SHA-256(0x00 | session id (16 bytes) | sequence (u64) | header | SHA-256(salt | payload)),
    header = record (u8) | kind (u8) | time (u64) | length and bytes of actor | length and bytes of command
${BUNDLE_FILES.sessionCheckpoint}, ${BUNDLE_FILES.storeCheckpoint}
    signed notes (c2sp.org/signed-note): size and root of the RFC 6962 trees of the session's events and of the store's log
${BUNDLE_FILES.statement}, ${BUNDLE_FILES.proof}
    the log's entry about this session, and the proof that it is in the log (c2sp.org/tlog-proof)
${BUNDLE_FILES.rotations}
    only where the store's key was followed by another: the log's entry that names both keys, the checkpoint that both signed,
    and the proofs that it is in the log. Who has the key of before is led to the present one, and the other way round
${BUNDLE_FILES.manifest}, ${BUNDLE_FILES.manifestNote}
    who exported this, when, why; what is covered and every gap; the digest of each file; signed
${BUNDLE_FILES.redactions}
    what was replaced before the export, and by which rules: PayloadsRedacted in the record afterwards, SecretsRedacted
    before it was recorded
${BUNDLE_FILES.recording}
    for a player (asciinema play); made from the events, and no evidence by itself
`
