// Brings a broker to the wanted topology: reads what it has, plans, records what it is about to make, carries out the
// steps in order, reports. Nothing is carried out when anything is refused. A failure in the middle leaves what was done,
// and the next time goes on from there.

import { type ManagementApi, ManagementApiError } from '../management/management-api.ts';
import { type Found, readFound, unlessRefused } from './found.ts';
import { type Plan, plan } from './plan.ts';
import { isEqual, pruned, recordName, type TopologyRecord, withSteps } from './record.ts';
import { complaints } from './rules.ts';
import type { Step } from './steps.ts';
import type { Topology } from './topology.ts';

export interface ApplyOptions {
  /** By user's name. A user without one keeps what it has, or is left out. */
  readonly passwords: Readonly<Record<string, string>>;
  /** Stops before the next step. */
  readonly signal?: AbortSignal;
  /** Called once, before the first of the changes; not at all where there are none. */
  readonly beforeChanges?: () => Promise<void>;
}

/** As the plan, with the steps that were done, in order: none when all was there. */
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
  const { found, plan: planned } = await readAndPlan(api, wanted, passwords);
  const { refusals, ...rest } = planned;
  if (refusals.length > 0) throw new TopologyRefusedError(refusals);
  const { vhost, login, version } = found;
  const notes = [...planned.notes];
  const done: Step[] = [];
  let { record } = found;
  const store = async (next: TopologyRecord) => {
    if (record === undefined || isEqual(record, next)) return;
    const stored = api.putGlobalParameter(recordName(vhost), next).then(() => next);
    record = await unlessRefused(stored, (reason) => notes.push(`nothing is removed: ${reason}`));
  };

  let present = found;
  if (planned.steps.length > 0) {
    signal?.throwIfAborted();
    await options.beforeChanges?.();
    if (record) await store(withSteps(record, planned.steps, login));
    const steps = planned.steps.filter(({ kind }) => kind !== 'remove' || record !== undefined);
    for (const [index, step] of steps.entries()) {
      signal?.throwIfAborted();
      try {
        const refused = await carryOut(step, api, vhost, passwords);
        if (refused === undefined) done.push(step);
        else notes.push(refused);
      } catch (error) {
        throw at(step, index, steps.length, error);
      }
    }
    present = await readFound(api, vhost);
    // Only the broker knows whether its regular expressions match a queue that is new.
    const effects = plan(wanted, present, passwords).refusals;
    if (effects.length > 0) throw new Error(`all was applied, and something else is in force: ${effects.join('; ')}`);
  }
  if (record) await store(pruned(record, present));
  return { ...rest, version, steps: done, notes };
}

/** Changes nothing. @throws TopologyRefusedError when the topology itself is unsound; ManagementApiError */
export async function planTopology(
  api: ManagementApi,
  wanted: Topology,
  { passwords }: Pick<ApplyOptions, 'passwords'>,
): Promise<{ version: string; plan: Plan }> {
  const { found, plan } = await readAndPlan(api, wanted, passwords);
  return { version: found.version, plan };
}

async function readAndPlan(
  api: ManagementApi,
  wanted: Topology,
  passwords: ApplyOptions['passwords'],
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
  passwords: ApplyOptions['passwords'],
): Promise<string | undefined> {
  const removing = kind === 'remove';
  switch (target.type) {
    case 'vhost':
      await api.putVhost(target.vhost);
      return undefined;
    case 'policy':
      await (removing ? api.deletePolicy(vhost, target.policy.name) : api.putPolicy(vhost, target.policy));
      return undefined;
    case 'exchange':
      await api.putExchange(vhost, target.exchange);
      return undefined;
    case 'queue':
      await api.putQueue(vhost, target.queue);
      return undefined;
    case 'binding':
      await (removing
        ? api.unbind(vhost, target.binding, target.propertiesKey ?? '')
        : api.bind(vhost, target.binding));
      return undefined;
    case 'user': {
      const { name, tags } = target.user;
      const password = passwords[name];
      if (password === undefined) throw new Error(`user ${name}: expected a password to set, got none`);
      await api.putUser(name, { password }, tags);
      return undefined;
    }
    case 'permissions':
      await (removing
        ? api.deletePermissions(vhost, target.user)
        : api.putPermissions(vhost, target.user, target.permissions));
      return undefined;
    case 'limits': {
      const { user, limits } = target;
      const setting = async () => {
        await api.putUserLimit(user, 'max-connections', limits['max-connections']);
        await api.putUserLimit(user, 'max-channels', limits['max-channels']);
      };
      let refused: string | undefined;
      await unlessRefused(setting(), (reason) => {
        refused = `limits of ${user} are not set: ${reason}`;
      });
      return refused;
    }
  }
}

function at(step: Step, index: number, steps: number, error: unknown): unknown {
  if (!(error instanceof ManagementApiError)) return error;
  const where = `at ${step.kind} ${step.what}, after ${index} of ${steps} steps`;
  return new ManagementApiError(error.kind, `${error.message} (${where}; apply again to go on from there)`, error);
}
