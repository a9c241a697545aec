/**
 * A list of whole numbers below 2^53 that only grows, eight bytes each: what a redaction remembers of every event, which
 * as objects would be a hundred.
 */
export class NumberList {
  #numbers = new Float64Array(256)
  #length = 0

  get length(): number {
    return this.#length
  }

  push(number: number): void {
    if (this.#length === this.#numbers.length) {
      const grown = new Float64Array(this.#length * 2)
      grown.set(this.#numbers)
      this.#numbers = grown
    }
    this.#numbers[this.#length++] = number
  }

  at(index: number): number {
    return this.#numbers[index]!
  }
}
