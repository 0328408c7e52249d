// What an event is made with, beside the dispatch itself.

import { DEFAULT_EVENTS, parseEvents } from '../../service/events/choice.ts';
import type { DispatchContext } from '../../service/events/outcome.ts';
import { GuildPresence } from '../../service/session/guild-presence.ts';

export const NO_OPT_INS = { messageContent: false, botMessages: false, directMessages: false };

/** Of the default events, without opt-ins. */
export const dispatchContext = (changes: Partial<DispatchContext> = {}): DispatchContext => ({
  sessionId: 's',
  shardId: 0,
  shardCount: 1,
  sequence: 5,
  receivedAt: Date.now(),
  guilds: new GuildPresence(0),
  choice: parseEvents(DEFAULT_EVENTS.join()),
  optIns: NO_OPT_INS,
  ...changes,
});
