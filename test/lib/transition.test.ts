// What may not become of deployed settings at once, sentence by sentence, and that what the sentences ask for is accepted.
// That nothing is missing: changes.test.ts.
import { describe, expect, it } from 'vitest';
import { type Choices, type Environment, settingsFor } from '../../lib/settings.ts';
import { transitionFaults } from '../../lib/transition.ts';

function faults(from: Choices, to: Choices, environment: Environment = 'staging', service: Choices = from): string[] {
  const [broker, wanted, tasks] = [from, to, service].map((choices) => settingsFor(environment, choices));
  if (!broker || !wanted) throw new Error('expected settings');
  return transitionFaults({ broker, service: tasks }, wanted);
}

const SEE = 'keep it. See docs/deploy.md, "What cannot be changed"';
const cluster = (broker: Choices['broker']): Choices => ({ broker: { nodes: 3, ...broker } });
const network = {
  vpcId: 'vpc-0a1b2c3d',
  brokerSubnetIds: ['subnet-0000000a', 'subnet-0000000b', 'subnet-0000000c'],
  serviceSubnetIds: ['subnet-1000000a'],
};
const inNetwork = (change: object): Choices => ({ network: { existing: { ...network, ...change } }, ...cluster({}) });
const zones = (...names: string[]): Choices => ({ network: { availabilityZones: names } });

describe('what Amazon MQ cannot change', () => {
  it.each<[string, Choices, Choices, string]>([
    [
      'an older engine',
      {},
      { broker: { engineVersion: '4.2' } },
      `broker.engineVersion: deployed with 4.3, got 4.2. Amazon MQ cannot go back to an older RabbitMQ: ${SEE}`,
    ],
    [
      'an engine of two digits is not taken for an older one',
      { broker: { engineVersion: '4.10' } },
      { broker: { engineVersion: '4.9' } },
      `broker.engineVersion: deployed with 4.10, got 4.9. Amazon MQ cannot go back to an older RabbitMQ: ${SEE}`,
    ],
    [
      'two versions at once',
      { broker: { engineVersion: '4.2' } },
      { broker: { engineVersion: '4.4' } },
      'broker.engineVersion: deployed with 4.2, got 4.4. The engine goes up by one minor version at a time: deploy 4.3 first',
    ],
    [
      'more nodes',
      { network: { zones: 3 } },
      { network: { zones: 3 }, broker: { nodes: 3 } },
      `broker.nodes: deployed with 1, got 3. Amazon MQ cannot change a broker's number of nodes: ${SEE}`,
    ],
    [
      'fewer nodes',
      { broker: { nodes: 3 } },
      { network: { zones: 3 } },
      `broker.nodes: deployed with 3, got 1. Amazon MQ cannot change a broker's number of nodes: ${SEE}`,
    ],
    [
      'a smaller disk',
      cluster({}),
      cluster({ storageGb: 20 }),
      'broker.storageGb: deployed with 25 GB per node, got 20. Amazon MQ cannot make a disk smaller: set broker.storageGb to 25',
    ],
    [
      'a smaller disk by a smaller size',
      cluster({ size: 'mq.m7g.2xlarge' }),
      cluster({ size: 'mq.m7g.xlarge' }),
      'broker.storageGb: deployed with 45 GB per node, got 25. Amazon MQ cannot make a disk smaller: set broker.storageGb to 45',
    ],
    [
      'a size that cannot hold the disk',
      cluster({ size: 'mq.m7g.2xlarge' }),
      cluster({}),
      'broker.size: deployed with 45 GB of disk per node, got mq.m7g.medium, which holds 25 at most. Amazon MQ cannot make a disk smaller: keep mq.m7g.2xlarge',
    ],
    [
      'another address range',
      {},
      { network: { cidr: '10.74.0.0/16' } },
      `network.cidr: deployed with 10.73.0.0/16, got 10.74.0.0/16. Amazon MQ cannot change a broker's subnets: ${SEE}`,
    ],
    [
      'another number of zones',
      {},
      { network: { zones: 3 } },
      `network.zones: deployed with the first 2 of the region, got the first 3 of the region. Amazon MQ cannot change a broker's subnets, and neither can the number and order of its zones: ${SEE}`,
    ],
    [
      'zones in another order',
      zones('eu-west-1a', 'eu-west-1b'),
      zones('eu-west-1b', 'eu-west-1a'),
      `network.availabilityZones: deployed with eu-west-1a, eu-west-1b, got eu-west-1b, eu-west-1a. Amazon MQ cannot change a broker's subnets, and neither can the number and order of its zones: ${SEE}`,
    ],
    [
      'zones by name where none were named',
      {},
      zones('eu-west-1a', 'eu-west-1b'),
      `network.availabilityZones: deployed with the first 2 of the region, got eu-west-1a, eu-west-1b. Amazon MQ cannot change a broker's subnets, and neither can the number and order of its zones: ${SEE}`,
    ],
    [
      'a network that is there already',
      cluster({}),
      inNetwork({}),
      `network.existing: deployed with a network of its own, got vpc-0a1b2c3d. Amazon MQ cannot change a broker's subnets: ${SEE}`,
    ],
    [
      'subnets in another order',
      inNetwork({}),
      inNetwork({ brokerSubnetIds: network.brokerSubnetIds.toReversed() }),
      `network.existing.brokerSubnetIds: deployed with subnet-0000000a, subnet-0000000b, subnet-0000000c, got subnet-0000000c, subnet-0000000b, subnet-0000000a. Amazon MQ cannot change a broker's subnets: ${SEE}`,
    ],
  ])('%s', (_, from, to, fault) => {
    expect(faults(from, to)).toEqual([fault]);
  });

  it.each<[string, Choices, Choices]>([
    ['nothing', {}, {}],
    ['a newer engine', { broker: { engineVersion: '4.2' } }, {}],
    ['a larger disk', cluster({ storageGb: 20 }), cluster({})],
    [
      'a smaller size with the disk that is there',
      cluster({ size: 'mq.m7g.2xlarge' }),
      cluster({ size: 'mq.m7g.large', storageGb: 45 }),
    ],
    ['another size of one node, whose disk is always the same', { broker: { size: 'mq.m7g.large' } }, {}],
    ['zones that are said to be the default', {}, { network: { zones: 2 } }],
    ['other subnets for the tasks', inNetwork({}), inNetwork({ serviceSubnetIds: ['subnet-1000000b'] })],
  ])('%s is accepted', (_, from, to) => {
    expect(faults(from, to)).toEqual([]);
  });

  it('several are said at once', () => {
    expect(faults({}, { network: { cidr: '10.74.0.0/16' }, broker: { engineVersion: '4.2' } })).toHaveLength(2);
  });
});

describe('what the running tasks would lose', () => {
  const out: Choices = { egress: 'public-ip' };
  const keeping: Choices = { egress: 'public-ip', natGateways: 2 };

  it('NAT gateways: the tasks move out in one deployment, and the gateways go in the next', () => {
    expect(faults({}, out, 'production')).toEqual([
      "egress: deployed with 'nat', got 'public-ip' and 0 of 2 NAT gateways, through which the running tasks reach Discord. Deploy twice: first with natGateways 2 beside it, then without",
    ]);
    expect(faults({}, { ...out, natGateways: 1 }, 'production')).toHaveLength(1);
    expect(faults({}, keeping, 'production')).toEqual([]);
    expect(faults(keeping, out, 'production')).toEqual([]);
  });

  it('NAT gateways: they stay while a deployment of the service was rolled back to them', () => {
    expect(faults(keeping, out, 'production', {})).toHaveLength(1);
  });

  it('NAT gateways: fewer, while all are used', () => {
    expect(faults({}, { natGateways: 1 }, 'production')).toEqual([
      "natGateways: deployed with 2, got 1, and the running tasks use all of them. Deploy egress 'public-ip' with natGateways 2 first, then this; or keep 2",
    ]);
    expect(faults(keeping, { natGateways: 1 }, 'production')).toEqual([]);
    expect(faults({}, { natGateways: 3 }, 'production')).toEqual([]);
  });

  it('nothing is lost by tasks that are not there yet', () => {
    const [broker, wanted] = [settingsFor('production'), settingsFor('production', out)];
    expect(transitionFaults({ broker }, wanted)).toEqual([]);
  });

  it('an address that alarms reach: the old one stays until the new one is confirmed', () => {
    const [old, both, next] = ['old@example.com', ['new@example.com', 'old@example.com'], 'new@example.com'];
    expect(faults({ alarmEmail: old }, { alarmEmail: next })).toEqual([
      'alarmEmail: deployed with old@example.com, got new@example.com, where alarms arrive only once the subscription is confirmed. Deploy a list of both, confirm, then deploy without the old one',
    ]);
    expect(faults({ alarmEmail: old }, { alarmEmail: both })).toEqual([]);
    expect(faults({ alarmEmail: both }, { alarmEmail: next })).toEqual([]);
    expect(faults({}, { alarmEmail: next })).toEqual([]);
  });

  it('an address that is left out by mistake, but not one that is taken away on purpose', () => {
    expect(faults({ alarmEmail: 'old@example.com' }, {})).toEqual([
      'alarmEmail: deployed with old@example.com, got nothing. Name it again, or say [] if alarms shall not be sent by e-mail',
    ]);
    expect(faults({ alarmEmail: 'old@example.com' }, { alarmEmail: [] })).toEqual([]);
    expect(faults({ alarmEmail: [] }, {})).toEqual([]);
  });

  it('what concerns the tasks is read from their stack, and what concerns the broker from its own', () => {
    // The service was not updated since: its template still says the old address, and the older engine.
    const broker: Choices = { alarmEmail: 'new@example.com' };
    const service: Choices = { alarmEmail: 'old@example.com', broker: { engineVersion: '4.2' } };
    expect(
      faults(broker, { alarmEmail: 'new@example.com', broker: { engineVersion: '4.4' } }, 'staging', service),
    ).toEqual([expect.stringMatching(/^alarmEmail: deployed with old@example.com/)]);
  });
});
