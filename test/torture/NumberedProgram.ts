/**
 * The program that campaigns run in their sessions, and what its output must be: numbered lines by themselves, an echo of
 * each line it is given, a burst when it is told to, and its last number at the end. Nothing of its output can be missing,
 * doubled or exchanged without a number showing it.
 */
import type { Tally } from "./Campaign.ts"
import { TortureFailure } from "./TortureFailure.ts"

export const EXIT_CODE = 7

/**
 * `raw`: typed lines are journaled. `secret`: line mode without echo, so that typed lines are hidden from the journal and
 * cannot be sent again from it. A partial line at the end of a wait is kept: `read` gives it and forgets it.
 */
export const numberedProgram = (mode: "raw" | "secret"): ReadonlyArray<string> => [
  "bash",
  "-c",
  `stty ${mode === "raw" ? "-echo -icanon" : "-echo"}
i=0; part=
echo ready
while :; do
  if IFS= read -r -t 0.05 line; then
    line=$part$line; part=
    case $line in
      end) break ;;
      burst\\ *) n=\${line#burst }; seq -f 'line %.0f' $((i + 1)) $((i + n)); i=$((i + n)) ;;
      *) echo "got $line" ;;
    esac
  else
    [ $? -gt 128 ] || exit 1
    part=$part$line
    for _ in 1 2 3 4 5; do i=$((i + 1)); echo "line $i"; done
  fi
done
echo "last $i"
exit ${EXIT_CODE}`
]

/** What a session was told, in order. `maybe`: nobody knows whether it was typed. */
export interface Typed {
  readonly line: string
  readonly maybe: boolean
}

export interface NumberedOutput {
  /** Where it was found, for the message. */
  readonly where: string
  readonly output: Buffer
  readonly typed: ReadonlyArray<Typed>
  /** The program ended by itself; else any beginning of its output is right. */
  readonly isWhole: boolean
  readonly store: string
}

/** Rejects what is lost, doubled or was never printed, after counting it. */
export const checkNumbered = (tally: Tally, { isWhole, output, store, typed, where }: NumberedOutput): void => {
  const text = output.toString("latin1")
  const lines = text.split("\r\n")
  // What follows the last line end: nothing, or a line that was cut off.
  const rest = lines.pop() ?? ""
  const fail = (what: string, expected: string, found: string): never => {
    throw new TortureFailure(`${where}: ${what}`, { expected, found, store })
  }
  if (isWhole && rest !== "") {
    tally.lost++
    fail("the end of a line is missing", "a line end", JSON.stringify(rest.slice(-80)))
  }
  let next = 1
  const echoes = typed.filter(({ line }) => !/^(end$|burst )/.test(line))
  let at = 0
  lines.forEach((line, index) => {
    const number = /^line (\d+)$/.exec(line)?.[1]
    if (number !== undefined) {
      const found = Number(number)
      if (found > next) tally.lost += found - next
      else if (found < next) tally.doubled++
      if (found !== next) fail(`line ${index} of the output`, `line ${next}`, line)
      next++
      return
    }
    const echo = /^got (.*)$/.exec(line)?.[1]
    if (echo !== undefined) {
      while (echoes[at]?.maybe === true && echoes[at]!.line !== echo) at++
      const expected = echoes[at]?.line
      if (expected !== echo) {
        if (echoes.slice(0, at).some((one) => one.line === echo)) tally.doubled++
        else if (echoes.some((one) => one.line === echo)) tally.lost++
        else tally.wrong++
        fail(`echo of what was typed, line ${index}`, `got ${expected}`, line)
      }
      at++
      return
    }
    if (index === 0 && line === "ready") return
    if (index === lines.length - 1 && isWhole && line === `last ${next - 1}`) return
    tally.wrong++
    fail(`line ${index} of the output`, "a line that the program prints", JSON.stringify(line.slice(0, 200)))
  })
  if (!isWhole) return
  if (lines.at(-1) !== `last ${next - 1}`) {
    tally.lost++
    fail("the last line is missing", `last ${next - 1}`, String(lines.at(-1)))
  }
  const untyped = echoes.slice(at).find(({ maybe }) => !maybe)
  if (untyped !== undefined) {
    tally.lost++
    fail("acknowledged input was never typed", `got ${untyped.line}`, `after it only ${lines.slice(-3).join(" / ")}`)
  }
}
