// A bar on a terminal; nothing elsewhere.

const EVERY_MS = 100;
const CELLS = 30;

export class Progress {
  readonly #stream: Pick<NodeJS.WriteStream, 'write' | 'isTTY'>;
  #shownAt = Number.NEGATIVE_INFINITY;

  constructor(stream: Pick<NodeJS.WriteStream, 'write' | 'isTTY'>) {
    this.#stream = stream;
  }

  show(done: number, total: number): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - this.#shownAt < EVERY_MS) return;
    this.#shownAt = now;
    const full = Math.round((CELLS * done) / Math.max(done, total, 1));
    this.#stream.write(`\r[${'█'.repeat(full).padEnd(CELLS, '░')}] ${done} of ${total}\x1b[K`);
  }

  clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
  }
}
