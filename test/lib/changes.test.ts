// The broker stack is updated before the service. For every setting of the schema: a change does not remove or replace what
// the running tasks need, or it is refused with the setting's name.
import { fullDiff, ResourceImpact } from '@aws-cdk/cloudformation-diff';
import { expect, it } from 'vitest';
import { merged } from '../../lib/setting-values.ts';
import { type Choices, schemaFor, settingsFor } from '../../lib/settings.ts';
import { transitionFaults } from '../../lib/transition.ts';
import { inNetwork, keyArn, secretArn, withBroker } from '../support/choices.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';
import { dependenciesOf, exportsOf, imports, templatesOf } from './dependencies.ts';

interface Variation {
  /** Choices of both deployments. */
  readonly base?: Choices;
  readonly from?: Choices;
  readonly to: Choices;
}

const cluster = { broker: { nodes: 3 } } as const;

/** From the defaults of staging, unless `base` or `from` is given. Each is also tested in the opposite direction. */
const VARIATIONS: Readonly<Record<string, readonly Variation[]>> = {
  account: [{ to: { account: '111122223333' } }],
  region: [{ to: { region: 'eu-central-1' } }],
  'network.cidr': [{ to: { network: { cidr: '10.74.0.0/16' } } }],
  'network.zones': [{ to: { network: { zones: 3 } } }],
  'network.availabilityZones': [
    { to: { network: { availabilityZones: ['eu-central-1a', 'eu-central-1b'] } } },
    {
      from: { network: { availabilityZones: ['eu-central-1a', 'eu-central-1b'] } },
      to: { network: { availabilityZones: ['eu-central-1b', 'eu-central-1a'] } },
    },
  ],
  'network.existing.vpcId': [{ to: inNetwork() }, { from: inNetwork(), to: inNetwork({ vpcId: 'vpc-0a1b2c3e' }) }],
  'network.existing.brokerSubnetIds': [
    { from: inNetwork(), to: inNetwork({ brokerSubnetIds: ['subnet-0000000b'] }) },
    {
      from: withBroker(),
      to: { ...withBroker(), ...inNetwork({ brokerSubnetIds: ['subnet-0000000b'] }) },
    },
  ],
  'network.existing.serviceSubnetIds': [
    { from: inNetwork(), to: inNetwork({ serviceSubnetIds: ['subnet-1000000c'] }) },
    {
      base: { egress: 'nat' },
      from: inNetwork(),
      to: inNetwork({ serviceSubnetIds: ['subnet-1000000c'] }),
    },
  ],
  egress: [
    { to: { egress: 'nat' } },
    { from: { egress: 'nat' }, to: { egress: 'public-ip', natGateways: 2 } },
    { base: inNetwork(), to: { egress: 'nat' } },
  ],
  natGateways: [
    { to: { natGateways: 2 } },
    { base: { egress: 'nat' }, from: { natGateways: 1 }, to: { natGateways: 2 } },
    { base: { network: { zones: 3 }, egress: 'nat' }, from: { natGateways: 1 }, to: { natGateways: 3 } },
  ],
  'broker.size': [
    { to: { broker: { size: 'mq.m7g.large' } } },
    { base: cluster, to: { broker: { size: 'mq.m7g.2xlarge' } } },
  ],
  'broker.nodes': [{ base: { network: { zones: 3 } }, to: cluster }],
  'broker.engineVersion': [{ to: { broker: { engineVersion: '4.2' } } }, { to: { broker: { engineVersion: '4.4' } } }],
  'broker.storageGb': [{ base: cluster, to: { broker: { storageGb: 20 } } }],
  'broker.maintenanceWindow.day': [{ to: { broker: { maintenanceWindow: { day: 'MONDAY' } } } }],
  'broker.maintenanceWindow.time': [{ to: { broker: { maintenanceWindow: { time: '04:00' } } } }],
  'broker.maintenanceWindow.timeZone': [{ to: { broker: { maintenanceWindow: { timeZone: 'Europe/Berlin' } } } }],
  'broker.existing.name': [{ from: withBroker(), to: withBroker({ name: 'renamed' }) }],
  'broker.existing.host': [
    { from: withBroker(), to: withBroker({ host: 'b-2.mq.eu-central-1.on.aws' }) },
    { base: inNetwork(), to: withBroker() },
  ],
  'broker.existing.administratorSecretArn': [
    { from: withBroker(), to: withBroker({ administratorSecretArn: secretArn('other') }) },
  ],
  'broker.existing.administratorKeyArn': [{ from: withBroker(), to: withBroker({ administratorKeyArn: keyArn('1') }) }],
  'broker.existing.securityGroupId': [{ from: withBroker(), to: withBroker({ securityGroupId: 'sg-0a1b2c3e' }) }],
  'shards.count': [{ to: { shards: { count: 40 } } }],
  'shards.perTask': [{ base: { shards: { count: 40 } }, to: { shards: { perTask: 10 } } }],
  events: [{ to: { events: ['all'] } }],
  'gateway.intents': [
    { base: { events: ['members'] }, to: { gateway: { intents: ['GuildMembers', 'Guilds', 'GuildMessages'] } } },
  ],
  'gateway.initialPresence': [{ to: { gateway: { initialPresence: { status: 'idle' } } } }],
  'gateway.compression': [{ to: { gateway: { compression: 'zlib-stream' } } }],
  discordTokenSecretArn: [
    { to: { discordTokenSecretArn: secretArn('token') } },
    { from: { discordTokenSecretArn: secretArn('token') }, to: { discordTokenSecretArn: secretArn('other') } },
  ],
  discordTokenKeyArn: [
    { base: { discordTokenSecretArn: secretArn('token') }, to: { discordTokenKeyArn: keyArn('1') } },
  ],
  'task.cpu': [{ to: { task: { cpu: 512, memoryMiB: 1024 } } }],
  'task.memoryMiB': [{ to: { task: { memoryMiB: 1024 } } }],
  'task.logLevel': [{ to: { task: { logLevel: 'debug' } } }],
  logRetentionDays: [{ to: { logRetentionDays: 30 } }],
  alarmEmail: [
    { to: { alarmEmail: 'ops@example.com' } },
    { from: { alarmEmail: 'ops@example.com' }, to: { alarmEmail: 'new@example.com' } },
  ],
  queues: [{ to: { queues: { 'events.analytics': { keys: ['member.#'] } } } }],
  workers: [{ to: { workers: { analytics: { queues: ['events.guild'] } } } }],
  rotationDays: [{ to: { rotationDays: 0 } }, { to: { rotationDays: 60 } }],
};

/** Names of all settings of a zod schema. */
function settingNames(schema: unknown, path = ''): string[] {
  const { def, shape } = schema as { def: { type: string; innerType?: unknown; in?: unknown }; shape?: object };
  if (def.type === 'object') {
    return Object.entries(shape ?? {}).flatMap(([name, inner]) => settingNames(inner, path ? `${path}.${name}` : name));
  }
  if (def.innerType !== undefined) return settingNames(def.innerType, path);
  return [path];
}

/** The default variation: a neighbouring number, or the other boolean. */
function variationOf(name: string): Variation {
  const path = name.split('.');
  const value = path.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], settingsFor('staging'));
  if (typeof value !== 'number' && typeof value !== 'boolean')
    throw new Error(`expected a variation of ${name}, got none`);
  const other = typeof value === 'boolean' ? !value : value > 0 ? value - 1 : 1;
  return { to: path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), other) as Choices };
}

const names = settingNames(schemaFor(false));
const variations = Object.fromEntries(names.map((name) => [name, VARIATIONS[name] ?? [variationOf(name)]]));

const LOSSES: readonly ResourceImpact[] = [
  ResourceImpact.MAY_REPLACE,
  ResourceImpact.WILL_REPLACE,
  ResourceImpact.WILL_DESTROY,
  ResourceImpact.WILL_ORPHAN,
];

/** What the deployed service needs and an update of the broker stack removes, replaces or no longer exports. */
function lossesOf(before: Synthesized, after: Synthesized): string[] {
  const [deployed, wanted] = [templatesOf(before), templatesOf(after)];
  const needed = dependenciesOf(deployed.service, deployed.broker);
  const { resources } = fullDiff(deployed.broker, wanted.broker);
  const lost = resources.logicalIds
    .filter((id) => needed.has(id) && LOSSES.includes(resources.get(id).changeImpact))
    .map((id) => `${id}: ${resources.get(id).changeImpact}`);
  const [was, will] = [exportsOf(deployed.broker), exportsOf(wanted.broker)];
  const withdrawn = [...imports(deployed.service)]
    .filter((name) => JSON.stringify(was.get(name)) !== JSON.stringify(will.get(name)))
    .map((name) => `export ${name}`);
  return [...lost, ...withdrawn];
}

it('varies settings of the schema only', () => {
  expect(Object.keys(VARIATIONS).filter((name) => !names.includes(name))).toEqual([]);
});

it('the service depends on network, subnets, routes, security group and rules, secrets and broker', () => {
  const { broker, service } = templatesOf(synthesized('staging', { egress: 'nat' }));
  const ids = [...dependenciesOf(service, broker)];
  const types = new Set(ids.map((id) => broker.Resources[id]?.Type.replace(/.*::/, '')));
  expect([...types].toSorted()).toEqual([
    ...['Broker', 'EIP', 'InternetGateway', 'NatGateway', 'Route', 'RouteTable', 'Secret', 'SecurityGroup'],
    ...['SecurityGroupEgress', 'SecurityGroupIngress', 'Subnet', 'SubnetRouteTableAssociation', 'VPC'],
    'VPCGatewayAttachment',
  ]);
});

/** Another account or region is a separate deployment: nothing is compared. */
const ELSEWHERE = ['account', 'region'];
const faultsOf = (from: Choices, to: Choices) => {
  const settings = settingsFor('staging', from);
  return transitionFaults({ broker: settings, service: settings }, settingsFor('staging', to));
};
/** Settings with one variation that is never refused. All of them change together, and nothing may be lost. */
const free = Object.entries(variations).filter(([name, [first, ...more]]) => {
  if (!first || more.length > 0 || first.base || first.from || ELSEWHERE.includes(name)) return false;
  return faultsOf({}, first.to).length + faultsOf(first.to, {}).length === 0;
});
const changed = free.reduce((below, [, [first]]) => merged(below, first?.to) as Choices, {});

it.each([
  { from: {}, to: changed },
  { from: changed, to: {} },
])('settings without a rule remove nothing that the running tasks need: $from → $to', ({ from, to }) => {
  expect(lossesOf(synthesized('staging', from), synthesized('staging', to))).toEqual([]);
});

const ruled = Object.entries(variations).flatMap(([name, list]) =>
  free.some(([other]) => other === name)
    ? []
    : list.flatMap(({ base = {}, from = {}, to }) => {
        const [a = {}, b = {}] = [merged(base, from), merged(base, to)] as Choices[];
        return [
          { name, from: a, to: b },
          { name, from: b, to: a },
        ];
      }),
);

it.each(ruled)('$name: $from → $to removes nothing that the running tasks need, or is refused by name', (change) => {
  const { name, from, to } = change;
  const faults = faultsOf(from, to);
  const losses = lossesOf(synthesized('staging', from), synthesized('staging', to));
  if (losses.length > 0) expect(faults, losses.join('\n')).not.toEqual([]);
  // The name is that of the setting, of its group, or of a setting whose default depends on it.
  const own = (fault: string) => name.startsWith(fault.split(':')[0] ?? '') || fault.includes(`${name} `);
  for (const fault of faults)
    expect(own(fault) || DECIDES[name]?.some((other) => fault.startsWith(other)), fault).toBe(true);
});

/** Settings that decide the default of others. */
const DECIDES: Readonly<Record<string, readonly string[]>> = {
  'broker.size': ['broker.storageGb'],
  'broker.existing.host': ['broker.existing'],
  'network.existing.vpcId': ['network.existing'],
};
