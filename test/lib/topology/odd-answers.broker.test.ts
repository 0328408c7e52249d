// The management API sends a wrong answer: a proxy's page, null, half an object, an error with status 200. Then the application
// fails with one sentence. It is never taken for a first deployment, for no change, or for success.

import { expect } from 'vitest';
import { recordName } from '../../../lib/topology/record.ts';
import { leaseQueue } from '../../../service/contract/names.ts';
import type { OwnVhost } from '../../support/own-vhost.ts';
import { apply, applyWithAnswer, failed, ofGroups, onBroker } from './on-broker.ts';

const PAGE = '<!doctype html><title>Maintenance</title>';
const ANSWERS: readonly (readonly [number, string])[] = [
  [200, PAGE],
  [200, 'null'],
  [200, '{}'],
  [200, '[null]'],
  [204, ''],
  [301, ''],
  [404, PAGE],
  [404, '{"error":"not found"}'],
];
const calls = (method: string, ...kinds: string[]) => kinds.map((kind) => new RegExp(`^${method} /api/${kind}`));
const READS = [
  ...calls('GET', 'whoami', 'overview', 'vhosts', 'global-parameters', 'users', 'permissions', 'user-limits'),
  ...calls('GET', 'exchanges', 'queues', 'bindings', 'policies', 'operator-policies'),
];
const WRITES = [
  ...calls('PUT', 'global-parameters', 'policies', 'exchanges', 'queues', 'users', 'permissions'),
  ...calls('POST', 'bindings'),
];

const record = async ({ api, vhost }: OwnVhost) => await api.find('global-parameters', recordName(vhost));
const state = async (own: OwnVhost) => [
  await record(own),
  (await own.api.list('queues', own.vhost)).map(({ name }) => name).toSorted(),
];

for (const what of READS)
  onBroker(`nothing is done when the answer to ${what} is odd`, async ({ own }) => {
    await apply(own);
    // As if the broker had lost it: made again, it must not begin with an empty record.
    await own.api.delete('queues', own.vhost, leaseQueue(0));
    const before = await state(own);
    for (const answer of ANSWERS) {
      const sentence = await failed(applyWithAnswer(own, ofGroups(own, 2), what, answer));
      expect(sentence).toMatch(/is not RabbitMQ's management API: check host and port \(.+\)$/);
      expect(sentence).not.toContain('Maintenance');
      expect(sentence.length).toBeLessThan(400);
    }
    expect(await state(own)).toEqual(before);
  });

onBroker('nothing is done when the record is that of another vhost', async ({ own }) => {
  await apply(own);
  const answer = JSON.stringify({ name: 'ingestor-topology.other', value: (await record(own))?.value });
  const applying = applyWithAnswer(own, ofGroups(own, 2), /^GET \/api\/global-parameters/, [200, answer]);
  expect(await failed(applying)).toContain('expected the one of this name, got another');
});

for (const what of WRITES)
  onBroker(`it is not done when the answer to ${what} is odd, and the next application continues`, async ({ own }) => {
    // 204 is what RabbitMQ answers.
    for (const answer of ANSWERS.filter(([status]) => status !== 204))
      expect(await failed(applyWithAnswer(own, own.topology(), what, answer))).toMatch(/is not RabbitMQ's management/);
    // A well-formed answer may be false. The check after the application notices it.
    if (!/global-parameters|policies/.test(String(what)))
      expect(await failed(applyWithAnswer(own, own.topology(), what, [204, '']))).toMatch(
        /^all was applied, and the broker does not have |HTTP 404|reached no queue|the broker refuses/,
      );
    await apply(own);
    expect((await apply(own)).steps).toEqual([]);
  });
