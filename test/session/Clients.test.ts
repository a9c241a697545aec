/** Who is attached, without sessions: the memory itself, with a short time to come back. */
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { Clients } from "../../src/session/Clients.ts"
import { newSessionId } from "../contracts/JournalContract.ts"

const RETURN_MILLIS = 60

const clientsUnderTest = (clientsMax = 3) => {
  const told: Array<string> = []
  const state = { now: 1000, isLive: true }
  const clients = new Clients({
    monotonicMillis: () => state.now,
    clientsMax,
    returnMillis: RETURN_MILLIS,
    isLive: () => state.isLive,
    journal: async (_, event, client) => {
      if (state.isLive) told.push(`${event._tag === "ClientAttached" ? "+" : "-"}${client}`)
      return state.isLive
    }
  })
  const attach = (session: SessionId, client: string, more: { readOnly?: boolean; exclusive?: boolean } = {}) =>
    clients.attach(session, { client, readOnly: false, exclusive: false, ...more }, () =>
      told.push(`replaced ${client}`)
    )
  return { clients, told, state, attach }
}

const refused = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it was not refused"),
    (error: unknown) => error
  )

describe("clients of a session", () => {
  it("are at most as many as the engine allows; one that is expected back makes room", async () => {
    const { attach, clients, told } = clientsUnderTest()
    const id = newSessionId()
    const first = await attach(id, "a")
    await attach(id, "b")
    await attach(id, "c")
    assert.deepInclude(await refused(attach(id, "d")), { _tag: "LimitExceeded", code: "ResourceExhausted", max: 3 })
    // Its own name is no further client, and another session has room.
    await attach(id, "b")
    await attach(newSessionId(), "d")
    first.leave(true)
    await attach(id, "d")
    assert.deepStrictEqual(
      clients.list(id).map(({ client }) => client),
      ["b", "c", "d"]
    )
    assert.deepStrictEqual(told, ["+a", "+b", "+c", "replaced b", "+d", "-a", "+d"])
    clients.close()
  })

  it("tell since when nobody is there, and count who is expected back", async () => {
    const { attach, clients, state } = clientsUnderTest()
    const id = newSessionId()
    assert.deepStrictEqual(clients.presence(id), { clients: 0, emptySinceMillis: null })
    const one = await attach(id, "one")
    const two = await attach(id, "two")
    two.leave(false)
    assert.deepStrictEqual(clients.presence(id), { clients: 1, emptySinceMillis: null })
    one.leave(true)
    assert.deepStrictEqual(clients.presence(id), { clients: 1, emptySinceMillis: null })
    state.now = 2000
    await sleep(RETURN_MILLIS * 2)
    assert.deepStrictEqual(clients.presence(id), { clients: 0, emptySinceMillis: 2000 })
    await attach(id, "one")
    assert.deepStrictEqual(clients.presence(id), { clients: 1, emptySinceMillis: null })
    clients.close()
  })

  it("that come back in time were never away, and keep their lease; later they come anew", async () => {
    const { attach, clients, told } = clientsUnderTest()
    const id = newSessionId()
    const before = await attach(id, "w", { exclusive: true })
    before.leave(true)
    assert.throws(() => clients.checkWriter(id, "other"), /"w" has it to itself/)
    const after = await attach(id, "w", { exclusive: true })
    // The end of the broken connection may be noticed after the new one is there.
    before.leave(true)
    before.leave(false)
    await sleep(RETURN_MILLIS * 2)
    assert.throws(() => clients.checkWriter(id, undefined), /"w" has it to itself/)
    assert.deepStrictEqual(told, ["+w"])
    after.leave(true)
    await sleep(RETURN_MILLIS * 2)
    clients.checkWriter(id, "other")
    await attach(id, "w")
    assert.deepStrictEqual(told, ["+w", "-w", "+w"])
    clients.close()
  })

  it("are told again when their session was interrupted, but for those who are away; none behind its end", async () => {
    const { attach, clients, state, told } = clientsUnderTest()
    const id = newSessionId()
    await attach(id, "here", { readOnly: true })
    const away = await attach(id, "away")
    away.leave(true)
    clients.interrupted(id)
    await clients.resumed(id)
    const back = await attach(id, "away")
    assert.deepStrictEqual(told, ["+here", "+away", "+here", "+away"])
    state.isLive = false
    clients.ended(id)
    back.leave(false)
    const late = await attach(id, "late")
    late.leave(true)
    assert.deepStrictEqual(clients.list(id), [{ client: "here", readOnly: true }])
    assert.lengthOf(told, 4)
    clients.close()
  })

  it("that come while their session is taken back are told once", async () => {
    const { attach, clients, told } = clientsUnderTest()
    const id = newSessionId()
    await attach(id, "here")
    clients.interrupted(id)
    await attach(id, "new")
    await clients.resumed(id)
    assert.deepStrictEqual(told, ["+here", "+new", "+here"])
    clients.close()
  })

  it("a coming that the journal could not take is told when it can", async () => {
    const { attach, clients, state, told } = clientsUnderTest()
    const id = newSessionId()
    state.isLive = false
    const one = await attach(id, "one")
    assert.deepStrictEqual(told, [])
    state.isLive = true
    await clients.resumed(id)
    one.leave(false)
    assert.deepStrictEqual(told, ["+one", "-one"])
  })
})
