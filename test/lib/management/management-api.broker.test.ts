// What fails between us and the management API ends within its deadline, in one sentence with what to do, and in the
// kind by which a caller decides whether to retry. Calls that succeed are tested by apply.broker.test.ts.

import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  ManagementApi,
  ManagementApiError,
  type ManagementApiErrorKind,
} from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import { sharedBroker } from '../../support/broker.ts';
import { closedPort, type FakeServer, httpServer, silentServer } from '../../support/fake-servers.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';

const { managementUrl, managementTlsUrl = '', username, amqpUrl } = sharedBroker();
const SECRET = 'not-the-password-0815';

const servers = new Map<string, FakeServer>();
let own: OwnVhost;

beforeAll(async () => {
  own = await ownVhost('api');
  servers.set('silent', await silentServer());
  servers.set('half an answer', await httpServer(200, 'application/json', '[', { isCut: true }));
  servers.set('other API', await httpServer(200, 'application/json', '{"hello":"world"}'));
  servers.set('not found', await httpServer(404, 'text/html', 'not found'));
  servers.set('broken', await httpServer(503, 'text/plain', 'upstream'));
});
afterAll(async () => {
  for (const server of servers.values()) await server.close();
  await own.remove();
});

const at = (name: string) => `http://127.0.0.1:${servers.get(name)?.port}`;

describe('ends in one sentence of its kind:', () => {
  const otherServer = /^what answers at http:\S+ is not RabbitMQ's management API: check host and port \(.+\)$/;
  const refusedLogin =
    /^the broker at http:\S+ refuses the login of user '\w+': the password is wrong, or there is no such user$/;
  const untrusted = /^no trusted TLS connection to https:\S+ \(\w+\): check host and port, and name the certificate/;

  test.each<[what: string, url: () => string | Promise<string>, kind: ManagementApiErrorKind, sentence: RegExp]>([
    ['a wrong password', () => managementUrl, 'login', refusedLogin],
    [
      'a port at which nothing listens',
      async () => `http://127.0.0.1:${await closedPort()}`,
      'unreachable',
      /^cannot reach the broker at http:\S+: connect ECONNREFUSED 127\.0\.0\.1:\d+\. Start it, or correct host and port$/,
    ],
    ['no answer', () => at('silent'), 'unreachable', /^the broker at http:\S+ did not answer within 2 s$/],
    ['half an answer', () => at('half an answer'), 'unreachable', /^the broker at http:\S+ did not answer within 2 s$/],
    [
      'a broker, or a proxy before it, that fails',
      () => at('broken'),
      'unreachable',
      /^the broker at \S+ failed at GET \S+ \(HTTP 503\)/,
    ],
    ['the AMQP port', () => `http://${new URL(amqpUrl).host}`, 'unexpected', otherServer],
    ['another API', () => at('other API'), 'unexpected', otherServer],
    ["a 404 that is not RabbitMQ's", () => at('not found'), 'unexpected', otherServer],
    ['a certificate of an unknown authority', () => managementTlsUrl, 'refused', untrusted],
  ])('%s', async (_what, url, kind, sentence) => {
    const deadlineMs = String(sentence).includes('within 2 s') ? 2_000 : 60_000;
    const api = new ManagementApi({ username, password: SECRET, deadlineMs, url: await url() });
    const error: ManagementApiError = await api
      .find('vhosts', '/')
      .then(async () => await api.list('users'))
      .then(
        () => expect.unreachable('it did not fail'),
        (thrown) => thrown,
      );
    api.close();
    expect(error).toBeInstanceOf(ManagementApiError);
    expect(error.message).toMatch(sentence);
    expect(error.kind).toBe(kind);
    expect(`${error.message} ${error.stack}`).not.toContain(SECRET);
  });

  test('no answer within 10 s, for which the functions keep time', async () => {
    const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort());
    onTestFinished(() => void timeout.mockRestore());
    const api = new ManagementApi({ url: managementUrl, username, password: SECRET });
    await expect(api.list('users')).rejects.toThrow(/ did not answer within 10 s$/);
    expect(timeout.mock.calls).toEqual([[10_000]]);
    api.close();
  });

  test('a 400, with the reason of the broker', async () => {
    const policy = { pattern: '^a$', 'apply-to': 'queues', priority: 2, definition: { 'max-foo': 1 } };
    await expect(own.api.put(['policies', own.vhost, 'odd'], policy)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(
        /^the broker refuses PUT \/api\/policies\/\S+ by \w+: Validation failed .*max-foo.* not recognised policy settings$/,
      ),
    });
  });

  test('a user that is no administrator', async () => {
    const { worker } = own.userNames;
    await applyTopology(own.api, own.topology(), { passwords: own.passwords });
    const login = { username: worker, password: own.passwords[worker] ?? '' };
    const api = new ManagementApi({ url: managementUrl, ...login });
    const applying = async () => await applyTopology(api, own.topology(), { passwords: {} });
    await expect(applying).rejects.toThrow(`the broker refuses GET /api/whoami by ${worker}: Not management user`);
    await own.api.put(['users', worker], { password: login.password, tags: 'monitoring' });
    await expect(applying).rejects.toThrow(
      `user '${worker}' cannot manage vhosts and users: expected the tag administrator, got monitoring`,
    );
    await own.api.put(['users', worker], { password: login.password, tags: '' });
    api.close();
  });
});

test('an address that is none is refused at once, and not quoted: there may be a password in it', () => {
  const make = (url: string) => () => new ManagementApi({ url, username, password: SECRET });
  expect(make('user:secret')).toThrow(/^expected http:\/\/ or https:\/\/ of the management API, got user:\/\/$/);
  expect(make('//user:secret@host')).toThrow(
    /^expected the management API's address such as https:\/\/host:15671, got none$/,
  );
});

test('names with slashes, spaces and signs arrive as they are; deleting what does not exist is success', async () => {
  const { api, vhost } = own;
  const name = 'a/b c%2F#?é';
  await api.put(['exchanges', vhost, name], { type: 'topic' });
  await api.put(['queues', vhost, name], { durable: true });
  await api.post(['bindings', vhost, 'e', name, 'q', name], { routing_key: 'k/% #.ä' });
  const bindings = async () => (await api.list('bindings', vhost)).filter(({ source }) => source === name);
  const [found] = await bindings();
  expect(found).toMatchObject({ source: name, destination: name, routing_key: 'k/% #.ä' });
  await api.delete('bindings', vhost, 'e', name, 'q', name, found?.properties_key ?? '');
  expect(await bindings()).toEqual([]);
  for (let repeated = 0; repeated < 2; repeated += 1) await api.delete('queues', vhost, name);
  expect((await api.list('queues', vhost)).map((queue) => queue.name)).not.toContain(name);
  expect(await api.find('vhosts', 'never-was')).toBeUndefined();
});
