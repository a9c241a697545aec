/** The public face of reprise: sessions, their history, their errors, and the layers that provide them. */
export {
  type JournalEntry,
  Language,
  SessionEvent,
  SessionId,
  SessionLimits,
  type SignalTarget,
  TerminalSize
} from "../journal/Event.ts"
export { Journal } from "../journal/Journal.ts"
export { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
export { promiseClient } from "./client/promiseClient.ts"
export { Redaction, type RedactionShape, RedactReport, RedactRequest } from "./erasure/Redaction.ts"
export { PruneItem, PruneReport, type PruneRequest, Retention, type RetentionShape } from "./erasure/Retention.ts"
export {
  CommandRecord,
  Exec,
  type ExecInput,
  type ExecRequest,
  ExecResult,
  type ExecShape,
  type ExecStdin,
  NeedsInput,
  type PollOptions,
  RestoreReport,
  ShellStateView,
  type StartShell,
  Truncation
} from "./exec/Exec.ts"
export * from "./exec/ExecError.ts"
export * as Runtime from "./exec/Runtime.ts"
export {
  EXPORT_FORMATS,
  type ExportOptions,
  exportFolder,
  exportFormat,
  exportSession,
  FOLDER_FORMATS,
  folderFormat
} from "./export/Export.ts"
export { ExportFailed, writeExport, writeExportFolder } from "./export/ExportFile.ts"
export type {
  ExportError,
  ExportFold,
  ExportFormat,
  ExportSource,
  FilePiece,
  FolderFormat,
  WriteExport,
  WriteFolder
} from "./export/ExportFormat.ts"
export { ExportLosses, type LossReport } from "./export/ExportLosses.ts"
export * as Reprise from "./Reprise.ts"
export * as SessionEngine from "./SessionEngine.ts"
export {
  Search,
  SearchGap,
  SearchHit,
  SearchItem,
  type SearchQuery,
  type SearchShape,
  SearchSource
} from "./search/Search.ts"
export * as SearchLocal from "./search/SearchLocal.ts"
export { Attach, AttachItem, type AttachOptions, type AttachShape } from "./session/Attach.ts"
export { ENGINE_LIMITS, EngineLimits, FACADE_LIMITS } from "./session/EngineLimits.ts"
export { type FollowEvents, History, type HistoryShape } from "./session/History.ts"
export * as HistoryLive from "./session/HistoryLive.ts"
export {
  Lifecycle,
  type LifecycleEvent,
  LifecycleItem,
  type LifecycleShape,
  LiveEntry,
  SessionUsage
} from "./session/Lifecycle.ts"
export type { RetentionPolicy, SessionRules, StoreRules } from "./session/RetentionPolicy.ts"
export * from "./session/SessionError.ts"
export {
  type CloseReport,
  type CommandOptions,
  type CreateSession,
  type EngineStatus,
  type KeeperView,
  Sessions,
  type SessionsShape,
  type WriteAck
} from "./session/Sessions.ts"
export * from "./session/SessionView.ts"
export { defaultStore, type StorePaths, storePaths } from "./session/StorePaths.ts"
