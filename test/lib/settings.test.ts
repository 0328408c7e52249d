// What a deployer may choose: the defaults, and every refusal in one readable sentence.
import { describe, expect, it } from 'vitest';
import { brokerLimits } from '../../lib/broker-limits.ts';
import { heapLimitMiB, merged, SettingsError, settingsFor, storageGb } from '../../lib/settings.ts';

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
  it('staging is one node, one task and public addresses', () => {
    expect(settingsFor('staging')).toMatchObject({
      environment: 'staging',
      egress: 'public-ip',
      broker: { size: 'mq.m7g.medium', nodes: 1, engineVersion: '4.3' },
      groups: 1,
      tasks: 1,
      task: { execEnabled: false },
      keepsData: false,
      natGateways: 0,
      network: { zones: 2 },
    });
  });

  it('production is three nodes, a standby and NAT gateways', () => {
    expect(settingsFor('production')).toMatchObject({
      egress: 'nat',
      natGateways: 2,
      broker: { size: 'mq.m7g.large', nodes: 3 },
      shards: { standbys: 1 },
      groups: 1,
      tasks: 2,
      keepsData: true,
      network: { zones: 3 },
    });
  });

  it('a task runs each group of shards, and the standbys come on top', () => {
    const settings = settingsFor('staging', { shards: { count: 33, perTask: 16, standbys: 2 } });
    expect(settings).toMatchObject({ groups: 3, tasks: 5 });
  });

  it('gateways come with egress nat, and zones with what stands in them', () => {
    expect(settingsFor('staging', { egress: 'nat' }).natGateways).toBe(2);
    expect(settingsFor('production', { egress: 'public-ip' }).natGateways).toBe(0);
    expect(settingsFor('staging', { broker: { nodes: 3 } }).network.zones).toBe(3);
    expect(settingsFor('production', { broker: { nodes: 1 }, network: { zones: 2 } }).network.zones).toBe(2);
    const named = { network: { availabilityZones: ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'] } };
    expect(settingsFor('staging', named).network.zones).toBe(3);
  });

  it('an address for alarms is a list, each once', () => {
    expect(settingsFor('staging', { alarmEmail: 'ops@example.com' }).alarmEmail).toEqual(['ops@example.com']);
    const twice = { alarmEmail: ['a@example.com', 'a@example.com', 'b@example.com'] };
    expect(settingsFor('staging', twice).alarmEmail).toEqual(['a@example.com', 'b@example.com']);
    expect(settingsFor('staging').alarmEmail).toBeUndefined();
  });

  it('the disk of a cluster holds the queues twice over, and never less than its size has', () => {
    expect(storageGb({ size: 'mq.m7g.medium', nodes: 1 })).toBeUndefined();
    expect(storageGb({ size: 'mq.m7g.medium', nodes: 3 })).toBe(25);
    expect(storageGb({ size: 'mq.m7g.2xlarge', nodes: 3 })).toBe(45);
    expect(storageGb({ size: 'mq.m7g.large', nodes: 3, storageGb: 70 })).toBe(70);
  });
});

describe('refusals', () => {
  const existing = {
    vpcId: 'vpc-01234567',
    brokerSubnetIds: ['subnet-01234567'],
    serviceSubnetIds: ['subnet-89abcdef'],
  };
  const arn = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:admin-AbCdEf';
  const broker = {
    name: 'theirs',
    host: 'b-1.mq.eu-central-1.on.aws',
    administratorSecretArn: arn,
    securityGroupId: 'sg-01234567',
  };

  const table: readonly [what: string, choices: unknown, fault: string][] = [
    ['a name that is no setting', { shard: 1 }, 'shard: no such setting. See lib/settings.ts for those that exist'],
    [
      'names that are no settings of a group',
      { broker: { instance: 'x', node: 1 } },
      'broker.instance, broker.node: no such setting. See lib/settings.ts for those that exist',
    ],
    [
      'an account as a number',
      { account: 111122223333 },
      'account: expected the 12 digits of an AWS account, quoted, got 111122223333',
    ],
    ['a region that is none', { region: 'europe' }, "region: expected a region such as 'eu-central-1', got 'europe'"],
    [
      'a broker that Amazon no longer sells',
      { broker: { size: 'mq.t3.micro' } },
      "broker.size: expected one of mq.m7g.medium, mq.m7g.large, mq.m7g.xlarge, mq.m7g.2xlarge, mq.m7g.4xlarge, got 'mq.t3.micro'",
    ],
    [
      'two nodes',
      { broker: { nodes: 2 } },
      'broker.nodes: expected 1 (one node) or 3 (one in each of three zones), got 2',
    ],
    [
      'an old engine',
      { broker: { engineVersion: '3.13' } },
      "broker.engineVersion: expected RabbitMQ '4.2' or newer, as major.minor, got '3.13'",
    ],
    [
      'a patch version',
      { broker: { engineVersion: '4.3.6' } },
      "broker.engineVersion: expected RabbitMQ '4.2' or newer, as major.minor, got '4.3.6'",
    ],
    [
      'a disk of a single node',
      { broker: { storageGb: 50 } },
      'broker.storageGb: a single node always has 200 GB. Remove it, or set broker.nodes to 3',
    ],
    [
      'a disk out of bounds',
      { broker: { nodes: 3, storageGb: 30 } },
      'broker.storageGb: expected a multiple of 5 from 5 to 25 for mq.m7g.medium, got 30',
    ],
    [
      'a time that is none',
      { broker: { maintenanceWindow: { time: '3 am' } } },
      "broker.maintenanceWindow.time: expected a time of day such as '03:00', got '3 am'",
    ],
    [
      'a time zone that is none',
      { broker: { maintenanceWindow: { timeZone: 'Mars' } } },
      "broker.maintenanceWindow.timeZone: expected a time zone such as 'UTC' or 'Europe/Berlin', got 'Mars'",
    ],
    [
      'automatic shards',
      { shards: { count: 'auto' } },
      "shards.count: expected a whole number of shards from 1 to 4096, got 'auto'",
    ],
    ['no shard', { shards: { count: 0 } }, 'shards.count: expected a whole number of shards from 1 to 4096, got 0'],
    [
      'the content of messages',
      { gateway: { intents: ['Guilds', 'MessageContent'] } },
      'gateway.intents: MessageContent is refused: this service forwards no message content. Remove it',
    ],
    [
      'an intent that Discord does not have',
      { gateway: { intents: ['Guilds', 'Everything'] } },
      "gateway.intents: expected names of Discord's intents, got 'Everything'",
    ],
    ['CPU that is not sold', { task: { cpu: 300 } }, 'task.cpu: expected one of 256, 512, 1024, 2048, 4096, got 300'],
    [
      'memory that is not sold with it',
      { task: { cpu: 256, memoryMiB: 4096 } },
      'task.memoryMiB: expected one of 512, 1024, 2048 with task.cpu 256, got 4096',
    ],
    [
      'an outbox beyond the heap',
      { task: { outboxMaxBytes: 512 * 1024 * 1024 } },
      'task.outboxMaxBytes: expected at most a third of the heap (102 of 307 MiB), got 512 MiB. Lower it, or raise task.memoryMiB',
    ],
    [
      'a retention CloudWatch does not know',
      { logRetentionDays: 10 },
      'logRetentionDays: expected one of 1, 3, 5, 7, 14, 30,',
    ],
    ['an address that is no e-mail', { alarmEmail: 'ops' }, "alarmEmail: expected an e-mail address, got 'ops'"],
    [
      'a network without its mask',
      { network: { cidr: '10.0.0.0' } },
      "network.cidr: expected an address range from /16 to /20 such as '10.73.0.0/16', got '10.0.0.0'",
    ],
    [
      'a network too small for its subnets',
      { network: { cidr: '10.0.0.0/24' } },
      "network.cidr: expected an address range from /16 to /20 such as '10.73.0.0/16', got '10.0.0.0/24'",
    ],
    [
      'zones of another region',
      { region: 'eu-west-1', network: { availabilityZones: ['eu-west-1a', 'eu-central-1b', 'eu-west-1c'] } },
      'network.availabilityZones: expected zones of eu-west-1, got eu-central-1b',
    ],
    [
      'one zone twice',
      { network: { availabilityZones: ['eu-west-1a', 'eu-west-1a', 'eu-west-1c'] } },
      'network.availabilityZones: expected different zones, got eu-west-1a, eu-west-1a, eu-west-1c',
    ],
    [
      'one zone',
      { network: { availabilityZones: ['eu-west-1a'] } },
      'network.availabilityZones: expected two or three zones, got ["eu-west-1a"]',
    ],
    ['four zones', { network: { zones: 4 } }, 'network.zones: expected 2 or 3 zones, got 4'],
    [
      'zones by number and by name that differ',
      { network: { zones: 3, availabilityZones: ['eu-west-1a', 'eu-west-1b'] } },
      'network.zones: expected 2, the number of zones named, got 3',
    ],
    [
      'three nodes in two zones',
      { network: { zones: 2 }, broker: { nodes: 3 } },
      'broker.nodes: expected 1 in 2 zones, got 3: each node needs a zone of its own',
    ],
    [
      'egress through gateways that are not there',
      { egress: 'nat', natGateways: 0 },
      "natGateways: expected at least 1 with egress 'nat', got 0. Raise it, or set egress to 'public-ip'",
    ],
    [
      'more gateways than zones',
      { egress: 'nat', natGateways: 3 },
      'natGateways: expected at most one for each of 2 zones, got 3',
    ],
    [
      'a key without its secret',
      { discordTokenKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/0a1b' },
      'discordTokenKeyArn: expected discordTokenSecretArn beside it, got nothing: the secret of the stack has no key of your own',
    ],
    [
      'an alias of a key',
      { discordTokenSecretArn: arn, discordTokenKeyArn: 'arn:aws:kms:eu-west-1:111122223333:alias/mine' },
      "discordTokenKeyArn: expected a key's ARN, not an alias, got 'arn:aws:kms:eu-west-1:111122223333:alias/mine'",
    ],
    [
      'more groups than a template takes',
      { broker: { size: 'mq.m7g.4xlarge' }, shards: { count: 4096, perTask: 4 } },
      'shards.perTask: expected at most 1000 groups, because each is written out in the template, got 1024. Raise it to at least 5',
    ],
    [
      'more groups than the queues of a cluster of the medium size',
      { broker: { nodes: 3 }, shards: { count: 64, perTask: 2 } },
      'shards.perTask: expected at most 31 groups on mq.m7g.medium (100 queues, of which 69 are for events and IDENTIFYs), got 32. Raise it, or broker.size',
    ],
    [
      'more tasks than half of the connections, while they are replaced',
      { shards: { count: 38, perTask: 1 } },
      'shards.perTask: expected tasks that need at most half of the 300 connections of a mq.m7g.medium node while they are replaced, got 152 connections of 38 tasks. Raise it, or broker.size',
    ],
    [
      'lists with something that is no e-mail',
      { alarmEmail: ['a@example.com', 'ops'] },
      "alarmEmail.1: expected an e-mail address, got 'ops'",
    ],
    [
      'subnets that do not fit the nodes',
      { network: { existing }, broker: { nodes: 3 } },
      'network.existing.brokerSubnetIds: expected one subnet per node (broker.nodes is 3), got 1. They cannot change after the first deploy',
    ],
    [
      'an existing broker in a new network',
      { broker: { existing: broker } },
      'broker.existing: expected network.existing beside it, got a new network, which has no route to that broker. Name its VPC and subnets',
    ],
    [
      'a subnet by its name',
      { network: { existing: { ...existing, brokerSubnetIds: ['private-a'] } } },
      "network.existing.brokerSubnetIds.0: expected an id such as 'subnet-0123456789abcdef0', got 'private-a'",
    ],
    [
      "a secret's partial ARN",
      { discordTokenSecretArn: arn.slice(0, -7) },
      `discordTokenSecretArn: expected a secret's whole ARN, with its last six characters, got '${arn.slice(0, -7)}'`,
    ],
    [
      "a broker's address with its scheme",
      { network: { existing }, broker: { existing: { ...broker, host: 'amqps://b-1:5671' } } },
      "broker.existing.host: expected a host name, without amqps:// and without port, got 'amqps://b-1:5671'",
    ],
  ];

  it.each(table)('%s', (_, choices, fault) => {
    const faults = faultsOf('staging', choices);
    expect(faults.length).toBe(1);
    expect(faults[0]).toContain(fault);
  });

  it.each([undefined, 'test', 'Production', 7])('an environment that is none: %s', (environment) => {
    expect(faultsOf(environment)[0]).toMatch(
      /^environment: expected staging or production, got .+ Add -c environment=staging$/,
    );
  });

  it('all of them come at once, contradictions between sound settings included', () => {
    expect(
      faultsOf('staging', {
        broker: { size: 'mq.t3.micro', storageGb: 50 },
        shards: { count: 0 },
        task: { cpu: 300 },
        network: { existing: { ...existing, serviceSubnetIds: [3] } },
      }).map((fault) => fault.split(':')[0]),
    ).toEqual(['network.existing.serviceSubnetIds.0', 'broker.size', 'shards.count', 'task.cpu']);
  });

  it('what just fits is accepted', () => {
    const fits = (choices: unknown) => expect(faultsOf('staging', choices), JSON.stringify(choices)).toEqual([]);
    fits({ broker: { size: 'mq.m7g.4xlarge' }, shards: { count: 1000, perTask: 1 } });
    fits({ broker: { nodes: 3 }, shards: { count: 62, perTask: 2 } });
    fits({ shards: { count: 37, perTask: 1 } });
    fits({ egress: 'nat', natGateways: 3, network: { zones: 3 } });
    // Of a broker of yours, only you know the limits.
    fits({ network: { existing }, broker: { existing: broker }, shards: { count: 500, perTask: 1 } });
  });

  it('the message names the environment and lists one fault a line', () => {
    expect(() => settingsFor('production', { shards: { count: 0 }, alarmEmail: 'ops' })).toThrow(
      [
        'The settings of production cannot be deployed:',
        '  - shards.count: expected a whole number of shards from 1 to 4096, got 0',
        "  - alarmEmail: expected an e-mail address, got 'ops'",
      ].join('\n'),
    );
  });
});

describe('what comes on the command line', () => {
  it('wins over the file, field by field', () => {
    const choices = { shards: { count: 2, standbys: 1 }, gateway: { intents: ['Guilds'] } };
    expect(merged(choices, '{"shards":{"count":3},"gateway":{"intents":["GuildMembers"]}}')).toEqual({
      shards: { count: 3, standbys: 1 },
      gateway: { intents: ['GuildMembers'] },
    });
    expect(merged(choices, undefined)).toEqual(choices);
  });

  it('is refused where it is no JSON', () => {
    expect(() => merged({}, '{shards}')).toThrow(/settings: expected JSON such as '.+', got: /);
  });
});

it('the heap leaves two fifths of the memory to everything else', () => {
  expect(heapLimitMiB(512)).toBe(307);
  expect(heapLimitMiB(1024)).toBe(614);
});

describe('limits of the broker', () => {
  it('are what Amazon MQ gives each size, and none are known of a broker of yours', () => {
    expect(brokerLimits(settingsFor('staging'))).toEqual({ connectionsPerNode: 300, queues: 500 });
    expect(brokerLimits(settingsFor('production'))).toEqual({ connectionsPerNode: 1500, queues: 1000 });
    expect(brokerLimits({ broker: { size: 'mq.m7g.medium', nodes: 3 } })).toEqual({
      connectionsPerNode: 300,
      queues: 100,
    });
    expect(brokerLimits({ broker: { size: 'mq.m7g.medium', nodes: 1, existing: {} } })).toBeUndefined();
  });
});
