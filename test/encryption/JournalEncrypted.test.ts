/** The journal's own suite over encrypted storage, and what is in its files. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { JournalLevel } from "../../journal/index.ts"
import { journalContract } from "../contracts/JournalContract.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-journal-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

journalContract("LevelDB, encrypted", () =>
  Layer.unwrap(
    Effect.map(temporaryFolder, (folder) => {
      const file = join(folder, "key")
      writeFileSync(file, Buffer.alloc(32, 7), { mode: 0o600 })
      return JournalLevel.layer({ location: join(folder, "journal"), key: { file } })
    })
  )
)
