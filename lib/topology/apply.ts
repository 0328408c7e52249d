// Brings a broker to the wanted topology: reads what it has, plans, carries out the steps in order, reports. Nothing is
// carried out when anything is refused. A failure in the middle leaves what was done, and the next time goes on from
// there. A queue with messages is never deleted.

import { type ManagementApi, ManagementApiError } from '../management/management-api.ts';
import { readFound } from './found.ts';
import { governs, keptPolicy, keptQueue, type Plan, plan, type Step } from './plan.ts';
import { complaints } from './rules.ts';
import type { Topology } from './topology.ts';
import { reasonsToStay } from './unused-queues.ts';

export interface ApplyOptions {
  /** By user's name. A user without one keeps what it has, or is left out. */
  readonly passwords: Readonly<Record<string, string>>;
  /** What was applied before: what is not wanted any more goes. @default - nothing is removed */
  readonly previous?: Topology;
  /** Stops before the next step. */
  readonly signal?: AbortSignal;
}

export interface ApplyReport {
  /** Of RabbitMQ. */
  readonly version: string;
  /** What was done, in order: none when all was there. */
  readonly steps: readonly Step[];
  /** As of the plan, and what showed itself to be needed when its turn came. */
  readonly kept: readonly string[];
  readonly leftAlone: readonly string[];
  readonly notes: readonly string[];
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
  const { version, plan: planned } = await planTopology(api, wanted, options);
  if (planned.refusals.length > 0) throw new TopologyRefusedError(planned.refusals);
  const done: Step[] = [];
  const kept = [...planned.kept];
  const leaving = planned.steps.filter((step) => step.kind === 'remove').flatMap(queueOf);
  let staying: ReadonlyMap<string, string> | undefined;
  for (const [index, step] of planned.steps.entries()) {
    options.signal?.throwIfAborted();
    try {
      // Bindings are removed before queues, so that nothing comes after this look.
      if (step.kind === 'remove' && step.target.type === 'queue')
        staying ??= await reasonsToStay(api, wanted.vhost, leaving, options.signal);
      const obstacle = staying && obstacleTo(step, staying);
      if (obstacle === undefined) {
        await carryOut(step, api, wanted.vhost, options.passwords);
        done.push(step);
      } else kept.push(obstacle);
    } catch (error) {
      throw at(step, index, planned.steps.length, error);
    }
  }
  return { version, steps: done, kept, leftAlone: planned.leftAlone, notes: planned.notes };
}

/** Changes nothing. @throws TopologyRefusedError when the topology itself is unsound; ManagementApiError */
export async function planTopology(
  api: ManagementApi,
  wanted: Topology,
  { passwords, previous }: Pick<ApplyOptions, 'passwords' | 'previous'>,
): Promise<{ version: string; plan: Plan }> {
  const faults = complaints(wanted);
  if (faults.length > 0) throw new TopologyRefusedError(faults);
  const found = await readFound(api, wanted.vhost);
  return { version: found.version, plan: plan(wanted, found, previous, passwords) };
}

function queueOf({ target }: Step): string[] {
  return target.type === 'queue' ? [target.queue.name] : [];
}

/** Why a removal may not be after all: what was found was out of date. */
function obstacleTo({ kind, target }: Step, staying: ReadonlyMap<string, string>): string | undefined {
  if (kind !== 'remove') return undefined;
  if (target.type === 'policy') {
    const governed = [...staying.keys()].find((queue) => governs(target.policy, 'queues', queue));
    return governed === undefined ? undefined : keptPolicy(target.policy.name, governed);
  }
  if (target.type !== 'queue') return undefined;
  const because = staying.get(target.queue.name);
  return because === undefined ? undefined : keptQueue(target.queue.name, because);
}

async function carryOut(
  { kind, target }: Step,
  api: ManagementApi,
  vhost: string,
  passwords: Readonly<Record<string, string>>,
): Promise<void> {
  const removing = kind === 'remove';
  switch (target.type) {
    case 'vhost':
      return await api.putVhost(target.vhost);
    case 'policy':
      return removing ? await api.deletePolicy(vhost, target.policy.name) : await api.putPolicy(vhost, target.policy);
    case 'exchange':
      return removing
        ? await api.deleteExchange(vhost, target.exchange.name)
        : await api.putExchange(vhost, target.exchange);
    case 'queue':
      return removing ? await api.deleteQueue(vhost, target.queue.name) : await api.putQueue(vhost, target.queue);
    case 'binding':
      return removing
        ? await api.unbind(vhost, target.binding, target.propertiesKey ?? '')
        : await api.bind(vhost, target.binding);
    case 'user':
      return removing ? await api.deleteUser(target.user.name) : await putUser(target.user, api, passwords);
    case 'permissions':
      return removing
        ? await api.deletePermissions(vhost, target.user)
        : await api.putPermissions(vhost, target.user, target.permissions);
  }
}

async function putUser(
  { name, tags }: Topology['users'][number],
  api: ManagementApi,
  passwords: Readonly<Record<string, string>>,
): Promise<void> {
  const password = passwords[name];
  if (password !== undefined) return await api.putUser(name, { password }, tags);
  // Tags cannot be set without a password: the one it has, as the broker stores it.
  const there = (await api.users()).find((user) => user.name === name);
  const { passwordHash, hashingAlgorithm } = there ?? {};
  if (passwordHash === undefined || hashingAlgorithm === undefined)
    throw new Error(`the tags of user ${name} cannot be changed without its password: give it`);
  await api.putUser(name, { passwordHash, hashingAlgorithm }, tags);
}

function at(step: Step, index: number, steps: number, error: unknown): unknown {
  if (!(error instanceof ManagementApiError)) return error;
  const where = `at ${step.kind} ${step.what}, after ${index} of ${steps} steps`;
  return new ManagementApiError(error.kind, `${error.message} (${where}; apply again to go on from there)`, error);
}
