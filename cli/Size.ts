/** Terminal sizes as people write them: COLSxROWS. */
import type { TerminalSize } from "../journal/Event.ts"

/** undefined when it is not a size. Ranges are the engine's to judge. */
export const parseSize = (text: string): TerminalSize | undefined => {
  const match = /^(\d{1,6})[xX×](\d{1,6})$/.exec(text)
  return match === null ? undefined : { cols: Number(match[1]), rows: Number(match[2]) }
}

export const formatSize = (size: { readonly cols: number; readonly rows: number }): string =>
  `${size.cols}x${size.rows}`
