#!/usr/bin/env node
/**
 * The `reprise` command. It checks the Node it runs on, answers `--version` at once, and loads the rest: everything here
 * must parse on an older Node and cost nothing, because every command pays for it.
 */
import { mkdirSync } from "node:fs"
import * as nodeModule from "node:module"
import { homedir } from "node:os"
import { join } from "node:path"
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
  // Compiled code is kept for the user alone, outside the store: it is neither data nor shared.
  const caches = process.env.XDG_CACHE_HOME || join(process.env.HOME || homedir(), ".cache")
  const cache = join(caches, "reprise", "compiled")
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    nodeModule.enableCompileCache?.(cache)
  } catch {
    // A home that cannot be written to: every start is slower, nothing else.
  }
  import("./Cli.ts").then(({ main }) => main(argv))
}
