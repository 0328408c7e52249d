// Brings a broker to the wanted topology: reads what it has, plans, records what it is about to make, carries out the
// steps in order, reports. Nothing is carried out when anything is refused. A failure in the middle leaves what was done,
// and the next call continues from there.

import { emptyRecord, RECORD_TYPE } from '../../service/contract/lease-record.ts';
import { EXCHANGES } from '../../service/contract/names.ts';
import { type ApiPath, type ManagementApi, ManagementApiError, unlessRefused } from '../management/management-api.ts';
import { type Found, readFound } from './found.ts';
import { type Passwords, type Plan, plan } from './plan.ts';
import { isEqual, pruned, recordName, type TopologyRecord, withSteps } from './record.ts';
import { complaints } from './rules.ts';
import type { Step, Target } from './steps.ts';
import { groupOf, isLeaseQueue, type Topology } from './topology.ts';

export interface ApplyOptions {
  /** A user without one keeps what it has, or is skipped. */
  readonly passwords: Passwords;
  /** Stops before the next step. */
  readonly signal?: AbortSignal;
  /** Called once, before the first of the changes; not at all where there are none. */
  readonly beforeChanges?: () => Promise<void>;
}

/** As the plan, with the steps that were done, in order: none when everything was so already. */
export interface ApplyReport extends Omit<Plan, 'refusals'> {
  /** Of RabbitMQ. */
  readonly version: string;
}

/** The topology itself is unsound, or the broker has something that cannot be changed. Nothing was done. */
export class TopologyRefusedError extends Error {
  override readonly name = 'TopologyRefusedError';
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`nothing was applied: ${reasons.join('; ')}`);
    this.reasons = reasons;
  }
}

/** @throws TopologyRefusedError, ManagementApiError, the signal's reason */
export async function applyTopology(api: ManagementApi, wanted: Topology, options: ApplyOptions): Promise<ApplyReport> {
  const { signal, passwords } = options;
  const { found, plan: planned } = await planTopology(api, wanted, passwords);
  const { refusals, ...rest } = planned;
  if (refusals.length > 0) throw new TopologyRefusedError(refusals);
  const { vhost, login, version } = found;
  const notes = [...planned.notes];
  const done: Step[] = [];
  let { record } = found;
  const store = async (next: TopologyRecord) => {
    if (record === undefined || isEqual(record, next)) return;
    const stored = api.put(['global-parameters', recordName(vhost)], { value: next }).then(() => next);
    record = await unlessRefused(stored, (reason) => notes.push(`nothing is removed: ${reason}`));
  };

  let present = found;
  if (planned.steps.length > 0) {
    signal?.throwIfAborted();
    await options.beforeChanges?.();
    if (record) await store(withSteps(record, planned.steps, login));
    const steps = planned.steps.filter((step) => record !== undefined || !needsRecord(step));
    const begins = planned.steps.flatMap(({ kind, target }) =>
      kind === 'create' && target.type === 'queue' && isLeaseQueue(target.queue.name) ? [target.queue.name] : [],
    );
    if (record === undefined && begins.length > 0)
      notes.push(`whether ${begins.join(', ')} is new cannot be recorded: its first owner will report a gap`);
    for (const [index, step] of steps.entries()) {
      signal?.throwIfAborted();
      const refused = await carryOut(step, api, vhost, passwords).catch((error: unknown) => {
        throw at(step, index, steps.length, error);
      });
      if (refused === undefined) done.push(step);
      else notes.push(refused);
    }
    present = await readFound(api, vhost);
    // Only the broker knows whether its regular expressions match a queue that is new.
    const after = plan(wanted, present, passwords);
    if (after.refusals.length > 0)
      throw new Error(`all was applied, and something else is in force: ${after.refusals.join('; ')}`);
    const absent = after.steps.filter(({ kind, target }) => kind === 'create' && !mayBeAbsent.includes(target.type));
    if (absent.length > 0)
      throw new Error(`all was applied, and the broker does not have ${absent.map(({ what }) => what).join(', ')}`);
  }
  const withRecord = planned.steps.flatMap(({ target }) => (target.type === 'empty record' ? [target.queue] : []));
  if (record) await store(pruned(record, present, withRecord));
  return { ...rest, version, steps: done, notes };
}

/** Without a record that can be written, the next application would do it again, or know nothing of it. */
const needsRecord = ({ kind, target }: Step): boolean => kind === 'remove' || target.type === 'empty record';

/** What a broker may refuse, and what is recorded as done afterwards. */
const mayBeAbsent: readonly Target['type'][] = ['limits', 'empty record'];

/** Changes nothing. @throws TopologyRefusedError when the topology itself is unsound; ManagementApiError */
export async function planTopology(
  api: ManagementApi,
  wanted: Topology,
  passwords: Passwords,
): Promise<{ found: Found; plan: Plan }> {
  const faults = complaints(wanted);
  if (faults.length > 0) throw new TopologyRefusedError(faults);
  const found = await readFound(api, wanted.vhost);
  return { found, plan: plan(wanted, found, passwords) };
}

/** @returns why it was not done, where that is no failure */
async function carryOut(
  { kind, target }: Step,
  api: ManagementApi,
  vhost: string,
  passwords: Passwords,
): Promise<string | undefined> {
  const set = async (path: ApiPath, body: object) =>
    await (kind === 'remove' ? api.delete(...path) : api.put(path, body));
  let refused: string | undefined;
  switch (target.type) {
    case 'vhost':
      await set(['vhosts', vhost], {});
      break;
    case 'policy': {
      const { name, applyTo, ...policy } = target.policy;
      await set(['policies', vhost, name], { ...policy, 'apply-to': applyTo });
      break;
    }
    case 'exchange':
      await set(['exchanges', vhost, target.exchange.name], { type: target.exchange.type, durable: true });
      break;
    case 'queue':
      await set(['queues', vhost, target.queue.name], { durable: true, arguments: target.queue.arguments });
      break;
    case 'bindings': {
      const calls = target.bindings.map(async ({ exchange, queue, routingKey, propertiesKey = '' }) => {
        const path: ApiPath = ['bindings', vhost, 'e', exchange, 'q', queue];
        if (kind === 'remove') await api.delete(...path, propertiesKey);
        else await api.post(path, { routing_key: routingKey });
      });
      await Promise.all(calls);
      break;
    }
    case 'empty record':
      return await storeEmptyRecord(target.queue, api, vhost);
    case 'user': {
      const { name, tags } = target.user;
      const password = passwords[name];
      if (password === undefined) throw new Error(`user ${name}: expected a password to set, got none`);
      await set(['users', name], { password, tags: tags.join(',') });
      break;
    }
    case 'permissions': {
      const { user, ...permissions } = target.permissions;
      await set(['permissions', vhost, user], permissions);
      break;
    }
    case 'limits':
      for (const [limit, value] of Object.entries(target.limits))
        await unlessRefused(set(['user-limits', target.user, limit], { value }), (reason) => {
          refused = `limits of ${target.user} are not set: ${reason}`;
        });
  }
  return refused;
}

/**
 * Behind the record of an owner it would mean nothing, as it is older.
 * @returns why it was not stored, where there is something already
 */
async function storeEmptyRecord(queue: string, api: ManagementApi, vhost: string): Promise<string | undefined> {
  const { messages = 0 } = (await api.find('queues', vhost, queue)) ?? {};
  if (messages > 0) return `queue ${queue} gets no empty group record: it has messages`;
  const now = Date.now();
  const properties = { type: RECORD_TYPE, app_id: OWNER, timestamp: Math.floor(now / 1_000) };
  await api.publish(vhost, EXCHANGES.leases, queue, emptyRecord(groupOf(queue), OWNER, now), properties);
  return undefined;
}

/** Who stores it: no task. */
const OWNER = 'topology';

function at(step: Step, index: number, steps: number, error: unknown): unknown {
  if (!(error instanceof ManagementApiError)) return error;
  const where = `at ${step.kind} ${step.what}, after ${index} of ${steps} steps`;
  return new ManagementApiError(error.kind, `${error.message} (${where}; apply again to continue)`, error);
}
