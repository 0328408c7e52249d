// A gateway client that does nothing by itself: it says what it is told to, right or wrong, and remembers every frame.

import { GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { WebSocket } from 'ws';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';

export interface Frame {
  readonly op: number;
  readonly t: string | null;
  readonly s: number | null;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads fields of payloads that have every shape there is
  readonly d: any;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export const INTENTS = GatewayIntentBits.Guilds | GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildMessages;

const WAIT_MS = 20_000;

export class GatewayClient {
  readonly frames: Frame[] = [];
  readonly closed: Promise<Closed>;
  readonly socket: WebSocket;
  readonly #token: string;
  #looked = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  /** Connects; HELLO is not waited for. */
  constructor(simulator: DiscordSimulator, { url = simulator.gatewayUrl, query = 'v=10&encoding=json' } = {}) {
    this.#token = simulator.token;
    this.socket = new WebSocket(`${url}?${query}`);
    this.socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)));
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) =>
      this.socket.on('close', (code, reason) => {
        resolve({ code, reason: String(reason) });
        this.#ended = true;
        this.#wake();
      }),
    );
  }

  /** Connected and greeted. */
  static async greeted(
    simulator: DiscordSimulator,
    options?: { url?: string; query?: string },
  ): Promise<GatewayClient> {
    const client = new GatewayClient(simulator, options);
    await client.next((frame) => frame.op === GatewayOpcodes.Hello);
    return client;
  }

  /** Connected, identified, READY. */
  static async ready(
    simulator: DiscordSimulator,
    { shard = [0, 1], intents = INTENTS, query = 'v=10&encoding=json' }: Ready = {},
  ): Promise<GatewayClient & { readonly session: ReadySession }> {
    const client = await GatewayClient.greeted(simulator, { query });
    client.identify({ shard, intents });
    const { d } = await client.dispatch('READY');
    return Object.assign(client, { session: { id: d.session_id, resumeUrl: d.resume_gateway_url } });
  }

  send(op: number, d: unknown): void {
    this.socket.send(JSON.stringify({ op, d }));
  }

  identify(change: Record<string, unknown> = {}): void {
    this.send(GatewayOpcodes.Identify, {
      token: this.#token,
      intents: INTENTS,
      properties: { os: 'linux', browser: 'test', device: 'test' },
      shard: [0, 1],
      ...change,
    });
  }

  resume(sessionId: string, seq: unknown, change: Record<string, unknown> = {}): void {
    this.send(GatewayOpcodes.Resume, { token: this.#token, session_id: sessionId, seq, ...change });
  }

  heartbeat(sequence: unknown): void {
    this.send(GatewayOpcodes.Heartbeat, sequence);
  }

  /** The first frame of this kind that was not looked at yet; those before it are passed over. */
  async next(matches: (frame: Frame) => boolean = () => true): Promise<Frame> {
    const deadline = AbortSignal.timeout(WAIT_MS);
    while (true) {
      while (this.#looked < this.frames.length) {
        const frame = this.frames[this.#looked];
        this.#looked += 1;
        if (frame && matches(frame)) return frame;
      }
      if (this.#ended) throw new Error(`the connection closed before such a frame; came ${this.#summary()}`);
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        deadline.onabort = () => reject(new Error(`no such frame within ${WAIT_MS} ms; came ${this.#summary()}`));
      });
    }
  }

  opcode(op: number): Promise<Frame> {
    return this.next((frame) => frame.op === op);
  }

  dispatch(name: string): Promise<Frame> {
    return this.next((frame) => frame.t === name);
  }

  /** Every dispatch so far. */
  get dispatches(): Frame[] {
    return this.frames.filter(({ op }) => op === GatewayOpcodes.Dispatch);
  }

  /** Sequences of every dispatch so far. */
  get sequences(): (number | null)[] {
    return this.dispatches.map(({ s }) => s);
  }

  /** Resolves when everything that was sent to the gateway before has been handled. */
  async settled(): Promise<void> {
    this.heartbeat(null);
    await this.opcode(GatewayOpcodes.HeartbeatAck);
  }

  async close(code: number): Promise<Closed> {
    this.socket.close(code);
    return await this.closed;
  }

  /** Breaks the connection. */
  async drop(): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }

  #summary(): string {
    return this.frames.map(({ op, t }) => t ?? `op ${op}`).join(', ') || 'nothing';
  }
}

interface Ready {
  readonly shard?: readonly [number, number];
  readonly intents?: number;
  readonly query?: string;
}

export interface ReadySession {
  readonly id: string;
  readonly resumeUrl: string;
}
