/** The time limit of the tests of this folder. */

/**
 * Within which each of these tests must be through. They take seconds; a machine that runs many of them at once, and more
 * beside, takes minutes, and only a hang takes this.
 */
export const TIMEOUT_MILLIS = 300_000
