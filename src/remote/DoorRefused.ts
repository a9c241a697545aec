/** A WebSocket door that is not opened: raised by WebSocketDoor.ts and DoorToken.ts before anybody can connect. */
import { Schema } from "effect"

export class DoorRefused extends Schema.TaggedError<DoorRefused>()("DoorRefused", {
  /** InvalidArgument: these options are not safe or make no sense. PermissionDenied: a file. Unavailable: the port. */
  code: Schema.Literals(["InvalidArgument", "PermissionDenied", "Unavailable"]),
  /** What is wrong, and what to do. */
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}
