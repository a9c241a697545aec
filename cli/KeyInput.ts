/**
 * What `send` and `key` type, as bytes of a terminal: escapes in a text, and keys by name (the engine's own tables). The one
 * place of the command line that knows either. Pure.
 */
import { Effect } from "effect"
import { parseEscapes } from "../src/exec/Escapes.ts"
import { keysBytes, type UnknownKey } from "../src/exec/Keys.ts"

/** For help: enough of the names to guess the others. */
export const KEYS_HELP = "Enter, Tab, Escape, Up, PageDown, F1, C-c, M-x, S-Tab, or one character"

export const escapedText = (text: string): Uint8Array => parseEscapes(text)

/** All of them, or the error of the first that is no key. */
export const namedKeys = (names: ReadonlyArray<string>): Effect.Effect<Uint8Array, UnknownKey> =>
  Effect.fromResult(keysBytes(names))
