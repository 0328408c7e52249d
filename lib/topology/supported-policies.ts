// Pure: the wanted policies without the keys that a version of RabbitMQ does not know, and a note for each of those. It
// would refuse the policy for one such key. After an upgrade of the broker the plan finds the key missing, and adds it.

import type { Policy } from './topology.ts';

/** Keys that RabbitMQ knows from this version on, major and minor. */
const KNOWN_FROM: Readonly<Record<string, readonly [number, number]>> = {
  // https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
  'consumer-timeout': [3, 12],
  // Tried: 4.3.6 takes it, 4.0.5 answers "are not recognised policy settings".
  'consumer-disconnected-timeout': [4, 3],
};

/** @param version of RabbitMQ: '4.3.6' */
export function supportedPolicies(
  policies: readonly Policy[],
  version: string,
): { policies: Policy[]; notes: string[] } {
  const unknown = Object.entries(KNOWN_FROM).filter(([, from]) => !isAtLeast(version, from));
  const takes = ([key, value]: [key: string, value: unknown]): boolean => {
    // Before RabbitMQ 4 there was no default delivery limit, and no -1 to lift it.
    if (key === 'delivery-limit' && value === -1) return isAtLeast(version, [4, 0]);
    return !unknown.some(([other]) => other === key);
  };
  const notes = unknown.flatMap(([key, from]) => {
    const without = policies.filter(({ definition }) => definition[key] !== undefined).map(({ name }) => name);
    if (without.length === 0) return [];
    return `RabbitMQ ${version} does not know the policy key ${key}: left out of ${without.join(', ')}. After an upgrade to ${from.join('.')} or newer, apply again`;
  });
  return {
    notes,
    policies: policies.map((policy) => ({
      ...policy,
      definition: Object.fromEntries(Object.entries(policy.definition).filter(takes)),
    })),
  };
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
