// No function may show a password, in whatever form a person has stored it and whatever fails. The test looks for it in
// everything that both functions write, return and throw, with causes, stacks and hidden fields. The first characters count
// too, because parsers quote them.

import { randomBytes } from 'node:crypto';
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
  trust,
} from '../support/broker-functions.ts';
import {
  closedPort,
  echoByAmqp,
  echoByTls,
  type FakeServer,
  httpServer,
  tlsInFrontOf,
} from '../support/fake-servers.ts';

/** Not valid JSON, and with characters that JSON, URLs and base64 encode. */
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
  /** How long a function waits for the broker. Short, because most cases cannot succeed. @default 500 */
  readonly brokerTimeoutMs?: number;
}

const login = (fields: object = {}) => {
  const { hostname: host, port } = new URL(sharedBroker().amqpUrl);
  const address = { host, port: Number(port), vhost: user, tls: false };
  return JSON.stringify({ ...address, username: user, password: SECRET, ...fields });
};

/** Calls both handlers with each of their events, for a new user. @returns the messages of the errors */
async function callHandlers(
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
  // The function reserves fifteen seconds for its answer.
  const context = { getRemainingTimeInMillis: () => 15_000 + (given.brokerTimeoutMs ?? 500) };
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

/** The lines that contain the secret, also encoded. */
function leaks(): string[] {
  const decoded = (line: string) =>
    [...line.matchAll(/[A-Za-z0-9+/]{12,}={0,2}/g)].map(([text]) => Buffer.from(text, 'base64').toString()).join(' ');
  return output.filter((line) => line.includes(START) || decoded(line).includes(START));
}

it('a leak is found, also of the first characters and in base64', () => {
  output = ['nothing', `"${START}"...`, Buffer.from(`administrator:${SECRET}`).toString('base64')];
  expect(leaks()).toHaveLength(2);
});

/** Mistakes that people make. */
const SHAPES: Readonly<Record<string, string>> = {
  'the password alone': SECRET,
  'half of a JSON object': `{"username":"administrator","password":${JSON.stringify(SECRET)}`,
  'an object instead of a text': JSON.stringify({ username: 'administrator', password: { [SECRET]: SECRET } }),
  'the name of a field': JSON.stringify({ [SECRET]: SECRET }),
  'an address': `amqps://administrator:${encodeURIComponent(SECRET)}@b-1.mq.eu-central-1.on.aws:5671`,
};

describe.each(Object.entries(SHAPES))('a secret that is %s', (_, text) => {
  it('is never shown: as administrator, login, previous or pending version', async () => {
    const thrown = await callHandlers({ administrator: text });
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(thrown.join('\n')).toContain('expected JSON with username, password');
    for (const version of ['login', 'pending'] as const)
      expect((await callHandlers({ [version]: text })).join('\n')).toContain('expected JSON with host');
    // The functions only look at a previous version.
    await callHandlers({ previous: text });
    expect(leaks()).toEqual([]);
  });
});

it.each(['host', 'port', 'vhost', 'username'])('is never shown in the field %s of a login', async (field) => {
  const secretIn = () =>
    field === 'host' ? `amqps://${user}:${SECRET}@host` : field === 'vhost' ? { [SECRET]: 1 } : SECRET;
  await callHandlers(() => ({ login: login({ [field]: secretIn() }) }));
  await callHandlers(() => ({ pending: login({ username: `${user}_b`, [field]: secretIn() }) }));
  expect(leaks()).toEqual([]);
});

describe('a correct password is never shown', () => {
  const administrator = administratorSecret(SECRET);
  const started = async <T extends FakeServer>(starting: Promise<T>): Promise<T> => {
    const server = await starting;
    servers.push(server);
    return server;
  };

  it('when nothing fails', async () => {
    expect(await callHandlers({ brokerTimeoutMs: 120_000 })).toEqual([]);
    expect(leaks()).toEqual([]);
  });

  it.each<[what: string, given: () => Case | Promise<Case>, sentence: string]>([
    ["when the broker refuses the administrator's login", () => ({ administrator }), 'refuses the login of user'],
    [
      'when the broker is unreachable',
      async () => ({ administrator, managementUrl: `https://127.0.0.1:${await closedPort()}` }),
      'cannot reach the broker',
    ],
    [
      "when the broker's certificate is not trusted",
      async () => {
        const { port } = await started(tlsInFrontOf(sharedBroker().managementUrl));
        return { administrator, managementUrl: `https://127.0.0.1:${port}` };
      },
      'no trusted TLS connection',
    ],
    ["when the administrator's secret is denied", () => ({ administrator, denied: 'administrator' }), 'AccessDenied'],
    ["when the login's secret is denied", () => ({ administrator, denied: 'login' }), 'AccessDenied'],
    ...[200, 400, 401].map((status): [string, () => Promise<Case>, string] => [
      `when another server echoes the request (${status})`,
      async () => {
        const { port, caFile } = await started(echoByTls(status));
        trust(caFile);
        return { administrator, managementUrl: `https://127.0.0.1:${port}` };
      },
      '',
    ]),
  ])('%s', async (_what, given, sentence) => {
    const thrown = await callHandlers(await given());
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(thrown.join('\n')).toContain(sentence);
    expect(leaks()).toEqual([]);
  });

  it('when the AMQP server of the login is unreachable or echoes what it gets', async () => {
    const ports = [await closedPort(), (await started(echoByAmqp())).port];
    const thrown: string[] = [];
    for (const port of ports)
      thrown.push(...(await callHandlers(() => ({ pending: login({ username: `${user}_b`, port }) }))));
    expect(thrown.join('\n')).toMatch(/cannot log in .+\[redacted\]/s);
    expect(leaks()).toEqual([]);
  });

  it.each([
    ['sends half of an answer', 200, `{"ARN":"x","SecretString":${JSON.stringify(SECRET)}`],
    ['sends an unknown error', 400, JSON.stringify({ __type: 'OddException', message: SECRET, SecretString: SECRET })],
  ])('when Secrets Manager %s', async (_, status, body) => {
    const { port } = await started(httpServer(status, 'application/x-amz-json-1.1', body));
    vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', `http://127.0.0.1:${port}`);
    vi.stubEnv('AWS_MAX_ATTEMPTS', '1');
    vi.resetModules();
    const { handler: rotate } = await import('../../lib/rotation/rotate.lambda.ts');
    const { handler: apply } = await import('../../lib/topology/apply.lambda.ts');
    const thrown = await callHandlers({}, { rotate, apply });
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(leaks()).toEqual([]);
  });
});
