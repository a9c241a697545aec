/**
 * Where the program begins in `reprise run PROGRAM ARGS`, and the command in `reprise exec SESSION COMMAND`. Its flags are
 * its own: as in ssh, env and docker, everything after the first word that is no flag of ours belongs to it, with or
 * without `--`. Pure.
 */

/** Flags before the program that take their value as the next word. */
const FLAGS_WITH_VALUE = new Set([
  "--store",
  "--completions",
  "--name",
  "--cwd",
  "--env",
  "--secret-env",
  "--size",
  "--group",
  "--idle-timeout",
  "--max-bytes",
  "--redact",
  "--redact-env",
  "--redact-pattern",
  "--detach-key",
  "--timeout",
  "--yield",
  "--stdin",
  "--id",
  "--max-output"
])

/** Words that are ours before the foreign ones: the command's name, and the session of `exec`. */
const OWN_WORDS: ReadonlyMap<string, number> = new Map([
  ["run", 1],
  ["exec", 2]
])

/** The same command line with `--` before the program of `run` or the command of `exec`. */
export const separateProgram = (argv: ReadonlyArray<string>): ReadonlyArray<string> => {
  let own: number | undefined
  let words = 0
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index]!
    if (word === "--") return argv
    if (word.startsWith("-") && word !== "-") {
      if (FLAGS_WITH_VALUE.has(word)) index += 1
      continue
    }
    own ??= OWN_WORDS.get(word)
    if (own === undefined) return argv
    if (words === own) return [...argv.slice(0, index), "--", ...argv.slice(index)]
    words += 1
  }
  return argv
}
