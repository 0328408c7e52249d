// Every kind of dispatch that the simulator's traffic is made of: how it is made, which intents let it through, how
// often it comes, and what a worker is due for it. The last is this table's own knowledge, taken from the design and
// not from the ingestor, so that a test can hold the one against the other. Joins, leaves and outages of guilds are not
// here: they change which guilds there are, so the simulator makes them.

import { type GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import type { EventContext } from './event-context.ts';
import * as interaction from './interaction.ts';
import * as member from './member.ts';
import * as message from './message.ts';
import * as unrouted from './unrouted.ts';

export interface Variant {
  readonly name: string;
  /** The dispatch's `t`. */
  readonly dispatch: string;
  /** Without a guild a dispatch goes to shard 0. */
  readonly scope: 'guild' | 'direct';
  /** One of these intents lets it through; 0: it needs none. */
  readonly intents: number;
  /** What a worker is due for it; `null`: nothing. */
  readonly routingKey: string | null;
  /** Share in the default traffic, which needs no more than Guilds, GuildMembers and GuildMessages. */
  readonly weight: number;
  /** The dispatch's `d`. */
  make(context: EventContext): object;
}

type Kind = Pick<Variant, 'dispatch' | 'scope' | 'intents' | 'routingKey'>;
type Dispatch = `${GatewayDispatchEvents}` | typeof UNDOCUMENTED;

const UNDOCUMENTED = 'GUILD_APPLICATION_COMMAND_INDEX_UPDATE';
const { Guilds, GuildMembers, GuildMessages, DirectMessages } = GatewayIntentBits;

function of(dispatch: Dispatch, intents: number, routingKey: string | null = null): Kind {
  return { dispatch, scope: 'guild', intents, routingKey };
}

const due = of('MESSAGE_CREATE', GuildMessages, 'message.create');
const silent = of('MESSAGE_CREATE', GuildMessages);
const onInteraction = (routingKey: string | null) => of('INTERACTION_CREATE', 0, routingKey);
/** Written by hand is also what stands for a command's name in its routing key. */
const onCommand = (word: string) => onInteraction(`interaction.command.${word}`);
const autocomplete = onInteraction('interaction.autocomplete.search');
const button = onInteraction('interaction.button');
const select = onInteraction('interaction.select');
const modal = onInteraction('interaction.modal');
const memberJoin = of('GUILD_MEMBER_ADD', GuildMembers, 'member.join');
const memberUpdate = of('GUILD_MEMBER_UPDATE', GuildMembers, 'member.update');
const memberLeave = of('GUILD_MEMBER_REMOVE', GuildMembers, 'member.leave');

export const VARIANTS: readonly Variant[] = [
  { name: 'message.text', ...due, weight: 400, make: message.text },
  { name: 'message.mention', ...due, weight: 10, make: message.mention },
  { name: 'message.reply', ...due, weight: 80, make: message.reply },
  { name: 'message.forward', ...due, weight: 5, make: message.forward },
  { name: 'message.files', ...due, weight: 70, make: message.files },
  { name: 'message.poll', ...due, weight: 2, make: message.poll },
  { name: 'message.thread-start', ...due, weight: 3, make: message.threadStart },
  { name: 'message.by-bot', ...silent, weight: 60, make: message.byBot },
  { name: 'message.by-ourselves', ...silent, weight: 30, make: message.byOurselves },
  { name: 'message.by-webhook', ...silent, weight: 20, make: message.byWebhook },
  { name: 'message.direct', ...silent, scope: 'direct', intents: DirectMessages, weight: 0, make: message.direct },

  { name: 'command.plain', ...onCommand('ping'), weight: 60, make: interaction.command('ping') },
  { name: 'command.unicode', ...onCommand('übersetzen'), weight: 10, make: interaction.command('übersetzen') },
  { name: 'command.everything', ...onCommand('everything'), weight: 10, make: interaction.everything },
  { name: 'command.large', ...onCommand('large'), weight: 0, make: interaction.large },
  { name: 'command.message', ...onCommand('v2_0__beta___1'), weight: 7, make: interaction.messageCommand },
  { name: 'command.direct', ...onInteraction(null), scope: 'direct', weight: 7, make: interaction.directCommand },
  // It expires after 3 s, and workers may be away for longer.
  { name: 'autocomplete.plain', ...autocomplete, weight: 0, make: interaction.autocomplete },
  { name: 'button.plain', ...button, weight: 30, make: interaction.button },
  { name: 'select.string', ...select, weight: 6, make: interaction.select('string') },
  { name: 'select.user', ...select, weight: 2, make: interaction.select('user') },
  { name: 'select.role', ...select, weight: 2, make: interaction.select('role') },
  { name: 'select.mentionable', ...select, weight: 2, make: interaction.select('mentionable') },
  { name: 'select.channel', ...select, weight: 2, make: interaction.select('channel') },
  { name: 'modal.labels', ...modal, weight: 5, make: interaction.modal },
  { name: 'modal.rows', ...modal, weight: 3, make: interaction.modalOfRows },

  { name: 'member.join', ...memberJoin, weight: 20, make: member.join },
  { name: 'member.bot-join', ...memberJoin, weight: 1, make: member.botJoin },
  { name: 'member.update', ...memberUpdate, weight: 38, make: member.update },
  { name: 'member.leave', ...memberLeave, weight: 15, make: member.leave },

  { name: 'message.update', ...of('MESSAGE_UPDATE', GuildMessages), weight: 40, make: unrouted.messageUpdate },
  { name: 'message.delete', ...of('MESSAGE_DELETE', GuildMessages), weight: 15, make: unrouted.messageDelete },
  { name: 'channel.update', ...of('CHANNEL_UPDATE', Guilds), weight: 20, make: unrouted.channelUpdate },
  { name: 'user.update', ...of('USER_UPDATE', 0), scope: 'direct', weight: 3, make: unrouted.userUpdate },
  { name: 'undocumented', ...of(UNDOCUMENTED, 0), weight: 0, make: unrouted.undocumented },
];

const BY_NAME = new Map(VARIANTS.map((variant) => [variant.name, variant]));

/** @throws for an unknown name */
export function variantOf(name: string): Variant {
  const found = BY_NAME.get(name);
  if (found) return found;
  throw new Error(`expected the name of a kind of event, got '${name}': use one of ${[...BY_NAME.keys()].join(', ')}`);
}
