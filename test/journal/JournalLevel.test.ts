import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { JournalLevel } from "../../journal/index.ts"
import { journalContract } from "../contracts/JournalContract.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-journal-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

for (const durability of ["process", "power"] as const) {
  journalContract(`LevelDB, ${durability}`, () =>
    Layer.unwrap(
      Effect.map(temporaryFolder, (folder) => JournalLevel.layer({ location: join(folder, "journal"), durability }))
    )
  )
}
