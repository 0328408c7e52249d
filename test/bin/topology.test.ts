// A mistake on the command line of the topology ends it with one sentence, before a broker is asked.

import { expect, test } from 'vitest';
import { run } from '../../bin/topology.ts';

const at = ['--url', 'http://a:b@localhost'];
test.each<[what: string, args: string[], sentence: string | RegExp]>([
  ['another command', ['destroy'], /^expected plan, apply or remove, got 'destroy'/],
  ['no address', ['plan'], /^expected the address of the management API: give --url, or set RABBITMQ_MANAGEMENT_URL$/],
  ['a password that is not encoded', ['plan', '--url', 'http://user:hunter2%@localhost'], /^--url: expected special/],
  ['an address that is none', ['plan', '--url', 'localhost'], /^--url: expected an address such as http:\S+$/],
  ['no login', ['plan', '--url', 'http://localhost:15672'], /^expected the login of an administrator: in the address/],
  [
    'a broker that does not run',
    ['plan', '--url', 'http://a:b@127.0.0.1:1'],
    /^cannot reach the broker at http:\/\/127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1\. Start it, or correct host and port$/,
  ],
  [
    'settings that are no JSON',
    ['plan', ...at, '--settings', '{queues}'],
    /settings: expected JSON such as '.+', got: /,
  ],
  [
    'a setting of the deployment only',
    ['plan', ...at, '--settings', '{"shards":{"count":2}}'],
    /shards: no such setting/,
  ],
  [
    'a key that nothing publishes',
    ['plan', ...at, '--settings', '{"queues":{"q":{"keys":["x.#"]}}}'],
    /queues\.q\.keys: nothing is published with a routing key like 'x\.#'\. Known: interaction\.#, /,
  ],
  ['no shard', ['plan', ...at, '--shard-count', '0'], /^--shard-count: expected 1 to 10000, got '0'$/],
  [
    'a shard group more',
    ['plan', ...at, '--shard-count', '1001', '--shards-per-task', '1'],
    /^--shards-per-task: expected at most 1000 groups, got 1001\. Raise it to at least 2$/,
  ],
  [
    'a policy to remove',
    ['remove', 'policy', 'leases', ...at],
    /^remove: expected queue, exchange, user and one name, /,
  ],
  ['a missing file', ['plan', ...at, '--ca-file', '/no/such/file'], /^--ca-file: cannot read \/no\/such\/file$/],
])('%s: one sentence, and exit 1', async (_what, args, sentence) => {
  const err: string[] = [];
  const output = { log: expect.unreachable, error: (text: string) => void err.push(text) };
  expect(await run(args, {}, output)).toBe(1);
  expect(err).toEqual([expect.stringMatching(sentence)]);
  expect(err[0]).not.toMatch(/\n|hunter2/);
});
