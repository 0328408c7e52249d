// Something that happened in the world, before any session has given it a sequence. Its payload is made when it is
// written to a socket, and made again, the same, for a replay: a buffer of thousands of events holds no payloads.

import { GatewayDispatchEvents, GatewayIntentBits, type GatewayMessageCreateDispatchData } from 'discord-api-types/v10';
import { withoutContent } from './payloads/content-intent.ts';
import type { Guild } from './payloads/world.ts';

export interface WorldEvent {
  /** Unique; the same in every session that gets it. 0 for what belongs to one session only, such as READY. */
  readonly number: number;
  /** The dispatch's `t`. */
  readonly dispatch: string;
  /** Without a guild it goes to shard 0. */
  readonly guild: Guild | undefined;
  /** One of these intents lets it through; 0: it needs none. */
  readonly intents: number;
  /** What a worker is due for it; `null`: nothing. */
  readonly routingKey: string | null;
  /** The dispatch's `d`, alike each time. */
  make(): object | null;
}

export const mayPass = (event: WorldEvent, intents: number): boolean =>
  event.intents === 0 || (event.intents & intents) !== 0;

/** A reader of payloads: who it is, and what it may see. */
export interface Reader {
  readonly botId: string;
  readonly intents: number;
  readonly blankContent: boolean;
}

/** The frame of a dispatch, as this reader gets it. */
export function frame(event: WorldEvent, sequence: number, reader: Reader): string {
  const d = event.make();
  const seen =
    d !== null && isBlanked(event, reader) ? withoutContent(d as GatewayMessageCreateDispatchData, reader.botId) : d;
  return `{"t":${JSON.stringify(event.dispatch)},"s":${sequence},"op":0,"d":${JSON.stringify(seen)}}`;
}

function isBlanked({ dispatch }: WorldEvent, { intents, blankContent }: Reader): boolean {
  return (
    blankContent &&
    (intents & GatewayIntentBits.MessageContent) === 0 &&
    (dispatch === GatewayDispatchEvents.MessageCreate || dispatch === GatewayDispatchEvents.MessageUpdate)
  );
}
