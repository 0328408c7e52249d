// What a shard needs of the rest of the task.

import type { GatewayPresenceUpdateData } from 'discord-api-types/v10';
import type { LastEnd } from '../last-end.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { BotToken } from './bot-token.ts';
import type { EndCause } from './close-code.ts';
import type { OtherDispatch, ReadyDispatch } from './frame.ts';
import type { GatewayInformation } from './gateway-information.ts';
import type { IdentifyGate } from './identify-gate.ts';

interface Resumable {
  readonly sessionId: string;
  readonly resumeUrl: string;
  readonly sequence: number;
  readonly shardCount: number;
  /** When READY came, Unix ms. */
  readonly startedAt: number;
  /** Bit field; unknown of a session that an older version stored. */
  readonly intents?: number | undefined;
}

/** The session of the shard. Times are Unix ms. */
export interface SessionPort {
  /** RESUME asks for what follows its sequence; without one the shard IDENTIFYs. */
  readonly resumable: Resumable | undefined;
  readonly shardCount: number;
  /** @returns the sequence that the next heartbeat carries */
  heartbeat(at: number): number | null;
  /** Called for each dispatch, in order. @returns why it must not be received now */
  rejection(sequence: number, at: number): Extract<EndCause, { readonly reason: string }> | undefined;
  /** What may be a dispatch cannot be read. @returns whether it is skipped; else the connection ends and a RESUME asks for it */
  unreadable(): boolean;
  /** What may be a dispatch ended the connection. @returns whether it is given up: a RESUME asks for what follows it */
  undecodable(at: number): boolean;
  begin(session: Resumable): void;
  /** RESUME was sent. */
  resuming(): void;
  /** @param sequence of RESUMED itself, if it has one */
  resumed(sequence?: number): void;
  disconnected(at: number, closedByDiscord: boolean): void;
  /** The session was ended on purpose. */
  replace(reason: string, at: number): void;
  /** @returns whether the session is kept for another try */
  refused(reason: string, at: number): boolean;
}

/** What else is sent over the shard's connections. */
export interface SendPort {
  /** An IDENTIFY is about to be sent. @returns the presence that it carries */
  identify(): GatewayPresenceUpdateData | null;
  /** READY or RESUMED came: `send` is possible. */
  connected(): void;
  /** @param closeCode of Discord, if Discord closed the connection */
  ended(reason: string, closeCode: number | undefined): void;
}

/** Resolves when the shard may connect. @throws when the signal aborts */
export type AskPermission = (signal: AbortSignal, end: LastEnd) => Promise<'proven' | 'unproven'>;

export interface ShardOptions {
  readonly id: number;
  readonly session: SessionPort;
  readonly sends: SendPort;
  readonly token: BotToken;
  readonly information: GatewayInformation;
  readonly gate: IdentifyGate;
  readonly intents: number;
  readonly compression: 'none' | 'zlib-stream';
  /** Names of dispatches whose `d` is not needed. */
  readonly unwanted: ReadonlySet<string>;
  /** REST base: it decides which addresses get the token. */
  readonly apiUrl: string;
  readonly metrics: Pick<Metrics, 'add'>;
  readonly log: Log;
  /** Called in the order of the dispatches, with the time of receipt (Unix ms). Must not throw. */
  readonly onDispatch: (dispatch: ReadyDispatch | OtherDispatch, receivedAt: number) => void;
  /** Resolves when the broker has confirmed what the session received, or will not soon. @throws when the signal aborts */
  readonly confirmed: (signal: AbortSignal) => Promise<void>;
  /** Asked before each connection. */
  readonly permission: AskPermission;
}
