/** Who asks for something to be done to a store or to what it keeps. */
import { Effect } from "effect"
import { ACTOR_ENGINE } from "../../journal/Event.ts"
import { checkLabel } from "./CreateRequest.ts"
import type { InvalidRequest } from "./SessionError.ts"

/** The actor that a request names, else the engine. Fails with InvalidRequest where the name is none. */
export const actorOf = ({ actor }: { readonly actor?: string | undefined }): Effect.Effect<string, InvalidRequest> =>
  Effect.try({
    try: () => {
      checkLabel("actor", actor)
      return actor ?? ACTOR_ENGINE
    },
    catch: (error) => error as InvalidRequest
  })
