// The topology as properties of a CloudFormation resource and back. CloudFormation turns every number and boolean into
// a text, and `cdk diff` shows what changed property by property: so each exchange, queue, binding, policy and user is
// a property of its own, whose value is JSON. Only the queues and bindings of commands follow from the number of shards: a
// binding for each of 10,000 shards would not fit into a template of 1 MB.
import { jsonOf } from '../management/json.ts';
import { commandTopology, isCommandBinding, isCommandQueue, TOPOLOGY, type Topology } from './topology.ts';

type Listed = Readonly<Record<string, string>>;

export interface TopologyProperties {
  readonly Vhost: string;
  readonly Shards: string;
  readonly Exchanges: Listed;
  readonly Queues: Listed;
  readonly Bindings: Listed;
  readonly Policies: Listed;
  readonly Users: Listed;
}

/** Tag of the first login's secret: what was applied last, as `fingerprint` has it. */
export const APPLIED_TAG = 'topology-applied';

/** Properties of the resource. */
export interface ResourceProperties {
  readonly Topology: TopologyProperties;
  /** Another one is a change to CloudFormation, and nothing else. */
  readonly Revision: number;
  /** Only so that CloudFormation sees a change of the broker or of a secret: the function reads its environment. */
  readonly ManagementUrl: string;
  readonly LoginSecretArns: Readonly<Record<string, string>>;
}

export function toProperties(topology: Topology): TopologyProperties {
  return {
    Vhost: topology.vhost,
    Shards: JSON.stringify(topology.shards),
    Exchanges: named(topology.exchanges),
    Queues: named(topology.queues.filter(({ name }) => !isCommandQueue(name))),
    Bindings: Object.fromEntries(
      topology.bindings
        .filter((binding) => !isCommandBinding(binding))
        .map((binding) => [
          `${binding.exchange} → ${binding.queue}: ${binding.routingKey || '(all)'}`,
          JSON.stringify(binding),
        ]),
    ),
    Policies: named(topology.policies),
    Users: named(topology.users),
  };
}

/** @throws Error with one sentence, where the properties are not what `toProperties` makes */
export function fromProperties(properties: TopologyProperties): Topology {
  const parsed = TOPOLOGY.safeParse({
    vhost: properties.Vhost,
    shards: jsonOf(properties.Shards),
    exchanges: listed(properties.Exchanges),
    queues: listed(properties.Queues),
    bindings: Object.values(properties.Bindings ?? {}).map(jsonOf),
    policies: listed(properties.Policies),
    users: listed(properties.Users),
  });
  if (parsed.success) {
    const { queues, bindings } = commandTopology(parsed.data.shards);
    return {
      ...parsed.data,
      queues: [...parsed.data.queues, ...queues],
      bindings: [...parsed.data.bindings, ...bindings],
    };
  }
  const [issue] = parsed.error.issues;
  throw new Error(`Topology.${issue?.path.join('.')}: ${issue?.message}. Was it made by another version?`);
}

function listed(properties: Listed): unknown[] {
  return Object.entries(properties ?? {}).map(([name, json]) => ({ name, ...Object(jsonOf(json)) }));
}

function named(list: readonly { readonly name: string }[]): Listed {
  return Object.fromEntries(list.map(({ name, ...rest }) => [name, JSON.stringify(rest)]));
}
