/**
 * The token of a WebSocket door: read from a file of the user, or made new and kept in the store's run folder while the
 * door is open. Nobody else can read either; a file that others can read is refused, not mended.
 */
import { randomBytes } from "node:crypto"
import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { Effect, type Scope } from "effect"
import { DoorRefused } from "./DoorRefused.ts"

/** Of a token that we make: it cannot be guessed, whatever the number of tries. */
const TOKEN_BYTES = 32
/** Of a token that we are given: short ones can be guessed. */
const TOKEN_CHARS_MIN = 32
const TOKEN_FILE_BYTES_MAX = 4096

/** The first line of the file. */
export const readToken = (file: string): Effect.Effect<string, DoorRefused> =>
  Effect.try({
    try: () => {
      const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      try {
        const stat = fstatSync(fd)
        const refuse = (reason: string) => {
          throw new DoorRefused({ code: "PermissionDenied", reason: `${file}: ${reason}` })
        }
        if (!stat.isFile() || stat.size > TOKEN_FILE_BYTES_MAX) refuse("is not a file with a token in it")
        if (stat.uid !== process.getuid?.()) refuse("belongs to another user")
        if ((stat.mode & 0o077) !== 0) refuse("can be read by other users; `chmod 600` it and put a new token in it")
        const token = readFileSync(fd, "latin1").split("\n")[0]!.trim()
        if (!/^[\x21-\x7e]+$/.test(token) || token.length < TOKEN_CHARS_MIN) {
          refuse(`a token is one line of ${TOKEN_CHARS_MIN} or more characters; \`openssl rand -hex 32\` makes one`)
        }
        return token
      } finally {
        closeSync(fd)
      }
    },
    catch: (cause) =>
      cause instanceof DoorRefused
        ? cause
        : new DoorRefused({ code: "PermissionDenied", reason: `cannot read the token: ${(cause as Error).message}` })
  })

/** A new token, and what keeps it in `file` (0600) until the scope closes. The folder is ours alone. */
export const makeToken = (): string => randomBytes(TOKEN_BYTES).toString("base64url")

export const keepToken = (file: string, token: string): Effect.Effect<void, DoorRefused, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        // What a killed door left: the port is ours now, so is its file.
        rmSync(file, { force: true })
        writeFileSync(file, `${token}\n`, { flag: "wx", mode: 0o600 })
      },
      catch: (cause) =>
        new DoorRefused({ code: "Unavailable", reason: `cannot keep the token: ${(cause as Error).message}` })
    }),
    () => Effect.sync(() => rmSync(file, { force: true }))
  )
