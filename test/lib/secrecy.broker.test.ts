// What no function may show: a password, wherever a person has put it, whatever fails. It is looked for in everything
// that both functions write, return and throw, with causes, stacks and hidden fields. Half a secret counts too: parsers
// quote the first characters.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { inspect } from 'node:util';
import type { CdkCustomResourceEvent } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManagementApi } from '../../lib/management/management-api.ts';
import type { handler as Rotate } from '../../lib/rotation/rotate.lambda.ts';
import { ROTATION_ENV } from '../../lib/rotation/rotation.ts';
import type { handler as Apply } from '../../lib/topology/apply.lambda.ts';
import { toProperties } from '../../lib/topology/resource-properties.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { sharedBroker } from '../support/broker.ts';
import { managementByTls } from '../support/management-by-tls.ts';
import { closedPort, echoByAmqp, echoByTls, httpServer, type Stranger, tlsInFrontOf } from '../support/strangers.ts';

/** Begins no JSON, and has what JSON, addresses and base64 write differently. */
const SECRET = `zq${randomBytes(6).toString('hex')}"\\ %/é`;
const START = SECRET.slice(0, 6);

let secrets: SecretsManager;
let api: ManagementApi;
let apply: typeof Apply;
let rotate: typeof Rotate;
let management: string;
let user: string;
let output: string[];
const strangers: Stranger[] = [];

beforeAll(async () => {
  secrets = await startSecretsManager();
  management = managementByTls();
  const { managementUrl: url, username, password } = sharedBroker();
  api = new ManagementApi({ url, username, password });
  await load(secrets.environment);
});

/** The SDK reads the environment when its client is made. */
async function load(environment: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  vi.resetModules();
  ({ handler: rotate } = await import('../../lib/rotation/rotate.lambda.ts'));
  ({ handler: apply } = await import('../../lib/topology/apply.lambda.ts'));
}

function anotherUser(): void {
  user = `secrecy-${randomBytes(4).toString('hex')}`;
}

beforeEach(() => {
  anotherUser();
  output = [];
  for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const)
    vi.spyOn(console, method).mockImplementation(
      (...line) => void output.push(line.map((part) => inspect(part)).join()),
    );
});

afterAll(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  api.close();
  await Promise.all(strangers.map((stranger) => stranger.close()));
  await secrets.stop();
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

const administrator = (password = SECRET) => JSON.stringify({ username: sharedBroker().username, password });
const right = () => administrator(sharedBroker().password);
const login = (fields: object = {}) => {
  const { hostname: host, port } = new URL(sharedBroker().amqpUrl);
  return JSON.stringify({
    host,
    port: Number(port),
    vhost: user,
    username: user,
    password: SECRET,
    tls: false,
    ...fields,
  });
};

/** Every event of every handler. @returns what was thrown, in sentences */
async function everything(given: Case): Promise<string[]> {
  const names = { administrator: `${user}-administrator`, login: `${user}-login` };
  const arns = {
    administrator: secrets.put(names.administrator, given.administrator ?? right()),
    login: secrets.put(names.login, given.previous ?? given.login ?? login()),
  };
  if (given.previous !== undefined) secrets.put(names.login, given.login ?? login());
  if (given.denied !== undefined) secrets.deny(names[given.denied]);
  const logins = { [user]: arns.login };
  vi.stubEnv(ROTATION_ENV.managementUrl, given.managementUrl ?? management);
  vi.stubEnv(ROTATION_ENV.administratorSecretArn, arns.administrator);
  vi.stubEnv(ROTATION_ENV.loginSecretArns, JSON.stringify(logins));

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
  const none = { configure: '', write: '', read: '' };
  const users = [{ name: user, tags: [], permissions: none }];
  const ResourceProperties = {
    Topology: toProperties({ vhost: user, exchanges: [], queues: [], bindings: [], policies: [], users }),
    ManagementUrl: given.managementUrl ?? management,
    AdministratorSecretArn: arns.administrator,
    LoginSecretArns: logins,
    OnDelete: 'remove',
    Revision: '0',
  };
  // The function keeps fifteen seconds for its answer.
  const context = { getRemainingTimeInMillis: () => 15_000 + (given.patienceMs ?? 500) };
  const request = async (RequestType: 'Create' | 'Update' | 'Delete') => {
    const before = { OldResourceProperties: ResourceProperties, PhysicalResourceId: 'x' };
    const event: unknown = { RequestType, ResourceProperties, ...before };
    await watched(() => apply(event as CdkCustomResourceEvent, context));
  };
  await request('Create');
  await request('Update');
  await secrets
    .rotate(names.login, async (event) => {
      if (event.Step === 'createSecret' && given.pending !== undefined) await putPending(event, given.pending);
      await watched(() => rotate(event));
    })
    .catch(() => undefined);
  await watched(() => rotate({ Step: 'revoke', SecretId: arns.login }));
  await request('Delete');

  for (const name of [user, `${user}_b`]) await api.deleteUser(name);
  await deleteVhost(user);
  secrets.allow(names.administrator);
  secrets.allow(names.login);
  return thrown;
}

async function putPending(
  { SecretId, ClientRequestToken }: { SecretId: string; ClientRequestToken: string },
  text: string,
) {
  const { PutSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const put = { SecretId, ClientRequestToken, SecretString: text, VersionStages: ['AWSPENDING'] };
  await new SecretsManagerClient({ endpoint: secrets.endpoint }).send(new PutSecretValueCommand(put));
}

async function deleteVhost(name: string): Promise<void> {
  const { managementUrl, username, password } = sharedBroker();
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  await fetch(`${managementUrl}/api/vhosts/${name}`, { method: 'DELETE', headers: { authorization } });
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
  'a JSON text': JSON.stringify(SECRET),
  'half of a JSON object': `{"username":"administrator","password":${JSON.stringify(SECRET)}`,
  'JSON with a comma too many': `{"password":${JSON.stringify(SECRET)},}`,
  'a list': JSON.stringify([SECRET]),
  'an object instead of a text': JSON.stringify({ username: 'administrator', password: { [SECRET]: SECRET } }),
  'a list instead of a text': JSON.stringify({ username: [SECRET], password: [SECRET] }),
  'a field of its own': JSON.stringify({ [SECRET]: SECRET }),
  'an address': `amqps://administrator:${encodeURIComponent(SECRET)}@b-1.mq.eu-central-1.on.aws:5671`,
};

describe.each(Object.entries(SHAPES))('a secret that is %s', (_, text) => {
  it('of the administrator is shown by nothing', async () => {
    const thrown = await everything({ administrator: text });
    expect(leaks()).toEqual([]);
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(thrown.join('\n')).toContain('expected JSON with username, password');
  });

  it.each(['login', 'previous', 'pending'] as const)('of a %s version is shown by nothing', async (version) => {
    const thrown = await everything({ [version]: text });
    expect(leaks()).toEqual([]);
    // What was before is only looked at.
    if (version !== 'previous') expect(thrown.join('\n')).toContain('expected JSON with host');
  });
});

describe('a field of a login', () => {
  it.each(['host', 'port', 'vhost', 'username', 'password', 'tls', 'note'])(
    '%s is not shown with it',
    async (field) => {
      const value = field === 'host' ? `amqps://${user}:${SECRET}@host` : field === 'vhost' ? { [SECRET]: 1 } : SECRET;
      await everything({ login: login({ [field]: value }) });
      expect(leaks()).toEqual([]);
      output = [];
      await everything({ pending: login({ username: `${user}_b`, [field]: value }) });
      expect(leaks()).toEqual([]);
    },
  );
});

describe('a password that is right where it is, when something fails', () => {
  const stranger = async <T extends Stranger>(started: Promise<T>): Promise<T> => {
    const one = await started;
    strangers.push(one);
    return one;
  };
  const trusted = async (status: number) => {
    const echo = await stranger(echoByTls(status));
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(echo.caFile, 'utf8')]);
    return echo;
  };

  it('nothing: the handlers end well', async () => {
    expect(await everything({ patienceMs: 120_000 })).toEqual([]);
    expect(leaks()).toEqual([]);
  });

  it('the login of the administrator, which is refused', async () => {
    const thrown = await everything({ administrator: administrator() });
    expect(thrown.join('\n')).toContain('refuses the login of user');
    expect(leaks()).toEqual([]);
  });

  it('the broker, which is away', async () => {
    const managementUrl = `https://127.0.0.1:${await closedPort()}`;
    const thrown = await everything({ administrator: administrator(), managementUrl });
    expect(thrown.join('\n')).toContain('cannot reach the broker');
    expect(leaks()).toEqual([]);
  });

  it.each([200, 400, 401, 403, 404, 503])(
    'the address: a stranger sends back what it was sent (%d)',
    async (status) => {
      const { port } = await trusted(status);
      const thrown = await everything({ administrator: administrator(), managementUrl: `https://127.0.0.1:${port}` });
      expect(thrown.length).toBeGreaterThanOrEqual(3);
      expect(leaks()).toEqual([]);
    },
  );

  it('TLS: no certificate that is trusted, or none at all', async () => {
    const { port } = await stranger(tlsInFrontOf(sharedBroker().managementUrl));
    const thrown = await everything({ administrator: administrator(), managementUrl: `https://127.0.0.1:${port}` });
    expect(thrown.join('\n')).toContain('is not trusted');
    const plain = sharedBroker().managementUrl.replace('http:', 'https:');
    expect((await everything({ administrator: administrator(), managementUrl: plain })).join('\n')).toContain('no TLS');
    expect(leaks()).toEqual([]);
  });

  it('the login by AMQP: refused, away, or by a stranger who sends back what it was sent', async () => {
    await everything({ pending: login({ username: `${user}_b`, port: await closedPort() }) });
    anotherUser();
    const { port } = await stranger(echoByAmqp());
    const thrown = await everything({ pending: login({ username: `${user}_b`, port }) });
    expect(thrown.join('\n')).toMatch(/cannot log in .+\[redacted\]/s);
    expect(leaks()).toEqual([]);
  });

  it.each(['administrator', 'login'] as const)(
    'Secrets Manager, which does not give the secret of the %s',
    async (denied) => {
      const thrown = await everything({ administrator: administrator(), denied });
      expect(thrown.join('\n')).toContain('AccessDeniedException');
      expect(leaks()).toEqual([]);
    },
  );

  it.each([
    ['half of an answer', 200, `{"ARN":"x","SecretString":${JSON.stringify(SECRET)}`],
    ['no JSON', 200, SECRET],
    ['an error of its own', 400, JSON.stringify({ __type: 'OddException', message: SECRET, SecretString: SECRET })],
    ['nonsense', 400, SECRET],
  ])('Secrets Manager, which gives %s', async (_, status, body) => {
    const { port } = await stranger(httpServer(status, 'application/x-amz-json-1.1', body));
    await load({ AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${port}`, AWS_MAX_ATTEMPTS: '1' });
    const thrown = await everything({});
    await load(secrets.environment);
    expect(thrown.length).toBeGreaterThanOrEqual(3);
    expect(leaks()).toEqual([]);
  });
});
