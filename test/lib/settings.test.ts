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

  it('each group of shards has a task, and the standbys come on top', () => {
    const settings = settingsFor('staging', { shards: { count: 33, perTask: 16, standbys: 2 } });
    expect(settings).toMatchObject({ groups: 3, tasks: 5 });
  });

  it('gateways come with egress nat, and zones with the nodes', () => {
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

describe('faults', () => {
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

  /** By the fault, the choices that have it and no other. */
  const table: Readonly<Record<string, unknown>> = {
    'shard: no such setting. See lib/settings.ts for those that exist': { shard: 1 },
    'broker.instance, broker.node: no such setting. See lib/settings.ts for those that exist': {
      broker: { instance: 'x', node: 1 },
    },
    'account: expected the 12 digits of an AWS account, quoted, got 111122223333': { account: 111122223333 },
    "region: expected a region such as 'eu-central-1', got 'europe'": { region: 'europe' },
    "broker.size: expected one of mq.m7g.medium, mq.m7g.large, mq.m7g.xlarge, mq.m7g.2xlarge, mq.m7g.4xlarge, got 'mq.t3.micro'":
      { broker: { size: 'mq.t3.micro' } },
    'broker.nodes: expected 1 (one node) or 3 (one in each of three zones), got 2': { broker: { nodes: 2 } },
    "broker.engineVersion: expected RabbitMQ '4.2' or newer, as major.minor, got '3.13'": {
      broker: { engineVersion: '3.13' },
    },
    "broker.engineVersion: expected RabbitMQ '4.2' or newer, as major.minor, got '4.3.6'": {
      broker: { engineVersion: '4.3.6' },
    },
    'broker.storageGb: a single node always has 200 GB. Remove it, or set broker.nodes to 3': {
      broker: { storageGb: 50 },
    },
    'broker.storageGb: expected a multiple of 5 from 5 to 25 for mq.m7g.medium, got 30': {
      broker: { nodes: 3, storageGb: 30 },
    },
    "broker.maintenanceWindow.time: expected a time of day such as '03:00', got '3 am'": {
      broker: { maintenanceWindow: { time: '3 am' } },
    },
    "broker.maintenanceWindow.timeZone: expected a time zone such as 'UTC' or 'Europe/Berlin', got 'Mars'": {
      broker: { maintenanceWindow: { timeZone: 'Mars' } },
    },
    "shards.count: expected a whole number of shards from 1 to 10000, got 'auto'": { shards: { count: 'auto' } },
    'shards.count: expected a whole number of shards from 1 to 10000, got 0': { shards: { count: 0 } },
    'gateway.intents.1: MessageContent is refused: this service forwards no message content. Remove it': {
      gateway: { intents: ['Guilds', 'MessageContent'] },
    },
    "gateway.intents.1: expected the name of one of Discord's intents, got 'Everything'": {
      gateway: { intents: ['Guilds', 'Everything'] },
    },
    'task.cpu: expected one of 256, 512, 1024, 2048, 4096, got 300': { task: { cpu: 300 } },
    'task.memoryMiB: expected one of 512, 1024, 2048 with task.cpu 256, got 4096': {
      task: { cpu: 256, memoryMiB: 4096 },
    },
    'task.outboxMaxBytes: expected at most a third of the heap (102 of 307 MiB), got 103 MiB. Lower it, or raise task.memoryMiB':
      { task: { outboxMaxBytes: 103 * 1024 * 1024 } },
    'logRetentionDays: expected one of 1, 3, 5, 7, 14, 30,': { logRetentionDays: 10 },
    "alarmEmail: expected an e-mail address, got 'ops'": { alarmEmail: 'ops' },
    "network.cidr: expected an address range from /16 to /20 such as '10.73.0.0/16', got '10.0.0.0'": {
      network: { cidr: '10.0.0.0' },
    },
    "network.cidr: expected an address range from /16 to /20 such as '10.73.0.0/16', got '10.0.0.0/24'": {
      network: { cidr: '10.0.0.0/24' },
    },
    'network.availabilityZones: expected zones of eu-west-1, got eu-central-1b': {
      region: 'eu-west-1',
      network: { availabilityZones: ['eu-west-1a', 'eu-central-1b', 'eu-west-1c'] },
    },
    'network.availabilityZones: expected different zones, got eu-west-1a, eu-west-1a, eu-west-1c': {
      network: { availabilityZones: ['eu-west-1a', 'eu-west-1a', 'eu-west-1c'] },
    },
    'network.availabilityZones: expected two or three zones, got ["eu-west-1a"]': {
      network: { availabilityZones: ['eu-west-1a'] },
    },
    'network.zones: expected 2 or 3 zones, got 4': { network: { zones: 4 } },
    'network.zones: expected 2, the number of zones named, got 3': {
      network: { zones: 3, availabilityZones: ['eu-west-1a', 'eu-west-1b'] },
    },
    'broker.nodes: expected 1 in 2 zones, got 3: each node needs a zone of its own': {
      network: { zones: 2 },
      broker: { nodes: 3 },
    },
    "natGateways: expected at least 1 with egress 'nat', got 0. Raise it, or set egress to 'public-ip'": {
      egress: 'nat',
      natGateways: 0,
    },
    'natGateways: expected at most one for each of 2 zones, got 3': { egress: 'nat', natGateways: 3 },
    'discordTokenKeyArn: expected discordTokenSecretArn beside it, got nothing: the secret of the stack has no key of your own':
      { discordTokenKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/0a1b' },
    "discordTokenKeyArn: expected a key's ARN, not an alias, got 'arn:aws:kms:eu-west-1:111122223333:alias/mine'": {
      discordTokenSecretArn: arn,
      discordTokenKeyArn: 'arn:aws:kms:eu-west-1:111122223333:alias/mine',
    },
    'shards.perTask: expected at most 1000 groups, because each is written out in the template, got 1024. Raise it to at least 5':
      { broker: { size: 'mq.m7g.4xlarge' }, shards: { count: 4096, perTask: 4 } },
    'shards.perTask: expected at most 31 groups on mq.m7g.medium (100 queues, of which 69 are for events and IDENTIFYs), got 32. Raise it, or broker.size':
      { broker: { nodes: 3 }, shards: { count: 64, perTask: 2 } },
    'shards.perTask: expected tasks that need at most half of the 300 connections of a mq.m7g.medium node while they are replaced, got 152 connections of 38 tasks. Raise it, or broker.size':
      { shards: { count: 38, perTask: 1 } },
    "alarmEmail.1: expected an e-mail address, got 'ops'": { alarmEmail: ['a@example.com', 'ops'] },
    'network.existing.brokerSubnetIds: expected one subnet per node (broker.nodes is 3), got 1. They cannot change after the first deploy':
      { network: { existing }, broker: { nodes: 3 } },
    'broker.existing: expected network.existing beside it, got a new network, which has no route to that broker. Name its VPC and subnets':
      { broker: { existing: broker } },
    "network.existing.brokerSubnetIds.0: expected an id such as 'subnet-0123456789abcdef0', got 'private-a'": {
      network: { existing: { ...existing, brokerSubnetIds: ['private-a'] } },
    },
    [`discordTokenSecretArn: expected a secret's whole ARN, with its last six characters, got '${arn.slice(0, -7)}'`]: {
      discordTokenSecretArn: arn.slice(0, -7),
    },
    "broker.existing.host: expected a host name, without amqps:// and without port, got 'amqps://b-1:5671'": {
      network: { existing },
      broker: { existing: { ...broker, host: 'amqps://b-1:5671' } },
    },
  };

  it.each(Object.entries(table))('%s', (fault, choices) => {
    const faults = faultsOf('staging', choices);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(fault);
  });

  it.each([undefined, 'test', 'Production', 7])('an environment that is none: %s', (environment) => {
    expect(faultsOf(environment)[0]).toMatch(
      /^environment: expected staging or production, got .+ Add -c environment=staging$/,
    );
  });

  it('all faults of single settings come at once, then all contradictions', () => {
    const names = (choices: unknown) => faultsOf('staging', choices).map((fault) => fault.split(':')[0]);
    const contradictions = { task: { cpu: 300 }, natGateways: 3 };
    expect(names({ broker: { size: 'mq.t3.micro' }, shards: { count: 0 }, ...contradictions })).toEqual([
      'broker.size',
      'shards.count',
    ]);
    expect(names(contradictions)).toEqual(['natGateways', 'task.cpu']);
  });

  it('what just fits is accepted', () => {
    const fits = (choices: unknown) => expect(faultsOf('staging', choices), JSON.stringify(choices)).toEqual([]);
    fits({ broker: { size: 'mq.m7g.4xlarge' }, shards: { count: 1000, perTask: 1 } });
    fits({ broker: { nodes: 3 }, shards: { count: 63, perTask: 2 } });
    fits({ task: { outboxMaxBytes: 102 * 1024 * 1024 } });
    fits({ shards: { count: 37, perTask: 1 } });
    fits({ egress: 'nat', natGateways: 3, network: { zones: 3 } });
    // The limits of an existing broker are unknown.
    fits({ network: { existing }, broker: { existing: broker }, shards: { count: 500, perTask: 1 } });
  });

  it('the message names the environment and lists one fault a line', () => {
    expect(() => settingsFor('production', { shards: { count: 0 }, alarmEmail: 'ops' })).toThrow(
      [
        'The settings of production cannot be deployed:',
        '  - shards.count: expected a whole number of shards from 1 to 10000, got 0',
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
  it('are what Amazon MQ gives each size, and unknown for an existing broker', () => {
    expect(brokerLimits(settingsFor('staging'))).toEqual({ connectionsPerNode: 300, queues: 500 });
    expect(brokerLimits(settingsFor('production'))).toEqual({ connectionsPerNode: 1500, queues: 1000 });
    expect(brokerLimits({ broker: { size: 'mq.m7g.medium', nodes: 3 } })).toEqual({
      connectionsPerNode: 300,
      queues: 100,
    });
    expect(brokerLimits({ broker: { size: 'mq.m7g.medium', nodes: 1, existing: {} } })).toBeUndefined();
  });
});
