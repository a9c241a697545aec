/** Sessions that went from store to store, and what everybody who verifies says of them. */
import { writeFileSync } from "node:fs"
import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { verifierKey } from "../../journal/SignedNote.ts"
import { exportBundles } from "../../src/evidence/BundleExport.ts"
import { readKey } from "../../src/evidence/Keys.ts"
import { exportEvents } from "../../src/export/EventsExport.ts"
import { importRecording } from "../../src/import/RecordingImporter.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { verdicts } from "./bundleVerdicts.ts"
import { named, verified } from "./sealedStores.ts"

const SOUND = { code: 0, integrity: [], completeness: [] }

let bundles = 0
export const bundleOf = async (paths: StorePaths, session: SessionId): Promise<string> => {
  const signer = readKey(paths)!.signer
  const folder = `${paths.store}.bundle-${bundles++}`
  await exportBundles(paths, [session], folder, { reason: null, nowMillis: 5, signer })
  return folder
}

/** The store and a bundle of the session, whoever looks at it. */
export const assertSound = async (paths: StorePaths, session: SessionId) => {
  assert.deepStrictEqual(named(await verified(paths)), [])
  const key = verifierKey(readKey(paths)!.signer)
  assert.deepStrictEqual(await verdicts(await bundleOf(paths, session), { key }), SOUND)
}

export const imported = async (
  from: StorePaths,
  session: SessionId,
  folder: string,
  name: string
): Promise<StorePaths> => {
  const file = `${folder}/${name}.jsonl`
  const pieces = await Effect.runPromise(Stream.runCollect(exportEvents(from, session)))
  writeFileSync(file, Buffer.concat([...pieces]))
  const to = storePaths(`${folder}/${name}`)
  const report = await importRecording(to, file, { dryRun: false, importer: "auditor", nowMicros: 5 })
  assert.deepInclude(report, { session, outcome: "imported" })
  return to
}
