// What a deployer may choose: the defaults, and one sentence for each fault.
import { describe, expect, it } from 'vitest';
import { brokerLimits, nodeLimits } from '../../lib/broker-limits.ts';
import { merged, SettingsError } from '../../lib/setting-values.ts';
import { type Choices, type Environment, settingsFor } from '../../lib/settings.ts';
import { inNetwork, keyArn, secretArn, withBroker } from '../support/choices.ts';

const zones = (...availabilityZones: string[]) => ({ availabilityZones });

const DEFAULT_INTENTS = ['Guilds', 'GuildMembers', 'GuildMessages'];
const queue = (change: object = {}) => ({ queues: { 'events.analytics': { keys: ['member.#'], ...change } } });
const workers = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`reader${index}`, { queues: ['events.guild'] }]));

function faultsOf(environment: unknown, choices?: unknown): readonly string[] {
  try {
    settingsFor(environment, choices);
  } catch (error) {
    if (error instanceof SettingsError) return error.faults;
    throw error;
  }
  return [];
}

describe('defaults', () => {
  it.each<[Environment, Choices, expected: object]>([
    ['staging', {}, { egress: 'public-ip', natGateways: 0, groups: 1, tasks: 1, keepsData: false }],
    ['staging', {}, { network: { zones: 2 }, broker: { size: 'mq.m7g.medium', nodes: 1, engineVersion: '4.3' } }],
    ['production', {}, { egress: 'nat', natGateways: 2, groups: 1, tasks: 2, keepsData: true }],
    ['production', {}, { network: { zones: 3 }, broker: { size: 'mq.m7g.large', nodes: 3 }, shards: { standbys: 1 } }],
    // One task for each shard group, and the standbys.
    ['staging', { shards: { count: 33, perTask: 16, standbys: 2 } }, { groups: 3, tasks: 5 }],
    ['staging', { egress: 'nat' }, { natGateways: 2 }],
    ['production', { egress: 'public-ip' }, { natGateways: 0 }],
    ['staging', { broker: { nodes: 3 } }, { network: { zones: 3 } }],
    ['production', { broker: { nodes: 1 }, network: { zones: 2 } }, { network: { zones: 2 } }],
    ['staging', { network: { availabilityZones: ['a', 'b', 'c'] } }, { network: { zones: 3 } }],
    ['staging', { alarmEmail: 'ops@example.com' }, { alarmEmail: ['ops@example.com'] }],
    ['staging', { alarmEmail: ['a@b.de', 'a@b.de', 'c@d.de'] }, { alarmEmail: ['a@b.de', 'c@d.de'] }],
  ])('in %s, with %j: %j', (environment, choices, expected) => {
    expect(settingsFor(environment, choices)).toMatchObject(expected);
  });
});

describe('faults', () => {
  const arn = secretArn('token');
  const nat = { egress: 'nat' } as const;

  it.each<[fault: string, choices: unknown]>([
    ['shard: no such setting. See lib/settings.ts for those that exist', { shard: 1 }],
    ['account: expected the 12 digits of an AWS account, quoted, got 111122223333', { account: 111122223333 }],
    ["region: expected a region such as 'eu-central-1', got 'europe'", { region: 'europe' }],
    ['broker.size: expected one of mq.m7g.medium, mq.m7g.large,', { broker: { size: 'mq.t3.micro' } }],
    ['broker.nodes: expected 1 (one node) or 3', { broker: { nodes: 2 } }],
    ["broker.engineVersion: expected RabbitMQ '4.2' or newer", { broker: { engineVersion: '3.13' } }],
    ['broker.storageGb: a single node always has 200 GB', { broker: { storageGb: 50 } }],
    ['broker.storageGb: expected a multiple of 5 from 5 to 25', { broker: { nodes: 3, storageGb: 30 } }],
    ['broker.maintenanceWindow.time: expected', { broker: { maintenanceWindow: { time: '3 am' } } }],
    ['broker.maintenanceWindow.timeZone: expected', { broker: { maintenanceWindow: { timeZone: 'Mars' } } }],
    [
      'a presence that Discord takes, got one that is faulty: status',
      { gateway: { initialPresence: { status: 'x' } } },
    ],
    ["MESAGE_UPDATE'. The nearest is MESSAGE_UPDATE", { events: ['members', 'MESAGE_UPDATE'] }],
    ['events.0: READY is about the session itself', { events: ['READY'] }],
    ["events: expected a list of Discord's names of dispatches, or of groups of them, got 'all'", { events: 'all' }],
    [
      'gateway.intents: expected GuildMembers, GuildMessages too, without which Discord does not send all that is chosen of GUILD_MEMBER_ADD, ',
      { gateway: { intents: ['Guilds'] } },
    ],
    [
      'gateway.intents: expected MessageContent together with forward.messageContent',
      { gateway: { intents: [...DEFAULT_INTENTS, 'MessageContent'] } },
    ],
    [
      'gateway.intents: expected MessageContent together with forward.messageContent',
      { forward: { messageContent: true }, gateway: { intents: DEFAULT_INTENTS } },
    ],
    ['forward.botMessages: expected true or false, got 1', { forward: { botMessages: 1 } }],
    [
      "queues.events.analytics.keys: nothing is published with a routing key like 'membre.#'. Known: interaction.#, member.#,",
      queue({ keys: ['membre.#'] }),
    ],
    [
      "queues.events.analytics.keys: nothing of the chosen events has a routing key like 'dispatch.typing_start'. Add the",
      queue({ keys: ['dispatch.typing_start'] }),
    ],
    ["keys: expected a list of at most 20 binding keys such as 'member.#', got []", queue({ keys: [] })],
    ["overflow: expected 'drop-head' or nothing: the ingestor waits", queue({ overflow: 'reject-publish' })],
    ['priority: RabbitMQ gives no queue a priority', queue({ priority: 5 })],
    ...['interactions', 'discord.commands', 'ingestor.x', 'amq.y', 'leases'].map((name): [string, unknown] => [
      `queues.${name}: the name is taken by the product or by RabbitMQ`,
      { queues: { [name]: { keys: ['#'] } } },
    ]),
    ['queues.a b: expected a name of 1 to 127 letters', { queues: { 'a b': { keys: ['#'] } } }],
    ...['worker', 'ingestor', 'administrator'].map((name): [string, unknown] => [
      `workers.${name}: the name is taken by another user of the broker`,
      { workers: { [name]: { queues: ['events.guild'] } } },
    ]),
    ...['dead-letters', 'A', 'worker_b', ''].map((name): [string, unknown] => [
      `workers.${name}: expected 2 to 40 lower-case letters and digits`,
      { workers: { [name]: { queues: ['events.guild'] } } },
    ]),
    [
      "workers.analytics.queues: expected some of interactions, events.guild, events.gateway, events.dispatch, got 'unrouted'",
      { workers: { analytics: { queues: ['unrouted'] } } },
    ],
    ['keys: expected keys of at most 255 bytes, got one of 300', queue({ keys: ['#.'.repeat(150)] })],
    [
      'queues: expected at most 20, as each is written out in the template, got 21',
      { queues: Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`q${index}`, { keys: ['#'] }])) },
    ],
    ['workers: expected at most 12', { workers: workers(13) }],
    [
      'limits.interactionsTtlMs: expected a whole number of milliseconds from 1000 to 900000',
      { limits: { interactionsTtlMs: 900_001 } },
    ],
    [
      'budgets.guildEventsWaiting: expected less than limits.guildEventsMaxMessages (500000), or the alarm is never on, got 500000',
      { limits: { guildEventsMaxMessages: 500_000 } },
    ],
    [
      'limits, queues: expected queues that hold at most half of the disk of a node less 2 GB (11 GB), got 12 GB',
      { broker: { nodes: 3 }, ...queue({ maxBytes: 1024 ** 3 }) },
    ],
    // A single node blocks publishers earlier.
    ['of a node less 10 GB (94 GB), got 97 GB', queue({ maxBytes: 80 * 1024 ** 3 })],
    ['gateway.intents.0: expected the name of one', { gateway: { intents: ['Everything'] } }],
    ['task.cpu: expected one of 256, 512, 1024, 2048, 4096, got 300', { task: { cpu: 300 } }],
    ['task.memoryMiB: expected one of 512, 1024, 2048 with task.cpu 256', { task: { cpu: 256, memoryMiB: 4096 } }],
    ['a third of the heap (102 of 307 MiB), got 103 MiB', { task: { outboxMaxBytes: 103 * 1024 * 1024 } }],
    ['logRetentionDays: expected one of 1, 3, 5, 7, 14, 30,', { logRetentionDays: 10 }],
    ["alarmEmail.1: expected an e-mail address, got 'ops'", { alarmEmail: ['a@example.com', 'ops'] }],
    ['network.cidr: expected an address range from /16 to /20', { network: { cidr: '10.0.0.0/24' } }],
    ['expected zones of eu-west-1, got us-1b', { region: 'eu-west-1', network: zones('eu-west-1a', 'us-1b') }],
    ['network.availabilityZones: expected different zones, got a, a, c', { network: zones('a', 'a', 'c') }],
    ['network.zones: expected 2 or 3 zones, got 4', { network: { zones: 4 } }],
    ['network.zones: expected 2, the number of zones named, got 3', { network: { zones: 3, ...zones('a', 'b') } }],
    ['broker.nodes: expected 1 in 2 zones, got 3', { network: { zones: 2 }, broker: { nodes: 3 } }],
    ["natGateways: expected at least 1 with egress 'nat', got 0", { ...nat, natGateways: 0 }],
    ['natGateways: expected at most one for each of 2 zones, got 3', { ...nat, natGateways: 3 }],
    ['discordTokenKeyArn: expected discordTokenSecretArn too', { discordTokenKeyArn: keyArn('a') }],
    [
      "discordTokenKeyArn: expected a key's ARN, not an alias",
      { discordTokenSecretArn: arn, discordTokenKeyArn: keyArn('a').replace('key/', 'alias/') },
    ],
    [`expected a secret's whole ARN, with its last six`, { discordTokenSecretArn: arn.slice(0, -7) }],
    [
      'expected at most 1000 groups, because each is written out in the template, got 1024. Raise it to at least 5',
      { broker: { size: 'mq.m7g.4xlarge' }, shards: { count: 4096, perTask: 4 } },
    ],
    [
      'expected at most 15 groups with two queues each on mq.m7g.medium (100 queues, of which 69 are for events and IDENTIFYs), got 16',
      { broker: { nodes: 3 }, shards: { count: 63, perTask: 4 } },
    ],
    [
      'expected at most 14 groups with two queues each on mq.m7g.medium (100 queues, of which 71 are for events',
      { broker: { nodes: 3 }, shards: { count: 64, perTask: 4 }, ...queue() },
    ],
    ['half of the 300 connections of a mq.m7g.medium node', { shards: { count: 26, perTask: 1 } }],
    ['expected one subnet per node (broker.nodes is 3), got 1', { ...inNetwork(), broker: { nodes: 3 } }],
    ['broker.existing: expected network.existing too', { ...withBroker(), network: {} }],
    [
      "network.existing.brokerSubnetIds.0: expected an id such as 'subnet-",
      inNetwork({ brokerSubnetIds: ['private'] }),
    ],
    ['broker.existing.host: expected a host name, without amqps://', withBroker({ host: 'amqps://b-1:5671' })],
  ])('%s', (fault, choices) => {
    expect(faultsOf('staging', choices)).toEqual([expect.stringContaining(fault)]);
  });

  it.each([undefined, 'test', 'Production', 7])('an unknown environment: %s', (environment) => {
    expect(faultsOf(environment)[0]).toMatch(
      /^environment: expected staging or production, got .+ Add -c environment=staging$/,
    );
  });

  it.each<unknown>([
    { broker: { size: 'mq.m7g.4xlarge' }, shards: { count: 965, perTask: 1 } },
    { broker: { nodes: 3 }, shards: { count: 62, perTask: 4 } },
    { events: ['all', 'guilds.full'], ...queue({ keys: ['dispatch.*', 'dispatch.typing_start', 'gateway.#'] }) },
    { forward: { messageContent: true } },
    { workers: workers(12), ...queue({ overflow: 'drop-head' }) },
    { limits: { guildEventsMaxMessages: 500_001 } },
    { broker: { nodes: 3 }, ...queue({ keys: ['#', '*.*', 'interaction.command.ban', 'message.create'] }) },
    { task: { outboxMaxBytes: 102 * 1024 * 1024 } },
    { shards: { count: 25, perTask: 1 } },
    { egress: 'nat', natGateways: 3, network: { zones: 3 } },
    // The limits of an existing broker are unknown.
    { ...withBroker(), shards: { count: 500, perTask: 1 } },
  ])('none at the limits: %j', (choices) => {
    expect(faultsOf('staging', choices)).toEqual([]);
  });

  it.each<[setting: string, least: number, most: number]>([
    ['natGateways', 0, 3],
    ['broker.storageGb', 5, 500],
    ['shards.count', 1, 10_000],
    ['shards.perTask', 1, 256],
    ['shards.standbys', 0, 10],
    ['task.cpu', 256, 4096],
    ['task.memoryMiB', 512, 30_720],
    ['task.outboxMaxEvents', 10, 10_000_000],
    ['task.outboxMaxBytes', 64 * 1024, 8 * 1024 ** 3],
    ['topologyRevision', 0, 1_000_000],
    ['rotationDays', 0, 365],
    ['budgets.identifiesLeft', 1, 100_000],
    ['budgets.outboxPercent', 1, 100],
    ['budgets.interactionsWaiting', 1, 10_000_000],
    ['budgets.guildEventsWaiting', 1, 100_000_000],
    ['budgets.gatewayEventsWaiting', 1, 10_000_000],
    ['budgets.dispatchesWaiting', 1, 100_000_000],
    ['budgets.deadLetters', 1, 10_000_000],
    ['budgets.frameToConfirmMs', 1, 600_000],
    ['limits.guildEventsMaxMessages', 1, 100_000_000],
    ['limits.guildEventsMaxBytes', 1024 ** 2, 200 * 1024 ** 3],
    ['limits.interactionsTtlMs', 1_000, 900_000],
    ['limits.deadLettersTtlMs', 1_000, 7_776_000_000],
    ['limits.deliveryLimit', 1, 1_000],
    ['queues.events.analytics.maxMessages', 1, 100_000_000],
    ['queues.events.analytics.maxBytes', 1024 ** 2, 200 * 1024 ** 3],
    ['queues.events.analytics.ttlMs', 1_000, 7_776_000_000],
  ])('%s is a whole number from %d to %d', (setting, least, most) => {
    const [group = '', name, ...more] = setting.split('.');
    const choices = (value: number) =>
      group === 'queues' ? queue({ [more.at(-1) ?? '']: value }) : { [group]: name ? { [name]: value } : value };
    const faults = (value: number) =>
      faultsOf('staging', choices(value)).map((fault) => fault.split(': expected a whole number')[0]);
    for (const value of [least - 1, least + 0.5, most + 1]) expect(faults(value)).toEqual([setting]);
    for (const value of [least, most]) expect(faults(value)).not.toContain(setting);
  });

  it('of single settings are reported together, one line each, and then all contradictions', () => {
    const contradictions = { task: { cpu: 300 }, natGateways: 3 };
    expect(() => settingsFor('production', { shards: { count: 0 }, alarmEmail: 'ops', ...contradictions })).toThrow(
      [
        'The settings of production cannot be deployed:',
        '  - shards.count: expected a whole number of shards from 1 to 10000, got 0',
        "  - alarmEmail: expected an e-mail address, got 'ops'",
      ].join('\n'),
    );
    expect(faultsOf('staging', contradictions)).toHaveLength(2);
  });
});

describe('the settings of the command line', () => {
  it('override those of the file, field by field', () => {
    const choices = { shards: { count: 2, standbys: 1 }, gateway: { intents: ['Guilds'] } };
    expect(merged(choices, '{"shards":{"count":3},"gateway":{"intents":["GuildMembers"]}}')).toEqual({
      shards: { count: 3, standbys: 1 },
      gateway: { intents: ['GuildMembers'] },
    });
    expect(merged(choices, undefined)).toEqual(choices);
  });

  it('are refused when they are not JSON', () => {
    expect(() => merged({}, '{shards}')).toThrow(/settings: expected JSON such as '.+', got: /);
  });

  it.each([
    [{}, '{"queues":{"__proto__":{"keys":["member.#"]}}}', 'queues.__proto__'],
    [{}, JSON.parse('{"workers":{"__proto__":{"queues":["events.guild"]}}}'), 'workers.__proto__'],
    [JSON.parse('{"__proto__":{}}'), undefined, '__proto__'],
  ])('are refused with a name that JavaScript ignores: %j and %j', (choices, given, name) => {
    expect(() => merged(choices, given)).toThrow(`  - ${name}: JavaScript does not allow this name. Choose another`);
  });
});

// https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rmq-broker-instance-types.html and, of connections and
// queues, https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rabbitmq-resource-limits-configuration.html
it.each([
  ['mq.m7g.medium', 1.8, { own: 300, single: 100, cluster: 100 }, { single: 500, cluster: 100 }, 5, 25],
  ['mq.m7g.large', 4.3, { own: 1500, single: 1500, cluster: 500 }, { single: 1000, cluster: 1000 }, 15, 75],
  ['mq.m7g.xlarge', 9.3, { own: 3000, single: 3000, cluster: 1000 }, { single: 2000, cluster: 2000 }, 25, 125],
  ['mq.m7g.2xlarge', 19.3, { own: 6000, single: 6000, cluster: 2000 }, { single: 2000, cluster: 2000 }, 45, 180],
  ['mq.m7g.4xlarge', 39.4, { own: 12_000, single: 12_000, cluster: 4000 }, { single: 2000, cluster: 2000 }, 90, 250],
] as const)('the limits of a %s, by which alarms judge and settings are refused, are those of AWS', (...row) => {
  const [size, memoryGiB, connections, queues, leastGb, mostGb] = row;
  const GIB = 1024 ** 3;
  const memoryBytes = Math.round(memoryGiB * GIB);
  const single = { memoryBytes, diskFreeBytes: 10 * GIB };
  const cluster = { memoryBytes, diskFreeBytes: 2 * GIB };
  const existing = {};
  expect(nodeLimits({ size, nodes: 1 })).toEqual({ ...single, connections: connections.own });
  expect(nodeLimits({ size, nodes: 3 })).toEqual({ ...cluster, connections: connections.own });
  expect(nodeLimits({ size, nodes: 1, existing })).toEqual({ ...single, connections: connections.single });
  expect(nodeLimits({ size, nodes: 3, existing })).toEqual({ ...cluster, connections: connections.cluster });
  expect(brokerLimits({ size, nodes: 1 })).toEqual({ connectionsPerNode: connections.own, queues: queues.single });
  expect(brokerLimits({ size, nodes: 3 })).toEqual({ connectionsPerNode: connections.own, queues: queues.cluster });
  expect(brokerLimits({ size, nodes: 1, existing })).toBeUndefined();
  const bounds = [leastGb - 5, leastGb, mostGb, mostGb + 5].map((storageGb) =>
    faultsOf('production', { broker: { size, storageGb } }).some((fault) => fault.includes('from')),
  );
  expect(bounds).toEqual([true, false, false, true]);
});
