// Pure: whether what applies to a queue is what the topology wants. Of several policies the one of the highest priority
// applies, alone; an operator policy (the owner of the broker sets it) applies as well, and limits it further. Where the
// broker reports which one applies to a queue, its report counts: its regular expressions differ a little from JavaScript's.

import type { FoundPolicy } from '../management/management-api.ts';
import type { Found } from './found.ts';
import { isLeaseQueue, type Policy, type Topology } from './topology.ts';

/** Whether a policy of the broker applies to this name at all, as far as its expression can be read here. */
export function governs(
  { pattern, applyTo }: { readonly pattern: string; readonly applyTo: string },
  kind: Policy['applyTo'],
  name: string,
): boolean {
  const kinds = kind === 'exchanges' ? ['exchanges', 'all'] : ['queues', 'all', 'quorum_queues', 'classic_queues'];
  if (!kinds.includes(applyTo)) return false;
  try {
    return new RegExp(pattern, 'u').test(name);
  } catch {
    return false;
  }
}

/**
 * Where ours would exist and have no effect.
 * @param others policies of the broker that are not the topology's, and stay
 */
export function overridden(
  wanted: Topology,
  policies: readonly Policy[],
  found: Found,
  others: readonly FoundPolicy[],
): string[] {
  return policies.flatMap(({ name: own, pattern, applyTo, priority }) =>
    wanted[applyTo]
      .filter(({ name }) => governs({ pattern, applyTo }, applyTo, name))
      .flatMap(({ name }) => {
        const inForce = applyTo === 'queues' ? found.queues.find((queue) => queue.name === name)?.policy : undefined;
        return others
          .filter((other) => other.priority >= priority)
          .filter((other) => other.name === inForce || governs(other, applyTo, name))
          .map(
            (other) =>
              `policy ${other.name} of priority ${other.priority} would apply to ${name} instead of policy ${own} of priority ${priority}: delete it, or give it a priority below ${priority}`,
          );
      }),
  );
}

/** Which operator policies break a promise, and which a person should know of. */
export function operatorEffects(
  wanted: Topology,
  policies: readonly Policy[],
  found: Found,
): { refusals: string[]; notes: string[] } {
  const [refusals, notes]: [string[], string[]] = [[], []];
  for (const { name: queue } of wanted.queues) {
    const own = policies.find((policy) => governs(policy, 'queues', queue))?.definition ?? {};
    for (const { name, definition } of operatorPoliciesOf(queue, found))
      for (const [key, value] of Object.entries(definition)) {
        const effect = effectOf(key, value, own, isLeaseQueue(queue));
        if (effect === undefined) continue;
        const what = `operator policy ${name}: ${key} ${String(value)} on queue ${queue}`;
        if (key === 'delivery-limit' && !isLeaseQueue(queue)) notes.push(`${what} ${effect}`);
        else refusals.push(`${what} ${effect}: exclude this queue from it`);
      }
  }
  return { refusals, notes };
}

/** What one value of an operator policy changes; undefined for nothing. */
function effectOf(key: string, value: unknown, own: Policy['definition'], isLease: boolean): string | undefined {
  const ours = own[key] === undefined || own[key] === -1 ? '(no limit)' : String(own[key]);
  switch (key) {
    case 'expires':
      return 'deletes it with its messages while it is not used';
    case 'overflow':
      return value === own.overflow ? undefined : `replaces the topology's ${ours}`;
    case 'message-ttl':
    case 'max-length':
    case 'max-length-bytes':
      if (bound(value) >= bound(own[key])) return undefined;
      return isLease ? 'removes the record of a shard group' : `is below the topology's ${ours}`;
    case 'delivery-limit':
      if (bound(value) >= bound(own[key])) return undefined;
      if (isLease) return 'removes the record of a shard group after as many hand-overs';
      return `dead-letters a message earlier than the topology's ${ours}`;
    default:
      return undefined;
  }
}

/** No limit, or -1, is above every other. */
function bound(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? value : Number.POSITIVE_INFINITY;
}

/** The one that applies; all of those among which nothing decides. */
function operatorPoliciesOf(queue: string, found: Found): Pick<FoundPolicy, 'name' | 'definition'>[] {
  const there = found.queues.find(({ name }) => name === queue);
  const name = there?.operator_policy;
  if (name === null) return [];
  if (name !== undefined) {
    const effective = { name, definition: there?.effective_policy_definition ?? {} };
    return [found.operatorPolicies.find((policy) => policy.name === name) ?? effective];
  }
  const governing = found.operatorPolicies.filter((policy) => governs(policy, 'queues', queue));
  const highest = Math.max(...governing.map(({ priority }) => priority));
  return governing.filter(({ priority }) => priority === highest);
}
