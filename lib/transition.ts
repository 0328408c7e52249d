// What a deployment may not change at once: compares the deployed settings with the wanted ones and gives sentences, each with
// the setting's name and what to do instead. Two kinds: what Amazon MQ cannot change, which would fail in AWS after other
// resources were created; and what the running tasks would lose, because the broker stack is updated before them. Pure. A
// test varies every setting and compares the templates, so that the list is complete.
import { BROKER_SIZES, storageGb } from './broker-limits.ts';
import type { Settings } from './settings.ts';

/** The metadata of a template are those of its last real update, so each stack has its own. */
export interface Deployed {
  readonly broker: Settings;
  /** Missing before the first deployment of the service, which has no tasks then. */
  readonly service?: Settings | undefined;
}

export function transitionFaults({ broker, service }: Deployed, wanted: Settings): string[] {
  const tasks = service ? [...gatewayFaults(broker, service, wanted), ...emailFaults(service, wanted)] : [];
  return [...networkFaults(broker, wanted), ...brokerFaults(broker.broker, wanted.broker), ...tasks];
}

const BROKER_SUBNETS = "Amazon MQ cannot change a broker's subnets";

function networkFaults({ network: was, broker }: Settings, { network: will }: Settings): string[] {
  if (was.existing && will.existing) {
    const [from, to] = [was.existing, will.existing];
    const ids = [from, to].map(({ brokerSubnetIds }) => brokerSubnetIds.join(', '));
    return [
      ...fixed('network.existing.vpcId', from.vpcId, to.vpcId, BROKER_SUBNETS),
      // With an existing broker, only the functions are in these subnets.
      ...(broker.existing ? [] : fixed('network.existing.brokerSubnetIds', ids[0], ids[1], BROKER_SUBNETS)),
    ];
  }
  if (was.existing || will.existing) {
    const [from, to] = [was, will].map(({ existing }) => existing?.vpcId ?? 'a network of its own');
    return fixed('network.existing', from, to, BROKER_SUBNETS);
  }
  const [from, to] = [was, will].map(
    ({ availabilityZones, zones }) => availabilityZones?.join(', ') ?? `the first ${zones} of the region`,
  );
  const name = was.availabilityZones || will.availabilityZones ? 'network.availabilityZones' : 'network.zones';
  const why = `${BROKER_SUBNETS}, and neither can the number and order of its zones`;
  return [...fixed('network.cidr', was.cidr, will.cidr, BROKER_SUBNETS), ...fixed(name, from, to, why)];
}

type Broker = Settings['broker'];

function brokerFaults(was: Broker, will: Broker): string[] {
  if (was.existing && will.existing) {
    const [from, to] = [was.existing, will.existing];
    const login = 'The logins are made for the broker that is deployed, and the running tasks and the leases are on it';
    const group =
      "Amazon MQ cannot change a broker's security group, and the running tasks lose the rule in the old one";
    return [
      ...fixed('broker.existing.host', from.host, to.host, login),
      ...fixed('broker.existing.securityGroupId', from.securityGroupId, to.securityGroupId, group),
    ];
  }
  if (was.existing || will.existing) {
    const [from, to] = [was, will].map(({ existing }) => existing?.name ?? 'a broker of its own');
    return fixed('broker.existing', from, to, 'The running tasks and the leases are on the broker that is deployed');
  }
  return [
    ...fixed('broker.nodes', was.nodes, will.nodes, "Amazon MQ cannot change a broker's number of nodes"),
    ...engineFaults(was.engineVersion, will.engineVersion),
    ...(was.nodes === will.nodes ? diskFaults(was, will) : []),
  ];
}

function engineFaults(was: string, will: string): string[] {
  const [from = 0, to = 0] = [was, will].map((version) => Number(version.split('.')[1]));
  if (to < from) return fixed('broker.engineVersion', was, will, 'Amazon MQ cannot go back to an older RabbitMQ');
  if (to <= from + 1) return [];
  return [
    `broker.engineVersion: deployed with ${was}, got ${will}. The engine goes up by one minor version at a time: deploy 4.${from + 1} first`,
  ];
}

function diskFaults(was: Broker, will: Broker): string[] {
  const [from = 0, to = 0] = [was, will].map((broker) => storageGb(broker) ?? 0);
  const { mostGb } = BROKER_SIZES[will.size];
  if (to >= from) return [];
  if (from <= mostGb) {
    return [
      `broker.storageGb: deployed with ${from} GB per node, got ${to}. Amazon MQ cannot make a disk smaller: set broker.storageGb to ${from}`,
    ];
  }
  return [
    `broker.size: deployed with ${from} GB of disk per node, got ${will.size}, which holds ${mostGb} at most. Amazon MQ cannot make a disk smaller: keep ${was.size}`,
  ];
}

/** Tasks without a public address reach Discord through NAT gateways until they end. */
function gatewayFaults({ network, natGateways: was }: Settings, service: Settings, wanted: Settings): string[] {
  const will = wanted.natGateways;
  if (network.existing || service.egress !== 'nat' || will >= was) return [];
  return [
    wanted.egress === 'public-ip'
      ? `egress: deployed with 'nat', got 'public-ip' and ${will} of ${was} NAT gateways, through which the running tasks reach Discord. Deploy twice: first with natGateways ${was} beside it, then without`
      : `natGateways: deployed with ${was}, got ${will}, and the running tasks use all of them. Deploy egress 'public-ip' with natGateways ${was} first, then this; or keep ${was}`,
  ];
}

/** A subscription counts once its owner has confirmed it, and the old one ends with the deployment. */
function emailFaults({ alarmEmail: was = [] }: Settings, { alarmEmail: will }: Settings): string[] {
  if (was.length === 0 || will?.length === 0 || was.some((email) => will?.includes(email))) return [];
  const old = was.join(', ');
  return [
    will === undefined
      ? `alarmEmail: deployed with ${old}, got nothing. Name it again, or use [] if alarms shall not be sent by e-mail`
      : `alarmEmail: deployed with ${old}, got ${will.join(', ')}, where alarms arrive only once the subscription is confirmed. Deploy a list of both, confirm, then deploy without the old one`,
  ];
}

function fixed(name: string, from: unknown, to: unknown, why: string): string[] {
  if (from === to) return [];
  return [`${name}: deployed with ${from}, got ${to}. ${why}: keep it. See docs/deploy.md, "What cannot be changed"`];
}
