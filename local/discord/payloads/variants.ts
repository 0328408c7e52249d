// Every kind of dispatch that the simulator's traffic is made of: how it is made, how often it comes, and what a worker is
// due for it. The last is this table's own knowledge, taken from the design and not from the ingestor, so that a test can
// hold the one against the other. Joins, leaves and outages of guilds are not here: they change which guilds there are, so
// the simulator makes them.

import type { GatewayDispatchEvents } from 'discord-api-types/v10';
import { chosenDispatches } from '../due.ts';
import { DISPATCHES, type Further, undocumented, WITHOUT_GUILD } from './dispatches.ts';
import type { EventContext } from './event-context.ts';
import { IN_DIRECT, intentsFor } from './intents.ts';
import * as interaction from './interaction.ts';
import * as member from './member.ts';
import * as message from './message.ts';

export interface Variant {
  readonly name: string;
  /** The dispatch's `t`. */
  readonly dispatch: string;
  /** Without a guild a dispatch goes to shard 0. */
  readonly scope: 'guild' | 'direct';
  /** One of these intents lets it through; 0: it needs none. */
  readonly intents: number;
  /** What a worker is due for it where EVENTS has its dispatch; `null`: nothing. */
  readonly routingKey: string | null;
  /** Share in the default traffic, which needs no more than Guilds, GuildMembers and GuildMessages. */
  readonly weight: number;
  /** Share in the traffic where EVENTS has its dispatch. @default - `weight` */
  readonly chosenWeight?: number;
  /** The dispatch's `d`. */
  make(context: EventContext): object;
}

type Kind = Pick<Variant, 'dispatch' | 'scope' | 'intents' | 'routingKey'>;
type Dispatch = `${GatewayDispatchEvents}` | typeof UNDOCUMENTED;

const UNDOCUMENTED = 'GUILD_APPLICATION_COMMAND_INDEX_UPDATE';

function of(dispatch: Dispatch, routingKey: string | null = null, scope: Variant['scope'] = 'guild'): Kind {
  return { dispatch, scope, intents: intentsFor(dispatch, scope), routingKey };
}

const due = of('MESSAGE_CREATE', 'message.create');
const silent = of('MESSAGE_CREATE');
const onInteraction = (routingKey: string | null) => of('INTERACTION_CREATE', routingKey);
/** The form of a command's name in its routing key is a constant here, too. */
const onCommand = (word: string) => onInteraction(`interaction.command.${word}`);
const autocomplete = onInteraction('interaction.autocomplete.search');
const button = onInteraction('interaction.button');
const select = onInteraction('interaction.select');
const modal = onInteraction('interaction.modal');
const unknown = onInteraction('interaction.unknown');
const memberJoin = of('GUILD_MEMBER_ADD', 'member.join');
const memberUpdate = of('GUILD_MEMBER_UPDATE', 'member.update');
const memberLeave = of('GUILD_MEMBER_REMOVE', 'member.leave');

/** Weights of dispatches without a curated event type, out of about 1,900; the others have 8 each. */
const CHOSEN_WEIGHTS: { readonly [T in Further]?: number } = {
  PRESENCE_UPDATE: 300,
  TYPING_START: 150,
  MESSAGE_REACTION_ADD: 80,
  VOICE_STATE_UPDATE: 40,
};
/** Those of the default traffic, with their weights in it. */
const DEFAULT_WEIGHTS: { readonly [T in Further]?: number } = {
  MESSAGE_UPDATE: 40,
  MESSAGE_DELETE: 15,
  CHANNEL_UPDATE: 20,
  USER_UPDATE: 3,
};

/** Routing keys that are not derived from the dispatch's name. */
const KEYS: { readonly [T in Further]?: string } = { MESSAGE_REACTION_ADD: 'reaction.add' };

/** Each is named after its dispatch. */
const FURTHER = (Object.keys(DISPATCHES) as Further[]).map((name): Variant => {
  const weight = DEFAULT_WEIGHTS[name] ?? 0;
  const chosenWeight = CHOSEN_WEIGHTS[name] ?? Math.max(weight, 8);
  const routingKey = KEYS[name] ?? `dispatch.${name.toLowerCase()}`;
  const kind = of(name, routingKey, WITHOUT_GUILD.includes(name) ? 'direct' : 'guild');
  return { name, ...kind, weight, chosenWeight, make: DISPATCHES[name] };
});

/** The same in a direct message, where there is neither guild nor member. */
const DIRECT = FURTHER.filter(({ dispatch }) => IN_DIRECT.some((each) => each === dispatch)).map(
  ({ dispatch, make }): Variant => ({
    ...of(dispatch as Further, null, 'direct'),
    name: `${dispatch}.direct`,
    weight: 0,
    make(context) {
      const { guild_id: _, member: __, ...d } = make(context) as { guild_id?: string; member?: object };
      return { ...d, channel_id: context.id() };
    },
  }),
);

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
  { name: 'message.direct', ...of('MESSAGE_CREATE', null, 'direct'), weight: 0, make: message.direct },

  { name: 'command.plain', ...onCommand('ping'), weight: 60, make: interaction.command('ping') },
  { name: 'command.unicode', ...onCommand('übersetzen'), weight: 10, make: interaction.command('übersetzen') },
  { name: 'command.everything', ...onCommand('everything'), weight: 10, make: interaction.everything },
  { name: 'command.user', ...onCommand('Report'), weight: 0, make: interaction.userCommand },
  { name: 'command.entry-point', ...onCommand('launch'), weight: 0, make: interaction.entryPoint },
  { name: 'command.user-installed', ...onCommand('translate'), weight: 0, make: interaction.userInstalled },
  { name: 'command.private', ...onInteraction(null), scope: 'direct', weight: 0, make: interaction.inPrivateChannel },
  { name: 'command.large', ...onCommand('large'), weight: 0, make: interaction.large },
  { name: 'command.message', ...onCommand('v2_0__beta___1'), weight: 7, make: interaction.messageCommand },
  { name: 'command.direct', ...onInteraction(null), scope: 'direct', weight: 7, make: interaction.directCommand },
  // It expires after 3 s, and workers may be away for longer.
  { name: 'autocomplete.plain', ...autocomplete, weight: 0, make: interaction.autocomplete },
  { name: 'autocomplete.nested', ...autocomplete, weight: 0, make: interaction.autocompleteNested },
  { name: 'button.of-container', ...button, weight: 0, make: interaction.buttonOfContainer },
  { name: 'button.plain', ...button, weight: 30, make: interaction.button },
  { name: 'select.string', ...select, weight: 6, make: interaction.select('string') },
  { name: 'select.user', ...select, weight: 2, make: interaction.select('user') },
  { name: 'select.role', ...select, weight: 2, make: interaction.select('role') },
  { name: 'select.mentionable', ...select, weight: 2, make: interaction.select('mentionable') },
  { name: 'select.channel', ...select, weight: 2, make: interaction.select('channel') },
  { name: 'modal.labels', ...modal, weight: 5, make: interaction.modal },
  { name: 'modal.rows', ...modal, weight: 3, make: interaction.modalOfRows },
  { name: 'modal.of-message', ...modal, weight: 0, make: interaction.modalOfMessage },
  { name: 'unknown.type', ...unknown, weight: 0, make: interaction.ofUnknownType },
  { name: 'unknown.component', ...unknown, weight: 0, make: interaction.ofUnknownComponent },

  { name: 'member.join', ...memberJoin, weight: 20, make: member.join },
  { name: 'member.bot-join', ...memberJoin, weight: 1, make: member.botJoin },
  { name: 'member.update', ...memberUpdate, weight: 38, make: member.update },
  { name: 'member.leave', ...memberLeave, weight: 15, make: member.leave },

  { name: 'undocumented', ...of(UNDOCUMENTED), weight: 0, make: undocumented },
  ...FURTHER,
  ...DIRECT,
  { name: 'MESSAGE_UPDATE.by-bot', ...of('MESSAGE_UPDATE'), weight: 0, chosenWeight: 8, make: message.byBot },
];

const BY_NAME = new Map(VARIANTS.map((variant) => [variant.name, variant]));

/** @throws for an unknown name */
export function variantOf(name: string): Variant {
  const found = BY_NAME.get(name);
  if (found) return found;
  throw new Error(`expected the name of a kind of event, got '${name}': use one of ${[...BY_NAME.keys()].join(', ')}`);
}

/** What a worker is due for it. @param chosen by EVENTS. @default - the seven */
export function dueKey(
  { dispatch, routingKey }: Pick<Variant, 'dispatch' | 'routingKey'>,
  chosen = SEVEN,
): string | null {
  return chosen.has(dispatch) ? routingKey : null;
}

const SEVEN = chosenDispatches();
