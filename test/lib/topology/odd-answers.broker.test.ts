// Whatever the management API answers in place of RabbitMQ's words (a proxy's page, null, half an object, an error with 200),
// it is a failed application with one sentence: never a first deployment, never nothing to do, never done.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import { recordName } from '../../../lib/topology/record.ts';
import { leaseQueue } from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { refusing } from '../../support/fake-servers.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';

const { managementUrl, username, password } = sharedBroker();

let own: OwnVhost;
beforeEach(async () => {
  own = await ownVhost('odd');
});
afterEach(async () => await own.remove());

const PAGE = '<!doctype html><title>Maintenance</title>';
const ANSWERS: readonly (readonly [number, string])[] = [
  [200, PAGE],
  [200, ''],
  [200, 'null'],
  [200, '{}'],
  [200, '"a text"'],
  [200, '[null]'],
  [200, '{"error":"Object Not Found","reason":"Not Found"}'],
  [202, '{}'],
  [204, ''],
  [301, ''],
  [404, PAGE],
  [404, '{"error":"not found"}'],
  [418, ''],
];
const READS: readonly RegExp[] = [
  /^GET \/api\/whoami/,
  /^GET \/api\/overview/,
  /^GET \/api\/vhosts/,
  /^GET \/api\/global-parameters/,
  /^GET \/api\/users/,
  /^GET \/api\/permissions/,
  /^GET \/api\/user-limits/,
  /^GET \/api\/exchanges/,
  /^GET \/api\/queues/,
  /^GET \/api\/bindings/,
  /^GET \/api\/policies/,
  /^GET \/api\/operator-policies/,
];
const WRITES: readonly RegExp[] = [
  /^PUT \/api\/global-parameters/,
  /^PUT \/api\/policies/,
  /^PUT \/api\/exchanges/,
  /^PUT \/api\/queues/,
  /^POST \/api\/bindings/,
  /^PUT \/api\/users/,
  /^PUT \/api\/permissions/,
];

async function failed(what: RegExp, [status, body]: readonly [number, string], shardGroups: number): Promise<string> {
  const proxy = await refusing(managementUrl, what, status, body);
  const api = new ManagementApi({ url: `http://127.0.0.1:${proxy.port}`, username, password });
  const error = await applyTopology(api, own.topology({ shards: { count: shardGroups, perTask: 1 } }), {
    passwords: own.passwords,
  }).then(
    (report) => expect.unreachable(`${what} ${status} ${body} is a success: ${JSON.stringify(report)}`),
    (thrown: Error) => thrown,
  );
  api.close();
  await proxy.close();
  return error.message;
}

const record = async () => await own.api.find('global-parameters', recordName(own.vhost));
const queues = async () => (await own.api.list('queues', own.vhost)).map(({ name }) => name).toSorted();

test.each(READS)('nothing is done when the answer to %s is odd', async (what) => {
  await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  // As if the broker had lost it: made again, it must not begin with an empty record.
  await own.api.delete('queues', own.vhost, leaseQueue(0));
  const before = [await record(), await queues()];
  for (const answer of ANSWERS) {
    const sentence = await failed(what, answer, 2);
    expect(sentence).toMatch(/is not RabbitMQ's management API: check host and port \(.+\)$/);
    expect(sentence).not.toContain('Maintenance');
    expect(sentence.length).toBeLessThan(400);
  }
  expect([await record(), await queues()]).toEqual(before);
});

test('nothing is done when the record is that of another vhost', async () => {
  await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  const { value } = (await record()) ?? {};
  const answer = JSON.stringify({ name: 'ingestor-topology.other', value });
  expect(await failed(/^GET \/api\/global-parameters/, [200, answer], 2)).toContain(
    'expected the one of this name, got another',
  );
});

test.each(WRITES)('it is not done when the answer to %s is odd, and the next application continues', async (what) => {
  // 204 is what RabbitMQ answers.
  for (const answer of ANSWERS.filter(([status]) => status !== 204))
    expect(await failed(what, answer, 1)).toMatch(/is not RabbitMQ's management API/);
  await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  const { steps } = await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  expect(steps).toEqual([]);
});

test.each(WRITES.slice(2))('an answer to %s that is not true is noticed, at the latest afterwards', async (what) => {
  expect(await failed(what, [204, ''], 1)).toMatch(
    /^all was applied, and the broker does not have |HTTP 404|reached no queue|the broker refuses/,
  );
  await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  const { steps } = await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  expect(steps).toEqual([]);
});
