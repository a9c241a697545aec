/** `reprise keys`: the key with which others check this store's evidence; made if there is none, and changed by `rotate`. */
import { resolve } from "node:path"
import { Clock, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Evidence } from "../../src/session/Evidence.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { longWork } from "../LongWork.ts"
import { formatLocalTime } from "../Moment.ts"
import { chosenStore } from "../Root.ts"
import { evidencing } from "../Store.ts"
import { fields } from "../Table.ts"

const rotate = Command.make(
  "rotate",
  { json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object")) },
  Effect.fn("cli.keys.rotate")(function* ({ json }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const { from, statement, to } = yield* Evidence.use((evidence) => evidence.rotateKey()).pipe(
      Effect.provide(evidencing(paths))
    )
    yield* caller.write(
      json
        ? toJsonText({ from, to, statement })
        : fields([
            ["key until now", from],
            ["key from now on", to],
            ["named by", `statement ${statement} of the store's log`]
          ])
    )
  })
).pipe(
  Command.withDescription(
    "Make a new key, and let the old one's last signature name it: a statement of the store's log holds both keys, and the " +
      "checkpoint over it is signed by both. The old key is then deleted. `verify` follows from a verifier key, or an anchor, of " +
      "before to the new one. Give the new verifier key to whoever has the old one all the same. Who had a copy of the old key " +
      "can sign nothing of what comes from now on."
  ),
  Command.withShortDescription("Go on under a new key"),
  Command.withExamples([
    {
      command: "reprise keys rotate && reprise keys --public > reprise.vkey",
      description: "Once a year, or when it may be known"
    }
  ])
)

export const keys = Command.make(
  "keys",
  {
    newStoreKey: Flag.String("new-store-key").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Make a key to encrypt a store with, in a file that does not exist yet"),
      Flag.optional
    ),
    public: Flag.Boolean("public").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Only the verifier key, on a line")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.keys")(function* (flags) {
    const caller = yield* Caller
    if (Option.isSome(flags.newStoreKey))
      return yield* makeStoreKey(resolve(caller.cwd, flags.newStoreKey.value), flags.json)
    const paths = yield* chosenStore
    const now = yield* Clock.currentTimeMillis
    const { madeMillis, origin, verifier } = yield* longWork(async ({ storeKey }) => storeKey(paths, now))
    if (flags.json)
      return yield* caller.write(toJsonText({ verifier, origin, made: new Date(madeMillis).toISOString() }))
    yield* caller.write(
      flags.public
        ? `${verifier}\n`
        : fields([
            ["verifier key", verifier],
            ["origin", origin],
            ["made", formatLocalTime(madeMillis * 1000)],
            ["kept in", paths.evidenceKey]
          ])
    )
  })
).pipe(
  Command.withDescription(
    "Show the key that checks the store's evidence (a C2SP verifier key, Ed25519), the origin in its checkpoints, and when it was " +
      "made. The key that signs stays in the store's folder, for its user alone; it is made when it is first needed. Whoever is " +
      "to check the store must have the verifier key from somewhere else than from the store."
  ),
  Command.withShortDescription("Show the key of the evidence, or change it"),
  Command.withSubcommands([rotate]),
  Command.withExamples([
    { command: "reprise keys --public > reprise.vkey", description: "To be kept where nobody of this machine writes" },
    {
      command: "reprise keys --new-store-key ~/.reprise.key",
      description: "For a new store that is encrypted: --key-file, or REPRISE_STORE_KEY_FILE"
    }
  ])
)

const makeStoreKey = Effect.fnUntraced(function* (file: string, json: boolean) {
  const caller = yield* Caller
  const name = yield* longWork(async ({ createKeyFile }) => createKeyFile(file))
  yield* caller.write(
    json
      ? toJsonText({ file, key: name })
      : fields([
          ["store key", name],
          ["kept in", file]
        ])
  )
  if (!json) yield* caller.writeError("keep a copy of it elsewhere: without it nobody reads what it encrypts\n")
})
