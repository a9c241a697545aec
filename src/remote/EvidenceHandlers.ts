/** Serves EvidenceRpcs from `Evidence` and `AccessLog`; EngineServer.ts puts it on the socket. It passes on, nothing else. */
import { Effect } from "effect"
import { Evidence } from "../evidence/Evidence.ts"
import { AccessLog } from "../session/AccessLog.ts"
import { READER_TEXT_LENGTH_MAX } from "../session/Reader.ts"
import { EvidenceRpcs } from "./EvidenceRpcs.ts"
import * as Readers from "./Readers.ts"

export const evidenceHandlers = EvidenceRpcs.toLayer(
  Effect.gen(function* () {
    const evidence = yield* Evidence
    const accesses = yield* AccessLog
    return EvidenceRpcs.of({
      NoteAccess: ({ refused, times = 1, ...access }, { client }) =>
        accesses
          .note({ ...access, times: Math.max(1, times), refused: refused?.slice(0, READER_TEXT_LENGTH_MAX) })
          .pipe(Readers.as(client)),
      Seal: () => evidence.seal,
      RotateKey: (request) => evidence.rotateKey(request)
    })
  })
)
