// A gateway client that does nothing by itself: it sends what a test asks for, right or wrong, and keeps every frame.

import { GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { vi } from 'vitest';
import { WebSocket } from 'ws';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';

export interface Frame {
  readonly op: number;
  readonly t: string | null;
  readonly s: number | null;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads fields of any payload
  readonly d: any;
}

export const INTENTS = GatewayIntentBits.Guilds | GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildMessages;

const WAIT = { timeout: 20_000, interval: 5 };

export class GatewayClient {
  readonly frames: Frame[] = [];
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
  sessionId = '';
  readonly #token: string;
  #read = 0;

  /** Connects, and does not wait for HELLO. */
  constructor(simulator: DiscordSimulator, query = 'v=10&encoding=json') {
    this.#token = simulator.token;
    this.socket = new WebSocket(`${simulator.gatewayUrl}?${query}`);
    this.socket.on('message', (data) => this.frames.push(JSON.parse(String(data))));
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.socket.on('close', resolve));
  }

  /** Connected, HELLO received. */
  static async greeted(simulator: DiscordSimulator): Promise<GatewayClient> {
    const client = new GatewayClient(simulator);
    await client.opcode(GatewayOpcodes.Hello);
    return client;
  }

  /** Connected, identified, READY received. */
  static async ready(simulator: DiscordSimulator, change: Record<string, unknown> = {}): Promise<GatewayClient> {
    const client = await GatewayClient.greeted(simulator);
    client.identify(change);
    client.sessionId = (await client.dispatch('READY')).d.session_id;
    return client;
  }

  /** Connected, and the session resumed. */
  static async resumed(simulator: DiscordSimulator, sessionId: string, sequence: number): Promise<GatewayClient> {
    const client = await GatewayClient.greeted(simulator);
    client.resume(sessionId, sequence);
    await client.dispatch('RESUMED');
    return client;
  }

  send(op: number, d: unknown): void {
    this.socket.send(JSON.stringify({ op, d }));
  }

  identify(change: Record<string, unknown> = {}): void {
    const properties = { os: 'linux', browser: 'test', device: 'test' };
    this.send(GatewayOpcodes.Identify, { token: this.#token, intents: INTENTS, properties, shard: [0, 1], ...change });
  }

  resume(sessionId: string, seq: unknown, change: Record<string, unknown> = {}): void {
    this.send(GatewayOpcodes.Resume, { token: this.#token, session_id: sessionId, seq, ...change });
  }

  heartbeat(sequence: unknown): void {
    this.send(GatewayOpcodes.Heartbeat, sequence);
  }

  /** The next unread frame of this kind; it skips those before. */
  next(what: string, matches: (frame: Frame) => boolean): Promise<Frame> {
    return vi.waitFor(() => {
      const index = this.frames.findIndex((frame, n) => n >= this.#read && matches(frame));
      const frame = this.frames[index];
      if (!frame) throw new Error(`no ${what} among ${JSON.stringify(this.frames.map(({ op, t }) => t ?? op))}`);
      this.#read = index + 1;
      return frame;
    }, WAIT);
  }

  opcode(op: GatewayOpcodes): Promise<Frame> {
    return this.next(GatewayOpcodes[op], (frame) => frame.op === op);
  }

  dispatch(name: string): Promise<Frame> {
    return this.next(name, ({ t }) => t === name);
  }

  /** The dispatches until now, by name and sequence. */
  get dispatches(): string[] {
    return this.frames.flatMap(({ t, s }) => (t === null ? [] : `${t} ${s}`));
  }

  /** Resolves when the simulator has handled everything that was sent before. */
  async settled(): Promise<void> {
    this.heartbeat(null);
    await this.opcode(GatewayOpcodes.HeartbeatAck);
  }

  /** Closes the connection, without a code by breaking it. Resolves when the simulator has noticed. */
  async leave(simulator: DiscordSimulator, code?: number): Promise<void> {
    const before = simulator.count('disconnect');
    if (code === undefined) this.socket.terminate();
    else this.socket.close(code);
    await simulator.waitFor('disconnect', before + 1);
  }
}
