// EVENTS=all over the whole path: every dispatch that Discord documents for bots, once. What is due, under which routing
// key, and with which intents Discord sends it, is the simulator's own knowledge (local/discord/due.ts, payloads/intents.ts).

import { afterAll, beforeAll, expect, test } from 'vitest';
import { asyncApi } from '../../local/contract/asyncapi.ts';
import { chosenDispatches } from '../../local/discord/due.ts';
import { maySee } from '../../local/discord/event.ts';
import { DISPATCHES } from '../../local/discord/payloads/dispatches.ts';
import { dueKey, VARIANTS } from '../../local/discord/payloads/variants.ts';
import { LARGE } from '../../local/discord/payloads/world.ts';
import { EXCHANGES, QUEUES } from '../../service/contract/names.ts';
import { family } from '../../service/events/routing.ts';
import { faultsOf } from '../support/contract-schemas.ts';
import { Inbox } from '../support/inbox.ts';
import { type SharedStage, startSharedStage } from '../support/shared-stage.ts';

let stage: SharedStage;
let inbox: Inbox;

beforeAll(async () => {
  stage = await startSharedStage({ events: 'all,guilds.full' });
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

test('each kind of dispatch arrives under its key, and what is private does not', async () => {
  const { simulator, reader } = stage;
  const [session] = simulator.sessions;
  if (session === undefined) expect.fail('no session');
  const sent = VARIANTS.filter((variant) => maySee(variant, session.view)).map((variant) => ({
    key: dueKey(variant, chosenDispatches('all')),
    sequence: simulator.emit(variant.name).sequence,
  }));
  // Its GUILD_CREATE is larger than the broker's largest message: it comes compressed.
  const { id } = simulator.joinGuild(LARGE);
  simulator.leaveGuild(id);
  const { lost, unexpected, disorders, examples } = await stage.settled();
  expect([lost, unexpected, disorders], examples.join('\n')).toEqual([0, 0, 0]);
  const whole = inbox.all.find(({ routingKey, body }) => routingKey === 'dispatch.guild_create' && body.guildId === id);
  const { channels, roles, members } = Object(whole?.body.data);
  expect([channels.length, roles.length, members.length]).toEqual([250, 200, 5_000]);
  const keys = new Map(inbox.all.map(({ sequence, routingKey }) => [sequence, routingKey]));
  expect(sent.filter(({ key, sequence }) => (keys.get(sequence) ?? null) !== key)).toEqual([]);
  const further = inbox.all.filter(({ queue }) => queue === QUEUES.dispatches);
  expect(new Set(further.map(({ message }) => message.properties.priority))).toEqual(new Set([2]));
  // As many kinds as Discord documents, less those with a key of their own; and the whole guilds.
  expect(new Set(further.map(({ routingKey }) => routingKey)).size).toBe(Object.keys(DISPATCHES).length);
  expect(reader.perType.size).toBeGreaterThan(80);
});

test('what stands in a dispatch as guild_id, channel_id or user_id stands in the envelope', () => {
  const names = { guild_id: 'guildId', channel_id: 'channelId', user_id: 'userId' } as const;
  const wrong = inbox.all.flatMap(({ routingKey, body }) =>
    Object.entries(names)
      .filter(([of, name]) => typeof Object(body.data)[of] === 'string' && body[name] !== Object(body.data)[of])
      .map(([of]) => `${routingKey} ${of}`),
  );
  expect(wrong).toEqual([]);
  expect(inbox.all.filter(({ body }) => typeof body.userId === 'string').length).toBeGreaterThan(60);
});

test('each message is as docs/asyncapi.json describes its key', () => {
  const { operations, channels } = asyncApi();
  const wrong = inbox.all.flatMap(({ queue, routingKey, body, message: { fields, properties } }) => {
    const name = family(routingKey);
    const [{ bindings }, { contentEncoding, deliveryMode, expiration, priority, type }] = [
      operations[name] ?? expect.fail(`no operation ${name}`),
      properties,
    ];
    const isLarge = contentEncoding === 'gzip';
    const { amqp } = bindings;
    const faults = [
      ...faultsOf(name, 'payload', body),
      ...faultsOf(isLarge ? 'large-event' : name, 'headers', properties.headers),
    ];
    const published = [deliveryMode, priority, expiration, type, fields.exchange, contentEncoding];
    const described = [
      amqp.deliveryMode,
      amqp.priority,
      amqp.expiration?.toString(),
      routingKey,
      EXCHANGES.events,
      isLarge ? 'gzip' : 'utf-8',
    ];
    if (published.join() !== described.join()) faults.push(`${published} is not ${described}`);
    if (!(name in (channels[queue]?.messages ?? {}))) faults.push(`${queue} has it`);
    return faults.map((fault) => `${routingKey}: ${fault}`);
  });
  expect(wrong).toEqual([]);
});
