// What goes wrong between us and the management API ends within its deadline, in one sentence that says what to do, and
// in the kind by which a caller decides whether to try again. The calls that succeed are tested by apply.test.ts.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ManagementApi,
  ManagementApiError,
  type ManagementApiErrorKind,
} from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';
import {
  closedPort,
  httpServer,
  rudeServer,
  type Stranger,
  silentServer,
  tlsInFrontOf,
} from '../../support/strangers.ts';

const { managementUrl, username, password, amqpUrl } = sharedBroker();
const SECRET = 'not-the-password-0815';

const strangers = new Map<string, Stranger>();
let tls: Awaited<ReturnType<typeof tlsInFrontOf>>;
let own: OwnVhost;

beforeAll(async () => {
  own = await ownVhost('api');
  tls = await tlsInFrontOf(managementUrl);
  strangers.set('silent', await silentServer());
  strangers.set('rude', await rudeServer());
  strangers.set('web page', await httpServer(200, 'text/html', '<html>Welcome</html>'));
  strangers.set('other API', await httpServer(200, 'application/json', '{"hello":"world"}'));
  strangers.set('not found', await httpServer(404, 'text/html', 'not found'));
  strangers.set('broken', await httpServer(503, 'text/plain', 'upstream'));
});
afterAll(async () => {
  for (const stranger of [tls, ...strangers.values()]) await stranger.close();
  await own.remove();
});

const at = (name: string) => `http://127.0.0.1:${strangers.get(name)?.port}`;

interface Options {
  url: string;
  username?: string;
  password?: string;
  ca?: string;
}

/** The error of one call, with a wrong password unless told otherwise. */
async function failure(options: Options): Promise<ManagementApiError> {
  const api = new ManagementApi({ username, password: SECRET, deadlineMs: 2_000, ...options });
  try {
    const answer = await api.hasVhost('/').then(async () => await api.users());
    throw new Error(`expected an error, got ${answer.length} users`);
  } catch (error) {
    if (error instanceof ManagementApiError) return error;
    throw error;
  } finally {
    api.close();
  }
}

describe('ends in one sentence of its kind:', () => {
  test.each<[what: string, options: () => Options | Promise<Options>, kind: ManagementApiErrorKind, sentence: RegExp]>([
    [
      'a wrong password',
      () => ({ url: managementUrl }),
      'login',
      /^the broker at http:\S+ refuses the login of user '\w+': the password is wrong, or there is no such user$/,
    ],
    [
      'an unknown user',
      () => ({ url: managementUrl, username: 'nobody' }),
      'login',
      /^the broker at http:\S+ refuses the login of user 'nobody': the password is wrong, or there is no such user$/,
    ],
    [
      'a port at which nothing listens',
      async () => ({ url: `http://127.0.0.1:${await closedPort()}` }),
      'away',
      /^cannot reach the broker at http:\S+: nothing listens at this port \(ECONNREFUSED\)$/,
    ],
    [
      'a host that is none',
      () => ({ url: 'http://broker.invalid:15672' }),
      'away',
      /^cannot reach the broker at http:\S+: (there is no such host|the name of the host cannot be looked up now) \(\w+\)$/,
    ],
    [
      'a server that never answers',
      () => ({ url: at('silent') }),
      'away',
      /^the broker at http:\S+ did not answer within 2 s$/,
    ],
    [
      'a connection that is cut',
      () => ({ url: at('rude') }),
      'away',
      /^cannot reach the broker at http:\S+: the connection was closed before an answer \(ECONNRESET\)$/,
    ],
    [
      'a broker, or a proxy before it, that fails',
      () => ({ url: at('broken') }),
      'away',
      /^the broker at http:\S+ failed by itself \(HTTP 503\): try again later$/,
    ],
    [
      'the AMQP port',
      () => ({ url: `http://${new URL(amqpUrl).host}` }),
      'stranger',
      /^what answers at http:\S+ is not RabbitMQ's management API: check host and port$/,
    ],
    [
      'a web page',
      () => ({ url: at('web page') }),
      'stranger',
      /^what answers at http:\S+ is not RabbitMQ's management API: check host and port$/,
    ],
    [
      'another API',
      () => ({ url: at('other API') }),
      'stranger',
      /^what answers at http:\S+ is not RabbitMQ's management API: check host and port$/,
    ],
    [
      'a 404 that is not of RabbitMQ',
      () => ({ url: at('not found') }),
      'stranger',
      /^what answers at http:\S+ is not RabbitMQ's management API: check host and port$/,
    ],
    [
      'a certificate of an authority that is not known',
      () => ({ url: `https://127.0.0.1:${tls.port}` }),
      'untrusted',
      /^the certificate of https:\S+ is not trusted \(\w+\): name the certificate authority that signed it, if it is not a public one$/,
    ],
    [
      'TLS where there is none',
      () => ({ url: managementUrl.replace('http:', 'https:') }),
      'untrusted',
      /^no TLS connection to https:\S+ \(\w+\): expected TLS there; check https:\/\/ and the port$/,
    ],
  ])('%s', async (_what, options, kind, sentence) => {
    const error = await failure(await options());
    expect(error.message).toMatch(sentence);
    expect(error.kind).toBe(kind);
    expect(`${error.message} ${error.stack}`).not.toContain(SECRET);
  });

  test('a certificate for another host', { skip: process.platform !== 'linux' }, async () => {
    const other = await tlsInFrontOf(managementUrl, '127.0.0.2');
    try {
      const error = await failure({ url: `https://127.0.0.2:${other.port}`, ca: await readFile(other.caFile, 'utf8') });
      expect(error.message).toMatch(
        /^the certificate of \S+ is not trusted \(ERR_TLS_CERT_ALTNAME_INVALID\): it is for another host name$/,
      );
      expect(error.kind).toBe('untrusted');
    } finally {
      await other.close();
    }
  });

  test('a 400, with the reason of the broker', async () => {
    const policy = {
      name: 'odd',
      pattern: '^a$',
      applyTo: 'queues',
      priority: 2,
      definition: { 'max-foo': 1 },
    } as const;
    await expect(own.api.putPolicy(own.vhost, policy)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(
        /^the broker refuses PUT \/api\/policies\/\S+: Validation failed .*max-foo.* not recognised policy settings$/,
      ),
    });
  });

  test('a user who is no administrator', async () => {
    const { worker } = own.userNames;
    const login = { username: worker, password: own.passwords[worker] ?? '' };
    await applyTopology(own.api, own.topology(), { passwords: own.passwords });
    const api = new ManagementApi({ url: managementUrl, ...login });
    const applying = applyTopology(api, own.topology(), { passwords: {} });
    await expect(applying).rejects.toThrow(
      `user '${worker}' may not GET /api/whoami: Not management user. Expected a user with the tag administrator`,
    );
    await own.api.putUser(worker, { password: login.password }, ['monitoring']);
    await expect(applyTopology(api, own.topology(), { passwords: {} })).rejects.toThrow(
      `user '${worker}' cannot manage vhosts and users: expected the tag administrator, got monitoring`,
    );
    await own.api.putUser(worker, { password: login.password });
    api.close();
  });
});

test('an address that is none is refused at once, and not repeated: there may be a password in it', () => {
  const make = (url: string) => () => new ManagementApi({ url, username, password: SECRET });
  expect(make('user:secret')).toThrow(/^expected http:\/\/ or https:\/\/ of the management API, got user:\/\/$/);
  expect(make('//user:secret@host')).toThrow(
    /^expected the management API's address such as https:\/\/host:15671, got none$/,
  );
});

test('TLS with the authority that signed the certificate reads and writes as without', async () => {
  const ca = await readFile(tls.caFile, 'utf8');
  const api = new ManagementApi({ url: `https://127.0.0.1:${tls.port}`, username, password, ca });
  const wanted = own.topology();
  await applyTopology(api, wanted, { passwords: own.passwords });
  expect((await applyTopology(own.api, wanted, { passwords: own.passwords })).steps).toEqual([]);
  api.close();
});

test('names with slashes, spaces and signs arrive as they are', async () => {
  const name = 'a/b c%2F#?é';
  await own.api.putExchange(own.vhost, { name, type: 'topic' });
  await own.api.putQueue(own.vhost, { name, arguments: { 'x-queue-type': 'quorum' } });
  const binding = { exchange: name, queue: name, routingKey: 'k/% #.ä' };
  await own.api.bind(own.vhost, binding);
  const [found] = (await own.api.bindings(own.vhost)).filter(({ source }) => source === name);
  expect(found).toMatchObject({ source: name, destination: name, routingKey: binding.routingKey });
  await own.api.unbind(own.vhost, binding, found?.propertiesKey ?? '');
  expect((await own.api.bindings(own.vhost)).filter(({ source }) => source === name)).toEqual([]);
  await own.api.deleteQueue(own.vhost, name);
  await own.api.deleteExchange(own.vhost, name);
  expect((await own.api.queues(own.vhost)).map((queue) => queue.name)).not.toContain(name);
});

test('deleting what is not there is success', async () => {
  await own.api.deleteQueue(own.vhost, 'never');
  await own.api.deleteExchange(own.vhost, 'never');
  await own.api.deletePolicy(own.vhost, 'never');
  await own.api.deleteUser('never-was');
  await own.api.deletePermissions(own.vhost, 'never-was');
  expect(await own.api.hasVhost('never-was')).toBe(false);
});
