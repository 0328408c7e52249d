// A small seeded generator of random numbers (a counter with a strong mixing step): the same seeds give the same numbers
// on every machine. For payloads and schedules, not for secrets.

export class Random {
  #state: number;

  /** @param seeds any integers; each of them changes every number */
  constructor(...seeds: readonly number[]) {
    let state = 0x9e3779b9;
    for (const seed of seeds) state = mix(state ^ mix(seed | 0)) + 0x6d2b79f5;
    this.#state = state | 0;
  }

  /** Below 2 ** 32. */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    return mix(this.#state) >>> 0;
  }

  /** At least 0, below 1. */
  next(): number {
    return this.uint32() / 4_294_967_296;
  }

  /** An integer at least 0 and below `bound`. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[this.below(list.length)] ?? list[0];
  }

  /** One of the names, by their shares. */
  weighted(shares: readonly (readonly [name: string, share: number])[]): string {
    let at = this.next() * shares.reduce((sum, [, share]) => sum + share, 0);
    for (const [name, share] of shares) {
      at -= share;
      if (at < 0) return name;
    }
    return '';
  }

  /** Lower-case hexadecimal digits. */
  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.uint32().toString(16).padStart(8, '0');
    return text.slice(0, digits);
  }
}

function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}
