/** The command line in front of a fake engine that lives in the test: what it sends and shows, without the engine. */
import { Effect, Layer, type Scope } from "effect"
import type { ExecShape } from "../../src/exec/Exec.ts"
import type { HistoryShape } from "../../src/session/History.ts"
import type { SessionsShape } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { serve } from "../remote/fakeEngine.ts"
import { type FakeExec, makeFakeExec } from "../remote/fakeExec.ts"
import { makeRepriseInside, type Reprise } from "./reprise.ts"

export interface RepriseWithFake extends Reprise {
  readonly fake: FakeExec
  /** `reprise start`; gives the session's id. */
  readonly startShell: (args?: ReadonlyArray<string>) => Effect.Effect<string>
}

export const makeRepriseWithFake = (
  overrides: {
    readonly exec?: Partial<ExecShape>
    readonly sessions?: Partial<SessionsShape>
    readonly history?: Partial<HistoryShape>
  } = {}
): Effect.Effect<RepriseWithFake, never, Scope.Scope> =>
  Effect.gen(function* () {
    const reprise = yield* makeRepriseInside
    const fake = yield* makeFakeExec
    yield* Layer.build(
      serve(storePaths(reprise.store), {
        ...overrides,
        exec: { ...fake.exec, ...overrides.exec },
        history: { ...fake.history, ...overrides.history }
      })
    ).pipe(Effect.orDie)
    const startShell = (args: ReadonlyArray<string> = []) =>
      Effect.map(reprise.run(["start", ...args]), ({ stdout }) => String(JSON.parse(stdout.toString()).session_id))
    return { ...reprise, fake, startShell }
  })
