/**
 * What is known of a drawn screen without its emulator. For the processes that ask the drawing thread and never draw
 * themselves: loading the emulator is a tenth of the engine's start.
 */
import type { TerminalSize } from "../journal/Event.ts"

/** Raised when the guard, the emulator or the snapshot's form changes: older snapshots and quarantines are then ignored. */
export const SCREEN_VERSION = 1

/**
 * Lines kept above the screen. A terminal that is made taller shows them again, so they are part of the state; more
 * than this no resize of a usual window brings back, and each costs 12 bytes a cell.
 */
export const SCREEN_SCROLLBACK_LINES = 256

/** Of a screen and what is kept above it. */
export const screenCells = (size: TerminalSize): number => size.cols * (size.rows + SCREEN_SCROLLBACK_LINES)
