// Something that happened, before any session has given it a sequence. Its payload is made when it is written to a
// socket, and made again, the same, for a replay: a buffer of thousands of events holds no payloads.

import { withoutContent } from './payloads/content-intent.ts';
import type { Guild } from './payloads/world.ts';

export interface SimulatedEvent {
  /** Unique; the same in every session that gets it. 0 for what belongs to one session only, such as READY. */
  readonly number: number;
  /** The dispatch's `t`. */
  readonly dispatch: string;
  /** Without a guild it goes to shard 0. */
  readonly guild?: Guild | undefined;
  /** One of these intents lets it through; 0: it needs none. */
  readonly intents: number;
  /** What a worker is due for it; `null`: nothing. */
  readonly routingKey: string | null;
  /** Whether the dispatch as a whole is due too, as `dispatch.guild_create`. */
  readonly whole?: boolean;
  /** The dispatch's `d`, alike each time. */
  make(): object | null;
  /** Called when it has been written to a socket, also when it is replayed. */
  readonly written?: () => void;
}

/** What a session may see. */
export interface View {
  readonly botId: string;
  readonly intents: number;
  readonly seesContent: boolean;
}

export const maySee = (event: Pick<SimulatedEvent, 'intents'>, { intents }: View): boolean =>
  event.intents === 0 || (event.intents & intents) !== 0;

/** The frame of a dispatch, as a session with this view gets it. */
export function frame(event: SimulatedEvent, sequence: number, view: View): string {
  const d = event.make();
  const seen = d === null || view.seesContent ? d : withoutContent(event.dispatch, d, view.botId);
  return `{"t":${JSON.stringify(event.dispatch)},"s":${sequence},"op":0,"d":${JSON.stringify(seen)}}`;
}
