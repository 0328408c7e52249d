// The main job, on real input: dispatches that a gateway sends over a real WebSocket arrive in the queues of a real
// RabbitMQ, each with the routing key, priority and properties that docs/workers.md promises, and with a body that keeps to
// the contract; what is not for workers does not arrive. The expectations here are the promise, not the service's table.

import { readFileSync } from 'node:fs';
import { GatewayIntentBits } from 'discord-api-types/v10';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dueKey, VARIANTS } from '../../local/discord/payloads/variants.ts';
import type { Emitted } from '../../local/discord/simulator.ts';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { Stage } from '../../local/stage.ts';
import { METRICS } from '../../service/contract/metrics.ts';
import { ENV, EXCHANGES, HEADERS, QUEUES } from '../../service/contract/names.ts';
import { eventId } from '../../service/events/event-id.ts';
import { DiscordEventPayload } from '../../service/events/payload.ts';
import { connectionOf, health, metric, stored } from '../faults/tasks.ts';
import { closeConnections } from '../support/broker-faults.ts';
import { Inbox, type Received } from '../support/inbox.ts';

const PROMISED: readonly (readonly [routingKey: RegExp, priority: number, queue: string, expiration?: string])[] = [
  [/^interaction\.command\.[^.]+$/, 10, QUEUES.interactions, '900000'],
  [/^interaction\.(button|select)$/, 8, QUEUES.interactions, '900000'],
  [/^interaction\.modal$/, 7, QUEUES.interactions, '900000'],
  [/^interaction\.autocomplete\.[^.]+$/, 6, QUEUES.interactions, '3000'],
  [/^interaction\.unknown$/, 5, QUEUES.interactions, '900000'],
  [/^member\.(join|leave|update)$/, 5, QUEUES.guildEvents],
  [/^guild\.(join|leave)$/, 4, QUEUES.guildEvents],
  [/^message\.create$/, 1, QUEUES.guildEvents],
  [/^gateway\.(ready|gap)$/, 5, QUEUES.gatewayEvents],
  [/^dispatch\.[a-z_]+$/, 2, QUEUES.dispatches],
];

/** Everything but MessageContent, so that also what is not for workers reaches the service. */
const INTENTS = Object.entries(GatewayIntentBits).filter(
  (entry): entry is [string, number] => typeof entry[1] === 'number' && entry[0] !== 'MessageContent',
);

let stage: Stage;
let inbox: Inbox;

beforeAll(async () => {
  stage = await Stage.start({
    env: { [ENV.gatewayIntents]: INTENTS.map(([name]) => name).join(',') },
    simulator: { grantedIntents: INTENTS.reduce((all, [, bit]) => all | bit, 0) },
  });
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

function emit(kind: string): Emitted & { readonly dispatch: { readonly d: Record<string, unknown> } } {
  const emitted = stage.simulator?.emit(kind);
  if (emitted?.dispatch.d == null) throw new Error(`${kind} was not emitted`);
  return emitted as ReturnType<typeof emit>;
}

/** What holds for every event. */
function expectPromised({ queue, message, routingKey, body }: Received, key: string): void {
  const { fields, properties } = message;
  expect(routingKey).toBe(key);
  const promised = PROMISED.find(([pattern]) => pattern.test(routingKey));
  expect(promised, `a row for ${routingKey}`).toBeDefined();
  const [, priority, itsQueue, expiration] = promised ?? [];
  expect([properties.priority, queue, properties.expiration]).toEqual([priority, itsQueue, expiration]);
  expect(fields.exchange).toBe(EXCHANGES.events);
  const event = DiscordEventPayload.parse(body);
  expect(event.eventType).toBe(routingKey);
  expect(properties).toMatchObject({
    deliveryMode: 2,
    contentType: 'application/json',
    messageId: event.eventId,
    type: routingKey,
    timestamp: Math.floor(event.timestamp / 1_000),
    appId: 'discord-gateway-ingestor',
    correlationId: body.interactionId ?? event.eventId,
  });
  const digits = event.eventId.replaceAll('-', '');
  expect(properties.headers).toMatchObject({ [HEADERS.schemaVersion]: 2, [HEADERS.shard]: event.shardId });
  expect(properties.headers?.[HEADERS.traceparent]).toMatch(new RegExp(`^00-${digits}-[0-9a-f]{16}-01$`));
}

describe('what is for workers arrives', () => {
  test.each(VARIANTS.filter((each) => dueKey(each) !== null))('$name, as $routingKey', async (variant) => {
    const before = Date.now();
    const emitted = emit(variant.name);
    const received = await inbox.of(emitted);
    expectPromised(received, variant.routingKey ?? '');
    const { body, message } = received;
    expect(message.properties.headers).toMatchObject({
      [HEADERS.session]: emitted.sessionId,
      [HEADERS.sequence]: emitted.sequence,
    });
    // Version 5 of RFC 9562, of session and sequence: its making is tested beside it.
    expect(body.eventId).toBe(eventId(emitted.sessionId, emitted.sequence));
    expect(body.eventId).toMatch(/^[\da-f]{8}-[\da-f]{4}-5[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(body.timestamp).toBeGreaterThanOrEqual(before);
    expect(body.timestamp).toBeLessThanOrEqual(Date.now());
    const { d } = emitted.dispatch;
    expect(body).toMatchObject({ guildId: d.guild_id, shardId: 0, data: { guild_id: d.guild_id } });
    if (variant.dispatch !== 'INTERACTION_CREATE') return;
    expect(body).toMatchObject({ interactionId: d.id, interactionToken: d.token, channelId: d.channel_id });
    // Discord's own object; the token stands in the envelope.
    const { token: _, ...whole } = d;
    expect(body.data).toEqual(whole);
    expect(body.userId).toBe((d.member as { user: { id: string } }).user.id);
  });

  test('guild.join, when the bot joins', async () => {
    const joined = stage.simulator?.joinGuild();
    const received = await inbox.first('guild.join', ({ routingKey }) => routingKey === 'guild.join');
    expectPromised(received, 'guild.join');
    expect(received.body).toMatchObject({ guildId: joined?.id, data: { id: joined?.id, name: joined?.name } });
  });

  test('guild.leave, when it is removed', async () => {
    const left = stage.simulator?.guildIds.at(-1) ?? '';
    stage.simulator?.leaveGuild(left);
    const received = await inbox.first('guild.leave', ({ routingKey }) => routingKey === 'guild.leave');
    expectPromised(received, 'guild.leave');
    expect(received.body).toMatchObject({ guildId: left, data: { id: left } });
  });
});

test('what is not for workers reaches the service, and one dispatch of it is unknown', async () => {
  const [task] = stage.living;
  const before = { received: await metric(task, 'eventsReceived'), unknown: await metric(task, 'eventsUnknown') };
  const unwanted = VARIANTS.filter((each) => dueKey(each) === null);
  expect(unwanted.length).toBeGreaterThan(80);
  for (const { name } of unwanted) emit(name);
  await inbox.upToNow();
  expect(await metric(task, 'eventsReceived')).toBe(before.received + unwanted.length + 2);
  expect(await metric(task, 'eventsUnknown'), 'only what Discord does not document').toBe(before.unknown + 1);
});

test('gateway.gap, when a session is lost', async () => {
  const [session] = stage.simulator?.sessions ?? [];
  stage.simulator?.invalidate(undefined, { resumable: false });
  const received = await inbox.first('gateway.gap', ({ routingKey }) => routingKey === 'gateway.gap');
  expectPromised(received, 'gateway.gap');
  expect(received.body).toMatchObject({ shardId: 0, data: { sessionId: session?.id } });
});

test.each(['prometheus-alerts.yml', 'grafana-dashboard.json'])(
  '/metrics of a running task has every metric that docs/%s reads',
  async (file) => {
    const text = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
    const read = new Set(text.match(/ingestor_\w+/g));
    expect(read.size).toBeGreaterThan(15);
    const found = [...((await stage.living[0]?.metrics())?.keys() ?? [])].map((series) => series.replace(/\{.*/, ''));
    expect([...read].filter((name) => !found.includes(name))).toEqual([]);
  },
);

test('nothing arrived that was not for workers, and nothing twice', async () => {
  const { lost, unexpected, repeated, conflicts, disorders, examples } = await stage.settled();
  expect([lost, unexpected, repeated, conflicts, disorders], examples.join('\n')).toEqual([0, 0, 0, 0, 0]);
  expect(new Set(inbox.all.map(({ body }) => body.eventId)).size).toBe(inbox.all.length);
});

test('/health of a running task is what Discord and the broker have, and what it has published is counted', async () => {
  const [task] = stage.living as [IngestorProcess];
  await stage.ready();
  await stored(stage);
  await stage.until('all is confirmed', 30_000, async () => (await health(task)).outbox.events === 0);
  const { sequence } = stage.simulator?.sessions[0] ?? {};
  const all = (await task.metrics()).entries();
  const confirmed = [...all].filter(([series]) => series.startsWith(METRICS.eventsConfirmed.prometheus));
  const published = confirmed.reduce((sum, [, count]) => sum + count, 0);
  expect(published).toBeGreaterThanOrEqual(inbox.all.length);
  expect([await metric(task, 'eventsPublished'), await metric(task, 'brokerReconnects')]).toEqual([published, 0]);
  expect(await health(task)).toMatchObject({
    ...{ status: 'healthy', role: 'owner', problems: [] },
    shard: { count: 1, group: 0, assigned: [0], connected: 1 },
    checks: {
      rabbitmq: { connected: true, channelOpen: true, blocked: false, publishCount: published, errorCount: 0 },
    },
    outbox: { events: 0, bytes: 0, usedPercent: 0, receiving: true },
    identifies: { remaining: expect.any(Number), spentUntil: null },
    lease: { state: 'owner', sessions: 1, ownedSince: expect.any(String), storedAt: expect.any(String) },
    commands: { consuming: true, waiting: 0 },
    shards: [{ state: 'ready', confirmed: sequence, received: sequence }],
  });
});

test('a message that the broker returns is counted, and each new connection of publisher and lease', async () => {
  const [task] = stage.living as [IngestorProcess];
  await asAdministrator(stage.broker, async (channel) => {
    await channel.deleteQueue(QUEUES.gatewayEvents);
    await channel.deleteExchange(EXCHANGES.unrouted);
  });
  stage.simulator?.invalidate(undefined, { resumable: false });
  await stage.until('it is counted', 30_000, async () => (await metric(task, 'eventsReturned')) > 0);
  for (const [reconnects, kind] of [
    [1, 'publisher'],
    [2, 'lease'],
  ] as const) {
    await closeConnections(stage.broker, connectionOf(task, kind));
    await stage.until(
      `the ${kind} is back`,
      30_000,
      async () => (await metric(task, 'brokerReconnects')) === reconnects,
    );
  }
});
