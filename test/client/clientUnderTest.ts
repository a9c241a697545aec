/**
 * What the tests of the Promise client share: a real engine process on a store of its own, and readers that collect what
 * a terminal gives. Nothing of it is left afterwards.
 */
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Client, ConnectOptions, OutputChunk, RepriseError, Terminal } from "../../src/client/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { gone } from "../fixtures/processes.ts"
import { removeStore } from "../fixtures/removeStore.ts"

/** As it is published: the engine that it starts is the bundle, which is there several times sooner than the sources. */
export const built: typeof import("../../src/client/index.ts") = await import(
  String(new URL("../../dist/src/client/index.js", import.meta.url))
)

export class StoreUnderTest {
  readonly store = mkdtempSync(join(tmpdir(), "reprise-client-"))
  readonly #clients: Array<Client> = []

  /** Closed with the store. */
  async connect(options: ConnectOptions = {}): Promise<Client> {
    const client = await built.connect({ store: this.store, ...options })
    this.#clients.push(client)
    return client
  }

  /** Kills the engine as a crash would; the next call starts another. */
  async killEngine(client: Client): Promise<number> {
    const { enginePid } = await client.status()
    process.kill(enginePid, "SIGKILL")
    return enginePid
  }

  /** Ends clients, sessions, engine and keepers, and removes the store. */
  async dispose(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
    const paths = storePaths(this.store)
    const stop = EngineClient.EngineControl.use((control) => control.stop({ sessions: true })).pipe(
      Effect.provide(EngineClient.layer({ paths, start: false })),
      Effect.map(({ pid }) => pid),
      // None ran.
      Effect.catch(() => Effect.succeed(undefined))
    )
    const pid = await Effect.runPromise(stop)
    if (pid !== undefined) await gone(pid)
    await removeStore(this.store)
  }
}

const bytesOf = (chunks: ReadonlyArray<OutputChunk>): Buffer =>
  Buffer.concat(chunks.flatMap(({ stdout }) => (stdout === undefined ? [] : [stdout])))

/** As it was printed: without the carriage returns that a terminal adds. */
export const textOf = (chunks: ReadonlyArray<OutputChunk>): string =>
  bytesOf(chunks).toString().replaceAll("\r\n", "\n")

export interface Read {
  readonly chunks: ReadonlyArray<OutputChunk>
  readonly text: string
  /** The last chunk. */
  readonly last: OutputChunk | undefined
}

const read = (chunks: ReadonlyArray<OutputChunk>): Read => ({ chunks, text: textOf(chunks), last: chunks.at(-1) })

/** From where it is to its end. */
export const readAll = async (terminal: Terminal): Promise<Read> => {
  const chunks: Array<OutputChunk> = []
  for await (const chunk of terminal) chunks.push(chunk)
  return read(chunks)
}

/** From where it is until the output holds `text`; leaves the loop there. */
export const readUntil = async (terminal: Terminal, text: string | RegExp): Promise<Read> => {
  const chunks: Array<OutputChunk> = []
  for await (const chunk of terminal) {
    chunks.push(chunk)
    const seen = textOf(chunks)
    if (typeof text === "string" ? seen.includes(text) : text.test(seen)) return read(chunks)
  }
  throw new Error(`the output ended without ${text}: ${JSON.stringify(textOf(chunks))}`)
}

/** `1\n` to `last\n`. */
export const numbered = (last: number, first = 1): string =>
  Array.from({ length: last - first + 1 }, (_, index) => `${first + index}\n`).join("")

/** The error that a promise rejects with. */
export const refusal = async (promise: Promise<unknown>): Promise<RepriseError> => {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error
  )
  assert.instanceOf(error, Error)
  assert.property(error, "code", String(error))
  return error as RepriseError
}
