/** A command line that cannot be understood: one line for the user, exit code 2. */
import { Data } from "effect"

export class Usage extends Data.TaggedError("Usage")<{
  readonly reason: string
  /** The command whose `--help` says more; "" for reprise itself. */
  readonly command: string
}> {
  override get message() {
    return `${this.reason}; see \`reprise ${this.command === "" ? "" : `${this.command} `}--help\``
  }
}
