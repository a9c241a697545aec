/** The store with one sealed session of a gigabyte that `export` and `verify` are measured with: made once in a run. */
import { Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

export const RECORDED_BYTES = 1_000_000_000

export interface Recorded {
  readonly store: Store
  readonly session: string
}

const made = new WeakMap<Workspace, Promise<Recorded>>()

export const recordedStore = (workspace: Workspace): Promise<Recorded> => {
  const known = made.get(workspace)
  if (known !== undefined) return known
  const store = new Store(workspace, workspace.newFolder("recorded"))
  const making = workspace
    .program<{ session: string }>("buildRecording", [store.paths.store, String(RECORDED_BYTES)])
    .then(({ session }) => ({ store, session }))
  made.set(workspace, making)
  return making
}
