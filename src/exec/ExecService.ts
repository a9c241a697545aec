/** The Effect face of ExecEngine: the service `Exec` over its promises. */
import { Context } from "effect"
import { engineCall } from "../session/EngineCall.ts"
import { Exec } from "./Exec.ts"
import type { ExecEngine } from "./ExecEngine.ts"
import { ExecFinished, ExecNotFound, ExecRejected, PolicyDenied, SessionBusy } from "./ExecError.ts"

const call = engineCall("Exec", [ExecFinished, ExecNotFound, ExecRejected, PolicyDenied, SessionBusy])

export const execService = (engine: ExecEngine): Context.Context<Exec> =>
  Context.make(
    Exec,
    Exec.of({
      start: (request) => call("start", () => engine.start(request)),
      exec: (session, request) => call("exec", () => engine.exec(session, request)),
      poll: (session, execId, options) => call("poll", () => engine.poll(session, execId, options)),
      output: (session, execId, range) => call("output", () => engine.output(session, execId, range)),
      send: (session, execId, input, options) =>
        call("send", () => engine.send(session, execId, input, options?.actor)),
      interrupt: (session, execId) => call("interrupt", () => engine.interrupt(session, execId)),
      kill: (session, execId, signal) => call("kill", () => engine.kill(session, execId, signal)),
      reset: (session) => call("reset", () => engine.reset(session)),
      restore: (session) => call("restore", () => engine.restore(session)),
      state: (session) => call("state", () => engine.state(session)),
      history: (session, options) => call("history", () => engine.history(session, options?.limit)),
      end: (session) => call("end", () => engine.end(session))
    })
  )
