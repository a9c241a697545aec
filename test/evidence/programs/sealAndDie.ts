/** Seals a session of the store in argv[2] until the kill point of the environment ends it. */
import { Effect } from "effect"
import type { SessionId } from "../../../journal/Event.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { sealing } from "../sealedStores.ts"

const [, , store = "", session = ""] = process.argv
await sealing(storePaths(store), (_, sealer) => Effect.asVoid(sealer.seal(session as SessionId)))
