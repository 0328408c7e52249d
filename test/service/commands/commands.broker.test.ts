// The way back, on real sockets and a real RabbitMQ: what a worker publishes to discord.commands, Discord has, and what
// Discord answers comes back; what cannot be sent is a dead letter with the reason.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';
import { asAdministrator } from '../../../local/rabbitmq/administrator.ts';
import { Stage } from '../../../local/stage.ts';
import type { DiscordCommand } from '../../../service/commands/command.ts';
import { commandQueue, ENV, QUEUES, USERS } from '../../../service/contract/names.ts';
import { closeConnections, permit } from '../../support/broker-faults.ts';
import {
  CommandWorker,
  type DeadLetter,
  deadLetters,
  guildOfShard,
  nestedLists,
  settled,
} from '../../support/commands.ts';
import { Inbox } from '../../support/inbox.ts';
import { startSharedStage } from '../../support/shared-stage.ts';

const SHARDS = 2;
const INITIAL = { since: null, activities: [{ name: 'with RabbitMQ', type: 0 }], status: 'online', afk: false };

let stage: Stage & { readonly simulator: DiscordSimulator };

beforeAll(async () => {
  stage = (await Stage.start({
    shards: SHARDS,
    simulator: { maxConcurrency: 16 },
    env: {
      [ENV.gatewayIntents]: 'Guilds,GuildMembers,GuildMessages,GuildVoiceStates',
      [ENV.initialPresence]: JSON.stringify(INITIAL),
    },
  })) as typeof stage;
});
afterAll(async () => await stage?.stop());

const guildOf = (shard: number) => guildOfShard(stage.simulator, shard, SHARDS);
const voice = (channel_id: string | null, shard = 0): DiscordCommand => ({
  ...{ command: 'update_voice_state' },
  data: { guild_id: guildOf(shard), channel_id, self_mute: true, self_deaf: false },
});
const sentTo = (shard: number) => stage.simulator.sends.filter(({ shardId }) => shardId === shard);
/** Of what shard 0 sent after its first so many. */
const channelsAfter = (sent: number) =>
  sentTo(0)
    .slice(sent)
    .map(({ d }) => d.channel_id);
const presences = () =>
  stage.simulator.sessions.toSorted((a, b) => a.shardId - b.shardId).map(({ presence }) => presence);

test('a broker without the queue: the task reports it, and takes commands when it is there', async () => {
  const [task] = stage.tasks;
  await asAdministrator(stage.broker, (channel) => channel.deleteQueue(commandQueue(0)));
  await stage.until('it is logged', 30_000, () => /no commands of workers are taken/.test(task?.output ?? ''));
  await stage.until('it is healthy without them', 30_000, async () => {
    const health = await task?.health();
    return health?.status === 'healthy' && /no commands of workers are taken.*404/.test(health.problems.join());
  });
  await stage.applyTopology();
  await stage.until('they are taken', 60_000, () => /commands of workers are taken again/.test(task?.output ?? ''));
  expect((await task?.health())?.problems).toEqual([]);
});

test('INITIAL_PRESENCE is in the first IDENTIFY of each shard', () => {
  expect(presences()).toEqual([INITIAL, INITIAL]);
  expect(stage.simulator.sends).toEqual([]);
});

describe('a command is sent over the connection of its shard, as it is', () => {
  test.each<[string, number, number, () => DiscordCommand, number]>([
    ['joins a channel', 4, 1, () => voice('7', 1), 2],
    ['leaves it', 4, 1, () => voice(null, 1), 1],
    [
      'asks for all members',
      ...([8, 0] as const),
      () => ({ command: 'request_guild_members', data: { guild_id: guildOf(0), query: '', limit: 0, nonce: 'abc' } }),
      1,
    ],
    [
      'asks for two members',
      ...([8, 1] as const),
      () => ({ command: 'request_guild_members', data: { guild_id: guildOf(1), user_ids: ['1', '2'] } }),
      1,
    ],
    [
      'asks for sounds',
      ...([31, 0] as const),
      () => ({ command: 'request_soundboard_sounds', data: { guild_ids: [guildOf(0)] } }),
      1,
    ],
  ])('%s (op %i)', async (_, op, shard, make, answers) => {
    const worker = await CommandWorker.start(stage);
    const session = stage.simulator.sessions.find(({ shardId }) => shardId === shard);
    const [before, sequence = 0] = [sentTo(shard).length, session?.sequence];
    const body = make();
    await worker.send(shard, body);
    await stage.until('Discord has it', 10_000, () => sentTo(shard).length > before);
    expect(sentTo(shard).slice(before)).toMatchObject([{ op, d: body.data }]);
    expect(session?.sequence).toBeGreaterThanOrEqual(sequence + answers);
    await stage.until('the answer came', 10_000, async () => {
      const health = await stage.tasks[0]?.health();
      return health?.shards[shard]?.received === session?.sequence;
    });
  });

  test('a presence, to one shard and to all', async () => {
    const worker = await CommandWorker.start(stage);
    await worker.send(1, { command: 'update_presence', data: { status: 'idle' } });
    const idle = { since: null, activities: [], status: 'idle', afk: false };
    await stage.until('one has it', 10_000, () => JSON.stringify(presences()[1]) === JSON.stringify(idle));
    expect(presences()[0]).toEqual(INITIAL);
    const data = { ...idle, status: 'dnd', activities: [{ name: 'everywhere', type: 2 }] };
    await worker.send('all', { command: 'update_presence', data });
    await stage.until('all have it', 10_000, () => presences().every((p) => JSON.stringify(p).includes('everywhere')));
  });

  test('what was sent is acknowledged', async () => {
    await settled(stage);
    expect(stage.simulator.violations).toEqual([]);
  });
});

describe('what cannot be sent is a dead letter with the reason', () => {
  test.each<[string, () => readonly [number | 'all', object | string, object?], RegExp]>([
    ['no JSON', () => [0, '{"command":'], /expected a command as JSON/],
    ['a status that there is not', () => [0, { command: 'update_presence', data: { status: 'busy' } }], /data.status/],
    [
      'the guild of another shard',
      () => [0, voice('1', 1)],
      /expected shard.1, to which guild \d+ belongs \(\(id >> 22\) % 2\), got shard.0/,
    ],
    ['a guild command to all', () => ['all', voice('1', 1)], /only update_presence goes to shard.all/],
    [
      'presences without their intent',
      () => [0, { command: 'request_guild_members', data: { guild_id: guildOf(0), user_ids: '1', presences: true } }],
      /only with the intent GuildPresences/,
    ],
    [
      'what had expired when it came',
      () => [0, voice('1'), { timestamp: Math.floor(Date.now() / 1_000) - 60 }],
      /^expired: it was \d+ ms past its life/,
    ],
  ])('%s', async (_, make, reason) => {
    const worker = await CommandWorker.start(stage);
    const [before, [shard, body, options]] = [stage.simulator.sends.length, make()];
    await worker.send(shard, body, { messageId: 'm1', userId: 'worker', ...options });
    const [letter] = await deadLetters(stage, 1);
    expect(letter).toMatchObject({
      body: typeof body === 'string' ? body : JSON.stringify(body),
      key: `shard.${shard}`,
    });
    expect(letter?.reason).toMatch(reason);
    expect(letter?.message.properties.messageId).toBe('m1');
    expect(stage.simulator.sends.length).toBe(before);
    expect(stage.simulator.violations).toEqual([]);
  });
});

const reasonOfBroker = ({ message }: DeadLetter) => message.properties.headers?.['x-death']?.[0]?.reason;

describe('while a shard is away', () => {
  test('commands wait for its RESUME, in order; one that expires before is a dead letter', async () => {
    const { simulator } = stage;
    const worker = await CommandWorker.start(stage);
    const [before, resumes] = [sentTo(0).length, simulator.count('resumed')];
    simulator.refuseConnections(true);
    const disconnects = simulator.count('disconnect');
    simulator.dropConnections(0);
    await simulator.waitFor('disconnect', disconnects + 1);
    await worker.send(0, voice('1'), { expiration: '500' });
    await worker.send(0, voice('2'));
    await worker.send(0, voice('3'));
    const [letter] = await deadLetters(stage, 1);
    expect(letter).toMatchObject({ body: JSON.stringify(voice('1')) });
    expect(letter?.message.properties.expiration).toBeUndefined();
    expect(letter?.reason).toBe('shard 0: expired: the shard is not connected to Discord');
    expect(sentTo(0).length).toBe(before);
    simulator.refuseConnections(false);
    await simulator.waitFor('resumed', resumes + 1);
    await stage.until('both are sent', 10_000, () => sentTo(0).length === before + 2);
    expect(channelsAfter(before)).toEqual(['2', '3']);
  });

  test('a presence that comes meanwhile is in the IDENTIFY of the new session, and sent once', async () => {
    const { simulator } = stage;
    const worker = await CommandWorker.start(stage);
    // What Discord got in the last second would be sent again.
    await settled(stage);
    const [before, readies] = [sentTo(0).length, simulator.count('ready')];
    simulator.refuseConnections(true);
    simulator.invalidate(0, { resumable: false });
    await worker.send('all', { command: 'update_presence', data: { status: 'invisible' } });
    await stage.until('the other has it', 10_000, () => JSON.stringify(presences()).includes('invisible'));
    simulator.refuseConnections(false);
    await simulator.waitFor('ready', readies + 1);
    expect(presences()).toMatchObject([{ status: 'invisible' }, { status: 'invisible' }]);
    await settled(stage);
    expect(sentTo(0).length).toBe(before);
  });
});

test('a lost connection to the broker, while commands wait: they come again, and each is sent once', async () => {
  const { simulator } = stage;
  const worker = await CommandWorker.start(stage);
  await settled(stage);
  const [before, resumes] = [sentTo(0).length, simulator.count('resumed')];
  simulator.refuseConnections(true);
  simulator.dropConnections(0);
  await worker.send(0, voice('21'));
  await worker.send(0, voice('22'));
  const open = async () => (await stage.tasks[0]?.health())?.commands.waiting;
  await stage.until('both wait', 10_000, async () => (await open()) === 2);
  await closeConnections(stage.broker, / commands$/);
  await stage.until('they are forgotten', 10_000, async () => (await open()) === 0);
  await stage.until('both wait again', 20_000, async () => (await open()) === 2);
  simulator.refuseConnections(false);
  await simulator.waitFor('resumed', resumes + 1);
  await settled(stage);
  expect(channelsAfter(before)).toEqual(['21', '22']);
});

test('neither large bodies nor large headers end the connection that publishes events', async () => {
  const worker = await CommandWorker.start(stage);
  const connected = () => stage.tasks[0]?.output.match(/publisher","msg":"connected to the broker/g)?.length;
  const before = connected();
  await worker.send(0, 'large', { headers: { large: 'x'.repeat(65_450) } });
  await worker.send(0, 'x'.repeat(500_000));
  // Without the reason, which does not fit or would have to be held with the body until the broker confirms it.
  const letters = await deadLetters(stage, 2);
  expect(letters.map(({ body, reason }) => [body.length, reason]).toSorted()).toEqual([
    [5, undefined],
    [500_000, undefined],
  ]);
  expect(letters.map(reasonOfBroker)).toEqual(['rejected', 'rejected']);
  await settled(stage);
  expect(connected()).toBe(before);
});

test('headers that are too deep to be read: the events go on, and the broker dead-letters the message', async () => {
  const worker = await CommandWorker.start(stage);
  const [owner] = stage.living;
  const ends = (which: string) =>
    owner?.output.match(new RegExp(` ${which}".*the connection to the broker was lost`, 'g'))?.length ?? 0;
  const before = [ends('publisher'), ends('lease')];
  await worker.send(0, 'deep', { headers: { deep: nestedLists(12_000) } });
  await stage.until('it ends the connection of the commands', 30_000, () => ends('commands') > 0);
  // Each delivery ends a connection, until its 30 s are over or the delivery limit is reached.
  await asAdministrator(stage.broker, async (channel) => {
    const count = async () => (await channel.checkQueue(QUEUES.deadLetters)).messageCount;
    await stage.until('it is a dead letter', 120_000, async () => (await count()) === 1);
    await channel.purgeQueue(QUEUES.deadLetters);
  });
  await worker.send(0, voice('31'));
  await stage.until('a later command is sent', 30_000, () => sentTo(0).at(-1)?.d.channel_id === '31');
  expect([ends('publisher'), ends('lease')]).toEqual(before);
});

test('without permission for the dead-letter exchange a refused command is dead-lettered all the same', async () => {
  const worker = await CommandWorker.start(stage);
  const giveBack = await permit(stage.broker, USERS.ingestor, { write: '^discord.(events|commands)$|^ingestor' });
  await worker.send(0, 'faulty');
  await worker.send(0, 'faulty too');
  const letters = await deadLetters(stage, 2);
  expect(letters.map(({ body }) => body).toSorted()).toEqual(['faulty', 'faulty too']);
  expect(letters.map(({ reason }) => reason)).toEqual([undefined, undefined]);
  expect(letters.map(reasonOfBroker)).toEqual(['rejected', 'rejected']);
  await giveBack();
});

test('another owner has the presence: it sends it once after its RESUME, and in the IDENTIFY of a new session', async () => {
  const { simulator } = stage;
  const worker = await CommandWorker.start(stage);
  const presence = { since: null, activities: [{ name: 'the same', type: 3 }], status: 'idle', afk: false };
  await worker.send(1, { command: 'update_presence', data: presence });
  await stage.until('it is set', 10_000, () => JSON.stringify(presences()[1]) === JSON.stringify(presence));
  await settled(stage);
  const [owner] = stage.living;
  await worker.send(0, voice('23'));
  await stage.until('it is sent', 10_000, () => sentTo(0).at(-1)?.d.channel_id === '23');
  // The drain stores the last record, and acknowledges what is sent.
  expect(await owner?.terminate()).toBe(0);
  const [before, resumes] = [simulator.sends.length, simulator.count('resumed')];
  await stage.startTask();
  await simulator.waitFor('resumed', resumes + SHARDS);
  await stage.until('each has its own', 20_000, () => simulator.sends.length === before + SHARDS);
  expect(sentTo(1).at(-1)).toMatchObject({ op: 3, d: presence });
  expect(presences()).toMatchObject([{ status: 'invisible' }, presence]);
  const readies = simulator.count('ready');
  simulator.invalidate(1, { resumable: false });
  await simulator.waitFor('ready', readies + 1);
  expect(presences()).toMatchObject([{ status: 'invisible' }, presence]);
  expect(simulator.sends.length).toBe(before + SHARDS);
  expect(simulator.violations).toEqual([]);
});

test('a payload that Discord closes the connection over is sent once more, alone, and then a dead letter', async () => {
  const { simulator } = stage;
  const worker = await CommandWorker.start(stage);
  const [before, resumes] = [sentTo(0).length, simulator.count('resumed')];
  // Discord has a rule that is not documented.
  simulator.refuseSend(({ d }) => d.channel_id === '13');
  for (const channel_id of ['11', '13', '12']) await worker.send(0, voice(channel_id));
  const [letter] = await deadLetters(stage, 1);
  simulator.refuseSend(undefined);
  expect(letter?.reason).toBe('shard 0: the connection ended each time it had been sent, twice (close code 4002)');
  expect(letter?.body).toContain('"13"');
  await stage.until('the others are sent', 10_000, () => sentTo(0).at(-1)?.d.channel_id === '12');
  await simulator.waitFor('resumed', resumes + 2);
  expect(simulator.violations.map(({ code }) => code)).toEqual([4002, 4002]);
  expect(new Set(channelsAfter(before))).toEqual(new Set(['11', '12']));
  expect((await stage.living[0]?.health())?.shard.connected).toBe(SHARDS);
});

test('an answer comes back to the worker, when its dispatch is chosen', async () => {
  const answers = ['GUILD_MEMBERS_CHUNK', 'VOICE_STATE_UPDATE', 'VOICE_SERVER_UPDATE', 'SOUNDBOARD_SOUNDS'];
  const asked = await startSharedStage({ env: { [ENV.events]: [...answers, 'members'].join() } });
  onTestFinished(() => asked.stop());
  const inbox = new Inbox(asked);
  const worker = await CommandWorker.start(asked);
  const guild_id = asked.simulator?.guildIds[0] ?? '';
  const commands: DiscordCommand[] = [
    { command: 'request_guild_members', data: { guild_id, query: '', limit: 0, nonce: 'n' } },
    { command: 'update_voice_state', data: { guild_id, channel_id: '5', self_mute: true, self_deaf: true } },
    { command: 'request_soundboard_sounds', data: { guild_ids: [guild_id] } },
  ];
  for (const command of commands) await worker.send(0, command);
  for (const key of answers.map((name) => `dispatch.${name.toLowerCase()}`)) {
    const { body } = await inbox.first(key, ({ routingKey }) => routingKey === key);
    expect(body.guildId).toBe(guild_id);
  }
});
