// What a worker built on discord.js sees: its own structures, made once from Discord's dispatch and once from our message
// (`{...data, token}`), are equal in every field. Of messages alone something is missing, and that is listed here.
// Both Clients are real, with discord.js's own handlers and caches; neither logs in.

import { type ClientEvents, Events, type Message } from 'discord.js';
import { describe, expect, test } from 'vitest';
import { type Sample, samplePayloads } from '../../../local/discord/payloads/samples.ts';
import type { Envelope } from '../../../service/events/outcome.ts';
import { removedFields } from '../../../service/events/privacy.ts';
import { type Dispatch, toPayload } from '../../../service/events/to-payload.ts';
import { Bot } from '../../support/discord-js-bot.ts';
import { dispatchContext } from '../../support/dispatch-context.ts';

const samples = samplePayloads(1);
const named = (name: string): Sample => samples.find((each) => each.name === name) ?? expect.fail(`no ${name}`);
/** The guild that the payloads are about. */
const home = named('guild.of-ready').dispatch;
const due = (prefix: string) => samples.filter(({ routingKey }) => routingKey?.startsWith(prefix) === true);

function eventOf({ t, d }: Dispatch): Envelope {
  const outcome = toPayload({ t, d }, dispatchContext());
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
    new Bot({ guild }).see(event, dispatch) ?? expect.fail(`discord.js made no ${event} of this ${dispatch.t}`);
  const worker =
    new Bot({ guild }).see(event, handedOn(dispatch)) ?? expect.fail(`discord.js made no ${event} of our message`);
  return { direct, worker };
}

describe.each(['with the guild in the cache', 'without any cache'])('an interaction, %s', (cache) => {
  // discord.js knows no unknown kinds either.
  test.each(due('interaction.').filter(({ routingKey }) => routingKey !== 'interaction.unknown'))(
    '$name is the same',
    (sample) => {
      const { direct, worker } = both(
        Events.InteractionCreate,
        sample.dispatch,
        cache === 'without any cache' ? null : home,
      );
      expect(worker[0].constructor).toBe(direct[0].constructor);
      expect(worker).toEqual(direct);
      expect(worker[0].token).toBe(Object(sample.dispatch.d).token);
      expect(Object.keys(worker[0]).length).toBeGreaterThan(15);
    },
  );
});

describe('members and guilds', () => {
  test.each([...due('member.join'), ...due('member.update')])(
    '$name is the same member',
    ({ routingKey, dispatch }) => {
      const event = routingKey === 'member.join' ? Events.GuildMemberAdd : Events.GuildMemberAvailable;
      const { direct, worker } = both(event, dispatch, home);
      expect(worker).toEqual(direct);
      expect(worker[0].roles.cache.size).toBe(direct[0].roles.cache.size);
    },
  );

  test('who is updated is the same member, before and after; who leaves, too', () => {
    const [joined] = Object(home.d).members.slice(1);
    const change = { ...joined, guild_id: Object(home.d).id, nick: 'New', roles: [] };
    const updated = both(Events.GuildMemberUpdate, { t: 'GUILD_MEMBER_UPDATE', d: change }, home);
    expect(updated.worker).toEqual(updated.direct);
    expect([updated.worker[0].nickname, updated.worker[1].nickname]).toEqual([joined.nick, 'New']);
    const left = both(Events.GuildMemberRemove, { t: 'GUILD_MEMBER_REMOVE', d: change }, home);
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
    const guild = { t: 'GUILD_CREATE', d: { ...Object(home.d), id } };
    const { direct, worker } = both(Events.GuildDelete, sample.dispatch, guild);
    expect(worker[0].id).toBe(direct[0].id);
  });
});

/** Fields of discord.js's Message that are removed. `thread` is none of its fields. */
const MISSING = Object.values(removedFields('MESSAGE_CREATE')).flat();

describe('a message', () => {
  const messages = due('message.').map((sample) => ({
    ...sample,
    inThread: Object(sample.dispatch.d).channel_type === 11,
  }));

  // discord.js makes none of a thread that it has not seen start.
  test.each(messages.filter(({ inThread }) => !inThread))('$name is the same in all that is not private', (sample) => {
    const { direct, worker } = both(Events.MessageCreate, sample.dispatch, home);
    expect(fieldsOf(worker[0])).toEqual(fieldsOf(direct[0]));
    expect(Object.keys(fieldsOf(worker[0])).length).toBeGreaterThan(15);
    expect(worker[0].member).toEqual(direct[0].member);
    expect([worker[0].content ?? '', worker[0].embeds, worker[0].attachments.size]).toEqual(['', [], 0]);
  });

  /** `reactions` and `mentions` refer back to the message. */
  function fieldsOf({ messageSnapshots, mentions, reactions, ...message }: Partial<Message>): object {
    return {
      ...Object.fromEntries(Object.entries(message).filter(([name]) => !MISSING.includes(name))),
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
