/** What the tests of exports share: a session in a format, as one piece, and a strict reader of CSV. */
import { inflateRawSync } from "node:zlib"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { exportFormat, exportSession } from "../../src/export/Export.ts"
import { History } from "../../src/session/History.ts"

/** The whole export. */
export const exported = (session: SessionId, format: string) =>
  exportSession(session, exportFormat(format)!).pipe(
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat([...pieces]))
  )

/** An exported page, and behind it what its player is given, unpacked. */
export const unpackedPage = (page: Buffer): Buffer =>
  Buffer.concat([
    page,
    ...[...page.toString("latin1").matchAll(/<template[^>]*>([\w+/=]+)<\/template>/g)].map(([, packed]) =>
      inflateRawSync(Buffer.from(packed!, "base64"))
    )
  ])

/** Until its journal has an event for which this holds, or it has ended. */
export const untilEvent = (session: SessionId, holds: (tag: string) => boolean) =>
  History.use((history) =>
    history.follow(session, 0).pipe(
      Stream.takeUntil((item) => item._tag === "Page" && item.entries.some(({ event }) => holds(event._tag))),
      Stream.runDrain
    )
  )

/** RFC 4180 to the letter: CRLF between records, a quote only around a field or doubled inside one. Throws at anything else. */
export const readCsv = (text: string): ReadonlyArray<ReadonlyArray<string>> => {
  const rows: Array<Array<string>> = []
  let row: Array<string> = []
  for (let at = 0; at < text.length; ) {
    let field = ""
    if (text[at] === '"') {
      for (at++; ; at++) {
        if (at >= text.length) throw new Error("a quoted field without its end")
        if (text[at] !== '"') field += text[at]
        else if (text[at + 1] === '"') field += text[at++]
        else break
      }
      at++
    } else {
      for (; at < text.length && text[at] !== "," && text[at] !== "\r"; at++) {
        if (text[at] === '"' || text[at] === "\n") throw new Error(`a bare ${JSON.stringify(text[at])} at ${at}`)
        field += text[at]
      }
    }
    row.push(field)
    if (text[at] === ",") at++
    else if (text.startsWith("\r\n", at)) {
      rows.push(row)
      row = []
      at += 2
    } else throw new Error(`neither a comma nor a record's end at ${at}`)
  }
  if (row.length > 0) throw new Error("the last record has no end")
  return rows
}

/** Control characters but line feed and tab, and what turns text around: nothing that is shown may hold them raw. */
export const UNCLEAN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/u
