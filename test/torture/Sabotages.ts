/**
 * Single lines of production code, each of which a promise hangs on, and what to put in their place to break it.
 * `sabotage.ts` applies one after the other to a copy and expects the tests named here to fail: a test that passes with its
 * promise broken proves nothing. Data only.
 */

export interface Sabotage {
  /** What is broken. */
  readonly name: string
  readonly file: string
  /** Found exactly once in the file. */
  readonly find: string
  readonly replacement: string
  /** Tests that must fail with it and pass without it: files, and a pattern of their names. */
  readonly tests: ReadonlyArray<string>
  readonly pattern: string
}

export const SABOTAGES: ReadonlyArray<Sabotage> = [
  {
    name: "a record's checksum is not looked at",
    file: "journal/Record.ts",
    find: `if (crc32(value.subarray(4), crc32(key)) === stored) return undefined`,
    replacement: `if (stored >= 0) return undefined`,
    tests: ["test/journal/Record.test.ts"],
    pattern: "finds every flipped bit"
  },
  {
    name: "an append is acknowledged before its batch returns",
    file: "journal/JournalCore.ts",
    find: `        killPoint("journal.batch.before")\n`,
    replacement: `        for (const waiting of group) waiting.done(undefined)\n`,
    tests: ["test/journal/JournalModel.test.ts"],
    pattern: "keeps every acknowledged event through failing batches"
  },
  {
    name: "a store goes on after a failed write without being opened anew",
    file: "journal/JournalCore.ts",
    find: `this.#suspend(cause, [...group, ...this.#waiting.splice(0)])`,
    replacement: `for (const { done } of [...group, ...this.#waiting.splice(0)]) (this.#heads.clear(), done(this.#unavailable("append")))`,
    tests: ["test/journal/JournalModel.test.ts"],
    pattern: "keeps every acknowledged event through failing batches"
  },
  {
    name: "the first failed write of a full disk is taken for a full disk no more",
    file: "journal/LevelStorage.ts",
    find: `    await this.#level.close()\n    this.#level = await openLevel(this.#location, { createIfMissing: false })`,
    replacement: `    void this.#location`,
    tests: ["test/journal/DiskFull.test.ts"],
    pattern: "loses no acknowledged event"
  },
  {
    name: "a batch of one write is not synced in mode power",
    file: "journal/LevelStorage.ts",
    find: `{ sync: this.#sync }`,
    replacement: `{ sync: this.#sync && batch.length > 1 }`,
    tests: ["test/torture/DiskFaults.test.ts"],
    pattern: "reliability row 16: (?!without)"
  },
  {
    name: "an append does not compare the head it expects",
    file: "journal/JournalCore.ts",
    find: `options.expected !== head.assigned)`,
    replacement: `options.expected < 0)`,
    tests: ["test/journal/JournalMemory.test.ts"],
    pattern: "refuses an append whose expected head is not the head"
  },
  {
    name: "a follower's cursor is inclusive",
    file: "journal/JournalCore.ts",
    find: `    this.cursor = after\n`,
    replacement: `    this.cursor = Math.max(0, after - 1)\n`,
    tests: ["test/journal/JournalMemory.test.ts"],
    pattern: "follow gives history"
  },
  {
    name: "a store whose database is incomplete is opened all the same",
    file: "journal/StoreGuard.ts",
    find: `if (parts !== "complete") {`,
    replacement: `if (parts === "missing") {`,
    tests: ["test/journal/StoreGuard.test.ts"],
    pattern: "CURRENT deleted"
  },
  {
    name: "a stream shorter than at the last clean stop is taken for whole",
    file: "journal/JournalCore.ts",
    find: `return found < sealed ?`,
    replacement: `return found < 0 ?`,
    tests: ["test/journal/StoreDamage.test.ts"],
    pattern: "a log cut at"
  },
  {
    name: "a store folder that is open to others is used",
    file: "journal/StoreGuard.ts",
    find: `return (stat.mode & 0o077) === 0`,
    replacement: `return stat.mode !== 0`,
    tests: ["test/journal/StoreGuard.test.ts"],
    pattern: "a folder open to others"
  },
  {
    name: "a snapshot from behind damage is used",
    file: "projections/ProjectionRunner.ts",
    find: `if (sequence < place.sequence && slots.some(`,
    replacement: `if (sequence < 0 && slots.some(`,
    tests: ["test/projections/ProjectionRunner.test.ts"],
    pattern: "ends at damage and says so"
  },
  {
    name: "parameters of control sequences are not clamped",
    file: "projections/ScreenGuard.ts",
    find: `String(Math.min(Number(token), limit))`,
    replacement: `token`,
    tests: ["test/projections/ScreenGuard.test.ts"],
    pattern: "clamps parameters"
  },
  {
    name: "the keeper does not hold the slave of a terminal",
    file: "src/keeper/GuardedPty.ts",
    find: `    return openSync(path, fileConstants.O_RDWR | fileConstants.O_NOCTTY)`,
    replacement: `    return path === "" ? openSync(path, fileConstants.O_RDWR) : -1`,
    tests: ["test/keeper/GuardedPty.test.ts"],
    pattern: "holds the slave"
  },
  {
    name: "the leader's exit is told before its output was read",
    file: "src/keeper/GuardedPty.ts",
    find: `    else this.#read(0)\n  }`,
    replacement: `    else (this.#tellLeaderExited(this.#leaderExit), this.#read(0))\n  }`,
    tests: ["test/keeper/GuardedPty.test.ts"],
    pattern: "hostile case 15"
  },
  {
    name: "a line typed without echo is not taken for a secret",
    file: "src/keeper/GuardedPty.ts",
    find: `if (!echo && canonical) return answer(true)`,
    replacement: `if (!echo && canonical) return answer(false)`,
    tests: ["test/keeper/InProcessHost.test.ts"],
    pattern: "is secret while a program reads a password"
  },
  {
    name: "the keeper types an input again that it has typed",
    file: "src/keeper/HeldTerminal.ts",
    find: `WriteResult {\n    if (sequence <= this.#inputSequence) return { outcome: "repeated" }\n    if (bytes`,
    replacement: `WriteResult {\n    if (bytes`,
    tests: ["test/keeper/InProcessHost.test.ts"],
    pattern: "is applied once for each sequence"
  },
  {
    name: "the keeper takes an engine older than the newest it has seen",
    file: "src/keeper/KeeperServer.ts",
    find: `if (generation < this.#generation) {`,
    replacement: `if (generation < 0) {`,
    tests: ["test/keeper/KeeperServer.test.ts"],
    pattern: "refuses an engine that is older"
  },
  {
    name: "the keeper's socket is open to all users",
    file: "src/keeper/KeeperServer.ts",
    find: `chmodSync(path, 0o600)`,
    replacement: `chmodSync(path, 0o666)`,
    tests: ["test/keeper/KeeperServer.test.ts"],
    pattern: "its owner's alone"
  },
  {
    name: "output is acknowledged to the keeper before it is in the journal",
    file: "src/session/TerminalOutput.ts",
    find: `this.#stream.outputBegun()`,
    replacement: `;(this.#stream.outputBegun(), this.#owner.host?.ack(this.#id, this.#nextOffset))`,
    tests: ["test/session/Recovery.test.ts"],
    pattern: "a full disk pauses sessions"
  },
  {
    name: "a command with an id that was used is applied again",
    file: "src/session/SessionInput.ts",
    find: `if (repeated !== undefined) return { sequence: repeated, hidden: false, truncatedTo: null }`,
    replacement: `if (repeated === -1) return { sequence: repeated, hidden: false, truncatedTo: null }`,
    tests: ["test/session/Sessions.test.ts"],
    pattern: "in process.*a repeated command is applied once"
  },
  {
    name: "a secret's value is not looked for in what a command prints",
    file: "src/exec/Secrets.ts",
    find: `const redacted = rest.length === 0 ?`,
    replacement: `const redacted = input !== undefined ? bytes : rest.length === 0 ?`,
    tests: ["test/exec/Secrets.test.ts"],
    pattern: "finds what a terminal makes"
  },
  {
    name: "a keeper is told that a match which is journaled in part needs no more",
    file: "src/capture/SessionCapture.ts",
    find: `return Math.min(durable, this.#steps[0]!.needed)`,
    replacement: `return durable`,
    tests: ["test/redact/CaptureFilter.test.ts"],
    pattern: "leave the next one all that a match goes on from"
  },
  {
    name: "a follower goes live on a head from before a failure",
    file: "journal/JournalCore.ts",
    find: `if (head !== undefined && this.#heads.get(follower.stream) !== head) return undefined`,
    replacement: ``,
    tests: ["test/journal/JournalModel.test.ts"],
    pattern: "sees what was written after all"
  },
  {
    name: "an encrypted value that was forged is opened",
    file: "journal/SealedValue.ts",
    find: `  } catch {\n    return undefined\n`,
    replacement: `  } catch {\n    return value\n`,
    tests: ["test/encryption/EncryptedStore.test.ts"],
    pattern: "names a flipped bit, a forged value"
  }
]
