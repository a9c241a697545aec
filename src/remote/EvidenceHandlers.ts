/** Serves EvidenceRpcs from `Evidence` and `AccessLog`; EngineServer.ts puts it on the socket. It passes on, nothing else. */
import { Effect } from "effect"
import { AccessLog } from "../session/AccessLog.ts"
import { Evidence } from "../session/Evidence.ts"
import { Reader } from "../session/Reader.ts"
import { EvidenceRpcs } from "./EvidenceRpcs.ts"
import * as Readers from "./Readers.ts"

export const evidenceHandlers = EvidenceRpcs.toLayer(
  Effect.gen(function* () {
    const evidence = yield* Evidence
    const accesses = yield* AccessLog
    return EvidenceRpcs.of({
      NoteAccess: (access, { client }) => accesses.note(access).pipe(Effect.provideService(Reader, Readers.of(client))),
      Seal: () => evidence.seal,
      RotateKey: (request) => evidence.rotateKey(request)
    })
  })
)
