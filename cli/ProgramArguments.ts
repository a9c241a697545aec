/**
 * Where the program begins in `reprise run PROGRAM ARGS`. Its flags are its own: as in ssh, env and docker, everything
 * after the first word that is no flag of `run` belongs to the program, with or without `--`. Pure.
 */

/** Flags before the program that take their value as the next word. */
const FLAGS_WITH_VALUE = new Set(["--store", "--name", "--cwd", "--env", "--size", "--detach-key", "--completions"])

/** The same command line with `--` before the program of `run`. */
export const separateProgram = (argv: ReadonlyArray<string>): ReadonlyArray<string> => {
  let isRun = false
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index]!
    if (word === "--") return argv
    if (word.startsWith("-") && word !== "-") {
      if (FLAGS_WITH_VALUE.has(word)) index += 1
      continue
    }
    if (isRun) return [...argv.slice(0, index), "--", ...argv.slice(index)]
    if (word !== "run") return argv
    isRun = true
  }
  return argv
}
