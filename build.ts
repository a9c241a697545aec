/**
 * Builds `dist`: the library (JavaScript and types, one file for each source file) and the programs (bundles with shared
 * chunks: a program that is one of a few files starts several times faster than one of hundreds). Run by
 * `npm run build` and, through `prepare`, by `npm ci`. The same sources give the same files. Quiet when all is well.
 */
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Plugin, rolldown } from "rolldown"

const root = dirname(fileURLToPath(import.meta.url))
const dist = join(root, "dist")
/** Built here and moved at the end, so that a build that runs or fails takes nothing away from who uses the last one; in a folder that no tool looks at. Two builds at once have one each. */
const next = join(root, "node_modules", `.reprise-build-${process.pid}`)

/**
 * Programs by the name that `src/EntryPoints.ts` knows them by. The command line is bundled apart from the others:
 * a chunk that it shared with the engine would hold what only the engine needs.
 */
const PROGRAMS = [
  { reprise: "cli/main.ts" },
  {
    engine: "src/remote/engine.ts",
    keeper: "src/keeper/main.ts",
    "screen-worker": "projections/ScreenWorker.ts",
    "search-worker": "src/search/SearchWorker.ts"
  }
]

/** Programs that run inside a session, in the languages of its shell, and one that leaves with bundles: copied as they are. */
const COPIED = [
  { folder: "src/exec", name: /^driver\.(bash|zsh|py|cjs)$/ },
  { folder: "src/evidence", name: /^verify\.mjs$/ }
]

/** They load native code or files beside their own, so they stay where npm put them. */
const NATIVE_PACKAGES = [/^node-pty(\/|$)/, /^koffi(\/|$)/]

/** Types are checked by `npm run check`; here they are only written. */
const buildLibrary = (): void => {
  const compiler = join(root, "node_modules/typescript/bin/tsc")
  execFileSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json"), "--noCheck", "--outDir", next], {
    cwd: root,
    stdio: "inherit"
  })
}

/** Effect's sockets can be upgraded to TLS; ours are Unix sockets, and TLS is a fifth of the command line's start. */
const withoutTls: Plugin = {
  name: "without-tls",
  resolveId: (id) => (id === "node:tls" ? "\0without-tls" : undefined),
  load: (id) =>
    id === "\0without-tls"
      ? "export const TLSSocket = undefined, connect = undefined, createSecureContext = undefined, createServer = undefined"
      : undefined
}

/**
 * LevelDB's native code stays where npm put it; the 30 small files of JavaScript around it were a tenth of an engine's
 * start. classic-level is level's dependency and not ours, so it is looked for from there.
 */
const levelBinding: Plugin = {
  name: "level-binding",
  load: (id) =>
    id.endsWith("/classic-level/binding.js")
      ? `import { createRequire } from "node:module"
const binding = createRequire(createRequire(import.meta.url).resolve("level"))("classic-level/binding.js")
export { binding as "module.exports" }`
      : undefined
}

const buildPrograms = async (input: Readonly<Record<string, string>>): Promise<void> => {
  const bundle = await rolldown({
    cwd: root,
    input,
    platform: "node",
    external: NATIVE_PACKAGES,
    plugins: [withoutTls, levelBinding],
    // Nothing of Effect and of this package runs when it is loaded, so what is not used is left out.
    // Node's own modules cost milliseconds each: those that nothing is used of are not loaded either.
    treeshake: {
      moduleSideEffects: [
        { external: true, sideEffects: false },
        { test: /./, sideEffects: true }
      ]
    },
    logLevel: "warn"
  })
  await bundle.write({
    dir: join(next, "bin"),
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    // A third of the size: measurably less to read and to compile.
    minify: true
  })
  await bundle.close()
}

/** What the licence of the emulator in exported pages asks for, in the pages themselves. */
const EMULATOR_LICENCE = "src/export/player/xterm-licence.txt"

/** The script of exported pages: one for all of them, for browsers, and of ASCII alone, since it becomes part of a page. */
const buildPlayer = async (): Promise<void> => {
  const bundle = await rolldown({
    cwd: root,
    input: { player: "src/export/player/main.ts" },
    platform: "browser",
    // Its package.json names a file that is not there.
    resolve: {
      alias: { "@xterm/headless": join(root, "node_modules/@xterm/headless/lib-headless/xterm-headless.mjs") }
    },
    logLevel: "warn"
  })
  const { output } = await bundle.generate({ format: "iife", minify: true, comments: { legal: false } })
  await bundle.close()
  const escaped = output[0].code.replace(
    /[^\t\n\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
  // Inside a script element these would end it, or hide its end.
  if (/<\/script|<!--/i.test(escaped)) throw new Error("build: the player holds markup that ends a script")
  const licence = readFileSync(join(root, EMULATOR_LICENCE), "utf8")
  writeFileSync(join(next, "bin", "player.js"), `/*!\n${licence}*/\n${escaped}`)
}

const main = async (): Promise<void> => {
  for (const source of PROGRAMS.flatMap(Object.values)) {
    if (!existsSync(join(root, source))) throw new Error(`build: ${source} is missing`)
  }
  try {
    for (const input of PROGRAMS) await buildPrograms(input)
    await buildPlayer()
    for (const { folder, name: pattern } of COPIED) {
      for (const name of readdirSync(join(root, folder))) {
        if (pattern.test(name)) copyFileSync(join(root, folder, name), join(next, "bin", name))
      }
    }
    buildLibrary()
    rmSync(dist, { recursive: true, force: true })
    renameSync(next, dist)
  } finally {
    rmSync(next, { recursive: true, force: true })
  }
  chmodSync(join(dist, "bin", "reprise.js"), 0o755)
}

await main()
