// What a broker has now, of everything that a topology speaks of. Read by GETs only.

import {
  type FoundBinding,
  type FoundExchange,
  type FoundPermissions,
  type FoundPolicy,
  type FoundQueue,
  type FoundUser,
  type FoundUserLimits,
  type ManagementApi,
  ManagementApiError,
} from '../management/management-api.ts';
import { EMPTY_RECORD, parseRecord, recordName, type TopologyRecord } from './record.ts';

export interface Found {
  /** Of RabbitMQ: '4.3.6'. */
  readonly version: string;
  /** Who reads this, and will carry out the plan. */
  readonly login: string;
  readonly vhost: string;
  readonly vhostExists: boolean;
  /** Of the vhost, without RabbitMQ's own. */
  readonly exchanges: readonly FoundExchange[];
  /** Of the vhost, without those that end with the connection that declared them. */
  readonly queues: readonly FoundQueue[];
  /** Of the vhost, without those of the default exchange. */
  readonly bindings: readonly FoundBinding[];
  readonly policies: readonly FoundPolicy[];
  /** Of the whole broker. */
  readonly users: readonly FoundUser[];
  /** Of all users in all vhosts. */
  readonly permissions: readonly FoundPermissions[];
  /** Of the vhost. */
  readonly operatorPolicies: readonly FoundPolicy[];
  /** Of the whole broker; undefined where it knows none, or keeps them from us. */
  readonly userLimits: readonly FoundUserLimits[] | undefined;
  /** What was created and changed here before; undefined where it is unknown. */
  readonly record: TopologyRecord | undefined;
  /** What the broker did not let us read, and what follows, one sentence each. */
  readonly notes: readonly string[];
}

/** @throws ManagementApiError; Error with one sentence when the login is no administrator */
export async function readFound(api: ManagementApi, vhost: string): Promise<Found> {
  const { name: login, tags } = await api.whoami();
  if (!tags.includes('administrator')) {
    const got = tags.length === 0 ? 'none' : tags.join(', ');
    throw new Error(`user '${login}' cannot manage vhosts and users: expected the tag administrator, got ${got}`);
  }
  const notes: string[] = [];
  const [version, users, permissions, vhostExists, userLimits, record] = await Promise.all([
    api.version(),
    api.users(),
    api.permissions(),
    api.hasVhost(vhost),
    unlessRefused(api.userLimits(), (reason) => notes.push(`limits of users are not set: ${reason}`)),
    unlessRefused(readRecord(api, vhost), (reason) => notes.push(`nothing is removed: ${reason}`)),
  ]);
  const whole = { version, login, vhost, vhostExists, users, permissions, userLimits, record, notes };
  if (!vhostExists) return { ...whole, exchanges: [], queues: [], bindings: [], policies: [], operatorPolicies: [] };
  const [exchanges, queues, bindings, policies, operatorPolicies = []] = await Promise.all([
    api.exchanges(vhost),
    api.queues(vhost),
    api.bindings(vhost),
    api.policies(vhost),
    unlessRefused(api.operatorPolicies(vhost), (reason) =>
      notes.push(`only queues that are there are checked for operator policies: ${reason}`),
    ),
  ]);
  return {
    ...whole,
    exchanges: exchanges.filter(({ name }) => name !== '' && !name.startsWith('amq.')),
    queues: queues.filter(({ exclusive }) => !exclusive),
    bindings: bindings.filter(({ source }) => source !== ''),
    policies,
    operatorPolicies,
  };
}

/** @throws ManagementApiError, of the kind `refused` where somebody else's words stand there */
async function readRecord(api: ManagementApi, vhost: string): Promise<TopologyRecord> {
  const value = await api.globalParameter(recordName(vhost));
  if (value === undefined) return EMPTY_RECORD;
  const record = parseRecord(value);
  if (record) return record;
  const sentence = `the global parameter ${recordName(vhost)} is no record of this version: delete it to begin another`;
  throw new ManagementApiError('refused', sentence);
}

/** For what a broker may keep from its administrator: undefined, and said. A broker that is away is thrown. */
export async function unlessRefused<T>(asked: Promise<T>, refused: (reason: string) => void): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    // The login itself has just been good.
    if (!(error instanceof ManagementApiError) || ['away', 'untrusted'].includes(error.kind)) throw error;
    refused(error.message);
    return undefined;
  }
}
