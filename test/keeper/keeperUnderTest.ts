/** Starting real keepers for tests, and leaving none behind. Used by the tests of this folder. */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "vitest"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import { type StartedKeeper, startKeeper } from "../../src/keeper/KeeperProcess.ts"
import type { PtyHost, PtyHostListener } from "../../src/keeper/PtyHost.ts"
import { newSession } from "../contracts/PtyHostContract.ts"
import { gone, isAlive } from "../fixtures/processes.ts"

/** The published program: it starts several times faster than its source. */
export const KEEPER_ENTRY = fileURLToPath(new URL("../../dist/bin/keeper.js", import.meta.url))

export interface KeeperUnderTest extends StartedKeeper {
  readonly folder: string
  /** Ends its sessions, then it, and removes its folder. */
  dispose(): Promise<void>
}

export const startTestKeeper = async (
  options: { readonly idleMillis?: number; readonly sessionsMax?: number; readonly folder?: string } = {}
): Promise<KeeperUnderTest> => {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "reprise-keeper-"))
  const keeper = await startKeeper({
    entry: KEEPER_ENTRY,
    folder,
    id: newSession(),
    execPath: process.execPath,
    sessionsMax: options.sessionsMax ?? 64,
    idleMillis: options.idleMillis ?? 10_000
  })
  return {
    ...keeper,
    folder,
    dispose: async () => {
      if (isAlive(keeper.pid)) {
        // The newest engine there can be: nobody else is served while it ends the sessions.
        const host = await connectKeeper({
          socket: keeper.socket,
          generation: Number.MAX_SAFE_INTEGER,
          listener: silent
        })
        await endSessions(host)
        await host.dispose()
      }
      await gone(keeper.pid)
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** Ends all sessions of a host and forgets them. */
export const endSessions = async (host: PtyHost): Promise<void> => {
  for (const { session } of await host.list()) {
    assert.deepStrictEqual(await host.close(session, 3000), [], "nothing of a session lives on")
    host.forget(session)
  }
}

export const silent: PtyHostListener = {
  output: () => {},
  leaderExited: () => {},
  terminalClosed: () => {},
  pipeOutput: () => {},
  pipeEnded: () => {},
  disconnected: () => {}
}
