// A publisher that does not belong to the product. It measures how long the broker itself delivers nothing: ten messages a
// second, with confirms, to its own quorum queue, which it consumes.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';

const PUBLISH_EVERY_MS = 100;
const RETRY_MS = 200;
/** Longer than any fault. */
const EXPIRES_MS = 300_000;

export class Probe {
  /** The longest time without a message since this was set to 0. */
  longestMs = 0;
  #lastAt: number | undefined;
  readonly #url: string;
  /** A new name each time: a quorum queue may fail to start with the name of one that was just deleted. */
  readonly #queue = `probe-${randomUUID()}`;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  private constructor(url: string) {
    this.#url = url;
  }

  /** Resolves with the first message. @param leaderUrl of the node that leads the probe's queue */
  static async start(url: string, leaderUrl: string): Promise<Probe> {
    const probe = new Probe(url);
    const model = await connect(leaderUrl);
    const channel = await model.createChannel();
    // The node on which a queue is declared is its leader. The queue expires after the probe has stopped.
    const expires = { 'x-queue-type': 'quorum', 'x-expires': EXPIRES_MS };
    await channel.assertQueue(probe.#queue, { arguments: expires });
    await model.close();
    const first = Promise.withResolvers<void>();
    probe.#loop = probe.#run(first.resolve);
    await first.promise;
    return probe;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.race([this.#loop, sleep(3_000, undefined, { ref: false })]);
  }

  async #run(first: () => void): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#once(first).catch(() => undefined);
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves when the connection or the channel ends. */
  async #once(first: () => void): Promise<void> {
    const model = await connect(this.#url, { timeout: 5_000, clientProperties: { connection_name: 'probe' } });
    const ended = Promise.withResolvers<void>();
    for (const event of ['error', 'close']) model.on(event, () => ended.resolve());
    this.#stopping.signal.addEventListener('abort', () => ended.resolve());
    const channel = await model.createConfirmChannel();
    for (const event of ['error', 'close']) channel.on(event, () => ended.resolve());
    const read = () => {
      const now = Date.now();
      this.longestMs = Math.max(this.longestMs, now - (this.#lastAt ?? now));
      this.#lastAt = now;
      first();
    };
    await channel.consume(this.#queue, (message) => (message ? read() : ended.resolve()), { noAck: true });
    const timer = setInterval(
      () => channel.sendToQueue(this.#queue, Buffer.from('probe'), { persistent: true }, () => undefined),
      PUBLISH_EVERY_MS,
    );
    await ended.promise;
    clearInterval(timer);
    await model.close().catch(() => undefined);
  }
}
