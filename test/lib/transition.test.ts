// What a deployment may not change at once, sentence by sentence, and that what the sentences ask for is accepted. That the
// list is complete: changes.test.ts.
import { describe, expect, it } from 'vitest';
import { type Choices, type Environment, settingsFor } from '../../lib/settings.ts';
import { transitionFaults } from '../../lib/transition.ts';

function faults(from: Choices, to: Choices, environment: Environment = 'staging', service: Choices = from): string[] {
  const deployed = { broker: settingsFor(environment, from), service: settingsFor(environment, service) };
  return transitionFaults(deployed, settingsFor(environment, to));
}

const cluster = (broker: Choices['broker'] = {}): Choices => ({ broker: { nodes: 3, ...broker } });
const engine = (engineVersion: string): Choices => ({ broker: { engineVersion } });
const three = { network: { zones: 3 } } as const;
const network = {
  vpcId: 'vpc-0a1b2c3d',
  brokerSubnetIds: ['subnet-0000000a', 'subnet-0000000b', 'subnet-0000000c'],
  serviceSubnetIds: ['subnet-1000000a'],
};
const inNetwork = (change: object): Choices => ({ network: { existing: { ...network, ...change } }, ...cluster() });
const reversed = { brokerSubnetIds: network.brokerSubnetIds.toReversed() };
const zones = (...names: string[]): Choices => ({ network: { availabilityZones: names } });

describe('what Amazon MQ cannot change', () => {
  const OLDER = 'Amazon MQ cannot go back to an older RabbitMQ';
  const NODES = "Amazon MQ cannot change a broker's number of nodes";
  const SMALLER = 'Amazon MQ cannot make a disk smaller';
  const SUBNETS = "Amazon MQ cannot change a broker's subnets";
  const ORDER = `${SUBNETS}, and neither can the number and order of its zones`;

  it.each<[fault: string, from: Choices, to: Choices]>([
    [`broker.engineVersion: deployed with 4.3, got 4.2. ${OLDER}`, {}, engine('4.2')],
    // Two digits are not compared as text.
    [`broker.engineVersion: deployed with 4.10, got 4.9. ${OLDER}`, engine('4.10'), engine('4.9')],
    [`broker.nodes: deployed with 1, got 3. ${NODES}`, three, { ...three, ...cluster() }],
    [`broker.nodes: deployed with 3, got 1. ${NODES}`, cluster(), three],
    [
      `network.cidr: deployed with 10.73.0.0/16, got 10.74.0.0/16. ${SUBNETS}`,
      {},
      { network: { cidr: '10.74.0.0/16' } },
    ],
    [`network.zones: deployed with the first 2 of the region, got the first 3 of the region. ${ORDER}`, {}, three],
    [
      `network.availabilityZones: deployed with the first 2 of the region, got eu-west-1a, eu-west-1b. ${ORDER}`,
      {},
      zones('eu-west-1a', 'eu-west-1b'),
    ],
    [`network.existing: deployed with a network of its own, got vpc-0a1b2c3d. ${SUBNETS}`, cluster(), inNetwork({})],
    [
      `network.existing.brokerSubnetIds: deployed with subnet-0000000a, subnet-0000000b, subnet-0000000c, got subnet-0000000c, subnet-0000000b, subnet-0000000a. ${SUBNETS}`,
      inNetwork({}),
      inNetwork(reversed),
    ],
  ])('%s', (fault, from, to) => {
    expect(faults(from, to)).toEqual([`${fault}: keep it. See docs/deploy.md, "What cannot be changed"`]);
  });

  it.each<[fault: string, from: Choices, to: Choices]>([
    [
      'broker.engineVersion: deployed with 4.2, got 4.4. The engine goes up by one minor version at a time: deploy 4.3 first',
      engine('4.2'),
      engine('4.4'),
    ],
    [
      `broker.storageGb: deployed with 25 GB per node, got 20. ${SMALLER}: set broker.storageGb to 25`,
      cluster(),
      cluster({ storageGb: 20 }),
    ],
    [
      `broker.storageGb: deployed with 45 GB per node, got 25. ${SMALLER}: set broker.storageGb to 45`,
      cluster({ size: 'mq.m7g.2xlarge' }),
      cluster({ size: 'mq.m7g.xlarge' }),
    ],
    [
      `broker.size: deployed with 45 GB of disk per node, got mq.m7g.medium, which holds 25 at most. ${SMALLER}: keep mq.m7g.2xlarge`,
      cluster({ size: 'mq.m7g.2xlarge' }),
      cluster(),
    ],
  ])('%s', (fault, from, to) => {
    expect(faults(from, to)).toEqual([fault]);
  });

  it.each<[string, Choices, Choices]>([
    ['nothing', {}, {}],
    ['a newer engine', engine('4.2'), {}],
    ['a larger disk', cluster({ storageGb: 20 }), cluster()],
    [
      'a smaller size with the disk it has',
      cluster({ size: 'mq.m7g.2xlarge' }),
      cluster({ size: 'mq.m7g.large', storageGb: 45 }),
    ],
    ['another size of one node, whose disk is always the same', { broker: { size: 'mq.m7g.large' } }, {}],
    ['the default number of zones, written out', {}, { network: { zones: 2 } }],
    ['other subnets for the tasks', inNetwork({}), inNetwork({ serviceSubnetIds: ['subnet-1000000b'] })],
  ])('%s is accepted', (_, from, to) => {
    expect(faults(from, to)).toEqual([]);
  });

  it('several faults come at once', () => {
    expect(faults({}, { network: { cidr: '10.74.0.0/16' }, ...engine('4.2') })).toHaveLength(2);
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
    // A deployment of the service was rolled back: its tasks still use them.
    expect(faults(keeping, out, 'production', {})).toHaveLength(1);
  });

  it('NAT gateways: fewer, while all are used', () => {
    expect(faults({}, { natGateways: 1 }, 'production')).toEqual([
      "natGateways: deployed with 2, got 1, and the running tasks use all of them. Deploy egress 'public-ip' with natGateways 2 first, then this; or keep 2",
    ]);
    expect(faults(keeping, { natGateways: 1 }, 'production')).toEqual([]);
    expect(faults({}, { natGateways: 3 }, 'production')).toEqual([]);
  });

  it('nothing, before there are tasks', () => {
    expect(transitionFaults({ broker: settingsFor('production') }, settingsFor('production', out))).toEqual([]);
  });

  it('an address for alarms: the old one stays until the new one is confirmed', () => {
    const [old, both, next] = ['old@example.com', ['new@example.com', 'old@example.com'], 'new@example.com'];
    expect(faults({ alarmEmail: old }, { alarmEmail: next })).toEqual([
      'alarmEmail: deployed with old@example.com, got new@example.com, where alarms arrive only once the subscription is confirmed. Deploy a list of both, confirm, then deploy without the old one',
    ]);
    expect(faults({ alarmEmail: old }, { alarmEmail: both })).toEqual([]);
    expect(faults({ alarmEmail: both }, { alarmEmail: next })).toEqual([]);
    expect(faults({}, { alarmEmail: next })).toEqual([]);
  });

  it('an address that is missing by mistake, but not one that is removed on purpose', () => {
    expect(faults({ alarmEmail: 'old@example.com' }, {})).toEqual([
      'alarmEmail: deployed with old@example.com, got nothing. Name it again, or use [] if alarms shall not be sent by e-mail',
    ]);
    expect(faults({ alarmEmail: 'old@example.com' }, { alarmEmail: [] })).toEqual([]);
    expect(faults({ alarmEmail: [] }, {})).toEqual([]);
  });

  it('tasks are compared with the template of their stack, the broker with that of its own', () => {
    // The service was not updated since: its template still has the old address, and the older engine.
    const service: Choices = { alarmEmail: 'old@example.com', ...engine('4.2') };
    const wanted = { alarmEmail: 'new@example.com', ...engine('4.4') };
    expect(faults({ alarmEmail: 'new@example.com' }, wanted, 'staging', service)).toEqual([
      expect.stringMatching(/^alarmEmail: deployed with old@example.com/),
    ]);
  });
});
