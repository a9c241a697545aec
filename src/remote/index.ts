/**
 * `reprise/remote`: an Effect program's way to an engine that runs elsewhere. `EngineClient.layer` gives the services of
 * `reprise` (`Sessions`, `Attach`, `History`, `Lifecycle`, `Exec`) as `Reprise.layer` does, without an engine in this process.
 */
export * as EngineClient from "./EngineClient.ts"
export * from "./EngineError.ts"
export { type OutputRange, SessionOutput } from "./SessionOutput.ts"
