/** What the command line uses of `src/SafeText.ts`: every command but `replay` and `attach` prints nothing that did not pass there. */
export {
  commandOf,
  escapeArguments,
  escapeBytes,
  escapeJson,
  escapeLines,
  escapeText,
  toJsonText
} from "../src/SafeText.ts"
