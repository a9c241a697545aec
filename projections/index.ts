/** The public face of the projections: what the events of a session mean, at any point of its history. */
export {
  Buffers,
  type BuffersOptions,
  type BuffersState,
  makeBuffers,
  type RawTail,
  rawTail,
  rawTailText,
  type TextTail,
  textTail
} from "./Buffers.ts"
export {
  CODE_BYTES_KEPT_MAX,
  COMMANDS_KEPT_MAX,
  type CommandEntry,
  Commands,
  type CommandsState,
  findCommand,
  historyOf,
  importNames,
  type ShellRestart
} from "./Commands.ts"
export { makeOscScanner, OSC_PAYLOAD_BYTES_MAX, type OscScanner, scanOsc } from "./OscScanner.ts"
export { feedPlainText, makePlainText, openLine, type PlainText } from "./PlainText.ts"
export type { Projection } from "./Projection.ts"
export {
  HEAD,
  type HistoryPoint,
  type Place,
  type Projections,
  type StateAt,
  type StateOf,
  SUMMARY_PROJECTIONS,
  sequenceAt,
  stateAt,
  summaryOf
} from "./ProjectionRunner.ts"
export {
  type PromptCommand,
  type PromptCommandEnd,
  type PromptCommandSink,
  PromptCommands,
  type PromptCommandsOptions
} from "./PromptCommands.ts"
export { makePromptMarkFilter, type PromptMarkFilter } from "./PromptMark.ts"
export { makeRecording, type RecordedPart, type Recording, recordEvent, recordedParts } from "./Recording.ts"
export { Screen, type ScreenContent, type ScreenRedraw, type ScreenRedrawOptions } from "./Screen.ts"
export { REDRAW_LOOK_MILLIS, type ScreenRedrawAt, type ScreenRedrawAtOptions, screenRedraw } from "./ScreenAttach.ts"
export { makeScreenFollower, type ScreenFollower, UNDRAWN_BYTES } from "./ScreenFollower.ts"
export { guard, makeScreenGuard, type ScreenGuard } from "./ScreenGuard.ts"
export {
  QUARANTINE_SPACE,
  type Quarantine,
  quarantineOf,
  type ScreenAt,
  type ScreenAtOptions,
  screenAt
} from "./ScreenHistory.ts"
export {
  ScreenDefeated,
  type ScreenError,
  ScreenLost,
  ScreenOptions,
  ScreenService,
  type ScreenServiceShape,
  ScreenUnavailable
} from "./ScreenService.ts"
export { deleteSearchIndex, searchIndexRanges } from "./SearchIndex.ts"
export {
  INDEX_SPACE,
  indexKey,
  indexRow,
  isKeyDestroyed,
  readIndexRow,
  type SessionSummary,
  summarize
} from "./SessionIndex.ts"
export { RECENT_COMMANDS_MAX, SessionState, type SessionStatus } from "./SessionState.ts"
export { escapeValue, parseShellMark, type ShellMark, unescapeValue } from "./ShellMark.ts"
export { SNAPSHOT_SPACE } from "./SnapshotRow.ts"
export { cleanTitle, TITLE_CHARACTERS_MAX, Title, type TitleState } from "./Title.ts"
export {
  loadTranscript,
  makeTranscript,
  saveTranscript,
  searchTranscript,
  Transcript,
  type TranscriptDirection,
  type TranscriptEntry,
  type TranscriptMatch,
  type TranscriptOptions,
  type TranscriptState,
  type TranscriptStats,
  transcriptStats
} from "./Transcript.ts"
export { incompleteTail, orphanHead } from "./utf8.ts"
export {
  WorkingDirectory,
  type WorkingDirectorySource,
  type WorkingDirectoryState
} from "./WorkingDirectory.ts"
