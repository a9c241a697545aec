/** `reprise keys`: the key with which others check this store's evidence; made if there is none, and changed by `rotate`. */
import { resolve } from "node:path"
import { Clock, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Evidence } from "../../src/evidence/Evidence.ts"
import { Caller } from "../Caller.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { longWork } from "../LongWork.ts"
import { formatLocalTime } from "../Moment.ts"
import { chosenStore } from "../Root.ts"
import { ACTOR, evidencing } from "../Store.ts"
import { fields } from "../Table.ts"
import { Usage } from "../Usage.ts"

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

const changeStoreKey = Command.make(
  "change-store-key",
  {
    newKeyFile: Flag.String("new-key-file").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("The key from now on; `reprise keys --new-store-key FILE` makes one"),
      Flag.optional
    ),
    newKeyCommand: Flag.String("new-key-command").pipe(
      Flag.withMetavar("COMMAND"),
      Flag.withDescription("Instead of a file: what /bin/sh -c prints"),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.keys.changeStoreKey")(function* ({ json, newKeyCommand, newKeyFile }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    if (Option.isSome(newKeyFile) === Option.isSome(newKeyCommand)) {
      const reason = "the new key comes from --new-key-file FILE, or from --new-key-command COMMAND"
      return yield* new Usage({ reason, command: "keys change-store-key" })
    }
    const source = Option.isSome(newKeyFile)
      ? { file: resolve(caller.cwd, newKeyFile.value) }
      : { command: Option.getOrElse(newKeyCommand, () => "") }
    const nowMicros = (yield* Clock.currentTimeMillis) * 1000
    const report = yield* longWork((care, signal) =>
      care.changeStoreKey(paths, source, { actor: ACTOR, nowMicros, signal })
    )
    if (json) return yield* caller.write(toJsonText(report))
    const { from, keys, left, lost, to } = report
    yield* caller.write(
      from === null
        ? `the store is under the key ${to} already; nothing was left to do but what a change that was interrupted had left\n`
        : fields([
            ["key until now", from],
            ["key from now on", to],
            ["wrapped anew", `${keys} keys`]
          ])
    )
    const told = [
      ...(lost > 0 ? [`${lost} keys were lost before, and stay so: reprise doctor names their sessions`] : []),
      ...left.map((path) => `${escapeText(path)} still holds keys under the old one: remove it once it is of no use`),
      ...(from === null ? [] : ["backups made before still need the old key"])
    ]
    yield* caller.writeError(told.map((line) => `${line}\n`).join(""))
  })
).pipe(
  Command.withDescription(
    "Put an encrypted store under another key, where it is. --key-file (or what stands for it in the environment) gives the key until now. " +
      "The keys of its sessions are wrapped anew; what they encrypt is not touched, so it takes seconds. The engine must be " +
      "stopped (reprise stop; its sessions go on). A process that dies meanwhile leaves a store that one of the two keys " +
      "opens: `doctor` says which, and whoever opens it next with that one does the rest. Afterwards no file of the store " +
      "holds anything under the old key; backups that were made before do. Give the new key to whatever starts an engine."
  ),
  Command.withShortDescription("Put an encrypted store under another key"),
  Command.withExamples([
    {
      command:
        "reprise keys --new-store-key new.key && reprise --key-file old.key keys change-store-key --new-key-file new.key",
      description: "Once a year, or when somebody left"
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
  Command.withSubcommands([rotate, changeStoreKey]),
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
