/** A Promise client over the layer of an Effect program: for those who use both, and for tests. */
import { Effect, Layer, ManagedRuntime } from "effect"
import type { Client } from "./Client.ts"
import { unwrap } from "./failureOf.ts"
import { type ClientServices, LiveClient } from "./LiveClient.ts"

/**
 * The layer is built anew, and lives as long as the client. Rejects with `RepriseError` when it cannot be built. `cwd`:
 * where programs start that are not told; absent, the engine decides.
 */
export const promiseClient = async <E>(
  layer: Layer.Layer<ClientServices, E>,
  cwd: () => string | undefined = () => undefined
): Promise<Client> => {
  const runtime = ManagedRuntime.make(Layer.fresh(layer))
  const built = await Effect.runPromiseExit(runtime.contextEffect)
  try {
    return new LiveClient({ services: unwrap(built), cwd, dispose: () => runtime.dispose() })
  } catch (error) {
    await runtime.dispose()
    throw error
  }
}
