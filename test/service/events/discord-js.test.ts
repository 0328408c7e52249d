// What a worker built on discord.js sees: its own structures, made once from Discord's dispatch and once from our message
// (`{...data, token}`), are equal in every field. Of messages alone something is missing, and that is listed here.
// Both Clients are real, with discord.js's own handlers and caches; neither logs in.

import { Client, type ClientEvents, Events, type Message, type ModalSubmitInteraction } from 'discord.js';
import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { afterEach, describe, expect, test } from 'vitest';
import { type Sample, samplePayloads } from '../../../local/discord/payloads/samples.ts';
import type { Envelope } from '../../../service/events/outcome.ts';
import { removedFields } from '../../../service/events/privacy.ts';
import { type Dispatch, toPayload } from '../../../service/events/to-payload.ts';
import { GuildPresence } from '../../../service/session/guild-presence.ts';

const clients: Client[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
});

const samples = [1, 2, 3].flatMap((seed) =>
  samplePayloads(seed).map((each) => ({ ...each, name: `${seed}: ${each.name}` })),
);
const named = (name: string): Sample => samples.find((each) => each.name === `1: ${name}`) ?? expect.fail(`no ${name}`);
/** The guild that the payloads of the same seed are about. */
const homeOf = ({ name }: Sample): Dispatch =>
  samples.find((each) => each.name === `${name.split(':')[0]}: guild.of-ready`)?.dispatch ?? expect.fail('no guild');
const due = (prefix: string) => samples.filter(({ routingKey }) => routingKey?.startsWith(prefix) === true);

/** A Client after READY. Discord's own dispatches reach its handlers by the door that its gateway connection uses. */
class Bot {
  readonly client = new Client({ intents: [] });
  readonly #handle: (packet: Dispatch, shard: object) => void;
  readonly #shard = { id: 0, status: 0, checkReady: () => {} };

  /** @param guild the GUILD_CREATE of the one guild that it knows, or none. */
  constructor(guild: Dispatch | null) {
    clients.push(this.client);
    this.#handle = Reflect.get(this.client.ws, 'handlePacket').bind(this.client.ws);
    const { d } = named('ready').dispatch;
    this.take({ t: 'READY', d: { ...d, guilds: guild ? [{ id: Object(guild.d).id, unavailable: true }] : [] } });
    Reflect.get(this.client.ws, 'triggerClientReady').call(this.client.ws);
    if (guild) this.take(guild);
  }

  take({ t, d }: Dispatch): void {
    this.#handle({ t, d: JSON.parse(JSON.stringify(d)) }, this.#shard);
  }

  /** The arguments of the event that this dispatch makes; none if discord.js makes none. */
  see<E extends keyof ClientEvents>(event: E, dispatch: Dispatch): ClientEvents[E] | undefined {
    let seen: ClientEvents[E] | undefined;
    this.client.once(event, (...all) => {
      seen = all;
    });
    this.take(dispatch);
    return seen;
  }
}

function eventOf({ t, d }: Dispatch): Envelope {
  const guilds = new GuildPresence(0);
  const outcome = toPayload({ t, d }, { sessionId: 's', shardId: 0, sequence: 5, receivedAt: Date.now(), guilds });
  if (outcome.kind !== 'event') throw new Error(`${t} became ${outcome.kind}: ${outcome.reason}`);
  return JSON.parse(JSON.stringify(outcome.payload));
}

/** What a worker gives to discord.js. */
function handedOn(dispatch: Dispatch): Dispatch {
  const { data, interactionToken } = eventOf(dispatch);
  return { t: dispatch.t, d: { ...data, ...(interactionToken !== undefined && { token: interactionToken }) } };
}

function both<E extends keyof ClientEvents>(event: E, dispatch: Dispatch, guild: Dispatch | null) {
  const direct =
    new Bot(guild).see(event, dispatch) ?? expect.fail(`discord.js made no ${event} of this ${dispatch.t}`);
  const worker =
    new Bot(guild).see(event, handedOn(dispatch)) ?? expect.fail(`discord.js made no ${event} of our message`);
  return { direct, worker };
}

describe.each(['with the guild in the cache', 'without any cache'])('an interaction, %s', (cache) => {
  test.each(due('interaction.'))('$name is the same', (sample) => {
    const { direct, worker } = both(
      Events.InteractionCreate,
      sample.dispatch,
      cache === 'without any cache' ? null : homeOf(sample),
    );
    expect(worker[0].constructor).toBe(direct[0].constructor);
    expect(worker).toEqual(direct);
    expect(worker[0].token).toBe(Object(sample.dispatch.d).token);
    expect(Object.keys(worker[0]).length).toBeGreaterThan(15);
  });
});

describe('members and guilds', () => {
  test.each(due('member.join'))('$name is the same member', (sample) => {
    const { direct, worker } = both(Events.GuildMemberAdd, sample.dispatch, homeOf(sample));
    expect(worker).toEqual(direct);
    expect(worker[0].roles.cache.size).toBe(direct[0].roles.cache.size);
  });

  test.each(due('member.update'))('$name is the same member', (sample) => {
    const { direct, worker } = both(Events.GuildMemberAvailable, sample.dispatch, homeOf(sample));
    expect(worker).toEqual(direct);
  });

  test('who is updated is the same member, before and after; who leaves, too', () => {
    const guild = homeOf(named('member.update'));
    const [joined] = Object(guild.d).members.slice(1);
    const change = { ...joined, guild_id: Object(guild.d).id, nick: 'New', roles: [] };
    const updated = both(Events.GuildMemberUpdate, { t: 'GUILD_MEMBER_UPDATE', d: change }, guild);
    expect(updated.worker).toEqual(updated.direct);
    expect([updated.worker[0].nickname, updated.worker[1].nickname]).toEqual([joined.nick, 'New']);
    const left = both(Events.GuildMemberRemove, { t: 'GUILD_MEMBER_REMOVE', d: change }, guild);
    expect(left.worker).toEqual(left.direct);
  });

  test.each(due('guild.join'))('$name is the same guild without its lists', ({ dispatch }) => {
    const { direct, worker } = both(Events.GuildCreate, dispatch, null);
    // Its managers hold the lists. discord.js calls a guild without the list of channels unavailable.
    const fields = (guild: object) =>
      Object.entries(guild).filter(
        ([name, value]) => name !== 'available' && !(Object(value) === value && 'guild' in value),
      );
    expect(fields(worker[0])).toEqual(fields(direct[0]));
    expect(fields(worker[0]).length).toBeGreaterThan(30);
  });

  test.each(due('guild.leave'))('$name is the same guild', (sample) => {
    const { id } = Object(sample.dispatch.d);
    const guild = { t: 'GUILD_CREATE', d: { ...Object(homeOf(sample).d), id } };
    const { direct, worker } = both(Events.GuildDelete, sample.dispatch, guild);
    expect(worker[0].id).toBe(direct[0].id);
  });
});

/** Of discord.js's Message, what is made of the fields that are removed. */
const MISSING: Readonly<Record<string, string>> = {
  content: 'content',
  embeds: 'embeds',
  attachments: 'attachments',
  components: 'components',
  poll: 'poll',
  nonce: 'nonce',
  resolved: 'resolved',
  activity: 'activity',
};

describe('a message', () => {
  const messages = due('message.').map((sample) => ({
    ...sample,
    inThread: Object(sample.dispatch.d).channel_type === 11,
  }));

  test('misses nothing but what is private', () => {
    const fields = Object.values(MISSING).concat('thread');
    expect(fields.toSorted()).toEqual([...removedFields(GatewayDispatchEvents.MessageCreate)].toSorted());
  });

  // discord.js makes none of a thread that it has not seen start.
  test.each(messages.filter(({ inThread }) => !inThread))('$name is the same in all that is not private', (sample) => {
    const { direct, worker } = both(Events.MessageCreate, sample.dispatch, homeOf(sample));
    expect(fieldsOf(worker[0])).toEqual(fieldsOf(direct[0]));
    expect(Object.keys(fieldsOf(worker[0])).length).toBeGreaterThan(15);
    expect(worker[0].member).toEqual(direct[0].member);
    expect([worker[0].content ?? '', worker[0].embeds, worker[0].attachments.size]).toEqual(['', [], 0]);
  });

  /** `reactions` and `mentions` refer back to the message. */
  function fieldsOf({ messageSnapshots, mentions, reactions, ...message }: Partial<Message>): object {
    return {
      ...Object.fromEntries(Object.entries(message).filter(([name]) => !(name in MISSING))),
      reactions: [...(reactions?.cache.keys() ?? [])],
      mentions: mentions && {
        everyone: mentions.everyone,
        users: [...mentions.users.keys()],
        roles: [...mentions.roles.keys()],
        repliedUser: mentions.repliedUser,
      },
      snapshots: messageSnapshots?.map((each: object) => fieldsOf(each)),
    };
  }
});

test("a worker reads a modal's fields and a command's options with discord.js", () => {
  const [modal] = both(Events.InteractionCreate, named('modal.labels').dispatch, null).worker;
  const { fields } = modal as ModalSubmitInteraction;
  expect(fields.getStringSelectValues('topic')).toEqual(['help']);
  expect(fields.getUploadedFiles('proof', true).size).toBe(1);
  const [command] = both(Events.InteractionCreate, named('command.everything').dispatch, null).worker;
  expect(command.isChatInputCommand() && command.options.getAttachment('file', true).size).toBeGreaterThan(0);
});
