// Shared by the tests that apply the topology to a real broker.

import { test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { type ApplyReport, applyTopology } from '../../../lib/topology/apply.ts';
import type { Topology } from '../../../lib/topology/topology.ts';
import { sharedBroker } from '../../support/broker.ts';
import { refusing } from '../../support/fake-servers.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';

/** A test with a vhost of its own. */
export const onBroker = test.extend<{ own: OwnVhost }>({
  own: async ({ task: _ }, use) => {
    const own = await ownVhost('topology');
    await use(own);
    await own.remove();
  },
});

export const ofGroups = (own: OwnVhost, count: number): Topology => own.topology({ shards: { count, perTask: 1 } });

export async function apply(own: OwnVhost, wanted = own.topology(), api = own.api): Promise<ApplyReport> {
  return await applyTopology(api, wanted, { passwords: own.passwords });
}

/** Through a proxy, which sends this answer to the calls that match. */
export async function applyWithAnswer(
  own: OwnVhost,
  wanted: Topology,
  what: RegExp,
  [status, body]: readonly [number, string],
): Promise<ApplyReport> {
  const { managementUrl, username, password } = sharedBroker();
  const proxy = await refusing(managementUrl, what, status, body);
  const api = new ManagementApi({ url: `http://127.0.0.1:${proxy.port}`, username, password });
  try {
    return await apply(own, wanted, api);
  } finally {
    api.close();
    await proxy.close();
  }
}

/** @returns the sentence */
export const failed = async (applying: Promise<ApplyReport>): Promise<string> =>
  await applying.then(
    ({ steps }) => Promise.reject(new Error(`it did not fail: ${steps.length} steps`)),
    ({ message }: Error) => message,
  );
