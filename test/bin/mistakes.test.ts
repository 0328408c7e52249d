// A wrong command line ends a command with one sentence, before it connects to a broker.

import { afterEach, describe, expect, test, vi } from 'vitest';
import { run as deadLetters } from '../../bin/dead-letters.ts';
import { run as logins } from '../../bin/logins.ts';
import { run as tail } from '../../bin/tail.ts';
import { run as topology } from '../../bin/topology.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** @returns the exit code, and what is printed to stderr */
async function ended(run: (args: readonly string[]) => Promise<number>, args: string): Promise<[number, string]> {
  const lines: unknown[] = [];
  vi.spyOn(console, 'error').mockImplementation((line) => void lines.push(line));
  vi.spyOn(console, 'log').mockImplementation(expect.unreachable);
  const code = await run(args.split(' '));
  return [code, lines.join('\n')];
}

const AT = '--url http://a:b@localhost';

describe('topology', () => {
  test.each<[args: string, sentence: RegExp]>([
    ['destroy', /^expected plan, apply or remove, got 'destroy'/],
    ['plan apply', /^expected plan, apply or remove, got 'plan apply'/],
    ['plan', /^expected the address of the management API: give --url, or set RABBITMQ_MANAGEMENT_URL$/],
    ['plan --url http://user:hunter2%@localhost', /^--url: expected special/],
    ['plan --url localhost', /^--url: expected an address such as http:\S+$/],
    ['plan --url http://localhost:15672', /^expected the login of an administrator: in the address/],
    [
      'plan --url http://a:b@127.0.0.1:1',
      /^cannot reach the broker at http:\/\/127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1\. Start it, or correct host and port$/,
    ],
    [`plan ${AT} --settings {queues}`, /settings: expected JSON such as '.+', got: /],
    [`plan ${AT} --settings {"shards":{"count":2}}`, /shards: no such setting/],
    [
      `plan ${AT} --settings {"queues":{"q":{"keys":["x.#"]}}}`,
      /queues\.q\.keys: nothing is published with a routing key like 'x\.#'\. Known: interaction\.#, /,
    ],
    [`plan ${AT} --shard-count 0`, /^--shard-count: expected 1 to 10000, got '0'$/],
    [`plan ${AT} --connection-limit 1000001`, /^--connection-limit: expected 1 to 1000000, got '1000001'$/],
    [`plan ${AT} --connection-limit 1.5`, /^--connection-limit: expected 1 to 1000000, got '1\.5'$/],
    [
      `plan ${AT} --shard-count 1001 --shards-per-task 1`,
      /^--shards-per-task: expected at most 1000 groups, got 1001\. Raise it to at least 2$/,
    ],
    [`remove queue a b ${AT}`, /^remove: expected queue, exchange, user and one name, got 'queue a b'$/],
    [`remove policy leases ${AT}`, /^remove: expected queue, exchange, user and one name, /],
    [`plan ${AT} --ca-file /no/such/file`, /^--ca-file: cannot read \/no\/such\/file$/],
  ])('%s', async (args, sentence) => {
    const [code, err] = await ended((each) => topology(each, {}, console), args);
    expect([code, err]).toEqual([1, expect.stringMatching(sentence)]);
    expect(err).not.toMatch(/\n|hunter2/);
  });
});

describe('dead-letters', () => {
  test.each<[args: string, sentence: RegExp]>([
    ['purge', /^expected list, show, replay, discard, got 'purge'\. More: npm run dead-letters -- --help$/],
    ['list show', /^expected list, show, replay, discard, got 'list show'/],
    ['list --yess', /^Unknown option '--yess'$/],
    ['list --reason full', /^--reason: expected rejected, expired, maxlen, delivery_limit, refused, got 'full'$/],
    ['list --older-than 2hours', /^--older-than: expected a time such as 90s, .*, got '2hours'$/],
    ['list --url amqp://a:b@c --through 5671', /^--through: expected such as 127\.0\.0\.1:5671, got '5671'$/],
    ['list --url localhost', /^--url: expected amqps:\/\/user:password@host:5671\/vhost, .* got no address$/],
    ['list --url amqp://a:b@c --ca-file /no/such', /^--ca-file: expected a readable PEM file, got ENOENT: .*such'$/],
    ['list', /^expected the address of the broker: give --url, or set DEAD_LETTERS_URL$/],
  ])('%s', async (args, sentence) => {
    expect(await ended(deadLetters, args)).toEqual([2, expect.stringMatching(sentence)]);
  });
});

test('tail', async () => {
  const unknown = /^--key: nothing is published with a routing key like 'mebmer\.#'\. Known: interaction\.#, .*$/;
  expect(await ended(tail, '--key mebmer.#')).toEqual([2, expect.stringMatching(unknown)]);
  expect(await ended(tail, '--keys x')).toEqual([2, "Unknown option '--keys'"]);
});

test.each([
  ['revoke administrator --environment staging', 'expected revoke ingestor, worker, dead-letters or the name of a'],
  ['revoke dead-letter --environment staging', 'expected revoke ingestor, worker, dead-letters or the name of a'],
  ['revoke worker', '--environment: expected staging or production'],
  [
    'rotate worker --environment staging',
    "expected revoke ingestor, worker, dead-letters or the name of a further worker, got 'rotate",
  ],
  ['revoke worker ingestor --environment staging', 'expected revoke ingestor, worker, dead-letters or the name of a'],
  ['revoke worker --environment staging --wait 0', '--wait: expected a number of seconds'],
  ['revoke worker --environment staging --wait x', '--wait: expected a number of seconds'],
])('logins %s', async (args, sentence) => {
  await expect(logins(args.split(' '), expect.unreachable)).rejects.toThrow(sentence);
});
