// The topology as properties of a CloudFormation resource and back. CloudFormation turns every number and boolean into
// a text, and `cdk diff` shows what changed property by property: so each exchange, queue, binding, policy and user is
// a property of its own, whose value is JSON.
import { z } from 'zod';
import type { Topology } from './topology.ts';

export interface TopologyProperties {
  readonly Vhost: string;
  readonly Exchanges: Readonly<Record<string, string>>;
  readonly Queues: Readonly<Record<string, string>>;
  readonly Bindings: Readonly<Record<string, string>>;
  readonly Policies: Readonly<Record<string, string>>;
  readonly Users: Readonly<Record<string, string>>;
}

/** Variables of the function that applies the topology: where it does so, and the secrets that it reads for it. */
export const TOPOLOGY_ENV = {
  /** `https://host` */
  managementUrl: 'MANAGEMENT_URL',
  administratorSecretArn: 'ADMINISTRATOR_SECRET_ARN',
  /** JSON, by the name of a user in the topology: the secret that says under which name and password it logs in. */
  loginSecretArns: 'LOGIN_SECRET_ARNS',
} as const;

/** Tag of the first login's secret: what was applied last, as `fingerprint` has it. */
export const APPLIED_TAG = 'topology-applied';

/** Properties of the resource. */
export interface ResourceProperties {
  readonly Topology: TopologyProperties;
  /** Another one is a change to CloudFormation, and nothing else. */
  readonly Revision: number;
  /**
   * Only so that CloudFormation sees a change of the broker or of a secret: the function takes both from its environment,
   * because whoever may send it an event should not choose where the administrator's password goes.
   */
  readonly ManagementUrl: string;
  readonly LoginSecretArns: Readonly<Record<string, string>>;
}

export function toProperties(topology: Topology): TopologyProperties {
  return {
    Vhost: topology.vhost,
    Exchanges: named(topology.exchanges),
    Queues: named(topology.queues),
    Bindings: Object.fromEntries(
      topology.bindings.map((binding) => [
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
    exchanges: listed(properties.Exchanges),
    queues: listed(properties.Queues),
    bindings: Object.values(properties.Bindings ?? {}).map(fromJson),
    policies: listed(properties.Policies),
    users: listed(properties.Users),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`Topology.${issue?.path.join('.')}: ${issue?.message}. Was it made by another version?`);
}

/** Also a property that was not there: a list may be new. */
function listed(record: Readonly<Record<string, string>> | undefined): unknown[] {
  return Object.entries(record ?? {}).map(([name, json]) => ({ name, ...Object(fromJson(json)) }));
}

function named(list: readonly { readonly name: string }[]): Record<string, string> {
  return Object.fromEntries(list.map(({ name, ...rest }) => [name, JSON.stringify(rest)]));
}

function fromJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

const VALUES = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));
export const TOPOLOGY = z.object({
  vhost: z.string(),
  exchanges: z.array(z.object({ name: z.string(), type: z.enum(['topic', 'direct', 'fanout']) })),
  queues: z.array(z.object({ name: z.string(), arguments: VALUES })),
  bindings: z.array(z.object({ exchange: z.string(), queue: z.string(), routingKey: z.string() })),
  policies: z.array(
    z.object({
      name: z.string(),
      pattern: z.string(),
      applyTo: z.enum(['queues', 'exchanges']),
      priority: z.number(),
      definition: VALUES,
    }),
  ),
  users: z.array(
    z.object({
      name: z.string(),
      tags: z.array(z.string()),
      permissions: z.object({ configure: z.string(), write: z.string(), read: z.string() }),
      limits: z.object({ 'max-connections': z.number(), 'max-channels': z.number() }).optional(),
    }),
  ),
}) satisfies z.ZodType<Topology>;
