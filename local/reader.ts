// A worker that only reads: consumes the event queues and keeps what came, independent of the service: which sequences of
// which session, in which order, and under which ids. It outlives the broker's restarts.

import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumeMessage, connect } from 'amqplib';
import { HEADERS, QUEUES, WORKER_QUEUES, type WorkerQueue } from '../service/contract/names.ts';
import { WHOLE_GUILD } from './discord/ledger.ts';
import { WholeBody } from './whole-body.ts';

const READ = Object.values(WORKER_QUEUES);
const RETRY_MS = 200;
const HOLE = /^sequences? (\d+)(?: to (\d+))? did not come/;

interface GatewayEventBody {
  readonly eventType: string;
  readonly shardId: number;
  readonly data: { readonly lastSequence: number; readonly reason: string };
}

/** What was read of a session: its whole guilds, or everything else. */
interface ReadSession {
  readonly sessionId: string;
  readonly shardId: number;
  readonly whole: boolean;
  /** The first 32 bits of each event's id, by sequence. */
  readonly ids: number[];
  /** The highest sequence read so far, by queue and priority: within these the broker keeps the order. */
  readonly highest: Map<string, number>;
}

export class Reader {
  readonly #sessions = new Map<string, ReadSession>();
  readonly perQueue = new Map<string, number>(READ.map((queue) => [queue, 0]));
  /** Different events read, by their type. */
  readonly perType = new Map<string, number>();
  /** Bodies of the gateway.gap events of lost sessions, by session. */
  readonly gaps = new Map<string, { shardId: number; lastSequence: number; reason: string }>();
  /** Last sequences of sessions that were ended on purpose, from gateway.session-replaced events. */
  readonly replaced = new Map<string, number>();
  /** Sequences that a gateway.gap event reports as not received, although their session lives. */
  readonly holes: { readonly sessionId: string; readonly first: number; readonly last: number }[] = [];
  /** Different events read. */
  events = 0;
  /** Read again, under the same id. */
  repeats = 0;
  /** Read again under another id, which is always wrong. */
  conflicts = 0;
  /** Read for the first time after a later one of the same session, queue and priority. */
  disorders = 0;
  readonly disorderExamples: string[] = [];
  lastReadAt = 0;
  /** Silences are measured for each shard, or for each number that this makes of it. */
  silenceOf: (shardId: number) => number = (shardId) => shardId;
  /** The longest time without an event since `resetSilences`, milliseconds. */
  readonly silences = new Map<number, { lastAt: number; longestMs: number }>();
  onMessage: ((queue: string, message: ConsumeMessage) => void) | undefined;
  readonly #bodies = new WholeBody();
  readonly #url: () => string;
  readonly #readFrom: (queue: WorkerQueue) => string;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #paused: PromiseWithResolvers<void> | undefined;
  #leave: () => void = () => undefined;

  /** @param readFrom the queue that has a copy of what this one gets, where another worker reads this one */
  constructor(url: () => string, readFrom: (queue: WorkerQueue) => string = (queue) => queue) {
    this.#url = url;
    this.#readFrom = readFrom;
  }

  get sessions(): Iterable<ReadSession> {
    return this.#sessions.values();
  }

  /** What was read of a session, if anything. */
  session(sessionId: string, whole: boolean): ReadSession | undefined {
    return this.#sessions.get(`${sessionId} ${whole}`);
  }

  get longestSilenceMs(): number {
    return Math.max(0, ...[...this.silences.values()].map(({ longestMs }) => longestMs));
  }

  /** From now on silences are measured again, each from its shard's last event. */
  resetSilences(): void {
    for (const silence of this.silences.values()) silence.longestMs = 0;
  }

  /** Resolves when it consumes for the first time. */
  async start(): Promise<void> {
    const consuming = Promise.withResolvers<void>();
    this.#loop = this.#run(consuming.resolve);
    await consuming.promise;
  }

  /** As if no worker ran: until `resume` nothing is read, and queues fill. */
  pause(): void {
    this.#paused ??= Promise.withResolvers();
    this.#leave();
  }

  resume(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  async stop(): Promise<void> {
    this.resume();
    this.#stopping.abort();
    this.#leave();
    await Promise.race([this.#loop, sleep(3_000, undefined, { ref: false })]);
  }

  async #run(consuming: () => void): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#paused?.promise;
      // While the broker is down, connecting fails: this reader is there to outlive that.
      await this.#consume(consuming).catch(() => undefined);
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves when the connection or the channel ends, or `#leave` is called. */
  async #consume(consuming: () => void): Promise<void> {
    const model = await connect(this.#url(), { clientProperties: { connection_name: 'reader' } });
    const ended = Promise.withResolvers<void>();
    this.#leave = ended.resolve;
    model.on('error', () => ended.resolve());
    model.on('close', () => ended.resolve());
    const channel = await model.createChannel();
    channel.on('error', () => undefined);
    channel.on('close', () => ended.resolve());
    await channel.prefetch(2_000);
    for (const queue of READ)
      await channel.consume(this.#readFrom(queue), (message) => {
        if (message === null) return ended.resolve();
        this.#read(queue, message);
        channel.ack(message);
      });
    consuming();
    await ended.promise;
    await model.close().catch(() => undefined);
  }

  #read(queue: string, message: ConsumeMessage): void {
    this.lastReadAt = Date.now();
    this.perQueue.set(queue, (this.perQueue.get(queue) ?? 0) + 1);
    this.onMessage?.(queue, message);
    const body = this.#bodies.of(message);
    if (body === undefined) return;
    const { headers = {}, messageId, priority } = message.properties;
    const sessionId = String(headers[HEADERS.session]);
    if (queue === QUEUES.gatewayEvents) {
      const { eventType, shardId, data } = JSON.parse(body) as GatewayEventBody;
      if (eventType === 'gateway.ready') return;
      if (eventType === 'gateway.session-replaced') return void this.replaced.set(sessionId, data.lastSequence);
      const [, first, last = first] = HOLE.exec(data.reason) ?? [];
      if (first === undefined) this.gaps.set(sessionId, { shardId, ...data });
      else this.holes.push({ sessionId, first: Number(first), last: Number(last) });
      return;
    }
    const sequence = Number(headers[HEADERS.sequence]);
    const session = this.#sessionOf(sessionId, Number(headers[HEADERS.shard]), message.properties.type === WHOLE_GUILD);
    const id = Number.parseInt(String(messageId).slice(0, 8), 16);
    if (!Number.isInteger(sequence) || sequence < 1) {
      this.conflicts += 1;
      return;
    }
    const before = session.ids[sequence];
    if (before !== undefined) {
      if (before === id) this.repeats += 1;
      else this.conflicts += 1;
      return;
    }
    session.ids[sequence] = id;
    this.events += 1;
    const type = String(message.properties.type);
    this.perType.set(type, (this.perType.get(type) ?? 0) + 1);
    this.#noteSilence(session.shardId);
    const lane = `${queue} ${String(priority)}`;
    const highest = session.highest.get(lane) ?? 0;
    if (sequence > highest) session.highest.set(lane, sequence);
    // The broker had delivered it in order, to a connection that was lost before this reader saw it.
    else if (!message.fields.redelivered) {
      this.disorders += 1;
      const example = `disorder: ${sessionId} shard ${session.shardId}: ${sequence} after ${highest} in ${lane}`;
      if (this.disorderExamples.length < 10) this.disorderExamples.push(example);
    }
  }

  #sessionOf(sessionId: string, shardId: number, whole: boolean): ReadSession {
    const session = this.session(sessionId, whole) ?? { sessionId, shardId, whole, ids: [], highest: new Map() };
    this.#sessions.set(`${sessionId} ${whole}`, session);
    return session;
  }

  #noteSilence(shardId: number): void {
    const key = this.silenceOf(shardId);
    const silence = this.silences.get(key) ?? { lastAt: this.lastReadAt, longestMs: 0 };
    this.silences.set(key, silence);
    silence.longestMs = Math.max(silence.longestMs, this.lastReadAt - silence.lastAt);
    silence.lastAt = this.lastReadAt;
  }
}
