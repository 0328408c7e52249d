// What a deployment may not change at once: from the settings that are deployed and those that are wanted to sentences,
// each with the setting's name and what to do instead. Two kinds: what Amazon MQ cannot change at all, which would fail
// in AWS after other things were made; and what the tasks that still run would lose, because the broker stack is updated
// before them. Pure. That the list is complete is tested: every setting is varied, and the templates are compared.
import { BROKER_SIZES } from './broker-limits.ts';
import { type Settings, storageGb } from './settings.ts';

/** A template's settings say what they were at its last real update, so each stack is asked for its own. */
export interface Deployed {
  readonly broker: Settings;
  /** Not there before the first deployment of the service, whose tasks then have nothing to lose. */
  readonly service?: Settings | undefined;
}

export function transitionFaults(deployed: Deployed, wanted: Settings): string[] {
  const faults = [...networkFaults(deployed.broker, wanted), ...brokerFaults(deployed.broker, wanted)];
  if (deployed.service) {
    const gateways = gatewayFault(deployed.broker, deployed.service, wanted);
    const email = emailFault(deployed.service, wanted);
    for (const fault of [gateways, email]) if (fault !== undefined) faults.push(fault);
  }
  return faults;
}

function networkFaults(deployed: Settings, wanted: Settings): string[] {
  const faults: string[] = [];
  const [was, will] = [deployed.network, wanted.network];
  if (was.existing && will.existing) {
    if (was.existing.vpcId !== will.existing.vpcId) {
      faults.push(fixed('network.existing.vpcId', was.existing.vpcId, will.existing.vpcId, BROKER_SUBNETS));
    }
    // The functions alone may move, where the broker is not ours.
    const [from, to] = [was.existing.brokerSubnetIds, will.existing.brokerSubnetIds].map((ids) => ids.join(', '));
    if (!deployed.broker.existing && from !== to) {
      faults.push(fixed('network.existing.brokerSubnetIds', from, to, BROKER_SUBNETS));
    }
  } else if (was.existing || will.existing) {
    const [from, to] = [was.existing, will.existing].map((existing) => existing?.vpcId ?? 'a network of its own');
    faults.push(fixed('network.existing', from, to, BROKER_SUBNETS));
  } else {
    if (was.cidr !== will.cidr) faults.push(fixed('network.cidr', was.cidr, will.cidr, BROKER_SUBNETS));
    const [from, to] = [was, will].map(zoneNames);
    if (from !== to) {
      const name = was.availabilityZones || will.availabilityZones ? 'network.availabilityZones' : 'network.zones';
      faults.push(fixed(name, from, to, `${BROKER_SUBNETS}, and neither can the number and order of its zones`));
    }
  }
  return faults;
}

const BROKER_SUBNETS = "Amazon MQ cannot change a broker's subnets";

function zoneNames({ availabilityZones, zones }: Settings['network']): string {
  return availabilityZones?.join(', ') ?? `the first ${zones} of the region`;
}

function brokerFaults(deployed: Settings, wanted: Settings): string[] {
  const [was, will] = [deployed.broker, wanted.broker];
  if (was.existing && will.existing) return existingBrokerFaults(was.existing, will.existing);
  if (was.existing || will.existing) {
    const [from, to] = [was.existing, will.existing].map((existing) => existing?.name ?? 'a broker of its own');
    return [fixed('broker.existing', from, to, 'The running tasks and the leases are on the broker that is deployed')];
  }
  const faults: string[] = [];
  if (was.nodes !== will.nodes) {
    faults.push(fixed('broker.nodes', was.nodes, will.nodes, "Amazon MQ cannot change a broker's number of nodes"));
  }
  const [from = 0, to = 0] = [was, will].map(({ engineVersion }) => Number(engineVersion.split('.')[1]));
  if (to < from) {
    const why = 'Amazon MQ cannot go back to an older RabbitMQ';
    faults.push(fixed('broker.engineVersion', was.engineVersion, will.engineVersion, why));
  } else if (to > from + 1) {
    faults.push(
      `broker.engineVersion: deployed with ${was.engineVersion}, got ${will.engineVersion}. The engine goes up by one minor version at a time: deploy 4.${from + 1} first`,
    );
  }
  const [disk = 0, newDisk = 0] = [was, will].map((broker) => storageGb(broker) ?? 0);
  if (was.nodes === will.nodes && newDisk < disk) {
    const { mostGb } = BROKER_SIZES[will.size];
    faults.push(
      disk > mostGb
        ? `broker.size: deployed with ${disk} GB of disk per node, got ${will.size}, which holds ${mostGb} at most. Amazon MQ cannot make a disk smaller: keep ${was.size}`
        : `broker.storageGb: deployed with ${disk} GB per node, got ${newDisk}. Amazon MQ cannot make a disk smaller: set broker.storageGb to ${disk}`,
    );
  }
  return faults;
}

type ExistingBroker = NonNullable<Settings['broker']['existing']>;

function existingBrokerFaults(was: ExistingBroker, will: ExistingBroker): string[] {
  const faults: string[] = [];
  if (was.host !== will.host) {
    const why = 'The logins are made for the broker that is deployed, and the running tasks and the leases are on it';
    faults.push(fixed('broker.existing.host', was.host, will.host, why));
  }
  if (was.securityGroupId !== will.securityGroupId) {
    const why = "Amazon MQ cannot change a broker's security group, and the running tasks lose the rule in the old one";
    faults.push(fixed('broker.existing.securityGroupId', was.securityGroupId, will.securityGroupId, why));
  }
  return faults;
}

/** NAT gateways are the way to Discord for tasks that have no public address, until these are replaced. */
function gatewayFault(deployed: Settings, service: Settings, wanted: Settings): string | undefined {
  if (deployed.network.existing || service.egress !== 'nat' || wanted.natGateways >= deployed.natGateways) return;
  const { natGateways } = deployed;
  if (wanted.egress === 'public-ip') {
    return `egress: deployed with 'nat', got 'public-ip' and ${wanted.natGateways} of ${natGateways} NAT gateways, through which the running tasks reach Discord. Deploy twice: first with natGateways ${natGateways} beside it, then without`;
  }
  return `natGateways: deployed with ${natGateways}, got ${wanted.natGateways}, and the running tasks use all of them. Deploy egress 'public-ip' with natGateways ${natGateways} first, then this; or keep ${natGateways}`;
}

/** A subscription counts once its owner has confirmed it, and the old one goes with the deployment. */
function emailFault(service: Settings, wanted: Settings): string | undefined {
  const was = service.alarmEmail ?? [];
  const will = wanted.alarmEmail;
  if (was.length === 0 || will?.length === 0 || was.some((email) => will?.includes(email))) return;
  const old = was.join(', ');
  if (will === undefined) {
    return `alarmEmail: deployed with ${old}, got nothing. Name it again, or say [] if alarms shall not be sent by e-mail`;
  }
  return `alarmEmail: deployed with ${old}, got ${will.join(', ')}, where alarms arrive only once the subscription is confirmed. Deploy a list of both, confirm, then deploy without the old one`;
}

function fixed(name: string, from: unknown, to: unknown, why: string): string {
  return `${name}: deployed with ${from}, got ${to}. ${why}: keep it. See docs/deploy.md, "What cannot be changed"`;
}
