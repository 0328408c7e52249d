// A connection to the broker that is opened again after each loss: one loop opens it, waits for its end, pauses and opens
// it again, so an error followed by a close opens one connection, not two. amqplib's own recovery keeps its first
// address; this loop asks for the login each time, because it is read again when it is refused or when no attempt succeeds.
// Channels and consumers belong to the listeners.
//
//   connecting: from start() or after an end, until the handshake succeeds (`open`); it is retried after a backoff
//   open:       until the connection ends for any reason (`lost`); `blocked` while the broker refuses publishers
//   closed:     after close(); final

import { EventEmitter } from 'node:events';
import { getCACertificates } from 'node:tls';
import type { ChannelModel } from 'amqplib';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { OutageLog } from '../outage-log.ts';
import { backoffMs, orAfter, sleep } from '../wait.ts';
import { batchWrites, streamOf } from './batched-writes.ts';
import { readCertificateAuthority } from './certificate-authority.ts';
import { connectWithReason } from './handshake.ts';

/** Read before each attempt; owned here, satisfied by a `Credential<BrokerLogin>`. */
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
  /** The broker shows it with the connection. */
  readonly name: string;
  readonly login: LoginSource;
  /** Of an extra certificate authority, PEM. */
  readonly caFile?: string | undefined;
  readonly log: Log;
  /** The longest pause between two attempts, asked before each. @default 30 s */
  readonly longestPauseMs?: () => number;
}

interface Events {
  open: [ChannelModel];
  lost: [unknown];
  blocked: [string];
  unblocked: [];
}

/** Each side notices a silent connection within two of them. https://www.rabbitmq.com/docs/heartbeats */
const HEARTBEAT_SECONDS = 10;
/** A load balancer still leads to a node that is cut off; the next attempt may reach another. It doubles with each failure. */
const FIRST_HANDSHAKE_DEADLINE_MS = 5_000;
const LONGEST_HANDSHAKE_DEADLINE_MS = 20_000;
const CLOSE_DEADLINE_MS = 3_000;
/** A connection that lasted this long had succeeded. */
const SUCCEEDED_MS = 10_000;
/** AMQP's NOT_ALLOWED: the broker would do the same again at once. */
const NOT_ALLOWED = 530;
/** Larger ones are neither negotiated nor sent by RabbitMQ. amqplib would collect 64 MiB of one. */
const MOST_FRAME_BYTES = 128 * 1024;
/** After so many failures the broker may have been replaced: the login, which names its host, is read again. */
const FAILURES_BEFORE_READING = 3;
const READ_AGAIN_MS = 60_000;

export class BrokerConnection extends EventEmitter<Events> {
  readonly #options: BrokerConnectionOptions;
  readonly #stopping = new AbortController();
  readonly #outage: OutageLog;
  #loop: Promise<void> | undefined;
  #model: ChannelModel | undefined;
  #blocked = false;
  #opened = 0;
  /** Unix ms. */
  #lostAt: number | undefined;
  #lastAttemptAt = Date.now();
  /** To which the last attempt went. */
  #broker: string | undefined;
  /** When the login was last read again, by `performance.now()`. */
  #readAgainAt = Number.NEGATIVE_INFINITY;

  constructor(options: BrokerConnectionOptions) {
    super();
    this.#options = options;
    this.#outage = new OutageLog(options.log, 'error', 'cannot connect to the broker; retrying');
  }

  get connected(): boolean {
    return this.#model !== undefined;
  }

  /** The broker reads no publishes, because of a memory or disk alarm. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** How often it was opened after the first time. */
  get reconnects(): number {
    return Math.max(0, this.#opened - 1);
  }

  /** When the loop last started an attempt, Unix ms; before start() and while open it waits for no attempt: now. */
  get lastAttemptAt(): number {
    return this.#loop === undefined || this.connected ? Date.now() : this.#lastAttemptAt;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends an open connection at once, without asking the broker; another is opened. `lost` follows with this reason. */
  fail(reason: string): void {
    // Without an error amqplib would notice it only by a missing heartbeat.
    if (this.#model !== undefined) streamOf(this.#model)?.destroy(new Error(reason));
  }

  /** Ends the connection and the loop. Settles within seconds, also when the broker does not answer. */
  async close(): Promise<void> {
    this.#stopping.abort();
    // It does not settle when the socket ends first; the loop does.
    this.#model?.close().catch(() => undefined);
    const late = () => this.fail('the broker did not answer the close');
    if (this.#loop !== undefined) await orAfter(this.#loop, CLOSE_DEADLINE_MS, late);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      this.#lastAttemptAt = Date.now();
      let refused = false;
      try {
        const model = await this.#open(failures);
        const openedAt = Date.now();
        const cause = await this.#untilLost(model);
        // One that is lost soon is another failure (a limit of channels, a peer that closes at once); later it is a first
        // one, if the broker refuses what it was asked.
        if (Date.now() - openedAt < SUCCEEDED_MS) failures += 1;
        else failures = cause instanceof Error && 'code' in cause && cause.code === NOT_ALLOWED ? 1 : 0;
      } catch (err) {
        failures += 1;
        refused = /ACCESS.REFUSED/.test(errorMessage(err));
        if (!signal.aborted) this.#outage.failed(err, { connection: this.#options.name, broker: this.#broker });
      }
      if (await this.#hasNewLogin(refused, failures)) continue;
      // After a loss there is only a jitter; failures wait longer.
      const delay =
        failures === 0 ? Math.random() * 200 : backoffMs(failures, Math.random, this.#options.longestPauseMs?.());
      await sleep(delay, signal).catch(() => undefined);
    }
  }

  async #open(failures: number): Promise<ChannelModel> {
    const { name, caFile } = this.#options;
    const { tls, host, vhost, ...login } = await this.#options.login.read();
    this.#broker = `${host}:${login.port}`;
    const ca = caFile === undefined ? undefined : await readCertificateAuthority(caFile);
    return await connectWithReason(
      Math.min(LONGEST_HANDSHAKE_DEADLINE_MS, FIRST_HANDSHAKE_DEADLINE_MS * 2 ** failures),
      {
        ...login,
        protocol: tls ? 'amqps' : 'amqp',
        hostname: host,
        // amqplib decodes it, as if it stood in an address.
        vhost: encodeURIComponent(vhost),
        heartbeat: HEARTBEAT_SECONDS,
        maxFrameSize: MOST_FRAME_BYTES,
      },
      {
        noDelay: true,
        clientProperties: { connection_name: name },
        // In addition to the authorities that Node trusts.
        ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
      },
    );
  }

  /** Resolves with the cause when this connection has ended, by `error` or `close`, whichever comes first. */
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
    const awayMs = this.#lostAt && Date.now() - this.#lostAt;
    const { failures } = this.#outage.over() ?? {};
    this.#options.log.info({ connection: this.#options.name, awayMs, failures }, 'connected to the broker');
    this.emit('open', model);
    const cause = await ended.promise;
    this.#model = undefined;
    this.#lostAt = Date.now();
    // A peer that does not answer amqplib's close would keep the socket.
    setTimeout(() => streamOf(model)?.destroy(), CLOSE_DEADLINE_MS).unref();
    this.#blocked = false;
    if (!this.#stopping.signal.aborted)
      this.#options.log.warn({ connection: this.#options.name, err: cause }, 'the connection to the broker was lost');
    this.emit('lost', cause);
    return cause;
  }

  /** Reads the login again where it may be the cause. @returns whether another one is to be tried at once */
  async #hasNewLogin(refused: boolean, failures: number): Promise<boolean> {
    const { log, login } = this.#options;
    if (this.#stopping.signal.aborted) return false;
    const mayReadAgain = performance.now() - this.#readAgainAt > READ_AGAIN_MS;
    if (!refused && !(failures >= FAILURES_BEFORE_READING && mayReadAgain)) return false;
    this.#readAgainAt = performance.now();
    try {
      const renewed = await login.refresh();
      const why = refused ? 'the broker refused the login; it was read again' : 'the broker login was read again';
      if (renewed || (refused && failures === 1)) log.warn({ from: login.from, renewed }, why);
      return renewed && !(refused && failures > 1);
    } catch (err) {
      log.error({ from: login.from, err }, 'the broker login cannot be read again');
      return false;
    }
  }
}
