#!/usr/bin/env node
/**
 * The `reprise` command. It checks the Node it runs on, answers `--version` at once, and loads the rest: everything here
 * must parse on an older Node and cost nothing, because every command pays for it.
 */
import { keepCompiledCode } from "../src/CompiledCode.ts"
import { packageVersion } from "../src/EntryPoints.ts"
import { unsupportedPlatform } from "../src/remote/Platform.ts"

const UNSUPPORTED_EXIT_CODE = 78

const argv = process.argv.slice(2)
const unsupported = unsupportedPlatform()
if (unsupported !== undefined) {
  process.stderr.write(`reprise: ${unsupported}\n`)
  process.exitCode = UNSUPPORTED_EXIT_CODE
} else if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-v")) {
  process.stdout.write(`reprise ${packageVersion}\n`)
} else {
  keepCompiledCode()
  import("./Cli.ts").then(({ main }) => main(argv))
}
