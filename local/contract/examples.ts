// Examples of what workers get: the simulator's payloads in one session of a shard, made into messages as the service does
// it; at its end the session is lost, and the next one is replaced. The same each time.

import { GatewayDispatchEvents, type GatewayReadyDispatchData } from 'discord-api-types/v10';
import { DEFAULT_EVENTS, intentsFor, parseEvents } from '../../service/events/choice.ts';
import { sessionReplaced } from '../../service/events/gap.ts';
import type { Event } from '../../service/events/outcome.ts';
import { toPayload } from '../../service/events/to-payload.ts';
import { gapOf } from '../../service/gap-reporter.ts';
import { intentsChanged } from '../../service/gateway/session-replacement.ts';
import type { Message } from '../../service/publisher/message.ts';
import { ShardSession } from '../../service/session/session.ts';
import { toMessage } from '../../service/to-message.ts';
import { samplePayloads } from '../discord/payloads/samples.ts';
import { EVENTS_FROM } from '../discord/payloads/world.ts';

export interface Example {
  readonly name: string;
  readonly message: Message;
}

const SEED = 1;
const NO_OPT_INS = { messageContent: false, botMessages: false, directMessages: false };
const CHOICE = parseEvents('all');

/** At least one of each kind of event, in the order of the session. */
export function examples(): readonly Example[] {
  const made: Example[] = [];
  const add = (name: string, event: Event, sessionId: string, sequence: number) =>
    made.push({ name, message: toMessage(event, sessionId, sequence) });
  const session = new ShardSession(0, 1, {
    lost: (lost) => add('session lost', gapOf(lost), lost.sessionId, lost.lastSequence),
    replaced: ({ settled: _, unsettled: __, ...replaced }) =>
      add('session replaced', sessionReplaced(replaced), replaced.sessionId, replaced.lastSequence),
    hole: ({ first, last }) => {
      throw new Error(`expected every sequence, ${first} to ${last} are missing`);
    },
    heartbeatsLagged: () => undefined,
  });
  const begin = (sessionId: string, sequence: number) =>
    session.begin({ sessionId, resumeUrl: '', shardCount: 1, sequence, startedAt: EVENTS_FROM + sequence });

  const samples = samplePayloads(SEED, { joinedAt: EVENTS_FROM });
  for (const [index, { name, dispatch }] of samples.entries()) {
    const [sequence, receivedAt] = [index + 1, EVENTS_FROM + index + 1];
    if (dispatch.t === GatewayDispatchEvents.Ready)
      begin((dispatch.d as GatewayReadyDispatchData).session_id, sequence);
    else session.receive(sequence, receivedAt)?.settle(sequence);
    const { guilds, id: sessionId = '', shardCount, shardId } = session;
    const from = { sessionId, shardId, shardCount, sequence, receivedAt, guilds, choice: CHOICE, optIns: NO_OPT_INS };
    const outcome = toPayload(dispatch, from);
    if (outcome.kind === 'event' && SHOWN.has(name)) add(name, outcome, sessionId, sequence);
  }
  const end = samples.length + 1;
  // Discord answers a RESUME with READY.
  begin([...(session.id ?? '')].toReversed().join(''), end);
  const from = intentsFor(parseEvents(DEFAULT_EVENTS.join()), NO_OPT_INS);
  session.replace(intentsChanged({ from, to: [...from, 'GuildMessageReactions'] }), EVENTS_FROM + end);
  return made;
}

const SHOWN: ReadonlySet<string> = new Set([
  'ready',
  'guild.join',
  'guild.leave',
  'message.text',
  'message.reply',
  'command.plain',
  'command.everything',
  'command.user',
  'command.message',
  'autocomplete.plain',
  'button.plain',
  'select.string',
  'select.user',
  'modal.labels',
  'unknown.type',
  'member.join',
  'member.update',
  'member.leave',
  'GUILD_MEMBERS_CHUNK',
  'MESSAGE_DELETE',
  'MESSAGE_REACTION_ADD',
  'MESSAGE_UPDATE',
  'TYPING_START',
]);
