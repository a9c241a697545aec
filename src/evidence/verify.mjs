// Checks evidence of reprise without reprise: node verify.mjs [FOLDER] [--key FILE] [--anchor FILE]... Node.js 20, nothing else.
// Ends with 0: all is there as it was; 82: it is not as it was; 83: something is missing; 84: nothing is proven; 64: no evidence.
import { createHash, createPublicKey, verify } from "node:crypto"
import { createReadStream, existsSync, readdirSync, readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"

process.on("uncaughtException", ({ message }) => { console.error(`verify: ${message.split("\n")[0]}`); process.exit(64) })
const { positionals: [top = ".", ...more], values } = parseArgs({ allowPositionals: true, options: { key: { type: "string" }, anchor: { type: "string", multiple: true, default: [] } } })
const [givenKey, ...anchors] = [values.key, ...values.anchor].map((file) => file === undefined ? file : readFileSync(file, "utf8"))
const sha = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest()
const [leafOf, nodeOf] = [0, 1].map((prefix) => (...parts) => sha(Buffer.of(prefix), ...parts))
const [b64, hex] = ["base64", "hex"].map((coding) => (text) => Buffer.from(String(text), coding))
const number = (value, bytes) => hex(BigInt(value).toString(16).padStart(bytes * 2, "0"))
const attempt = (work) => { try { return work() } catch {} }
const splitOf = (n, k = 1) => (k * 2 < n ? splitOf(n, k * 2) : k) // RFC 6962: the largest power of two below n.
const rootOf = (list, k = splitOf(list.length)) => list.length < 2 ? (list[0] ?? sha("")) : nodeOf(rootOf(list.slice(0, k)), rootOf(list.slice(k)))
const climb = (leaf, index, n, path, k = splitOf(n), top = n > 1 && path.pop()) =>
  n === 1 ? leaf : index < k ? nodeOf(climb(leaf, index, k, path), top) : nodeOf(top, climb(leaf, index - k, n - k, path))
const bothRoots = (m, n, first, path, k = splitOf(n), top = (m < n || !first) && path.pop()) => {
  if (m === n) return first ? [first, first] : [top, top]
  const [before, now] = m <= k ? bothRoots(m, k, first, path) : bothRoots(m - k, n - k, undefined, path)
  return m <= k ? [before, nodeOf(now, top)] : [nodeOf(top, before), nodeOf(top, now)]
}
const holds = ({ root, size }, index, text, path) => index < size && attempt(() => climb(leafOf(text), index, size, path))?.equals(root) && !path.length
const goesOn = (before, now, path, [first, second] = attempt(() => bothRoots(before.size, now.size, before.root, path)) ?? []) =>
  !before.size || (first?.equals(before.root) && second.equals(now.root) && !path.length)
const parseKey = (text = "") => {
  const [vkey, name, id, bytes] = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text.trim()) ?? []
  if (!name || !sha(`${name}\n`, b64(bytes)).subarray(0, 4).equals(hex(id)) || b64(bytes)[0] !== 1) return undefined
  const jwk = { kty: "OKP", crv: "Ed25519", x: b64(bytes).subarray(1).toString("base64url") }
  return { vkey, name, id: hex(id), key: createPublicKey({ key: jwk, format: "jwk" }), from: 0, to: Infinity }
}
const textOf = (note) => note.slice(0, note.lastIndexOf("\n\n") + 1)
const isSigned = (note, { id, key, name }) => // It is a note, and all signatures under its name and id are right; undefined: there is none.
  /\n\n(— \S+ \S+\n)+$/.test(note) && [...note.matchAll(/^— (\S+) (\S+)$/gm)].filter(([, by, bytes]) => by === name && b64(bytes).subarray(0, 4).equals(id))
    .reduce((all = true, [, , bytes]) => all && verify(null, Buffer.from(textOf(note)), key, b64(bytes).subarray(4)), undefined)
const parse = (text, [origin, size, root] = text.split("\n")) => ({ origin, size: Number(size), root: b64(root) })
const changeOf = ({ checkpoint, consistency, inclusion, statement }) => { // Of the key: the log's last entry names two, and both signed it.
  const { origin, root, size } = parse(checkpoint)
  const [before, after] = ["from", "to"].map((word) => parseKey(new RegExp(`^${word} (.+)$`, "m").exec(statement)[1]))
  const isSound = [before, after].every((key) => key.name === origin && isSigned(checkpoint, key)) && holds({ root, size }, size - 1, statement, inclusion.map(b64))
  return isSound ? { before, after, root, size, path: consistency.map(b64) } : undefined
}
const idBytes = (id, digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ") => number([...id].reduce((sum, digit) => sum * 32n + BigInt(digits.indexOf(digit)), 0n), 16)
const headerOf = ({ actor, command = "", kind, record, time }) => Buffer.concat([Buffer.of(record, kind), number(time, 8), ...[actor, command].map((text) => Buffer.from(String.fromCharCode(text.length) + text, "latin1"))])
const FIELDS = "format version session events last kept sequence value time actor command kind name record payload missing leaf salt why".split(" ")
async function* linesOf(file) { for await (const line of createInterface(createReadStream(file))) yield JSON.parse(line) }
const check = async (folder) => {
  const [integrity, completeness] = [new Set(), new Set()]
  const [wrong, lacks] = [integrity, completeness].map((set) => (is, reason, detail) => void (is && set.add(`${reason}: ${detail}`)))
  const read = (name) => attempt(() => readFileSync(`${folder}/${name}`))
  const text = (name) => read(name)?.toString("utf8") ?? ""
  if (!existsSync(`${folder}/manifest.json`)) return console.log(`${folder}: completeness incomplete\n  removed: manifest.json is missing`) ?? 83
  const { coverage, files, session } = JSON.parse(text("manifest.json"))
  const key = parseKey(givenKey ?? text("store.vkey"))
  const told = attempt(() => JSON.parse(read("rotations.json") ?? "[]").map(changeOf)) ?? [undefined]
  const changes = told.every(Boolean) ? told : []
  wrong(changes !== told, "forged rotation", "a key is said to follow another, and that one did not sign it")
  const keys = key ? [key] : [] // Those that the trusted one leads to, forward and back.
  for (const { after, before, size } of changes) if (keys.at(-1)?.vkey === before.vkey) keys.splice(-1, 1, { ...keys.at(-1), to: size }, { ...after, from: size })
  for (const { after, before, size } of changes.toReversed()) if (keys[0]?.vkey === after.vkey) keys.splice(0, 1, { ...before, to: size }, { ...keys[0], from: size })
  const [present, keysAt] = [keys.slice(-1), (size) => keys.filter(({ from, to }) => !(size < from || size > to))]
  wrong(text("store.vkey") && key && present[0].vkey !== text("store.vkey").trim(), "wrong key", "the given key does not lead to the bundle's")
  const opened = (name, signers, note = text(name) || undefined, found = signers.map((signer) => isSigned(note, signer))) => {
    wrong(key && note !== undefined && !found.includes(true), found.includes(false) ? "forged seal" : "wrong key", `${name} is not signed by ${key?.name}`)
    return found.includes(true) ? textOf(note) : undefined
  }
  const checkpoint = (name, expected, signers, note, found = parse(opened(name, signers, note) ?? "")) => {
    wrong(found.origin && found.origin !== expected, note ? "wrong key" : "forged seal", `${name} is that of ${found.origin}`)
    return found.origin === expected ? found : undefined
  }
  const note = opened("manifest.note", present)
  const expected = `reprise bundle v1\nsession ${session}\nmanifest ${sha(read("manifest.json")).toString("base64")}\n`
  wrong(note && note !== expected, "edited", "manifest.json is not the one that was signed")
  const seal = checkpoint("session.checkpoint", `${key?.name}/${session}`, keys)
  wrong(coverage.sealed > 0 && !(key && text("session.checkpoint")), "evidence missing", "session.checkpoint or the key is missing")
  const store = seal && checkpoint("store.checkpoint", key.name, present)
  for (const name of ["manifest.note", "store.checkpoint", "statement.txt", "statement.tlog-proof"]) wrong(seal && !text(name), "evidence missing", `${name} is missing`)
  if (store) {
    wrong(!changes.every((change) => goesOn(change, store, change.path)), "forged rotation", "the log does not go on from where it names another key")
    const [head, ...rest] = text("statement.tlog-proof").split("\n\n")
    const [index, ...path] = head.replace("c2sp.org/tlog-proof@v1\nindex ", "").split("\n").map((line, at) => (at ? b64(line) : Number(line)))
    const [, id, size, root] = /^session (\S+)\nsize (\d+)\nroot (\S{44})$/m.exec(text("statement.txt")) ?? []
    const isProven = rest.join("\n\n") === text("store.checkpoint") && holds(store, index, text("statement.txt"), path)
    wrong(head && text("statement.txt") && !(isProven && id === session && Number(size) === seal.size), "forged seal", "the statement is not in the store's log, or is of another session or size")
    wrong(Number(size) === seal.size && !b64(root).equals(seal.root), "forked", "the log has another root for the session")
    for (const [at, anchorNote] of anchors.entries()) {
      const anchor = checkpoint(`anchor ${values.anchor[at]}`, key.name, keysAt(parse(anchorNote).size), anchorNote)
      const [since, ...hops] = text("consistency.txt").trim().split("\n").map((line, at) => (at ? b64(line) : Number(line)))
      const known = anchor && { [since]: hops.shift(), [store.size]: store.root }[anchor.size]
      wrong(known && !known.equals(anchor.root), "forked", "the bundle knows another log of the anchor's size")
      lacks(anchor?.size > store.size, "rolled back", `the log has ${store.size} entries, and had ${anchor?.size}`)
      wrong(anchor?.size < store.size && !known, "evidence missing", "no proof that the log goes on from the anchor")
      wrong(anchor?.size < store.size && known?.equals(anchor.root) && !goesOn(anchor, store, hops), "forged seal", "the log does not go on from the anchor")
    }
  }
  const removedTo = note === expected && coverage.removed?.isRecorded ? coverage.removed.to : 0
  const [sealed, id, redacted, leaves, others, digest] = [seal?.size ?? 0, idBytes(session), new Map(), [], [], createHash("sha256")]
  let [events, last, next] = [0, 0, 1]
  try {
    for await (const { kind, payload } of linesOf(`${folder}/events.jsonl`))
      for (const { original, replacement, sealed, sequence } of kind === 44 ? JSON.parse(b64(payload)).events : [])
        redacted.set(sequence, { was: (redacted.get(sequence)?.was ?? []).concat(sealed ? hex(original) : []), is: replacement })
    for await (const line of linesOf(`${folder}/events.jsonl`)) {
      const { leaf, missing, salt, sequence } = line
      digest.update(`${JSON.stringify(line, [...FIELDS, ...Object.keys(line)])}\n`) // As it was exported, in whatever order its fields are now.
      lacks(missing > removedTo, "removed", `event ${missing} is missing, only its leaf is there`)
      wrong(missing && missing !== next++, "reordered", `event ${missing} cannot be missing there`)
      if (line.format || line.kept || (missing && leaves.push(b64(leaf)))) continue
      const [payload, isRemoval] = [b64(line.payload), events++ === 0 && line.kind === 41]
      const place = Buffer.concat([id, number(isRemoval ? 1 : sequence, 8)])
      wrong(isRemoval && sequence !== removedTo, "forged removal", `nothing tells of the removal of 1 to ${sequence}`)
      wrong(!isRemoval && sequence < next, "reordered", `event ${sequence} stands behind event ${last}`)
      lacks(!isRemoval && sequence > next, "removed", `events ${next} to ${sequence - 1} are missing`)
      ;[last, next] = [Math.max(last, sequence), Math.max(next, sequence + 1)]
      if ((isRemoval || sequence > sealed) && others.push(leafOf(place, headerOf(line), sha(Buffer.alloc(16), payload)))) continue
      const before = salt ? undefined : redacted.get(sequence)
      const isSealed = (before?.was ?? [sha(b64(salt ?? ""), payload)]).some((one) => leafOf(place, headerOf(line), one).equals(b64(leaf)))
      const isAbsent = !salt && b64(leaf).equals(leafOf(place)) // It was gone, or could not be read, when it was sealed.
      wrong(!isAbsent && !(isSealed && (!before || sha(payload).equals(hex(before.is)))), "edited", `event ${sequence} is not what was sealed, or what it was redacted to`)
      leaves.push(b64(leaf))
    }
  } catch ({ message }) { wrong(true, "edited", `events.jsonl cannot be read: ${message}`) }
  lacks((last < sealed || last < coverage.last) && !completeness.size, "truncated", `event ${last} is the last`)
  lacks(events !== coverage.events && !completeness.size, "removed", `${events} of ${coverage.events} events are there`)
  lacks(sealed < coverage.sealed, "rolled back", `${sealed} events are sealed, and ${coverage.sealed} were`)
  for (const { from, reason, to } of coverage.gaps) lacks(true, "removed", `events ${from} to ${to} were lost: ${reason}`)
  const isNamed = () => /^(edited|reordered)/m.test([...integrity].join("\n"))
  wrong(!isNamed() && leaves.length < sealed, "evidence missing", "leaves are missing: nobody can compute their root")
  wrong(!isNamed() && seal && leaves.length >= sealed && !rootOf(leaves).equals(seal.root), "edited", "the events have another root than was sealed")
  wrong(coverage.sealed === sealed && others.length >= coverage.unsealed && !rootOf(others).equals(b64(coverage.unsealedRoot)), "edited", "the unsealed events changed")
  wrong(!isNamed() && events === coverage.events && digest.digest("hex") !== files["events.jsonl"]?.sha256, "edited", "events.jsonl is not the file that was exported")
  for (const [name, { sha256 }] of Object.entries(files).filter(([name]) => !/^events\.jsonl$|\//.test(name))) {
    lacks(!read(name), "removed", `${name} is missing`)
    wrong(read(name) && !sha(read(name)).equals(hex(sha256)), "edited", `${name} is not the file that was exported`)
  }
  console.log(`session ${session}: ${events} events, ${sealed} sealed; key ${key?.name}+${key?.id.toString("hex")}${givenKey ? "" : " (the bundle's own: compare it)"}`)
  const inWord = (set, bad, good) => (set.size ? bad : seal || note ? good : "unproven")
  console.log([`integrity ${inWord(integrity, "violated", "intact")}`, ...integrity].join("\n  "))
  console.log([`completeness ${inWord(completeness, "incomplete", "complete")}`, ...completeness].join("\n  "))
  return integrity.size ? 82 : completeness.size ? 83 : seal || note ? 0 : 84
}
if (more.length > 0 || (givenKey !== undefined && !parseKey(givenKey))) throw new Error("one FOLDER, a verifier key in the --key FILE, --anchor FILE; nothing else")
const isSession = (folder) => /\/[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(folder) || existsSync(`${folder}/manifest.json`) || existsSync(`${folder}/events.jsonl`)
const [codes, inside] = [[], existsSync(`${top}/manifest.json`) ? [top] : readdirSync(top).map((name) => `${top}/${name}`).filter(isSession)]
for (const folder of inside) codes.push(await check(folder))
process.exitCode = [82, 83, 84, 0].find((code) => codes.includes(code)) ?? console.error(`verify: ${top} is no evidence of reprise`) ?? 64
