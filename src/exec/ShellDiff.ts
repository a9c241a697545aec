/**
 * What a command changed in its shell: the differences between two states, as the event that is journaled. Secrets are
 * masked here, before anything is written, and nothing larger than a record holds gets in. Pure.
 */
import type { SessionEvent } from "../../journal/Event.ts"
import type { ShellState } from "./Driver.ts"

/** Of one function, alias or value: beyond it only its name is kept, and said to be omitted. */
const TEXT_BYTES_MAX = 64 * 1024
/** Of all texts of one event, so that a record (4 MiB) holds it whatever JSON makes of them. */
const EVENT_BYTES_MAX = 512 * 1024
/** Every shell sets them with each command or start; the directory has its own place. */
const IGNORED = new Set(["_", "SHLVL", "PWD", "OLDPWD", "REPRISE_SESSION"])

export type ShellStateChanged = SessionEvent & { readonly _tag: "ShellStateChanged" }

export interface Masking {
  /** The value to store: itself, or a mask. */
  readonly mask: (name: string, value: string) => { readonly value: string; readonly masked: boolean }
  /** A text that cannot be stored in part, as a mask would have it. */
  readonly holdsSecret: (text: string) => boolean
}

const isIgnored = (name: string): boolean => IGNORED.has(name) || name.toLowerCase().startsWith("__reprise")

/** undefined when nothing changed. */
export const shellDiff = (
  exec: number,
  before: ShellState,
  after: ShellState,
  { holdsSecret, mask }: Masking
): ShellStateChanged | undefined => {
  const omitted: Array<string> = []
  const masked: Array<string> = []
  let room = EVENT_BYTES_MAX
  const fits = (what: string, text: string): boolean => {
    if (holdsSecret(text)) {
      omitted.push(`${what}: it holds a secret`)
      return false
    }
    const bytes = Buffer.byteLength(text)
    if (bytes > TEXT_BYTES_MAX || bytes > room) {
      omitted.push(`${what}: ${bytes} bytes are too many to keep`)
      return false
    }
    room -= bytes
    return true
  }
  const changes = (
    kind: string,
    old: ReadonlyMap<string, string>,
    now: ReadonlyMap<string, string>,
    store: (name: string, value: string) => string = (_, value) => value
  ): Record<string, string | null> => {
    // Entries, not an object: a name may be `__proto__`.
    const changed: Array<[string, string | null]> = []
    for (const [name, value] of now) {
      if (old.get(name) === value || isIgnored(name)) continue
      const stored = store(name, value)
      if (fits(`${kind} ${name}`, stored)) changed.push([name, stored])
      // The older one is not the shell's any more.
      else if (kind !== "variable" && old.has(name)) changed.push([name, null])
    }
    for (const name of old.keys()) if (!now.has(name) && !isIgnored(name)) changed.push([name, null])
    return Object.fromEntries(changed)
  }
  const env = changes("variable", before.env, after.env, (name, value) => {
    const stored = mask(name, value)
    if (stored.masked) masked.push(name)
    return stored.value
  })
  const functions = changes("function", before.functions, after.functions)
  const aliases = changes("alias", before.aliases, after.aliases)
  const known = new Set(before.imports)
  const imports = after.imports.filter((statement) => !known.has(statement) && fits("import", statement))
  const isEmpty = [env, functions, aliases].every((changed) => Object.keys(changed).length === 0)
  if (isEmpty && imports.length === 0 && omitted.length === 0) return undefined
  return { _tag: "ShellStateChanged", exec, env, masked, functions, aliases, imports, omitted }
}
