// What no function may show: a password, wherever a person has put it, whatever fails. It is looked for in everything
// that both functions write, return and throw, with causes, stacks and hidden fields. Half a secret counts too: parsers
// quote the first characters.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { inspect } from 'node:util';
import type { CdkCustomResourceEvent } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { toProperties } from '../../lib/topology/resource-properties.ts';
import { sharedBroker } from '../support/broker.ts';
import {
  ADMINISTRATOR,
  administratorSecret,
  type BrokerFunctions,
  brokerFunctions,
  putPending,
} from '../support/broker-functions.ts';
import {
  closedPort,
  echoByAmqp,
  echoByTls,
  type FakeServer,
  httpServer,
  tlsInFrontOf,
} from '../support/fake-servers.ts';

/** Begins no JSON, and has what JSON, addresses and base64 write differently. */
const SECRET = `zq${randomBytes(6).toString('hex')}"\\ %/é`;
const START = SECRET.slice(0, 6);

let functions: BrokerFunctions;
let user: string;
let output: string[];
const servers: FakeServer[] = [];

beforeAll(async () => {
  functions = await brokerFunctions();
});

beforeEach(() => {
  output = [];
  for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const)
    vi.spyOn(console, method).mockImplementation(
      (...line) => void output.push(line.map((part) => inspect(part)).join()),
    );
});

afterAll(async () => {
  vi.restoreAllMocks();
  await Promise.all(servers.map((server) => server.close()));
  await functions.stop();
});

interface Case {
  readonly administrator?: string;
  readonly login?: string;
  readonly previous?: string;
  readonly pending?: string;
  readonly managementUrl?: string;
  readonly denied?: 'administrator' | 'login';
  /** For the broker; what cannot succeed is given up soon. @default 500 */
  readonly patienceMs?: number;
}

const login = (fields: object = {}) => {
  const { hostname: host, port } = new URL(sharedBroker().amqpUrl);
  const address = { host, port: Number(port), vhost: user, tls: false };
  return JSON.stringify({ ...address, username: user, password: SECRET, ...fields });
};

/** Every event of both handlers, for a user of its own. @returns what was thrown, in sentences */
async function everything(
  givenOf: Case | (() => Case),
  { apply, rotate }: Pick<BrokerFunctions, 'apply' | 'rotate'> = functions,
): Promise<string[]> {
  user = `secrecy-${randomBytes(4).toString('hex')}`;
  const given = typeof givenOf === 'function' ? givenOf() : givenOf;
  const { secrets, api } = functions;
  const name = `${user}-login`;
  secrets.put(ADMINISTRATOR, given.administrator ?? administratorSecret());
  if (given.previous !== undefined) secrets.put(name, given.previous);
  secrets.put(name, given.login ?? login());
  const denied = given.denied === 'administrator' ? ADMINISTRATOR : name;
  if (given.denied !== undefined) secrets.deny(denied);
  functions.configure(
    { [user]: name },
    given.managementUrl === undefined ? {} : { managementUrl: given.managementUrl },
  );

  const thrown: string[] = [];
  const watched = async (call: () => Promise<unknown>): Promise<void> => {
    try {
      output.push(inspect(await call(), { depth: Number.POSITIVE_INFINITY, showHidden: true }));
    } catch (error) {
      thrown.push(error instanceof Error ? error.message : String(error));
      for (let each: unknown = error; each instanceof Error; each = each.cause)
        output.push(`${each.name} ${each.message} ${each.stack} ${JSON.stringify(each)}`);
      output.push(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }));
    }
  };
  const users = [{ name: user, tags: [], permissions: { configure: '', write: '', read: '' } }];
  const Topology = toProperties({
    vhost: user,
    shards: { count: 0, perTask: 1 },
    exchanges: [],
    queues: [],
    bindings: [],
    policies: [],
    users,
  });
  const ResourceProperties = { Topology, Revision: '0' };
  // The function keeps fifteen seconds for its answer.
  const context = { getRemainingTimeInMillis: () => 15_000 + (given.patienceMs ?? 500) };
  const request = async (RequestType: string) => {
    const event: unknown = { RequestType, ResourceProperties, PhysicalResourceId: 'x' };
    await watched(() => apply(event as CdkCustomResourceEvent, context));
  };
  await request('Create');
  await request('Update');
  await secrets
    .rotate(name, async (event) => {
      if (event.Step === 'createSecret' && given.pending !== undefined) await putPending(event, given.pending);
      await watched(() => rotate(event));
    })
    .catch(() => undefined);
  await watched(() => rotate({ Step: 'revoke', SecretId: secrets.put(name) }));
  await request('Delete');

  for (const one of [user, `${user}_b`]) await api.delete('users', one);
  await api.delete('vhosts', user);
  secrets.allow(denied);
  return thrown;
}

/** The lines with the secret, in any of its forms. */
function leaks(): string[] {
  const decoded = (line: string) =>
    [...line.matchAll(/[A-Za-z0-9+/]{12,}={0,2}/g)].map(([text]) => Buffer.from(text, 'base64').toString()).join(' ');
  return output.filter((line) => line.includes(START) || decoded(line).includes(START));
}

it('would be found in all forms, the half included', () => {
  output = ['nothing', `"${START}"...`, Buffer.from(`administrator:${SECRET}`).toString('base64')];
  expect(leaks()).toHaveLength(2);
});

/** As people write them. */
const SHAPES: Readonly<Record<string, string>> = {
  'the password alone': SECRET,
  'half of a JSON object': `{"username":"administrator","password":${JSON.stringify(SECRET)}`,
  'an object instead of a text': JSON.stringify({ username: 'administrator', password: { [SECRET]: SECRET } }),
  'a field of its own': JSON.stringify({ [SECRET]: SECRET }),
  'an address': `amqps://administrator:${encodeURIComponent(SECRET)}@b-1.mq.eu-central-1.on.aws:5671`,
};

describe.each(Object.entries(SHAPES))('a secret that is %s', (_, text) => {
  it('is shown by nothing, as the administrator, the login, its former or its pending version', async () => {
    const thrown = await everything({ administrator: text });
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(thrown.join('\n')).toContain('expected JSON with username, password');
    for (const version of ['login', 'pending'] as const)
      expect((await everything({ [version]: text })).join('\n')).toContain('expected JSON with host');
    // The former version is only looked at.
    await everything({ previous: text });
    expect(leaks()).toEqual([]);
  });
});

it.each(['host', 'port', 'vhost', 'username'])('the field %s of a login is not shown with it', async (field) => {
  const secretIn = () =>
    field === 'host' ? `amqps://${user}:${SECRET}@host` : field === 'vhost' ? { [SECRET]: 1 } : SECRET;
  await everything(() => ({ login: login({ [field]: secretIn() }) }));
  await everything(() => ({ pending: login({ username: `${user}_b`, [field]: secretIn() }) }));
  expect(leaks()).toEqual([]);
});

describe('a right password is not shown when something fails:', () => {
  const administrator = administratorSecret(SECRET);
  const started = async <T extends FakeServer>(starting: Promise<T>): Promise<T> => {
    const server = await starting;
    servers.push(server);
    return server;
  };

  it('nothing, and the handlers end well', async () => {
    expect(await everything({ patienceMs: 120_000 })).toEqual([]);
    expect(leaks()).toEqual([]);
  });

  it.each<[what: string, given: () => Case | Promise<Case>, sentence: string]>([
    ['the login of the administrator, which is refused', () => ({ administrator }), 'refuses the login of user'],
    [
      'the broker, which is away',
      async () => ({ administrator, managementUrl: `https://127.0.0.1:${await closedPort()}` }),
      'cannot reach the broker',
    ],
    [
      'a certificate that is not trusted',
      async () => {
        const { port } = await started(tlsInFrontOf(sharedBroker().managementUrl));
        return { administrator, managementUrl: `https://127.0.0.1:${port}` };
      },
      'no trusted TLS connection',
    ],
    [
      'the secret of the administrator, which is denied',
      () => ({ administrator, denied: 'administrator' }),
      'AccessDenied',
    ],
    ['the secret of the login, which is denied', () => ({ administrator, denied: 'login' }), 'AccessDenied'],
    ...[200, 400, 401].map((status): [string, () => Promise<Case>, string] => [
      `the address: another server sends back what it was sent (${status})`,
      async () => {
        const { port, caFile } = await started(echoByTls(status));
        tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(caFile, 'utf8')]);
        return { administrator, managementUrl: `https://127.0.0.1:${port}` };
      },
      '',
    ]),
  ])('%s', async (_what, given, sentence) => {
    const thrown = await everything(await given());
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(thrown.join('\n')).toContain(sentence);
    expect(leaks()).toEqual([]);
  });

  it('the login by AMQP: the broker is away, or another server sends back what it was sent', async () => {
    const ports = [await closedPort(), (await started(echoByAmqp())).port];
    const thrown: string[] = [];
    for (const port of ports)
      thrown.push(...(await everything(() => ({ pending: login({ username: `${user}_b`, port }) }))));
    expect(thrown.join('\n')).toMatch(/cannot log in .+\[redacted\]/s);
    expect(leaks()).toEqual([]);
  });

  it.each([
    ['half of an answer', 200, `{"ARN":"x","SecretString":${JSON.stringify(SECRET)}`],
    ['an error of its own', 400, JSON.stringify({ __type: 'OddException', message: SECRET, SecretString: SECRET })],
  ])('Secrets Manager, which gives %s', async (_, status, body) => {
    const { port } = await started(httpServer(status, 'application/x-amz-json-1.1', body));
    vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', `http://127.0.0.1:${port}`);
    vi.stubEnv('AWS_MAX_ATTEMPTS', '1');
    vi.resetModules();
    const { handler: rotate } = await import('../../lib/rotation/rotate.lambda.ts');
    const { handler: apply } = await import('../../lib/topology/apply.lambda.ts');
    const thrown = await everything({}, { rotate, apply });
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(leaks()).toEqual([]);
  });
});
