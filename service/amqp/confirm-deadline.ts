// Notices that the broker confirms nothing. A node without a majority keeps its clients, takes what they publish and
// confirms none of it, for as long as the partition lasts; heartbeats and reads are answered there. One per connection,
// made before the connection opens; what is not confirmed on any of its channels counts together.
//
//   idle:    nothing is unconfirmed, there is no connection, or the broker blocks publishers
//   waiting: something is unconfirmed. Nothing confirmed until the deadline → asking
//   asking:  a claim to a lease queue. Confirmed: a majority answers, so one queue is stuck; the connection stays, and is
//            asked again each deadline. Not confirmed until another deadline: the connection ends, so that the next one
//            reaches another node. That one is asked at once, as a load balancer may choose the same node again: first for
//            a short time, then for twice as long each time, until something is confirmed
// Any confirm → idle, or waiting again. A refusal is none.

import type { ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { EXCHANGES, leaseQueue } from '../contract/names.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { withinDeadline } from '../wait.ts';

/** Satisfied by `BrokerConnection`. */
export type FailingConnection<Model> = ConnectionEvents<Model> & {
  readonly blocked: boolean;
  fail(reason: string): void;
  on(event: 'unblocked', listener: () => void): unknown;
};

export interface ConfirmDeadlineOptions<Model> {
  readonly connection: FailingConnection<Model>;
  /** Resolves when the broker has confirmed a message to a quorum queue, on a channel of its own. */
  readonly claim: (model: Model) => Promise<void>;
  /** A queue is stuck: called once, until something is confirmed again. */
  readonly onStuck?: () => void;
  readonly log: Log;
  /** @default 4.5 s */
  readonly firstMs?: number;
}

/** Twice this time, and another connection: less than the 10 s that workers may wait longer than for another publisher. */
const FIRST_MS = 4_500;
/** Of the first connection after one that was given up. */
const AGAIN_MS = 2_000;
const LONGEST_MS = 60_000;

export class ConfirmDeadline<Model> {
  readonly #options: ConfirmDeadlineOptions<Model>;
  #model: Model | undefined;
  #unconfirmed = false;
  /** While waiting. */
  #timer: NodeJS.Timeout | undefined;
  /** While asking: a new one for each claim, so that the answer to an earlier one means nothing. */
  #asked: object | undefined;
  /** Connections in a row that were given up. */
  #givenUp = 0;
  #stuck = false;

  constructor(options: ConfirmDeadlineOptions<Model>) {
    this.#options = options;
    const { connection } = options;
    connection.on('open', (model) => {
      this.#model = model;
      if (this.#givenUp > 0) void this.#ask();
      else this.#wait();
    });
    connection.on('lost', () => this.#end());
    connection.on('unblocked', () => {
      this.#stop();
      this.#wait();
    });
  }

  /** The broker confirms claims, but nothing of what was written. */
  get stuck(): boolean {
    return this.#stuck;
  }

  /** Something was written that the broker is to confirm. */
  written(): void {
    this.#unconfirmed = true;
    this.#wait();
  }

  /**
   * The broker confirmed something, or what was unconfirmed was given up. Not for a refusal or a lost channel, whose
   * messages are written again: a node without a majority refuses some, too. @param unconfirmed how many messages are left
   */
  confirmed(unconfirmed: number): void {
    this.#stop();
    this.#stuck = false;
    // The channels of a connection that was given up end too.
    if (this.#model === undefined) return;
    this.#givenUp = 0;
    this.#unconfirmed = unconfirmed > 0;
    this.#wait();
  }

  get #deadlineMs(): number {
    const { firstMs = FIRST_MS } = this.#options;
    if (this.#givenUp === 0) return firstMs;
    return Math.min((firstMs / FIRST_MS) * AGAIN_MS * 2 ** (this.#givenUp - 1), LONGEST_MS);
  }

  #wait(): void {
    if (this.#model === undefined || !this.#unconfirmed || this.#timer !== undefined || this.#asked !== undefined)
      return;
    this.#timer = setTimeout(() => void this.#ask(), this.#deadlineMs).unref();
  }

  async #ask(): Promise<void> {
    this.#timer = undefined;
    const { connection, claim, onStuck, log } = this.#options;
    const [model, asked, deadlineMs, again] = [this.#model, {}, this.#deadlineMs, this.#givenUp > 0];
    // A blocked connection is asked when it is unblocked.
    if (model === undefined || connection.blocked) return;
    this.#asked = asked;
    const confirmed = withinDeadline(claim(model), deadlineMs, 'a claim was not confirmed');
    const err: unknown = await confirmed.catch((error: unknown) => error);
    if (this.#asked !== asked) return;
    this.#asked = undefined;
    if (connection.blocked) return;
    if (err === undefined) {
      this.#givenUp = 0;
      if (!this.#stuck && !again) onStuck?.();
      this.#stuck ||= !again;
      this.#wait();
      return;
    }
    this.#end();
    this.#givenUp += 1;
    log.warn({ err, nextDeadlineMs: this.#deadlineMs }, 'the broker confirms nothing: connecting again');
    connection.fail(`nothing was confirmed for ${deadlineMs / 1_000} s; ${errorMessage(err)}`);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked = undefined;
  }

  #end(): void {
    this.#stop();
    this.#model = undefined;
    this.#unconfirmed = false;
    this.#stuck = false;
  }
}

/**
 * Publishes a claim on a channel of its own. Resolves when the broker has confirmed it: a majority has it.
 * @throws when the broker refuses it, or no queue takes it: that is confirmed by a node without a majority, too
 */
export async function publishClaim(model: ChannelModel, group: number): Promise<void> {
  const channel = await model.createConfirmChannel();
  // Its end rejects what is not confirmed.
  channel.on('error', () => undefined);
  const queue = leaseQueue(group);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  channel.on('return', () => reject(new Error(`no queue takes a claim of ${queue}`)));
  channel.publish(
    EXCHANGES.leases,
    queue,
    Buffer.from('{}'),
    { persistent: true, mandatory: true, contentType: 'application/json', type: 'claim' },
    (error: unknown) => (error === null ? resolve() : reject(error)),
  );
  try {
    await promise;
  } finally {
    channel.close().catch(() => undefined);
  }
}
