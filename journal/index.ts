/** The public face of the journal: the service, its layers, the events and the stored format. */
export * from "./Event.ts"
export * from "./Journal.ts"
export * from "./JournalError.ts"
export * as JournalLevel from "./JournalLevel.ts"
export * as JournalMemory from "./JournalMemory.ts"
export * as Record from "./Record.ts"
export type { Storage } from "./Storage.ts"
