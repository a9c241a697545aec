/** A store with a quota: refused before anything is written, looked at rarely, and writable again when there is room. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { JournalQuota, QuotaReached } from "../../journal/JournalQuota.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"

const MIB = 1024 * 1024

const withFolder = async (use: (folder: string, fill: (bytes: number) => void) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-"))
  try {
    await use(folder, (bytes) => writeFileSync(join(folder, "tables"), Buffer.alloc(bytes)))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const put = (name: string, bytes = 1000) => [{ key: Buffer.from(name), value: Buffer.alloc(bytes) }]
const all = { from: Buffer.alloc(0), to: Buffer.of(255), limit: 10_000, bytesMax: 100 * MIB }

const refusal = async (write: Promise<void>): Promise<unknown> =>
  write.then(
    () => undefined,
    (error: unknown) => error
  )

describe("JournalQuota", () => {
  it("looks at the folder when what was written might fill the rest, not at every write", () =>
    withFolder(async (folder, fill) => {
      let looks = 0
      const bytesMax = () => {
        looks++
        return 10 * MIB
      }
      const quota = new JournalQuota(new MemoryStorage(), { folder, bytesMax })
      fill(2 * MIB)
      for (let i = 0; i < 7000; i++) await quota.batch(put(`a${i}`))
      assert.strictEqual(looks, 1)
      // What LevelDB made of them is smaller than they were.
      fill(6 * MIB)
      for (let i = 0; i < 4000; i++) await quota.batch(put(`b${i}`))
      assert.strictEqual(looks, 2)
    }))

  it("refuses a write beyond it, and nothing of it is there; deleting is not refused", () =>
    withFolder(async (folder, fill) => {
      const storage = new MemoryStorage()
      const quota = new JournalQuota(storage, { folder, bytesMax: () => 10 * MIB })
      await quota.batch(put("before"))
      fill(10 * MIB - 500)
      const large = [...put("one"), ...put("two", 10 * MIB)]
      assert.instanceOf(await refusal(quota.batch(large)), QuotaReached)
      assert.instanceOf(await refusal(quota.batch(put("three"))), QuotaReached)
      assert.deepStrictEqual(
        (await quota.range(all)).map(([key]) => Buffer.from(key).toString()),
        ["before"]
      )
      await quota.batch([{ key: Buffer.from("before"), value: undefined }])
      assert.strictEqual((await quota.range(all)).length, 0)
    }))

  it("is over when some of it is free, or when it was raised, and the storage is not opened anew for it", () =>
    withFolder(async (folder, fill) => {
      class Counting extends MemoryStorage {
        reopened = 0
        override async reopen() {
          this.reopened++
        }
      }
      const storage = new Counting()
      let bytesMax: number | null = 10 * MIB
      const quota = new JournalQuota(storage, { folder, bytesMax: () => bytesMax })
      const isFull = async () => (await refusal(quota.reopen())) instanceof QuotaReached
      for (const makeRoom of [
        () => fill(9 * MIB),
        () => {
          bytesMax = 20 * MIB
        },
        () => {
          bytesMax = null
        }
      ]) {
        bytesMax = 10 * MIB
        fill(10 * MIB)
        // Near the quota it is looked at once for 256 KiB.
        let error: unknown
        for (let i = 0; i < 300 && error === undefined; i++) error = await refusal(quota.batch(put(`${i}`, 64 * 1024)))
        assert.instanceOf(error, QuotaReached)
        assert.isTrue(await isFull())
        fill(10 * MIB - 1)
        assert.isTrue(await isFull())
        makeRoom()
        assert.isFalse(await isFull())
        await quota.batch(put("again"))
      }
      assert.strictEqual(storage.reopened, 0)
      await quota.reopen()
      assert.strictEqual(storage.reopened, 1)
    }))
})
