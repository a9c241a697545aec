/** What an engine gives to its clients: a server needs it, a client of the engine has it. A type alone. */

import type { Redaction } from "../erasure/Redaction.ts"
import type { Retention } from "../erasure/Retention.ts"
import type { Evidence } from "../evidence/Evidence.ts"
import type { Exec } from "../exec/Exec.ts"
import type { Search } from "../search/Search.ts"
import type { AccessLog } from "../session/AccessLog.ts"
import type { Attach } from "../session/Attach.ts"
import type { History } from "../session/History.ts"
import type { Lifecycle } from "../session/Lifecycle.ts"
import type { Sessions } from "../session/Sessions.ts"

export type EngineServices =
  | Sessions
  | History
  | Exec
  | Attach
  | Lifecycle
  | Retention
  | Redaction
  | Search
  | Evidence
  | AccessLog
