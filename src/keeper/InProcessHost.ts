/**
 * A PtyHost in this very process, for tests and for embedding: its sessions end with it. Everything else is the same
 * as with a keeper, because it is the keeper's core. Deliveries share memory with what is held until acknowledged: the
 * receiver may keep them as long as it likes but must not write into them.
 */
import type { PtyHost, PtyHostListener } from "./PtyHost.ts"
import { Terminals } from "./Terminals.ts"

export const makeInProcessHost = (listener: PtyHostListener): PtyHost =>
  new Terminals({ id: "", listener, sessionsMax: Number.POSITIVE_INFINITY })
