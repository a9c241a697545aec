// Checks evidence of reprise without reprise: node verify.mjs [FOLDER] [--key FILE] [--anchor FILE]. Node.js 20, nothing else.
// Ends with 0: all is there as it was; 82: it is not as it was; 83: something is missing; 84: nothing is proven; 64: no evidence.
import { createHash, createPublicKey, verify } from "node:crypto"
import { createReadStream, existsSync, readdirSync, readFileSync } from "node:fs"
import { createInterface } from "node:readline"

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? readFileSync(args.splice(args.indexOf(name), 2)[1], "utf8") : undefined)
const [givenKey, anchorNote, top] = [option("--key"), option("--anchor"), args[0] ?? "."]
const sha = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest()
const [leafOf, nodeOf] = [0, 1].map((prefix) => (...parts) => sha(Buffer.of(prefix), ...parts))
const [b64, hex] = ["base64", "hex"].map((coding) => (text) => Buffer.from(String(text), coding))
const number = (value, bytes) => hex(BigInt(value).toString(16).padStart(bytes * 2, "0"))
const attempt = (work) => { try { return work() } catch {} }
// RFC 6962: a tree of n entries splits behind the largest power of two below n. A proof that is not used up is wrong.
const splitOf = (n, k = 1) => (k * 2 < n ? splitOf(n, k * 2) : k)
const rootOf = (list, k = splitOf(list.length)) => list.length < 2 ? (list[0] ?? sha("")) : nodeOf(rootOf(list.slice(0, k)), rootOf(list.slice(k)))
const climb = (leaf, index, n, path, k = splitOf(n)) => {
  if (n === 1) return leaf
  const below = index < k ? climb(leaf, index, k, path) : climb(leaf, index - k, n - k, path)
  return index < k ? nodeOf(below, path.shift()) : nodeOf(path.shift(), below)
}
const bothRoots = (m, n, first, path, k = splitOf(n)) => {
  if (m === n) return first ? [first, first] : [path[0], path.shift()]
  const [before, now] = m <= k ? bothRoots(m, k, first, path) : bothRoots(m - k, n - k, undefined, path)
  const other = path.shift()
  return m <= k ? [before, nodeOf(now, other)] : [nodeOf(other, before), nodeOf(other, now)]
}
const parseKey = (text = "") => {
  const [, name, id, bytes] = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text.trim()) ?? []
  if (!name || !sha(`${name}\n`, b64(bytes)).subarray(0, 4).equals(hex(id)) || b64(bytes)[0] !== 1) return undefined
  const jwk = { kty: "OKP", crv: "Ed25519", x: b64(bytes).subarray(1).toString("base64url") }
  return { name, id: hex(id), key: createPublicKey({ key: jwk, format: "jwk" }) }
}
const idBytes = (id, digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ") => number([...id].reduce((sum, digit) => sum * 32n + BigInt(digits.indexOf(digit)), 0n), 16)
const label = (text = "") => Buffer.concat([Buffer.of(text.length), Buffer.from(text, "latin1")])
const headerOf = ({ actor, command, kind, record, time }) => Buffer.concat([Buffer.of(record, kind), number(time, 8), label(actor), label(command)])
async function* linesOf(file) { for await (const line of createInterface(createReadStream(file))) yield JSON.parse(line) }
const check = async (folder) => {
  const [integrity, completeness] = [new Set(), new Set()]
  const teller = (set) => (is, reason, detail) => void (is && set.add(`${reason}: ${detail}`))
  const [wrong, lacks] = [teller(integrity), teller(completeness)]
  const read = (name) => attempt(() => readFileSync(`${folder}/${name}`))
  const text = (name) => read(name)?.toString("utf8") ?? ""
  const { coverage, files, session } = JSON.parse(text("manifest.json"))
  const key = parseKey(givenKey ?? text("store.vkey"))
  wrong(givenKey && givenKey.trim() !== text("store.vkey").trim(), "wrong key", "the bundle names another key")
  const opened = (name, note = text(name)) => {
    if (!note || !key) return undefined
    const signed = note.slice(0, note.lastIndexOf("\n\n") + 1)
    const lines = note.slice(signed.length + 1).split("\n").map((line) => line.split(" "))
    const own = lines.flatMap(([dash, name, bytes]) => (dash === "—" && name === key.name ? [b64(bytes)] : []))
    const mine = own.filter((bytes) => bytes.subarray(0, 4).equals(key.id)).map((bytes) => bytes.subarray(4))
    if (mine.length && mine.every((bytes) => verify(null, Buffer.from(signed), key.key, bytes))) return signed
    wrong(true, mine.length ? "forged seal" : "wrong key", `${name} is not signed by ${key.name}`)
  }
  const checkpoint = (name, expected, note) => {
    const [origin, size, root] = opened(name, note)?.split("\n") ?? []
    wrong(origin && origin !== expected, note ? "wrong key" : "forged seal", `${name} is that of ${origin}`)
    return origin === expected ? { size: Number(size), root: b64(root) } : undefined
  }
  const note = opened("manifest.note")
  const expected = `reprise bundle v1\nsession ${session}\nmanifest ${sha(text("manifest.json")).toString("base64")}\n`
  wrong(note && note !== expected, "edited", "manifest.json is not the one that was signed")
  const seal = checkpoint("session.checkpoint", `${key?.name}/${session}`)
  wrong(coverage.sealed > 0 && !(key && text("session.checkpoint")), "evidence missing", "session.checkpoint or the key is missing")
  wrong(seal && !note, "evidence missing", "manifest.json is not signed")
  const store = seal && checkpoint("store.checkpoint", key.name)
  wrong(seal && !text("store.checkpoint"), "evidence missing", "store.checkpoint is missing")
  if (store) {
    const [head, ...rest] = text("statement.tlog-proof").split("\n\n")
    const [, index, ...path] = head.split("\n").map((line, at) => (at > 1 ? b64(line) : Number(line.split(" ")[1])))
    const [, id, size, root] = /^session (\S+)\nsize (\d+)\nroot (\S+)$/m.exec(text("statement.txt")) ?? []
    wrong(rest.join("\n\n") !== text("store.checkpoint"), "forged seal", "the proof is for another checkpoint of the store")
    const found = attempt(() => climb(leafOf(text("statement.txt")), index, store.size, path))
    wrong(!(index < store.size && found?.equals(store.root)) || path.length, "forged seal", "the statement is not in the store's log")
    wrong(id !== session || Number(size) !== seal.size, "forged seal", "the log speaks of another session or size")
    wrong(Number(size) === seal.size && !b64(root).equals(seal.root), "forked", "the log has another root for the session")
    const anchor = anchorNote && checkpoint("the anchor", key.name, anchorNote)
    const [since, ...hops] = text("consistency.txt").trim().split("\n").map((line, at) => (at ? b64(line) : Number(line)))
    wrong(anchor?.size === store.size && !anchor.root.equals(store.root), "forked", "the log has another root than the anchor")
    lacks(anchor?.size > store.size, "rolled back", `the log has ${store.size} entries, and had ${anchor?.size}`)
    wrong(anchor?.size < store.size && since !== anchor.size, "evidence missing", "no proof that the log goes on from the anchor")
    if (anchor?.size < store.size && since === anchor.size && since > 0) {
      const isSame = hops.shift()?.equals(anchor.root)
      wrong(!isSame, "forked", "the bundle knows another log of the anchor's size")
      const [before, now] = attempt(() => bothRoots(since, store.size, anchor.root, hops)) ?? []
      wrong(isSame && !(before?.equals(anchor.root) && now?.equals(store.root) && !hops.length), "forged seal", "the log does not go on from the anchor")
    }
  }
  const [sealed, id, redacted, leaves, others] = [seal?.size ?? 0, idBytes(session), new Map(), [], []]
  const removedTo = note === expected && coverage.removed?.isRecorded ? coverage.removed.to : 0
  let [events, last, next] = [0, 0, 1]
  try {
    for await (const { kind, payload } of linesOf(`${folder}/events.jsonl`))
      for (const { original, replacement, sealed, sequence } of kind === 44 ? JSON.parse(b64(payload)).events : [])
        redacted.set(sequence, { was: redacted.get(sequence)?.was || (sealed ? original : ""), is: replacement })
    for await (const line of linesOf(`${folder}/events.jsonl`)) {
      const { leaf, missing, salt, sequence } = line
      wrong(line.format && line.session !== session, "edited", "events.jsonl is of another session")
      lacks(missing > removedTo, "removed", `event ${missing} is missing, only its leaf is there`)
      wrong(missing && missing !== next++, "reordered", `event ${missing} cannot be missing there`)
      if (line.format || line.kept || (missing && leaves.push(b64(leaf)))) continue
      const [payload, isRemoval] = [b64(line.payload), events++ === 0 && line.kind === 41]
      const place = Buffer.concat([id, number(isRemoval ? 1 : sequence, 8)])
      wrong(isRemoval && sequence !== removedTo, "forged removal", `nothing tells of the removal of 1 to ${sequence}`)
      wrong(!isRemoval && sequence < next, "reordered", `event ${sequence} stands behind event ${last}`)
      lacks(!isRemoval && sequence > next, "removed", `events ${next} to ${sequence - 1} are missing`)
      ;[last, next] = [Math.max(last, sequence), Math.max(next, sequence + 1)]
      const isLeaf = !isRemoval && sequence <= sealed
      if (!isLeaf && others.push(leafOf(place, headerOf(line), sha(Buffer.alloc(16), payload)))) continue
      const before = salt ? undefined : redacted.get(sequence)
      wrong(before && !sha(payload).equals(hex(before.is)), "edited", `event ${sequence} is not what it was redacted to`)
      const found = leafOf(place, headerOf(line), before ? hex(before.was) : sha(b64(salt ?? ""), payload))
      const isAbsent = !salt && b64(leaf).equals(leafOf(place)) // It was gone, or could not be read, when it was sealed.
      wrong(!isAbsent && !found.equals(b64(leaf)), "edited", `event ${sequence} is not what was sealed`)
      leaves.push(b64(leaf))
    }
  } catch (error) {
    wrong(true, "edited", `events.jsonl cannot be read: ${error.message}`)
  }
  lacks((last < sealed || last < coverage.last) && !completeness.size, "truncated", `event ${last} is the last`)
  lacks(events !== coverage.events && !completeness.size, "removed", `${events} of ${coverage.events} events are there`)
  lacks(sealed < coverage.sealed, "rolled back", `${sealed} events are sealed, and ${coverage.sealed} were`)
  for (const { from, reason, to } of coverage.gaps) lacks(true, "removed", `events ${from} to ${to} were lost: ${reason}`)
  const isNamed = /^(edited|reordered)/m.test([...integrity].join("\n"))
  wrong(!isNamed && leaves.length < sealed, "evidence missing", "leaves are missing: nobody can compute their root")
  wrong(!isNamed && seal && leaves.length >= sealed && !rootOf(leaves).equals(seal.root), "edited", "the events have another root than was sealed")
  wrong(coverage.sealed === sealed && others.length >= coverage.unsealed && !rootOf(others).equals(b64(coverage.unsealedRoot)), "edited", "the unsealed events changed")
  for (const [name, { sha256 }] of Object.entries(files).filter(([name]) => !/^events\.jsonl$|\//.test(name))) {
    lacks(!read(name), "removed", `${name} is missing`)
    wrong(read(name) && !sha(read(name)).equals(hex(sha256)), "edited", `${name} is not the file that was exported`)
  }
  console.log(`session ${session}: ${events} events, ${sealed} sealed; key ${key?.name}+${key?.id.toString("hex")}${givenKey ? "" : " (the bundle's own: compare it)"}`)
  const told = (set, bad, good) => (set.size ? bad : seal || note ? good : "unproven")
  console.log([`integrity ${told(integrity, "violated", "intact")}`, ...integrity].join("\n  "))
  console.log([`completeness ${told(completeness, "incomplete", "complete")}`, ...completeness].join("\n  "))
  return integrity.size ? 82 : completeness.size ? 83 : seal || note ? 0 : 84
}
try {
  const [codes, inside] = [[], existsSync(`${top}/manifest.json`) ? [top] : readdirSync(top).map((name) => `${top}/${name}`)]
  for (const folder of inside) if (existsSync(`${folder}/manifest.json`)) codes.push(await check(folder))
  if (!codes.length) throw new Error(`${top} is no evidence of reprise`)
  process.exitCode = [82, 83, 84, 0].find((code) => codes.includes(code))
} catch (error) {
  console.error(`verify: ${error.message}`)
  process.exitCode = 64
}
