/**
 * One session of a store whose engine dies all the time, and what is known of it outside: every byte that a live reader
 * was given, and every line that was acknowledged as typed. Campaigns compare the two at the end. A reader that loses its
 * engine goes on behind the last byte; a byte that comes twice, or not in its place, fails at once.
 */
import { Effect, Stream } from "effect"
import { ulid } from "ulid"
import type { SessionId } from "../../journal/Event.ts"
import { type CreateSession, History, Sessions, type SessionView } from "../../src/index.ts"
import { SessionOutput } from "../../src/remote/SessionOutput.ts"
import type { OutputItem } from "../../src/session/OutputItem.ts"
import type { Typed } from "./NumberedProgram.ts"
import type { Services, StoreUnderTorture } from "./StoreUnderTorture.ts"
import { TortureFailure } from "./TortureFailure.ts"

export type Ended = Extract<OutputItem, { readonly _tag: "Ended" }>

export class SessionUnderTorture {
  readonly id = ulid() as SessionId
  readonly store: StoreUnderTorture
  readonly typed: Array<Typed> = []
  ended: Ended | undefined
  readonly #pieces: Array<Uint8Array> = []
  #bytes = 0
  #sequence = 0
  #failure: unknown
  #waiting: Array<() => void> = []
  #reading: Promise<void> | undefined
  #typing: Promise<void> = Promise.resolve()
  readonly #left = new AbortController()

  constructor(store: StoreUnderTorture) {
    this.store = store
  }

  /** What the live reader was given so far. */
  get output(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  async create(request: Omit<CreateSession, "id">): Promise<SessionView> {
    this.store.note(this.id)
    return this.store.call(
      "create",
      Sessions.use((sessions) => sessions.create({ cwd: "/", ...request, id: this.id }))
    )
  }

  /** Reads live from now on, until the end of the session. `pause`: called before each piece is taken. */
  follow(pause?: () => Promise<void>): void {
    const take = (item: OutputItem) =>
      pause === undefined
        ? Effect.sync(() => this.#take(item))
        : Effect.map(Effect.promise(pause), () => this.#take(item))
    // A reader waits for as long as the program prints nothing: it has no limit of its own.
    const read = SessionOutput.use((output) =>
      Stream.runForEach(
        Stream.takeUntil(
          Stream.suspend(() => output.stream(this.id, { after: this.#sequence })),
          ({ _tag }) => _tag === "Ended"
        ),
        take
      )
    )
    this.#reading = this.store.follow(read, this.#left.signal).catch((error: unknown) => {
      this.#failure = error
    })
    void this.#reading.then(() => this.#wake())
  }

  async leave(): Promise<void> {
    this.#left.abort()
    await this.#reading
  }

  #take(item: OutputItem): void {
    const { store } = this
    if (item._tag === "Output") {
      if (item.offset !== this.#bytes) {
        if (item.offset < this.#bytes) store.tally.doubled++
        else store.tally.lost++
        this.#failure = this.failure("a live reader", `output from byte ${this.#bytes}`, `from byte ${item.offset}`)
        throw this.#failure
      }
      this.#pieces.push(Uint8Array.from(item.data))
      this.#bytes += item.data.byteLength
      this.#sequence = item.sequence
    } else if (item._tag === "Missing") {
      store.tally.lost++
      this.#failure = this.failure(
        "a live reader",
        "all output",
        `bytes ${item.from} to ${item.to} missing: ${item.why}`
      )
      throw this.#failure
    } else if (item._tag === "Ended") {
      this.ended = item
    }
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  failure(what: string, expected: string, found: string): TortureFailure {
    return new TortureFailure(`session ${this.id}: ${what}`, { expected, found, store: this.store.paths.store })
  }

  /** What the reader has meets the condition, or its end shows that it never will. */
  async until(what: string, isMet: () => boolean): Promise<void> {
    await this.store.within(what, async () => {
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure
        if (isMet()) return
        if (this.ended !== undefined) throw this.failure(what, "it to come", `the end: ${JSON.stringify(this.ended)}`)
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    })
  }

  shows(text: string): Promise<void> {
    return this.until(`shows ${JSON.stringify(text)}`, () => this.output.includes(text))
  }

  async untilEnd(): Promise<Ended> {
    await this.until("its end", () => this.ended !== undefined)
    await this.#reading
    if (this.#failure !== undefined) throw this.#failure
    return this.ended!
  }

  /** Types a line behind those before; repeated with the same command id until it is acknowledged. */
  type(line: string): Promise<void> {
    const typed = this.#typing.then(() => this.#type(line))
    this.#typing = typed.catch(() => undefined)
    return typed
  }

  async #type(line: string): Promise<void> {
    const commandId = ulid()
    const data = Buffer.from(`${line}\n`)
    const place = this.typed.push({ line, maybe: true }) - 1
    await this.store.call(
      `type ${line}`,
      Sessions.use((sessions) => sessions.write(this.id, data, { commandId }))
    )
    this.typed[place] = { line, maybe: false }
  }

  /** The whole output as somebody reads it who comes now: from the journal, not from what the live reader had. */
  async replay(): Promise<Buffer> {
    const items = await this.store.call(
      "replay",
      SessionOutput.use((output) => Stream.runCollect(output.stream(this.id, { live: false }))) as Effect.Effect<
        ReadonlyArray<OutputItem>,
        unknown,
        Services
      >
    )
    return Buffer.concat([...items].flatMap((item) => (item._tag === "Output" ? [item.data] : [])))
  }

  view(): Promise<SessionView> {
    return this.store.call(
      "get",
      History.use((history) => history.get(this.id))
    )
  }

  /** The live reader and one who comes later have the same bytes. */
  async checkReplay(): Promise<void> {
    const replay = await this.replay()
    const { output } = this
    if (replay.equals(output)) return
    const { tally } = this.store
    if (replay.length < output.length && output.subarray(0, replay.length).equals(replay)) tally.lost++
    else if (replay.length > output.length) tally.doubled++
    else tally.wrong++
    throw this.failure("replay", `${output.length} bytes as they were read live`, `${replay.length} bytes`)
  }
}
