// Changes that a deployment refuses, and that it accepts what its sentences advise. changes.test.ts shows that the list is
// complete.
import { describe, expect, it } from 'vitest';
import { type Choices, type Environment, settingsFor } from '../../lib/settings.ts';
import { transitionFaults } from '../../lib/transition.ts';
import { BROKER, inNetwork, NETWORK, withBroker } from '../support/choices.ts';

function faults(from: Choices, to: Choices, environment: Environment = 'staging', service: Choices = from): string[] {
  const deployed = { broker: settingsFor(environment, from), service: settingsFor(environment, service) };
  return transitionFaults(deployed, settingsFor(environment, to));
}

const cluster = (broker: Choices['broker'] = {}): Choices => ({ broker: { nodes: 3, ...broker } });
const engine = (engineVersion: string): Choices => ({ broker: { engineVersion } });
const three = { network: { zones: 3 } } as const;
const zones = (...names: string[]): Choices => ({ network: { availabilityZones: names } });
const subnets = (...brokerSubnetIds: string[]): Choices => ({ ...inNetwork({ brokerSubnetIds }), ...cluster() });
const [a, b, c] = ['subnet-0000000a', 'subnet-0000000b', 'subnet-0000000c'] as const;

it('a refusal names the setting, both values, the reason and the documentation', () => {
  expect(faults({}, { network: { cidr: '10.74.0.0/16' }, ...engine('4.2') })).toEqual([
    'network.cidr: deployed with 10.73.0.0/16, got 10.74.0.0/16. Amazon MQ cannot change a broker\'s subnets: keep it. See docs/deploy.md, "What cannot be changed"',
    expect.stringContaining('broker.engineVersion: deployed with 4.3, got 4.2. Amazon MQ cannot go back'),
  ]);
});

it.each<[fault: string, from: Choices, to: Choices]>([
  // Versions are compared as numbers, not as text.
  ['broker.engineVersion: deployed with 4.10, got 4.9', engine('4.10'), engine('4.9')],
  ['one minor version at a time: deploy 4.3 first', engine('4.2'), engine('4.4')],
  ['broker.nodes: deployed with 1, got 3', three, { ...three, ...cluster() }],
  ['broker.nodes: deployed with 3, got 1', cluster(), three],
  ['broker.storageGb: deployed with 25 GB per node, got 20', cluster(), cluster({ storageGb: 20 })],
  ['set broker.storageGb to 45', cluster({ size: 'mq.m7g.2xlarge' }), cluster({ size: 'mq.m7g.xlarge' })],
  ['which holds 25 at most', cluster({ size: 'mq.m7g.2xlarge' }), cluster()],
  ['network.zones: deployed with the first 2 of the region, got the first 3 of the region', {}, three],
  ['network.availabilityZones: deployed with the first 2 of the region', {}, zones('eu-west-1a', 'eu-west-1b')],
  ['network.existing: deployed with a network of its own, got vpc-0a1b2c3d', cluster(), subnets(a, b, c)],
  [`network.existing.brokerSubnetIds: deployed with ${a}, ${b}, ${c}`, subnets(a, b, c), subnets(c, b, a)],
  [
    `network.existing.vpcId: deployed with ${NETWORK.vpcId}, got vpc-0000000b. Amazon MQ cannot change a broker's subnets`,
    ...([inNetwork(), inNetwork({ vpcId: 'vpc-0000000b' })] as const),
  ],
  [
    'broker.existing: deployed with a broker of its own, got theirs. The running tasks and the leases are on',
    ...([inNetwork(), withBroker()] as const),
  ],
  [
    `broker.existing.host: deployed with ${BROKER.host}, got b-2.mq.eu-central-1.on.aws. The logins are made for`,
    ...([withBroker(), withBroker({ host: 'b-2.mq.eu-central-1.on.aws' })] as const),
  ],
  [
    `broker.existing.securityGroupId: deployed with ${BROKER.securityGroupId}, got sg-0000000b. Amazon MQ cannot`,
    ...([withBroker(), withBroker({ securityGroupId: 'sg-0000000b' })] as const),
  ],
])('%s', (fault, from, to) => {
  expect(faults(from, to)).toEqual([expect.stringContaining(fault)]);
});

it.each<[string, Choices, Choices]>([
  ['nothing', {}, {}],
  ['a newer engine', engine('4.2'), {}],
  ['a larger disk', cluster({ storageGb: 20 }), cluster()],
  [
    'a smaller size with its disk',
    cluster({ size: 'mq.m7g.2xlarge' }),
    cluster({ size: 'mq.m7g.large', storageGb: 45 }),
  ],
  ['another size of a single node, whose disk never changes', { broker: { size: 'mq.m7g.large' } }, {}],
  ['the default number of zones, written out', {}, { network: { zones: 2 } }],
  ['other subnets for the tasks', inNetwork(), inNetwork({ serviceSubnetIds: ['subnet-1000000b'] })],
])('%s is accepted', (_, from, to) => {
  expect(faults(from, to)).toEqual([]);
});

describe('what the running tasks would lose', () => {
  const out: Choices = { egress: 'public-ip' };
  const keeping: Choices = { egress: 'public-ip', natGateways: 2 };
  const [old, both, next] = ['old@example.com', ['new@example.com', 'old@example.com'], 'new@example.com'];

  it.each<[fault: string | undefined, from: Choices, to: Choices, service?: Choices]>([
    // One deployment gives the tasks public addresses, and the next removes the NAT gateways.
    ["egress: deployed with 'nat', got 'public-ip' and 0 of 2 NAT gateways", {}, out],
    ["got 'public-ip' and 1 of 2 NAT gateways", {}, { ...out, natGateways: 1 }],
    [undefined, {}, keeping],
    [undefined, keeping, out],
    // After a rollback of the service stack its tasks still use the gateways.
    ['Deploy twice: first with natGateways 2 beside it', keeping, out, {}],
    ['natGateways: deployed with 2, got 1', {}, { natGateways: 1 }],
    [undefined, keeping, { natGateways: 1 }],
    [undefined, {}, { natGateways: 3 }],
    // The old address stays until the new one is confirmed.
    ['alarmEmail: deployed with old@example.com, got new@example.com', { alarmEmail: old }, { alarmEmail: next }],
    [undefined, { alarmEmail: old }, { alarmEmail: both }],
    [undefined, { alarmEmail: both }, { alarmEmail: next }],
    [undefined, {}, { alarmEmail: next }],
    // An absent setting may be a mistake. An empty list is on purpose.
    ['alarmEmail: deployed with old@example.com, got nothing', { alarmEmail: old }, {}],
    [undefined, { alarmEmail: old }, { alarmEmail: [] }],
    // The service stack was not updated: its template still has the old address and engine.
    [
      'with old@example.com, got new',
      { alarmEmail: next },
      { alarmEmail: next },
      { alarmEmail: old, ...engine('4.2') },
    ],
  ])('%s: %j → %j', (fault, from, to, service = from) => {
    const expected = fault === undefined ? [] : [expect.stringContaining(fault)];
    expect(faults(from, to, 'production', service)).toEqual(expected);
  });

  it('nothing, before the first deployment of the service', () => {
    expect(transitionFaults({ broker: settingsFor('production') }, settingsFor('production', out))).toEqual([]);
  });
});
