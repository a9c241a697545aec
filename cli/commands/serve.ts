/** `reprise serve`: opens a WebSocket door to the store's engine and keeps it open until it is told to end. */
import { readFileSync } from "node:fs"
import { isIP } from "node:net"
import { join } from "node:path"
import { Effect, Option, Queue } from "effect"
import { Command, Flag } from "effect/cli"
import { refusal } from "../../src/session/AccessLog.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { tell } from "../Store.ts"
import { Usage } from "../Usage.ts"

const file = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("FILE"), Flag.withDescription(description), Flag.optional)

export const serve = Command.make(
  "serve",
  {
    listen: Flag.String("listen").pipe(
      Flag.withMetavar("HOST:PORT"),
      Flag.withDefault("127.0.0.1:0"),
      Flag.withDescription("Where to listen; port 0 takes a free one and tells which")
    ),
    tokenFile: file(
      "token-file",
      "The token that clients must show, in a file of mode 0600; without it a new one is made"
    ),
    tlsCert: file("tls-cert", "Certificate chain (PEM); needed to listen for other machines"),
    tlsKey: file("tls-key", "Its private key (PEM)"),
    allowOrigin: Flag.String("allow-origin").pipe(
      Flag.withMetavar("ORIGIN"),
      Flag.withDescription("Let web pages of this origin (https://host:port) connect; may be repeated"),
      Flag.atLeast(0)
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object in one line"))
  },
  Effect.fn("cli.serve")(function* ({ listen, tokenFile, tlsCert, tlsKey, allowOrigin, json }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const address = yield* addressIn(listen)
    if (Option.isSome(tlsCert) !== Option.isSome(tlsKey)) {
      return yield* new Usage({ command: "serve", reason: "--tls-cert and --tls-key are given together" })
    }
    // Loaded only here: no other command needs a server.
    const { DoorRefused, DoorToken, isLoopback, prepareFolders, WebSocketDoor } = yield* Effect.promise(
      () => import("../Door.ts")
    )
    if (Option.isNone(tokenFile) && !isLoopback(address.name)) {
      return yield* new DoorRefused({
        code: "InvalidArgument",
        reason: `${address.host} can be reached from other machines: give --token-file, --tls-cert and --tls-key`
      })
    }
    const tls = Option.isSome(tlsCert)
      ? { cert: yield* contentOf(tlsCert.value), key: yield* contentOf(Option.getOrThrow(tlsKey)) }
      : undefined
    yield* prepareFolders(paths)
    const token = Option.isSome(tokenFile) ? yield* DoorToken.readToken(tokenFile.value) : DoorToken.makeToken()

    const signals = yield* caller.signals(["SIGINT", "SIGTERM", "SIGHUP"])
    const door = yield* WebSocketDoor.open({
      paths,
      start: true,
      ...address,
      token,
      allowedOrigins: allowOrigin,
      tls,
      wrongTokens: (counts) =>
        tell(
          paths,
          counts.map((count) => refusal(null, `wrong token at ${listen}, from ${count.address}`, count.times)),
          "serve"
        )
    })
    const keptIn = Option.getOrElse(tokenFile, () => join(paths.run, `serve-${door.port}.token`))
    if (Option.isNone(tokenFile)) yield* DoorToken.keepToken(keptIn, token)
    yield* caller.write(
      json
        ? toJsonText({
            url: door.url,
            ...(Option.isNone(tokenFile) && { token }),
            tokenFile: keptIn,
            store: paths.store,
            pid: process.pid
          })
        : `${door.url}\n${Option.isNone(tokenFile) ? `token ${token}\n` : ""}`
    )
    yield* Queue.take(signals)
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Open a WebSocket door to the sessions of the store, for clients on other machines, in containers and in web pages, " +
      "and keep it open until SIGINT or SIGTERM. Prints the URL and, unless --token-file is given, a new token; whoever " +
      "has both can do what you can. Other machines need TLS and a token file. The engine is started when the first " +
      "client comes; its end does not end the door."
  ),
  Command.withShortDescription("Open a WebSocket door"),
  Command.withExamples([
    { command: "reprise serve --json", description: "On this machine, at a free port" },
    {
      command: "reprise serve --listen 0.0.0.0:7400 --token-file token --tls-cert cert.pem --tls-key key.pem",
      description: "For other machines"
    }
  ])
)

/** `127.0.0.1:7400`, `[::1]:0`, `localhost:7400`. `name` is the host as URLs write it. */
const addressIn = (listen: string) => {
  const [, name, port] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(listen) ?? []
  const host = name?.replace(/^\[|\]$/g, "")
  const isAddress = host !== undefined && (host === "localhost" || isIP(host) !== 0)
  return isAddress && Number(port) <= 65_535
    ? Effect.succeed({ host, name: name!, port: Number(port) })
    : Effect.fail(
        new Usage({ command: "serve", reason: `--listen takes ADDRESS:PORT, such as 127.0.0.1:0 or [::1]:7400` })
      )
}

const contentOf = (path: string) =>
  Effect.try({
    try: () => readFileSync(path),
    catch: (error) =>
      new Ending({ exitCode: ExitCode.invalid, note: `cannot read ${path}: ${(error as Error).message}` })
  })
