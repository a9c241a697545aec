/**
 * What a caller without types may give: refused by name before anything is done, as everything else that is wrong is. What
 * else is in an option is looked at where it is used.
 */
import { invalid } from "./RepriseError.ts"

/** The names of all options of a type, and which of them are strings: the compiler says when one is missing. */
export type Names<A> = Readonly<Record<keyof A, "text" | "any">>

/** The options, an empty object where there are none. An option that does not exist would be left out without a word. */
export const optionsOf = <A extends object>(given: A | undefined, names: Names<A>): A => {
  if (given === undefined) return {} as A
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw invalid("options", `are an object with any of ${Object.keys(names).join(", ")}`)
  }
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(names, name)) {
      throw invalid(name, `is no option here; there are ${Object.keys(names).join(", ")}`)
    }
    if (names[name as keyof A] === "text" && value !== undefined) textOf(name, value)
  }
  return given
}

export const textOf = (field: string, given: string): string => {
  if (typeof given !== "string") throw invalid(field, "must be a string")
  return given
}
