// One connection to the broker that always comes back: one loop opens it, waits for its end, waits a little and opens
// it again, so an error followed by a close still opens one connection, not two. amqplib's own recovery keeps the
// address it was started with; this loop asks for the login each time, because a refused one is read again.
// What is done with the connection (channels, consumers) is for those who listen.
//
//   connecting: from start() or after an end, until the handshake is done (`open`) or has failed (again, after backoff)
//   open:       until the connection ends for any reason (`lost`); `blocked` while the broker refuses publishers
//   closed:     after close(), for ever

import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { getCACertificates } from 'node:tls';
import type { ChannelModel } from 'amqplib';
import { DeadlineError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { backoffMs } from '../wait.ts';
import { batchWrites } from './batched-writes.ts';
import { connectWithReason } from './handshake.ts';

/** What the loop asks for before each try; owned here, satisfied by a `Credential<BrokerLogin>`. */
export interface LoginSource {
  readonly from: string;
  read(): Promise<{
    readonly host: string;
    readonly port: number;
    readonly vhost: string;
    readonly username: string;
    readonly password: string;
    readonly tls: boolean;
  }>;
  refresh(): Promise<boolean>;
}

export interface BrokerConnectionOptions {
  /** Shown by the broker beside the connection. */
  readonly name: string;
  readonly login: LoginSource;
  /** Extra certificate authority, PEM. */
  readonly ca?: string | undefined;
  readonly log: Log;
  readonly heartbeatSeconds?: number;
  /** The longest pause between two tries, asked before each. @default 30 s */
  readonly longestPauseMs?: () => number;
  /** @default 20 s */
  readonly handshakeMs?: number;
}

interface Events {
  open: [ChannelModel];
  lost: [unknown];
  blocked: [string];
  unblocked: [];
}

/** Within two of them either side notices that a silent connection is dead. https://www.rabbitmq.com/docs/heartbeats */
const HEARTBEAT_SECONDS = 10;
const HANDSHAKE_DEADLINE_MS = 20_000;
const CLOSE_DEADLINE_MS = 3_000;

export class BrokerConnection extends EventEmitter<Events> {
  readonly #options: BrokerConnectionOptions;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #model: ChannelModel | undefined;
  #blocked = false;
  #opened = 0;
  #lastTurnAt = Date.now();

  constructor(options: BrokerConnectionOptions) {
    super();
    this.#options = options;
  }

  get connected(): boolean {
    return this.#model !== undefined;
  }

  /** The broker reads no publishes: memory or disk alarm. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** How often it was opened again after the first time. */
  get reconnects(): number {
    return Math.max(0, this.#opened - 1);
  }

  /** When the loop last did something, Unix ms; before the start and while open it has nothing to do: always now. */
  get lastTurnAt(): number {
    return this.#loop === undefined || this.connected ? Date.now() : this.#lastTurnAt;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends the connection and the loop. Settles within three seconds, also when the broker does not answer. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.race([
      this.#model?.close().catch(() => undefined),
      sleep(CLOSE_DEADLINE_MS, undefined, { ref: false }),
    ]);
    await Promise.race([this.#loop, sleep(CLOSE_DEADLINE_MS, undefined, { ref: false })]);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      this.#lastTurnAt = Date.now();
      try {
        const model = await this.#open();
        const openedAt = Date.now();
        const cause = await this.#untilLost(model);
        // A limit of channels closes a connection soon after it was opened: a failure like the others. Later, a first one.
        if (!isRefusal(cause)) failures = 0;
        else failures = Date.now() - openedAt < LIVED_MS ? failures + 1 : 1;
      } catch (error) {
        failures += 1;
        if (await this.#hasNewLogin(error, failures)) continue;
      }
      // The first try after a loss is immediate but for a jitter; only failures wait longer.
      const delay =
        failures === 0 ? Math.random() * 200 : backoffMs(failures, Math.random, this.#options.longestPauseMs?.());
      await sleep(delay, undefined, { signal }).catch(() => undefined);
    }
  }

  async #open(): Promise<ChannelModel> {
    const { name, ca, heartbeatSeconds = HEARTBEAT_SECONDS, handshakeMs = HANDSHAKE_DEADLINE_MS } = this.#options;
    const { tls, host, vhost, ...login } = await this.#options.login.read();
    const opening = connectWithReason(
      {
        ...login,
        protocol: tls ? 'amqps' : 'amqp',
        hostname: host,
        // amqplib decodes it, as if it stood in an address.
        vhost: encodeURIComponent(vhost),
        heartbeat: heartbeatSeconds,
      },
      {
        noDelay: true,
        clientProperties: { connection_name: name },
        // A peer that accepts and stays silent would keep the socket for ever.
        timeout: handshakeMs,
        // Beside the authorities that Node trusts, not instead of them.
        ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
      },
    );
    return withinDeadline(opening, handshakeMs, `the broker at ${host}:${login.port} did not finish the handshake`);
  }

  /** Settles with the cause when this connection has ended, whichever of error and close says so first. */
  async #untilLost(model: ChannelModel): Promise<unknown> {
    const ended = Promise.withResolvers<unknown>();
    model.on('error', ended.resolve);
    model.on('close', ended.resolve);
    model.on('blocked', (reason) => {
      this.#blocked = true;
      this.#options.log.warn(
        { reason },
        'the broker blocks publishers (memory or disk alarm); events wait in the outbox',
      );
      this.emit('blocked', reason);
    });
    model.on('unblocked', () => {
      this.#blocked = false;
      this.#options.log.info('the broker takes messages again');
      this.emit('unblocked');
    });
    if (this.#stopping.signal.aborted) return await model.close().catch(() => undefined);
    batchWrites(model);
    this.#model = model;
    this.#opened += 1;
    this.#options.log.info({ connection: this.#options.name }, 'connected to the broker');
    this.emit('open', model);
    const cause = await ended.promise;
    this.#model = undefined;
    this.#blocked = false;
    if (!this.#stopping.signal.aborted)
      this.#options.log.warn(
        { connection: this.#options.name, reason: errorMessage(cause) },
        'the connection to the broker was lost',
      );
    this.emit('lost', cause);
    return cause;
  }

  /** Says what failed; a refused login is read again, and a new one is tried at once (the first time). */
  async #hasNewLogin(error: unknown, failures: number): Promise<boolean> {
    const { log, login, name } = this.#options;
    if (this.#stopping.signal.aborted) return false;
    const reason = errorMessage(error);
    log.error({ connection: name, failures, reason }, 'cannot connect to the broker; trying again for ever');
    if (!/ACCESS.REFUSED/.test(reason)) return false;
    try {
      const renewed = await login.refresh();
      log.warn({ from: login.from, renewed }, 'the broker refused the login; it was read again');
      return renewed && failures <= 1;
    } catch (cause) {
      log.error(
        { from: login.from, reason: errorMessage(cause) },
        'the broker refused the login, and it cannot be read again',
      );
      return false;
    }
  }
}

/** A connection that lived this long had succeeded. */
const LIVED_MS = 10_000;
/** AMQP's NOT_ALLOWED: the broker would do the same again at once. */
const NOT_ALLOWED = 530;

function isRefusal(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === NOT_ALLOWED;
}

/** The connection if it opens in time; one that opens later is closed, so that none is left over. */
async function withinDeadline(opening: Promise<ChannelModel>, ms: number, what: string): Promise<ChannelModel> {
  const late = new AbortController();
  const deadline = sleep(ms, undefined, { signal: late.signal }).then(() => {
    opening
      .then((model) => {
        model.on('error', () => undefined);
        return model.close();
      })
      .catch(() => undefined);
    throw new DeadlineError(`${what} within ${ms / 1000} s`);
  });
  // When the connection wins, the deadline is aborted and nobody waits for it any more.
  deadline.catch(() => undefined);
  try {
    return await Promise.race([opening, deadline]);
  } finally {
    late.abort();
  }
}
