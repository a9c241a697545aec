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
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Plugin, type PluginContext, rolldown } from "rolldown"

const root = dirname(fileURLToPath(import.meta.url))
const dist = join(root, "dist")
/** Built here and moved at the end, so that a build that runs or fails takes nothing away from who uses the last one; in a folder that no tool looks at. Two builds at once have one each. */
const next = join(root, "node_modules", `.reprise-build-${process.pid}`)

/**
 * Programs by the name that `src/EntryPoints.ts` knows them by. Each is bundled apart from the others: a chunk that two share
 * would hold what only one of them needs. The `body` of a program, which its first lines import late, is one file with all
 * that it imports in its turn: each file more is a millisecond and a half of every start.
 */
const PROGRAMS: ReadonlyArray<{ readonly input: Readonly<Record<string, string>>; readonly body?: string }> = [
  { input: { reprise: "cli/main.ts" }, body: "cli/Cli.ts" },
  { input: { engine: "src/remote/engine.ts" }, body: "src/remote/engineMain.ts" },
  { input: { keeper: "src/keeper/main.ts" } },
  { input: { "screen-worker": "projections/ScreenWorker.ts", "search-worker": "src/search/SearchWorker.ts" } }
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

/**
 * Effect's command line makes a segmenter when it is loaded, for which V8 reads the data of all scripts: an eighth of every
 * command's start. It is made when a help text is not plain ASCII, each character of which is a segment of its own.
 */
const lateSegmenter: Plugin = {
  name: "late-segmenter",
  transform: {
    filter: { id: /[\\/]effect[\\/]dist[\\/]cli[\\/]CliOutput\.js$/ },
    handler: (code) => {
      const eager = /const graphemeSegmenter = (.*?new Intl\.Segmenter\(.*?\));/s
      if (!eager.test(code)) throw new Error("build: Effect makes its segmenter elsewhere")
      return code.replace(
        eager,
        `let madeSegmenter
const graphemeSegmenter = {
  segment: (text) =>
    /^[ -~]*$/.test(text) ? Array.from(text, (segment) => ({ segment })) : (madeSegmenter ??= $1).segment(text)
};`
      )
    }
  }
}

/** The modules that these import, not late, and so on. */
const importedBy = (ids: ReadonlyArray<string>, context: PluginContext): ReadonlySet<string> => {
  const found = new Set(ids)
  for (const id of found) for (const imported of context.getModuleInfo(id)?.importedIds ?? []) found.add(imported)
  return found
}

const buildPrograms = async ({ input, body }: (typeof PROGRAMS)[number]): Promise<void> => {
  let inBody: ReadonlySet<string> = new Set()
  const bodyOf: Plugin = {
    name: "body",
    buildEnd() {
      if (body === undefined) return
      const atOnce = importedBy(
        Object.values(input).map((file) => join(root, file)),
        this
      )
      inBody = new Set([...importedBy([join(root, body)], this)].filter((id) => !atOnce.has(id)))
    }
  }
  const bundle = await rolldown({
    cwd: root,
    input,
    platform: "node",
    // The body of a program takes from its first lines what it needs of them.
    preserveEntrySignatures: "allow-extension",
    external: NATIVE_PACKAGES,
    plugins: [withoutTls, levelBinding, lateSegmenter, bodyOf],
    // Nothing of Effect and of this package runs when it is loaded, so what is not used is left out.
    // Node's own modules cost milliseconds each: those that nothing is used of are not loaded either.
    treeshake: {
      moduleSideEffects: [
        { external: true, sideEffects: false },
        // Loads Node's https, which is a tenth of an engine's start, for a server of web sockets that only a door has.
        { test: /[\\/]node_modules[\\/]ws[\\/]/, sideEffects: false },
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
    ...(body !== undefined && {
      codeSplitting: {
        groups: [{ name: basename(body, ".ts"), test: (id) => inBody.has(id), includeDependenciesRecursively: false }]
      }
    }),
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
  for (const source of PROGRAMS.flatMap(({ input }) => Object.values(input))) {
    if (!existsSync(join(root, source))) throw new Error(`build: ${source} is missing`)
  }
  try {
    for (const program of PROGRAMS) await buildPrograms(program)
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
