/** What the system says of a file or folder, in words: its own message has the name of a call and of an error constant. */
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a part of the path is no folder",
  EISDIR: "it is a folder",
  EEXIST: "something that is no folder is there",
  EACCES: "its permissions forbid it",
  EPERM: "its permissions forbid it",
  EROFS: "its disk is read-only",
  ENOSPC: "its disk is full",
  ENAMETOOLONG: "its name is too long",
  ELOOP: "its links lead in a circle"
}

export const fileProblem = (path: string, error: unknown): string => {
  const { code = "", message = String(error) } = error as NodeJS.ErrnoException
  return `${path}: ${WORDS[code] ?? message}`
}
