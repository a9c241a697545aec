/** A text that stands in no event, as what rules find in it leaves it. */
import type { RedactRule } from "./RedactRule.ts"
import { SessionScan } from "./SessionScan.ts"

export const maskedText = (rules: ReadonlyArray<RedactRule>, text: string): string => {
  const scan = new SessionScan({ rules })
  scan.take({ sequence: 1, actor: "", timeMicros: 0, event: { _tag: "MarkerSet", label: text } })
  const payload = scan.end()[0]?.payload
  return payload === undefined ? text : JSON.parse(Buffer.from(payload).toString("utf8")).label
}
