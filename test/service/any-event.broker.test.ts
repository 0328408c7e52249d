// EVENTS=all with whole guilds and every opt-in, on real input: the begin of a session, and what the opt-ins add. What all
// dispatches have in common is in every-dispatch.broker.test.ts.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ENV, QUEUES } from '../../service/contract/names.ts';
import { eventId } from '../../service/events/event-id.ts';
import { DiscordEventPayload } from '../../service/events/payload.ts';
import { Inbox } from '../support/inbox.ts';
import { type SharedStage, startSharedStage } from '../support/shared-stage.ts';

let stage: SharedStage;
let inbox: Inbox;

beforeAll(async () => {
  const { GuildMembers, GuildPresences, MessageContent } = GatewayIntentBits;
  stage = await startSharedStage({
    tasks: 0,
    untilReady: false,
    simulator: { grantedIntents: GuildMembers | GuildPresences | MessageContent, marker: 'what-people-wrote' },
    env: {
      [ENV.events]: 'all,guilds.full',
      [ENV.forwardMessageContent]: 'true',
      [ENV.forwardBotMessages]: 'true',
      [ENV.forwardDirectMessages]: 'true',
    },
  });
  inbox = new Inbox(stage);
  await stage.startTask();
  await stage.ready();
});
afterAll(() => stage?.stop());

const ofKey = (key: string) => inbox.all.filter(({ routingKey }) => routingKey === key);

test('the begin of the session is reported, and each of its guilds comes whole', async () => {
  const { body, queue } = await inbox.first('gateway.ready', ({ routingKey }) => routingKey === 'gateway.ready');
  const { guildIds, sessions } = stage.simulator;
  expect(queue).toBe(QUEUES.gatewayEvents);
  expect(DiscordEventPayload.parse(body)).toMatchObject({
    shardId: 0,
    data: { sessionId: sessions[0]?.id, shardCount: 1, guildIds: expect.arrayContaining([...guildIds]) },
  });
  await stage.until('the guilds', 30_000, () => ofKey('dispatch.guild_create').length >= guildIds.length);
  expect(ofKey('dispatch.guild_create').map((each) => each.body.guildId)).toEqual(
    expect.arrayContaining([...guildIds]),
  );
  expect(ofKey('guild.join')).toEqual([]);
});

test('each opt-in is named in the log, and the events and intents', () => {
  const output = stage.tasks[0]?.output ?? '';
  for (const name of ['FORWARD_MESSAGE_CONTENT', 'FORWARD_BOT_MESSAGES', 'FORWARD_DIRECT_MESSAGES', 'TYPING_START'])
    expect(output).toContain(`"${name}"`);
  expect(output).toMatch(/"intents":\[.*"MessageContent".*\]/);
});

test.each([
  ['MESSAGE_UPDATE', 'dispatch.message_update', QUEUES.dispatches],
  ['message.text', 'message.create', QUEUES.guildEvents],
  ['message.by-bot', 'message.create', QUEUES.guildEvents],
  ['message.direct', 'message.create', QUEUES.guildEvents],
])('%s arrives as %s', async (kind, key, queue) => {
  const emitted = stage.simulator.emit(kind);
  const { body, message, ...received } = await inbox.of(emitted);
  expect([received.routingKey, received.queue]).toEqual([key, queue]);
  const event = DiscordEventPayload.parse(body);
  expect(event.eventId).toBe(eventId(emitted.sessionId, emitted.sequence));
  const { guild_id, content } = emitted.dispatch.d as { guild_id?: string; content?: string };
  expect(body.guildId).toBe(guild_id);
  if (content !== undefined) expect(event.data).toMatchObject({ content, hasContent: content !== '' });
  expect(message.properties.priority).toBe(queue === QUEUES.dispatches ? 2 : 1);
});
