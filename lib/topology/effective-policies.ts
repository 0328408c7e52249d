// Pure: whether what applies to a queue is what the topology says. Of several policies the one of the highest priority
// applies, alone; an operator policy (whoever runs the broker sets it) applies beside it and limits it further. Where the
// broker says which one applies to a queue, its word counts: its regular expressions are not quite JavaScript's.

import type { FoundPolicy } from '../management/management-api.ts';
import type { Found } from './found.ts';
import { isLeaseQueue, type Policy, type Topology } from './topology.ts';

/** Whether a policy of the broker applies to this name at all, as far as its expression can be read here. */
export function governs(
  policy: { readonly pattern: string; readonly applyTo: string },
  kind: Policy['applyTo'],
  name: string,
): boolean {
  const kinds = kind === 'exchanges' ? ['exchanges', 'all'] : ['queues', 'all', 'quorum_queues', 'classic_queues'];
  if (!kinds.includes(policy.applyTo)) return false;
  try {
    return new RegExp(policy.pattern, 'u').test(name);
  } catch {
    return false;
  }
}

/**
 * Ours would be there and do nothing.
 * @param others policies of the broker that are not the topology's, and stay
 */
export function overridden(
  wanted: Topology,
  policies: readonly Policy[],
  found: Found,
  others: readonly FoundPolicy[],
): string[] {
  const names = { queues: wanted.queues, exchanges: wanted.exchanges };
  return policies.flatMap((own) =>
    names[own.applyTo]
      .filter(({ name }) => governs(own, own.applyTo, name))
      .flatMap(({ name }) => {
        const inForce =
          own.applyTo === 'queues' ? found.queues.find((queue) => queue.name === name)?.policy : undefined;
        return others
          .filter((other) => other.priority >= own.priority)
          .filter((other) => other.name === inForce || governs(other, own.applyTo, name))
          .map(
            (other) =>
              `policy ${other.name} of priority ${other.priority} would apply to ${name} instead of policy ${own.name} of priority ${own.priority}: delete it, or give it a priority below ${own.priority}`,
          );
      }),
  );
}

/** What operator policies make of the promises: what breaks one, and what a person should know. */
export function operatorEffects(
  wanted: Topology,
  policies: readonly Policy[],
  found: Found,
): { refusals: string[]; notes: string[] } {
  const [refusals, notes]: [string[], string[]] = [[], []];
  for (const { name: queue } of wanted.queues) {
    const own = policies.find((policy) => governs(policy, 'queues', queue))?.definition ?? {};
    for (const { name, definition } of operatorPoliciesOf(queue, found)) {
      const what = (key: string) => `operator policy ${name}: ${key} ${String(definition[key])} on queue ${queue}`;
      for (const [key, effect] of Object.entries(effects(queue, own, definition)))
        if (effect.breaks) refusals.push(`${what(key)} ${effect.because}: have it leave this queue out`);
        else notes.push(`${what(key)} ${effect.because}`);
    }
  }
  return { refusals, notes };
}

type Definition = Readonly<Record<string, unknown>>;

interface Effect {
  readonly breaks: boolean;
  readonly because: string;
}

/** By key of the operator policy; without those that change nothing. */
function effects(queue: string, own: Definition, theirs: Definition): Record<string, Effect> {
  const found: Record<string, Effect> = {};
  const breaks = (key: string, because: string) => {
    found[key] = { breaks: true, because };
  };
  if ('expires' in theirs) breaks('expires', 'deletes it with its messages while it is not used');
  for (const key of ['message-ttl', 'max-length', 'max-length-bytes'].filter((some) =>
    isBelow(theirs[some], own[some]),
  ))
    if (isLeaseQueue(queue)) breaks(key, 'removes the record of a shard group');
    else breaks(key, `is below the topology's ${own[key] === undefined ? '(no limit)' : String(own[key])}`);
  if (theirs.overflow !== undefined && theirs.overflow !== own.overflow)
    breaks('overflow', `replaces the topology's ${String(own.overflow)}`);
  if (isBelow(theirs['delivery-limit'], own['delivery-limit'])) {
    if (isLeaseQueue(queue)) breaks('delivery-limit', 'removes the record of a shard group after as many hand-overs');
    else
      found['delivery-limit'] = {
        breaks: false,
        because: `sets a message aside earlier than the topology's ${own['delivery-limit'] === -1 ? '(no limit)' : String(own['delivery-limit'])}`,
      };
  }
  return found;
}

/** No limit, or -1, is above every other. */
function isBelow(theirs: unknown, own: unknown): boolean {
  const bound = (value: unknown) => (typeof value === 'number' && value >= 0 ? value : Number.POSITIVE_INFINITY);
  return bound(theirs) < bound(own);
}

/** The one that applies; of those that cannot be told apart, all. */
function operatorPoliciesOf(queue: string, found: Found): { name: string; definition: Definition }[] {
  const there = found.queues.find(({ name }) => name === queue);
  if (there?.operatorPolicy === null || there?.operatorPolicy === '') return [];
  if (there?.operatorPolicy !== undefined) {
    const { operatorPolicy: name, effectivePolicy: definition = {} } = there;
    return [found.operatorPolicies.find((policy) => policy.name === name) ?? { name, definition }];
  }
  const governing = found.operatorPolicies.filter((policy) => governs(policy, 'queues', queue));
  const highest = Math.max(...governing.map(({ priority }) => priority));
  return governing.filter(({ priority }) => priority === highest);
}
