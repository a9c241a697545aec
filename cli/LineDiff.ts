/**
 * Two lists of lines side by side, as hunks of a unified diff. Bounded: what is the same at both ends costs nothing, and
 * where the rest is too different to be matched line by line it is told as one change. Loaded by `reprise diff` alone.
 */
import { diffArrays } from "diff"

/** Lines removed and added up to which a shortest difference is looked for. */
const EDITS_MAX = 1500
/** And for no longer than this. */
const MATCH_MILLIS_MAX = 5000
/** Lines around a change. */
const CONTEXT_LINES = 3

export interface Hunk {
  /** From 1, as in a unified diff; 0 where it has no line of that side. */
  readonly oldStart: number
  readonly oldLines: number
  readonly newStart: number
  readonly newLines: number
  /** Each begins with a blank, `-` or `+`. */
  readonly lines: ReadonlyArray<string>
}

export interface LineDiff {
  readonly removed: number
  readonly added: number
  readonly hunks: ReadonlyArray<Hunk>
  /** They were too different to be matched. */
  readonly isRough: boolean
}

interface Change {
  readonly kind: " " | "-" | "+"
  readonly from: number
  readonly count: number
}

/** `key` is what of a line is compared. */
export const lineDiff = (
  one: ReadonlyArray<string>,
  other: ReadonlyArray<string>,
  key: (line: string) => string = (line) => line
): LineDiff => {
  const a = one.map(key)
  const b = other.map(key)
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let end = 0
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  const middleA = a.slice(start, a.length - end)
  const middleB = b.slice(start, b.length - end)
  const isOneSided = middleA.length === 0 || middleB.length === 0
  const parts = isOneSided
    ? undefined
    : diffArrays(middleA, middleB, { maxEditLength: EDITS_MAX, timeout: MATCH_MILLIS_MAX })
  const changes: Array<Change> = [{ kind: " ", from: 0, count: start }]
  if (parts === undefined) {
    changes.push({ kind: "-", from: start, count: middleA.length }, { kind: "+", from: start, count: middleB.length })
  } else {
    let atA = start
    let atB = start
    for (const { added, removed, value } of parts) {
      const count = value.length
      if (removed) changes.push({ kind: "-", from: atA, count })
      else if (added) changes.push({ kind: "+", from: atB, count })
      else changes.push({ kind: " ", from: atA, count })
      if (!added) atA += count
      if (!removed) atB += count
    }
  }
  changes.push({ kind: " ", from: a.length - end, count: end })
  const count = (kind: Change["kind"]) =>
    changes.reduce((sum, change) => sum + (change.kind === kind ? change.count : 0), 0)
  return {
    removed: count("-"),
    added: count("+"),
    hunks: hunksOf(
      changes.filter(({ count }) => count > 0),
      one,
      other
    ),
    isRough: parts === undefined && !isOneSided
  }
}

const hunksOf = (
  changes: ReadonlyArray<Change>,
  one: ReadonlyArray<string>,
  other: ReadonlyArray<string>
): ReadonlyArray<Hunk> => {
  const hunks: Array<Hunk> = []
  let lines: Array<string> = []
  let oldStart = 0
  let newStart = 0
  let oldAt = 0
  let newAt = 0
  const open = (context: number) => {
    oldStart = oldAt - context
    newStart = newAt - context
    lines = one.slice(oldStart, oldAt).map((line) => ` ${line}`)
  }
  const close = () => {
    const oldLines = lines.filter((line) => !line.startsWith("+")).length
    const newLines = lines.filter((line) => !line.startsWith("-")).length
    hunks.push({
      oldStart: oldLines === 0 ? oldStart : oldStart + 1,
      oldLines,
      newStart: newLines === 0 ? newStart : newStart + 1,
      newLines,
      lines
    })
  }
  let isOpen = false
  for (const [index, { count, from, kind }] of changes.entries()) {
    if (kind === " ") {
      if (isOpen) {
        const isLast = index === changes.length - 1
        const isJoined = !isLast && count <= 2 * CONTEXT_LINES
        const shown = isJoined ? count : Math.min(count, CONTEXT_LINES)
        for (let line = 0; line < shown; line++) lines.push(` ${one[from + line]}`)
        if (!isJoined) {
          close()
          isOpen = false
        }
      }
      oldAt += count
      newAt += count
      continue
    }
    if (!isOpen) {
      open(Math.min(CONTEXT_LINES, oldAt))
      isOpen = true
    }
    const source = kind === "-" ? one : other
    for (let line = 0; line < count; line++) lines.push(`${kind}${source[from + line]}`)
    if (kind === "-") oldAt += count
    else newAt += count
  }
  if (isOpen) close()
  return hunks
}

export const hunkHead = ({ newLines, newStart, oldLines, oldStart }: Hunk): string =>
  `@@ -${oldStart}${oldLines === 1 ? "" : `,${oldLines}`} +${newStart}${newLines === 1 ? "" : `,${newLines}`} @@`
