// What a broker has now, of everything that a topology contains. Read by GETs only.

import { type FoundIn, type ManagementApi, unlessRefused } from '../management/management-api.ts';
import { EMPTY_RECORD, parseRecord, recordName, type TopologyRecord } from './record.ts';
import type { BindingTarget, UserPermissions } from './steps.ts';

export interface Found {
  /** Of RabbitMQ: '4.3.6'. */
  readonly version: string;
  /** The user that reads this, and will carry out the plan. */
  readonly login: string;
  readonly vhost: string;
  readonly vhostExists: boolean;
  /** Of the vhost, without RabbitMQ's own. */
  readonly exchanges: readonly FoundIn<'exchanges'>[];
  /** Of the vhost, without those that end with the connection that declared them. */
  readonly queues: readonly FoundIn<'queues'>[];
  /** Of the vhost, as far as a topology can have them: to a queue, without arguments, and not of the default exchange. */
  readonly bindings: readonly Required<BindingTarget>[];
  readonly policies: readonly FoundIn<'policies'>[];
  readonly operatorPolicies: readonly FoundIn<'policies'>[];
  /** Of the broker, all vhosts. */
  readonly users: readonly FoundIn<'users'>[];
  /** Of all users in the vhost. */
  readonly permissions: readonly UserPermissions[];
  /** Of the broker; undefined where it does not show them. */
  readonly userLimits: readonly FoundIn<'user-limits'>[] | undefined;
  /** What was created and changed here before; undefined where it is unknown. */
  readonly record: TopologyRecord | undefined;
  /** What the broker does not show us, and what follows, one sentence each. */
  readonly notes: readonly string[];
}

/** @throws ManagementApiError; Error with one sentence when the login is no administrator */
export async function readFound(api: ManagementApi, vhost: string): Promise<Found> {
  const { name: login, tags } = await api.get('whoami');
  if (!tags.includes('administrator')) {
    const got = tags.join(', ') || 'none';
    throw new Error(`user '${login}' cannot manage vhosts and users: expected the tag administrator, got ${got}`);
  }
  const notes: string[] = [];
  const optional = async <T>(asked: Promise<T>, consequence: string) =>
    await unlessRefused(asked, (reason) => notes.push(`${consequence}: ${reason}`));
  const vhostExists = (await api.find('vhosts', vhost)) !== undefined;
  const listed = async <K extends 'exchanges' | 'queues' | 'bindings' | 'policies' | 'operator-policies'>(kind: K) =>
    vhostExists ? await api.list(kind, vhost) : [];
  const [overview, users, permissions, userLimits, record] = await Promise.all([
    api.get('overview'),
    api.list('users'),
    api.list('permissions'),
    optional(api.list('user-limits'), 'limits of users are not set'),
    optional(readRecord(api, vhost), 'nothing is removed'),
  ]);
  const [exchanges, queues, bindings, policies, operatorPolicies = []] = await Promise.all([
    listed('exchanges'),
    listed('queues'),
    listed('bindings'),
    listed('policies'),
    optional(listed('operator-policies'), 'only queues that exist are checked for operator policies'),
  ]);
  return {
    ...{ version: overview.rabbitmq_version, login, vhost, vhostExists, users, userLimits, record, notes },
    exchanges: exchanges.filter(({ name }) => name !== '' && !name.startsWith('amq.')),
    queues: queues.filter(({ exclusive }) => !exclusive),
    bindings: bindings
      .filter((some) => some.source !== '' && some.destination_type === 'queue')
      .filter((some) => Object.keys(some.arguments).length === 0)
      .map(({ source, destination, routing_key, properties_key }) => ({
        ...{ exchange: source, queue: destination, routingKey: routing_key, propertiesKey: properties_key },
      })),
    permissions: permissions.flatMap(({ vhost: other, ...rest }) => (other === vhost ? rest : [])),
    policies,
    operatorPolicies,
  };
}

/** @throws ManagementApiError; Error with one sentence where the parameter holds something else: nothing follows from that */
async function readRecord(api: ManagementApi, vhost: string): Promise<TopologyRecord> {
  const name = recordName(vhost);
  const parameter = await api.find('global-parameters', name);
  const record = parameter === undefined ? EMPTY_RECORD : parseRecord(parameter.value);
  if (record) return record;
  throw new Error(
    `the global parameter ${name} is no record of this version, so that what was applied before is unknown: nothing was applied. Delete it to begin another`,
  );
}
