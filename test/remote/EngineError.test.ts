import { assert, describe, it } from "@effect/vitest"
import { EngineMismatch } from "../../src/remote/EngineError.ts"

const mismatch = (engineProtocol: number) =>
  new EngineMismatch({
    enginePid: 1,
    engineVersion: "0.9.0",
    engineProtocol,
    clientVersion: "1.0.0",
    clientProtocol: 2
  })

describe("EngineMismatch", () => {
  it("says which side to change", () => {
    assert.match(mismatch(3).message, /newer.*upgrade this reprise/)
    assert.match(mismatch(1).message, /older.*`reprise stop`/)
  })
})
