// EVENTS=all over the whole path: every dispatch that Discord documents for bots, once. What is due, under which routing
// key, and with which intents Discord sends it, is the simulator's own knowledge (local/discord/due.ts, payloads/intents.ts).

import { GatewayIntentBits } from 'discord-api-types/v10';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chosenDispatches } from '../../local/discord/due.ts';
import { maySee } from '../../local/discord/event.ts';
import { DISPATCHES } from '../../local/discord/payloads/dispatches.ts';
import { intentsFor } from '../../local/discord/payloads/intents.ts';
import { dueKey, VARIANTS } from '../../local/discord/payloads/variants.ts';
import { Stage } from '../../local/stage.ts';
import { QUEUES } from '../../service/contract/names.ts';
import { Inbox } from '../support/inbox.ts';

let stage: Stage;
let inbox: Inbox;

beforeAll(async () => {
  stage = await Stage.start({ events: 'all,guilds.full' });
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

test('the session has each intent that a dispatch in guilds needs, and no other', () => {
  const [session] = stage.simulator?.sessions ?? [];
  if (session === undefined) expect.fail('no session');
  const needed = [...chosenDispatches('all')].reduce((all, name) => all | intentsFor(name, 'guild'), 0);
  expect(session.view.intents).toBe(needed);
  expect(session.view.intents & GatewayIntentBits.DirectMessages).toBe(0);
});

test('each kind of dispatch arrives under its key, and what is private does not', async () => {
  const { simulator, reader } = stage;
  const [session] = simulator?.sessions ?? [];
  if (simulator === undefined || session === undefined) expect.fail('no session');
  const sent = VARIANTS.filter((variant) => maySee(variant, session.view)).map((variant) => ({
    key: dueKey(variant, chosenDispatches('all')),
    sequence: simulator.emit(variant.name).sequence,
  }));
  simulator.leaveGuild(simulator.joinGuild().id);
  const { lost, unexpected, disorders, examples } = await stage.settled();
  expect([lost, unexpected, disorders], examples.join('\n')).toEqual([0, 0, 0]);
  const keys = new Map(inbox.all.map(({ sequence, routingKey }) => [sequence, routingKey]));
  expect(sent.filter(({ key, sequence }) => (keys.get(sequence) ?? null) !== key)).toEqual([]);
  const further = inbox.all.filter(({ queue }) => queue === QUEUES.dispatches);
  expect(new Set(further.map(({ message }) => message.properties.priority))).toEqual(new Set([2]));
  expect(new Set(further.map(({ routingKey }) => routingKey))).toEqual(
    new Set(['dispatch.guild_create', ...Object.keys(DISPATCHES).map((name) => `dispatch.${name.toLowerCase()}`)]),
  );
  expect(reader.perType.size).toBeGreaterThan(80);
});

test('where the dispatch has a guild, a channel and a user, the envelope has them', () => {
  const bodies = new Map(inbox.all.map(({ routingKey, body }) => [routingKey, body]));
  for (const name of ['MESSAGE_REACTION_ADD', 'TYPING_START', 'VOICE_STATE_UPDATE', 'VOICE_CHANNEL_EFFECT_SEND']) {
    const body = bodies.get(`dispatch.${name.toLowerCase()}`);
    const d = Object(body?.data);
    expect(body, name).toMatchObject({ guildId: d.guild_id, channelId: d.channel_id, userId: d.user_id });
  }
});
