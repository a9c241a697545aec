/**
 * What the tests of rows share: one engine with keepers over a store of its own for a file of tests, and shells in it.
 * `rowsEngine` is called once at the top of a file; with the file its keepers are ended and its folder is removed.
 */

import { mkdtempSync, readdirSync, readFileSync, realpathSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Cause, type Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { afterAll, beforeAll } from "vitest"
import type { Language, SessionEvent, SessionId } from "../../journal/Event.ts"
import type { Journal } from "../../journal/index.ts"
import { Exec, type ExecRequest, type ExecResult, type ExecShape, type StartShell } from "../../src/exec/Exec.ts"
import * as Reprise from "../../src/Reprise.ts"
import { History } from "../../src/session/History.ts"
import type { Sessions } from "../../src/session/Sessions.ts"
import { removeStore } from "../fixtures/removeStore.ts"

type Services = Exec | History | Sessions | Journal

/** A shell of one test. */
export interface Shell {
  readonly id: SessionId
  readonly pid: number
  /** The folder in which it was started, its own. */
  readonly cwd: string
  exec(code: string, request?: Omit<ExecRequest, "code">): Promise<ExecResult>
}

export interface RowsEngine {
  /** Of this file of tests. */
  readonly folder: string
  readonly context: Context.Context<Services>
  run<A, E>(effect: Effect.Effect<A, E, Services>): Promise<A>
  exec<A, E>(use: (exec: ExecShape) => Effect.Effect<A, E>): Promise<A>
  start(language?: Language, request?: StartShell): Promise<Shell>
  /** Until the session's journal has an event for which this holds (or the session has ended). */
  until(session: SessionId, holds: (event: SessionEvent) => boolean): Promise<void>
  /** Whether any file of the store holds this text. */
  storeHolds(text: string): boolean
}

export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Standard output, and that nothing was on standard error and the exit code was 0. */
export const outputOf = ({ exitCode, stderr, stdout }: ExecResult): string =>
  exitCode === 0 && stderr.byteLength === 0 ? text(stdout) : `${text(stdout)}[${exitCode}: ${text(stderr)}]`

/** What an effect failed with: `_tag` of a typed error. */
export const tagOf = (failing: Promise<unknown>): Promise<string> =>
  failing.then(
    () => "no error",
    (error) => String((error as { readonly _tag?: string })._tag ?? error)
  )

/** A running engine removes files and folders: what is gone holds nothing. */
const filesHold = (at: string, wanted: string): boolean =>
  readdirSync(at, { withFileTypes: true }).some((entry) => {
    const path = join(at, entry.name)
    try {
      return entry.isDirectory() ? filesHold(path, wanted) : entry.isFile() && readFileSync(path).includes(wanted)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false
      throw error
    }
  })

export const rowsEngine = (): RowsEngine => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "reprise-rows-")))
  const store = join(folder, "store")
  let scope: Scope.Closeable
  let context: Context.Context<Services>
  beforeAll(async () => {
    scope = Effect.runSync(Scope.make())
    context = await Effect.runPromise(
      Layer.buildWithScope(Layer.fresh(Reprise.layer({ store, sessionsPerKeeper: 32 })), scope)
    )
  })
  afterAll(async () => {
    if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
    await removeStore(store, folder)
  })
  const run: RowsEngine["run"] = (effect) =>
    Effect.runPromiseExit(Effect.provideContext(effect, context)).then((exit) => {
      if (Exit.isSuccess(exit)) return exit.value
      throw Cause.squash(exit.cause)
    })
  const exec: RowsEngine["exec"] = (use) => run(Exec.use(use))
  return {
    folder,
    get context() {
      return context
    },
    run,
    exec,
    start: async (language = "bash", request) => {
      const cwd = mkdtempSync(join(folder, "cwd-"))
      const view = await exec((shells) => shells.start({ language, cwd, ...request }))
      const { id } = view
      return {
        id,
        pid: view.pid!,
        cwd,
        exec: (code, more) => exec((shells) => shells.exec(id, { code, ...more }))
      }
    },
    until: (session, holds) =>
      run(
        History.use((history) =>
          history.follow(session, 0).pipe(
            Stream.takeUntil((item) => item._tag === "Page" && item.entries.some(({ event }) => holds(event))),
            Stream.runDrain
          )
        )
      ),
    storeHolds: (wanted) => filesHold(store, wanted)
  }
}
