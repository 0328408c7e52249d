// The channels of the lease, one set at a time: opened with the connection, and again whenever they are lost while it lives.

import type { ConnectionEvents } from '../connection-events.ts';
import type { Log } from '../log.ts';
import { sleep } from '../wait.ts';
import type { LeaseChannels } from './lease-channels.ts';

export interface KeptChannelsOptions<Model> {
  readonly connection: ConnectionEvents<Model>;
  readonly open: (model: Model) => Promise<LeaseChannels>;
  /** No more are needed. */
  readonly isOver: () => boolean;
  /** Starts to consume with channels that have just been opened. @throws when it cannot: they are closed, and others opened */
  readonly consume: (channels: LeaseChannels) => Promise<void>;
  /** They have ended, and with them everything that was delivered. */
  readonly onLost: () => void;
  /** How long to wait before others are opened, ms: after a loss, and after so many attempts in a row that failed. */
  readonly delayMs: (failures: number) => number;
  readonly log: Log;
}

/** After a channel or consumer was lost and the connection was not. */
const REOPEN_DELAY_MS = 200;

export class KeptChannels<Model> {
  readonly #options: KeptChannelsOptions<Model>;
  #model: Model | undefined;
  #current: LeaseChannels | undefined;

  constructor(options: KeptChannelsOptions<Model>) {
    this.#options = options;
    const { connection, delayMs } = options;
    let first = true;
    connection.on('open', (model) => {
      this.#model = model;
      // The first time no task has lost anything, so none is preferred.
      void this.#keep(model, first ? 0 : delayMs(0));
      first = false;
    });
    connection.on('lost', () => {
      this.#model = undefined;
      void this.#current?.close();
    });
  }

  get current(): LeaseChannels | undefined {
    return this.#current;
  }

  async #keep(model: Model, firstPauseMs: number): Promise<void> {
    const { open, isOver, consume, onLost, delayMs, log } = this.#options;
    let pauseMs = firstPauseMs;
    let failures = 0;
    while (true) {
      await sleep(pauseMs);
      if (this.#model !== model || isOver()) return;
      try {
        const channels = await open(model);
        this.#current = channels;
        // A queue without majority does not answer.
        await Promise.race([consume(channels), channels.lost]);
        failures = 0;
        const reason = await channels.lost;
        if (reason !== undefined && this.#model === model) log.warn({ reason }, 'a channel of the lease was lost');
      } catch (err) {
        failures += 1;
        if (this.#model === model)
          log.warn(
            { err },
            'cannot consume the lease queues (if one is missing or refused: apply the topology); retrying',
          );
      }
      void this.#current?.close();
      this.#current = undefined;
      onLost();
      pauseMs = Math.max(REOPEN_DELAY_MS, delayMs(failures));
    }
  }
}
