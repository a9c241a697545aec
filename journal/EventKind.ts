/**
 * The numbers by which stored records name the rare events (those that are JSON). Used by Record.ts, and by clients of an
 * engine, which say how far they know them. Numbers alone: a client needs no codec to say so.
 */

/** Kind numbers are for ever. Never reuse one, never change what one means. */
export const rareKinds = {
  SessionCreated: 16,
  ProcessStarted: 17,
  Resized: 18,
  SignalSent: 19,
  InputClosed: 20,
  CwdChanged: 21,
  MarkerSet: 22,
  ClientAttached: 23,
  ClientDetached: 24,
  LimitReached: 25,
  GapDetected: 26,
  LeaderExited: 27,
  TerminalClosed: 28,
  SessionInterrupted: 29,
  SessionResumed: 30,
  SessionLost: 31,
  SessionClosed: 32,
  EngineStarted: 33,
  EngineStopped: 34,
  CommandStarted: 35,
  CommandInputWritten: 36,
  CommandFinished: 37,
  ShellStateChanged: 38,
  ShellRestarted: 39,
  DefectDetected: 40,
  EventsRemoved: 41,
  HoldPlaced: 42,
  HoldReleased: 43,
  PayloadsRedacted: 44,
  HistoryAccessed: 45,
  KeyDestroyed: 46,
  RecordingImported: 47,
  RemovalRecorded: 48,
  SecretsRedacted: 49,
  StoreAdministered: 50
} as const

/** The latest kind that this version knows: any version knows all up to one. */
export const EVENT_KIND_MAX = Math.max(...Object.values(rareKinds))
