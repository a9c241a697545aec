/** What two runs have in common and what not: for people as a unified diff, or as a table, and for programs as JSON. */
import type { RecordedRun, RunLines } from "../src/session/RecordedRun.ts"
import { escapeText, toJsonText } from "./Escape.ts"
import { hunkHead, type LineDiff, lineDiff } from "./LineDiff.ts"
import { formatDuration } from "./Moment.ts"
import { describeEnd } from "./Outcome.ts"
import { formatSize } from "./Size.ts"
import { table } from "./Table.ts"

export interface ComparedStream {
  readonly name: RunLines["name"]
  readonly diff: LineDiff
  /** Lines that were not compared one by one, of both; they are known to be equal or not by their digests. */
  readonly uncompared: readonly [number, number]
  readonly isEqual: boolean
}

export interface RunDifference {
  readonly runs: readonly [RecordedRun, RecordedRun]
  /** As they were asked for. */
  readonly labels: readonly [string, string]
  readonly streams: ReadonlyArray<ComparedStream>
  /** What differs: output, exit, cwd, size. How long they took is told, and is no difference. */
  readonly differences: ReadonlyArray<string>
}

export const compareRuns = (
  labels: readonly [string, string],
  runs: readonly [RecordedRun, RecordedRun],
  key?: (line: string) => string
): RunDifference => {
  const [one, other] = runs
  const streams = pairsOf(one.streams, other.streams).map(
    ([a, b]): ComparedStream => ({
      name: a.name,
      diff: lineDiff(a.lines, b.lines, key),
      uncompared: [a.lineCount - a.lines.length, b.lineCount - b.lines.length],
      isEqual: a.sha256 === b.sha256
    })
  )
  const differences = [
    ...(streams.every(({ isEqual }) => isEqual) ? [] : ["output"]),
    ...(endOf(one) === endOf(other) ? [] : ["exit"]),
    ...(one.cwd === other.cwd ? [] : ["cwd"]),
    ...(formatSize(one.size) === formatSize(other.size) ? [] : ["size"])
  ]
  return { runs, labels, streams, differences }
}

/** Streams of the same name; those that only one run has beside nothing. */
const pairsOf = (
  one: ReadonlyArray<RunLines>,
  other: ReadonlyArray<RunLines>
): ReadonlyArray<readonly [RunLines, RunLines]> => {
  const names = [...new Set([...one, ...other].map(({ name }) => name))]
  // A terminal's output holds both of the streams.
  if (one.length !== other.length || names.length !== one.length) {
    const output = [...one, ...other].find(({ name }) => name === "output")
    const single = [...one, ...other].filter(({ lineCount, name }) => name !== "output" && lineCount > 0)
    if (output !== undefined && single.length <= 1) {
      const streams = single[0] ?? { ...output, lines: [], lineCount: 0, bytes: 0, sha256: EMPTY_SHA256 }
      const renamed = { ...streams, name: "output" as const }
      return one.includes(output) ? [[output, renamed]] : [[renamed, output]]
    }
  }
  return names.map((name) => {
    const empty = { name, lines: [], lineCount: 0, bytes: 0, sha256: EMPTY_SHA256 }
    return [one.find((stream) => stream.name === name) ?? empty, other.find((stream) => stream.name === name) ?? empty]
  })
}
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const endOf = (run: RecordedRun): string => (run.isOpen ? "not ended" : describeEnd(run))
const durationOf = ({ durationMicros }: RecordedRun): string =>
  durationMicros === null ? "?" : formatDuration(durationMicros)

const rowsOf = ({ runs: [one, other] }: RunDifference): ReadonlyArray<readonly [string, string, string]> => [
  ["command", firstLine(one.command), firstLine(other.command)],
  ["exit", endOf(one), endOf(other)],
  ["took", durationOf(one), durationOf(other)],
  ["cwd", one.cwd, other.cwd],
  ["size", formatSize(one.size), formatSize(other.size)]
]
const firstLine = (text: string): string => {
  const [line = "", ...more] = text.trim().split("\n")
  return more.length === 0 ? line : `${line} …`
}

/** As diff(1) prints it: what is equal is not told. */
export const differenceText = (difference: RunDifference, isColored: boolean): string => {
  if (difference.differences.length === 0) return ""
  const color = (code: string, text: string) => (isColored ? `\x1b[${code}m${text}\x1b[m` : text)
  const { labels, streams } = difference
  let text = ""
  for (const [name, one, other] of rowsOf(difference)) {
    if (one !== other) text += `${name}: ${escapeText(one)} -> ${escapeText(other)}\n`
  }
  for (const stream of streams) {
    if (stream.isEqual) continue
    const suffix = stream.name === "output" ? "" : ` ${stream.name}`
    text += color("1", `--- ${escapeText(labels[0])}${suffix}`)
    text += `\n${color("1", `+++ ${escapeText(labels[1])}${suffix}`)}\n`
    for (const hunk of stream.diff.hunks) {
      text += `${color("36", hunkHead(hunk))}\n`
      for (const line of hunk.lines) {
        const shown = `${line[0]}${escapeText(line.slice(1))}`
        text += `${line[0] === "-" ? color("31", shown) : line[0] === "+" ? color("32", shown) : shown}\n`
      }
    }
    for (const note of notesOf(stream)) text += `\\ ${note}\n`
  }
  return text
}

const notesOf = ({ diff, isEqual, name, uncompared: [one, other] }: ComparedStream): ReadonlyArray<string> => [
  ...(diff.isRough ? [`${name}: too different to be matched line by line`] : []),
  ...(one + other > 0
    ? [
        `${name}: ${one} and ${other} lines at the end were not compared one by one${isEqual ? "; they are equal" : diff.removed + diff.added === 0 ? "; they differ" : ""}`
      ]
    : [])
]

/** Everything in a table, and how many lines differ. */
export const differenceStat = (difference: RunDifference, width: number | undefined): string => {
  const rows = [
    ...rowsOf(difference),
    ...difference.streams.map(({ diff, isEqual, name }) => [
      name,
      `-${diff.removed}`,
      `+${diff.added}${isEqual ? "" : diff.removed + diff.added === 0 ? " (differs behind what was compared)" : ""}`
    ])
  ]
  const notes = difference.streams.flatMap(notesOf).map((note) => `${note}\n`)
  return table(["", ...difference.labels.map(escapeText)], rows, width) + notes.join("")
}

export const differenceJson = (difference: RunDifference): string => {
  const { differences, labels, runs, streams } = difference
  return toJsonText({
    equal: differences.length === 0,
    differences,
    runs: runs.map((run, index) => ({
      label: labels[index],
      session: run.session,
      command_number: run.number,
      command: run.command,
      ended: !run.isOpen,
      exit_code: run.exitCode,
      signal: run.signal,
      duration_ms: run.durationMicros === null ? null : Math.round(run.durationMicros / 1000),
      cwd: run.cwd,
      size: run.size,
      beginning_removed: run.isBeginningRemoved
    })),
    streams: streams.map(({ diff, isEqual, name, uncompared }) => ({
      name,
      equal: isEqual,
      removed: diff.removed,
      added: diff.added,
      rough: diff.isRough,
      uncompared_lines: uncompared,
      hunks: diff.hunks
    }))
  })
}
