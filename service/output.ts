// Standard output: the lines of the log and of the metrics. While its reader is slow, lines are dropped and counted, because
// events must not wait for them. When its reader is gone the task ends, because nothing would report what it does.

import type { Writable } from 'node:stream';

/** What waits for a slow reader, at most. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

export class Output {
  /** Resolves with the error when nothing can be written any more. */
  readonly gone: Promise<unknown>;
  readonly #stream: Writable;
  #ended = false;
  #dropped = 0;

  constructor(stream: Writable) {
    this.#stream = stream;
    const gone = Promise.withResolvers<unknown>();
    this.gone = gone.promise;
    // Emitted again for each write that follows.
    stream.on('error', (error) => {
      this.#ended = true;
      gone.resolve(error);
    });
  }

  /** @param line with its line break */
  write(line: string): void {
    if (this.#ended) return;
    if (this.#stream.writableLength > MOST_WAITING_BYTES) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      const msg = 'standard output was not read: lines are missing';
      const report = { level: 'warn', time: new Date().toISOString(), lines: this.#dropped, msg };
      this.#stream.write(`${JSON.stringify(report)}\n`);
      this.#dropped = 0;
    }
    this.#stream.write(line);
  }
}
