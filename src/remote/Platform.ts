/**
 * Whether this Node can run the engine. Checked first by every process of the package, and written so that an older Node
 * parses it: on libuv before 1.52 the last output of a program is lost when it ends, without any sign.
 */

/** The text to show, or undefined when all is well. */
export const unsupportedPlatform = (versions: NodeJS.ProcessVersions = process.versions): string | undefined => {
  const [nodeMajor] = versions.node.split(".").map(Number)
  const [uvMajor, uvMinor] = versions.uv.split(".").map(Number)
  if (Number(nodeMajor) < 24) return `Node ${versions.node} is too old; reprise needs Node 24 or newer`
  if (Number(uvMajor) < 1 || (Number(uvMajor) === 1 && Number(uvMinor) < 52)) {
    return `this Node's libuv ${versions.uv} loses output at the end of a program; reprise needs 1.52 or newer; update Node 24`
  }
  return undefined
}
