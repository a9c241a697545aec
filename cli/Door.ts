/** What `reprise serve` loads when it is used: a server and its cryptography, which no other command pays for. */
import { Effect } from "effect"
import type { StoreRefused } from "../journal/JournalError.ts"
import { makeSocketFolder, type SocketFolderRefused } from "../src/remote/SocketFolder.ts"
import { prepareStoreFolder } from "../src/session/StoreFolder.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"

export { DoorRefused } from "../src/remote/DoorRefused.ts"
export * as DoorToken from "../src/remote/DoorToken.ts"
export * as WebSocketDoor from "../src/remote/WebSocketDoor.ts"
export { isLoopback } from "../src/remote/WebSocketProtocol.ts"

/** The folders that an engine and a token will be kept in: made private, or refused. */
export const prepareFolders = (paths: StorePaths): Effect.Effect<void, StoreRefused | SocketFolderRefused> =>
  Effect.try({ try: () => prepareStoreFolder(paths), catch: (refused) => refused as StoreRefused }).pipe(
    Effect.andThen(makeSocketFolder(paths.run, !paths.run.startsWith(paths.store)))
  )
