/** `reprise/client`: terminals that lose nothing, with Promises and async iterators. */
export type { Client } from "./Client.ts"
export type { ClientSearch, SearchGap, SearchHit, SearchItem } from "./ClientSearch.ts"
export { type ConnectOptions, connect, type OpenOptions, open } from "./connect.ts"
export type { EndReason, OutputChunk, OutputGap } from "./OutputChunk.ts"
export { RepriseError, type RepriseErrorCode } from "./RepriseError.ts"
export type {
  EngineInfo,
  LifecycleEvent,
  LiveSession,
  SessionExit,
  SessionInfo,
  SessionStatus,
  SessionUsage,
  TerminalSize
} from "./SessionInfo.ts"
export type { Shell, ShellCommandOptions, ShellOptions, ShellPollOptions, ShellResult } from "./Shell.ts"
export type {
  CloseReport,
  InputReceipt,
  ReconnectOptions,
  Terminal,
  TerminalLimits,
  TerminalOptions
} from "./Terminal.ts"
