/**
 * `--format transcript`: one file for a browser, without a network: what is known of the session, its transcript
 * (TranscriptSections.ts), and a search. Of a session of any length, and all of it.
 */
import { type ExportFold, foldPages, type WriteExport } from "./ExportFormat.ts"
import { transcriptPage } from "./HtmlPage.ts"
import { factsOf, titleOf } from "./SessionFacts.ts"
import { TranscriptSections } from "./TranscriptSections.ts"

export const transcript: WriteExport = foldPages((view): ExportFold => {
  const sections = new TranscriptSections(view)
  let head = transcriptPage.head({ title: titleOf(view), facts: factsOf(view) })
  const begun = (): string => {
    const text = head
    head = ""
    return text
  }
  return {
    page: (entries) => begun() + sections.page(entries),
    end: () => begun() + sections.end() + transcriptPage.end
  }
})
