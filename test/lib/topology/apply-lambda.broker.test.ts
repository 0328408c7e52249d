// The function that applies the topology, as CloudFormation's provider framework calls it, against a real RabbitMQ by TLS.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import tls from 'node:tls';
import { inspect } from 'node:util';
import { connect } from 'amqplib';
import type { CdkCustomResourceEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import type { handler as Handler, TopologyData } from '../../../lib/topology/apply.lambda.ts';
import { recordName } from '../../../lib/topology/record.ts';
import {
  fromProperties,
  type ResourceProperties,
  TOPOLOGY_ENV,
  toProperties,
} from '../../../lib/topology/resource-properties.ts';
import { discordTopology, type Topology } from '../../../lib/topology/topology.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager.ts';
import { leaseQueue, QUEUES, type USERS } from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { refusing, tlsInFrontOf } from '../../support/strangers.ts';

let secrets: SecretsManager;
let handler: typeof Handler;
let api: ManagementApi;
let front: Awaited<ReturnType<typeof tlsInFrontOf>>;
let managementByTls: string;
let authorities: string[];
let id: string;
let names: Readonly<Record<keyof typeof USERS, string>>;
let said: { level: string; message: string }[];
let hear: (() => void) | undefined;

beforeAll(async () => {
  secrets = await startSecretsManager();
  for (const [name, value] of Object.entries(secrets.environment)) vi.stubEnv(name, value);
  const { managementUrl: url, username, password } = sharedBroker();
  front = await tlsInFrontOf(url);
  managementByTls = `https://127.0.0.1:${front.port}`;
  authorities = tls.getCACertificates('default');
  tls.setDefaultCACertificates([...authorities, readFileSync(front.caFile, 'utf8')]);
  api = new ManagementApi({ url, username, password });
  // The SDK reads the environment when its client is made.
  ({ handler } = await import('../../../lib/topology/apply.lambda.ts'));
});

afterAll(async () => {
  api.close();
  tls.setDefaultCACertificates(authorities);
  await front.close();
  vi.unstubAllEnvs();
  await secrets.stop();
});

beforeEach(() => {
  id = randomBytes(5).toString('hex');
  names = { ingestor: `ingestor-${id}`, worker: `worker-${id}`, deadLetters: `dead-letters-${id}` };
  said = [];
  secrets.put(`administrator-${id}`, administrator());
  for (const [part, name] of Object.entries(names)) secrets.put(name, login(name, `${part}s-password`));
  environment();
  vi.spyOn(console, 'log').mockImplementation((line: string) => {
    said.push(JSON.parse(line));
    hear?.();
  });
});

afterEach(async () => {
  hear = undefined;
  vi.restoreAllMocks();
  for (const name of Object.values(names)) for (const user of [name, `${name}_b`]) await api.deleteUser(user);
  const { managementUrl, username, password } = sharedBroker();
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  for (const what of [`vhosts/${id}`, `global-parameters/${recordName(id)}`])
    await fetch(`${managementUrl}/api/${what}`, { method: 'DELETE', headers: { authorization } });
});

function topology(options: Parameters<typeof discordTopology>[0] = {}): Topology {
  return discordTopology({ vhost: id, userNames: names, ...options });
}

function login(username: string, password: string): string {
  return JSON.stringify({ host: 'b-1.mq.eu-central-1.on.aws', port: 5671, vhost: id, username, password });
}

function administrator(password = sharedBroker().password): string {
  return JSON.stringify({ username: sharedBroker().username, password });
}

/** The function's environment. */
function environment(changes: Partial<Record<keyof typeof TOPOLOGY_ENV, string>> = {}): void {
  const arns = Object.fromEntries(Object.values(names).map((name) => [name, secrets.put(name)]));
  const settings = {
    managementUrl: managementByTls,
    administratorSecretArn: secrets.put(`administrator-${id}`),
    loginSecretArns: JSON.stringify(arns),
    ...changes,
  };
  for (const [key, name] of Object.entries(TOPOLOGY_ENV)) vi.stubEnv(name, settings[key as keyof typeof TOPOLOGY_ENV]);
}

function properties(wanted: Topology, changes: Partial<ResourceProperties> = {}): ResourceProperties {
  return {
    Topology: toProperties(wanted),
    Revision: 0,
    ManagementUrl: managementByTls,
    LoginSecretArns: {},
    ...changes,
  };
}

/** As it arrives: with everything that CloudFormation adds, and every number and boolean made a text. */
function event(
  RequestType: 'Create' | 'Update' | 'Delete',
  now: ResourceProperties,
  before?: ResourceProperties,
  PhysicalResourceId = `topology of ${id}`,
): CdkCustomResourceEvent {
  const token = 'arn:aws:lambda:eu-central-1:111122223333:function:framework-onEvent';
  const text = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(text);
    if (typeof value !== 'object' || value === null) return String(value);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, text(inner)]));
  };
  return {
    RequestType,
    ServiceToken: token,
    ResponseURL: 'https://cloudformation-custom-resource-response-eucentral1.s3.amazonaws.com/x',
    StackId: 'arn:aws:cloudformation:eu-central-1:111122223333:stack/discord-ingestor-staging-broker/1',
    RequestId: `request-${id}`,
    LogicalResourceId: 'TopologyB46D899B',
    ResourceType: 'Custom::BrokerTopology',
    ResourceProperties: { ServiceToken: token, ServiceTimeout: '600', ...Object(text(now)) },
    ...(before && { OldResourceProperties: { ServiceToken: token, ServiceTimeout: '600', ...Object(text(before)) } }),
    ...(RequestType !== 'Create' && { PhysicalResourceId }),
  } as CdkCustomResourceEvent;
}

const within = (ms: number) => ({ getRemainingTimeInMillis: () => ms });
const FIVE_MINUTES = within(300_000);

const steps = () => said.filter(({ level }) => level === 'info').map(({ message }) => message);
const queues = async () => (await api.queues(id)).map(({ name }) => name).sort();

async function canLogIn(username: string, password: string): Promise<boolean> {
  try {
    await (await connect(sharedBroker().url({ username, password, vhost: id }))).close();
    return true;
  } catch {
    return false;
  }
}

describe('the properties', () => {
  it('carry the topology unchanged through CloudFormation, which makes a text of everything', () => {
    const wanted = discordTopology({ shardGroups: 3 });
    const arrived = event('Create', properties(wanted)).ResourceProperties as unknown as ResourceProperties;
    expect(fromProperties(arrived.Topology)).toEqual(wanted);
  });

  it('differ in one place for one change, which is what `cdk diff` shows', () => {
    const [before, after] = [toProperties(topology()), toProperties(topology({ limits: { deliveryLimit: 5 } }))];
    const changed = Object.entries(after.Policies).filter(([name, policy]) => before.Policies[name] !== policy);
    expect(changed.map(([name]) => name)).toEqual([QUEUES.interactions, QUEUES.guildEvents, QUEUES.gatewayEvents]);
    expect({ ...after, Policies: {} }).toEqual({ ...before, Policies: {} });
  });
});

describe('create', () => {
  it('makes vhost, exchanges, queues, bindings, policies and users, who can log in', async () => {
    const answer = await handler(event('Create', properties(topology())), FIVE_MINUTES);
    expect(answer).toEqual({
      PhysicalResourceId: `topology of ${id}`,
      Data: { Version: sharedBroker().version, Kept: 'nothing', Warning: 'none' } satisfies TopologyData,
    });
    expect(await queues()).toEqual(
      topology()
        .queues.map(({ name }) => name)
        .sort(),
    );
    expect(await canLogIn(names.ingestor, 'ingestors-password')).toBe(true);
    expect(await canLogIn(names.worker, 'workers-password')).toBe(true);
    expect(JSON.stringify([answer, said])).not.toMatch(/ingestors-password|workers-password/);
    expect(JSON.stringify([answer, said])).not.toContain(sharedBroker().password);
  });

  it('again changes nothing', async () => {
    await handler(event('Create', properties(topology())), FIVE_MINUTES);
    said = [];
    await handler(event('Create', properties(topology())), FIVE_MINUTES);
    expect(steps()).toEqual([]);
  });

  it('waits for a broker that does not answer yet', async () => {
    const port = await freePort();
    environment({ managementUrl: `https://127.0.0.1:${port}` });
    const refusedOnce = new Promise<void>((resolve) => {
      hear = resolve;
    });
    const applied = handler(event('Create', properties(topology())), FIVE_MINUTES);
    await refusedOnce;
    expect(said[0]).toMatchObject({
      level: 'warn',
      message: expect.stringMatching(/^cannot reach the broker .+: trying again in 1 s$/),
    });
    const proxy = await forward(port, front.port);
    await expect(applied).resolves.toMatchObject({ PhysicalResourceId: `topology of ${id}` });
    await proxy.close();
  });

  it('ends before the function is ended, with the reason, where the broker never answers', async () => {
    environment({ managementUrl: await nowhere() });
    const started = Date.now();
    await expect(handler(event('Create', properties(topology())), within(17_500))).rejects.toThrow(
      /^cannot reach the broker at https:\/\/127\.0\.0\.1:\d+: nothing listens at this port \(ECONNREFUSED\) \(given up after \d s\)$/,
    );
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  it('says that the administrator is refused, after some patience', async () => {
    const { username } = sharedBroker();
    secrets.put(`administrator-${id}`, administrator('wrong-password'));
    await expect(handler(event('Create', properties(topology())), within(17_500))).rejects.toThrow(
      `refuses the login of user '${username}': the password is wrong, or there is no such user`,
    );
    expect(JSON.stringify(said)).not.toContain('wrong-password');
  });

  it('refuses at once what cannot be changed, names both values, and touches nothing', async () => {
    await api.putVhost(id);
    const { username } = sharedBroker();
    await api.putPermissions(id, username, { configure: '.*', write: '.*', read: '.*' });
    await api.putQueue(id, { name: QUEUES.interactions, arguments: { 'x-queue-type': 'classic' } });
    await expect(handler(event('Create', properties(topology())), FIVE_MINUTES)).rejects.toThrow(
      /^nothing was applied: queue interactions: x-queue-type is 'classic', wanted 'quorum', and cannot be changed/,
    );
    expect(await queues()).toEqual([QUEUES.interactions]);
  });

  it('asks the broker of its environment, whatever the event says', async () => {
    const heard: string[] = [];
    const thief = createServer((socket) => {
      heard.push('a connection');
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(thief, 'listening');
    const elsewhere = `http://127.0.0.1:${(thief.address() as AddressInfo).port}`;
    const now = {
      ...properties(topology(), { ManagementUrl: elsewhere }),
      AdministratorSecretArn: secrets.put(names.worker),
    };
    await handler(event('Create', now), FIVE_MINUTES);
    expect(await queues()).toHaveLength(topology().queues.length);
    expect(heard).toEqual([]);
    thief.close();
  });

  it.each([
    ['managementUrl', 'http://127.0.0.1:15672', 'MANAGEMENT_URL: expected https://host, as the administrator'],
    ['managementUrl', 'http://me:mine@host', 'MANAGEMENT_URL: expected https://host, as the administrator'],
    ['managementUrl', 'broker', 'MANAGEMENT_URL: expected https://host, as the administrator'],
    ['managementUrl', '', "MANAGEMENT_URL: expected a value in the function's environment, got nothing"],
    ['administratorSecretArn', '', "ADMINISTRATOR_SECRET_ARN: expected a value in the function's environment"],
    ['loginSecretArns', 'arn:aws', 'LOGIN_SECRET_ARNS: expected JSON, an object of user names and ARNs'],
    ['loginSecretArns', '{}', 'LOGIN_SECRET_ARNS: expected a secret for the user ingestor-'],
  ] as const)('with %s %j is refused by one sentence, and reads no secret', async (key, value, sentence) => {
    environment({ [key]: value });
    const before = secrets.requests.length;
    await expect(handler(event('Create', properties(topology())), FIVE_MINUTES)).rejects.toThrow(sentence);
    expect(secrets.requests.length).toBe(before);
    expect(JSON.stringify(said)).not.toContain('mine');
  });
});

describe('a login secret', () => {
  it.each<[string, () => string, RegExp]>([
    ['the administrator', () => sharedBroker().username, /expected the user worker-\w+ or worker-\w+_b, got another/],
    ['the user of another part', () => names.ingestor, /expected the user worker-\w+ or worker-\w+_b, got another/],
    ['somebody else', () => `${names.worker}_c`, /expected the user worker-\w+ or worker-\w+_b, got another/],
  ])('that names %s is refused before anything changes', async (_what, name, sentence) => {
    const before = await api.users();
    secrets.put(names.worker, login(name(), 'workers-password'));
    await expect(handler(event('Create', properties(topology())), FIVE_MINUTES)).rejects.toThrow(sentence);
    const ours = (users: typeof before) => users.filter((user) => Object.values(names).includes(user.name));
    expect(ours(await api.users())).toEqual([]);
    expect((await api.users()).find((user) => user.name === sharedBroker().username)).toEqual(
      before.find((user) => user.name === sharedBroker().username),
    );
    expect(await api.hasVhost(id)).toBe(false);
  });

  it.each(['', '_b'])('that names a user%s with tags is refused before anything changes', async (suffix) => {
    const name = `${names.worker}${suffix}`;
    await api.putUser(name, { password: 'theirs' }, ['administrator']);
    secrets.put(names.worker, login(name, 'workers-password'));
    await expect(handler(event('Create', properties(topology())), FIVE_MINUTES)).rejects.toThrow(
      `nothing was applied: user ${name} has the tags 'administrator', wanted ''`,
    );
    expect((await api.users()).find((user) => user.name === name)?.tags).toEqual(['administrator']);
    expect(await api.hasVhost(id)).toBe(false);
  });

  it('whose former version was none is no obstacle', async () => {
    secrets.put(names.worker, 'a bare password');
    secrets.put(names.worker, login(names.worker, 'workers-password'));
    await handler(event('Create', properties(topology())), FIVE_MINUTES);
    expect(await canLogIn(names.worker, 'workers-password')).toBe(true);
  });
});

describe('what is in a secret appears nowhere', () => {
  const PLANTED = 'planted-7c1d9e';
  const places: readonly [string, (text: string) => void][] = [
    ['the administrator', (text) => secrets.put(`administrator-${id}`, text)],
    ['the ingestor', (text) => secrets.put(names.ingestor, text)],
    ['the dead letters', (text) => secrets.put(names.deadLetters, text)],
  ];
  const forms: readonly [string, () => string][] = [
    ['a bare password', () => PLANTED],
    ['JSON cut short', () => `{"username":"x","password":"${PLANTED}`],
    ['a text', () => JSON.stringify(PLANTED)],
    ['a field missing', () => JSON.stringify({ password: PLANTED })],
    ['a field of another type', () => JSON.stringify({ username: 'x', password: { of: PLANTED } })],
    ['an unknown user', () => login(`unknown-${id}`, PLANTED)],
    ['a name that is the password', () => login(PLANTED, PLANTED)],
  ];
  it.each(places.flatMap(([place, put]) => forms.map(([form, text]) => [form, place, put, text] as const)))(
    '%s, of %s',
    async (_form, place, put, text) => {
      put(text());
      const error = await handler(event('Create', properties(topology())), within(15_500)).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(Error);
      // The name of an administrator who is refused is no secret.
      const name = place === 'the administrator' ? `user '${PLANTED}'` : '';
      const output = `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(said)} ${error.message}`;
      expect(output.replaceAll(name, '')).not.toContain(PLANTED);
    },
  );
});

describe('update', () => {
  it('carries out what differs, and keeps the id', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    said = [];
    const answer = await handler(
      event('Update', properties(topology({ limits: { deliveryLimit: 5 } })), before),
      FIVE_MINUTES,
    );
    expect(answer.PhysicalResourceId).toBe(`topology of ${id}`);
    expect(steps()).toEqual([
      'change policy interactions',
      'change policy events.guild',
      'change policy events.gateway',
    ]);
  });

  it('after a rotation knows both users of a pair, and leaves their passwords alone', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    // What a rotation leaves: the other user is current, the first one still has its password.
    await api.putUser(`${names.ingestor}_b`, { password: 'rotated-password' });
    secrets.put(names.ingestor, login(`${names.ingestor}_b`, 'rotated-password'));
    const wanted = topology();
    const more: Topology = {
      ...wanted,
      users: wanted.users.map((user) =>
        user.name === names.ingestor ? { ...user, permissions: { ...user.permissions, read: '^more$' } } : user,
      ),
    };
    said = [];
    await handler(event('Update', properties(more), before), FIVE_MINUTES);
    expect(steps()).toEqual([`create permissions of ${names.ingestor}_b`, `change permissions of ${names.ingestor}`]);
    expect(await canLogIn(names.ingestor, 'ingestors-password')).toBe(true);
    expect(await canLogIn(`${names.ingestor}_b`, 'rotated-password')).toBe(true);
  });

  it('of nothing but the revision mends what somebody changed by hand, the passwords included', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await api.putUser(names.ingestor, { password: 'changed-by-hand' });
    await api.deletePolicy(id, QUEUES.interactions);
    said = [];
    await handler(event('Update', { ...before, Revision: 1 }, before), FIVE_MINUTES);
    expect(steps()).toEqual(['create policy interactions', `change user ${names.ingestor}`]);
    expect(await canLogIn(names.ingestor, 'ingestors-password')).toBe(true);
  });

  it('that removes a part of the product takes its permissions, and leaves and names its user', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    const wanted = topology();
    const without = { ...wanted, users: wanted.users.filter(({ name }) => name !== names.worker) };
    const answer = await handler(event('Update', properties(without), before), FIVE_MINUTES);
    expect(steps().at(-1)).toBe(`remove permissions of ${names.worker}`);
    expect(answer.Data?.Kept).toBe(
      `user ${names.worker} is not wanted any more, and stays: npm run topology -- remove user ${names.worker} --vhost ${id} --url ${managementByTls}`,
    );
    expect((await api.users()).map(({ name }) => name)).toContain(names.worker);
    expect(said).toContainEqual({ level: 'warn', message: answer.Data?.Kept });
  });
});

/** Each event twice, as CloudFormation may deliver it. */
async function twice(...args: Parameters<typeof event>): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (let delivery = 0; delivery < 2; delivery += 1)
    answers.push(await handler(event(...args), FIVE_MINUTES).catch((error: Error) => error.message));
  return answers;
}

describe('an update that is refused, and rolled back', () => {
  const everything = { configure: '.*', write: '.*', read: '.*' };
  const applied = (answers: unknown[]) =>
    expect(answers).toEqual([1, 2].map(() => expect.objectContaining({ PhysicalResourceId: `topology of ${id}` })));
  const refused = (answers: unknown[]) => {
    expect(answers).toHaveLength(2);
    for (const answer of answers) expect(answer).toMatch(/^nothing was applied: /);
  };

  it('leaves queues that somebody made under the names of lease queues', async () => {
    const before = properties(topology({ shardGroups: 2 }));
    applied(await twice('Create', before));
    for (const group of [2, 3])
      await api.putQueue(id, { name: leaseQueue(group), arguments: { 'x-queue-type': 'classic' } });
    const attempted = properties(topology({ shardGroups: 4 }));
    refused(await twice('Update', attempted, before));
    applied(await twice('Update', before, attempted));
    expect(await queues()).toEqual(expect.arrayContaining([0, 1, 2, 3].map(leaseQueue)));
    expect((await api.queues(id)).find(({ name }) => name === leaseQueue(3))?.type).toBe('classic');
  });

  it("leaves somebody's exchange, queue and policy of the same names", async () => {
    const before = properties(topology());
    applied(await twice('Create', before));
    const theirs = { pattern: '^orders', applyTo: 'queues', priority: 3, definition: { 'max-length': 7 } } as const;
    await api.putExchange(id, { name: 'orders', type: 'fanout' });
    await api.putQueue(id, { name: 'orders', arguments: { 'x-queue-type': 'classic' } });
    await api.bind(id, { exchange: 'orders', queue: 'orders', routingKey: '' });
    await api.putPolicy(id, { name: 'orders', ...theirs });
    await api.putUser(`${names.worker}_x`, { password: 'theirs' });
    await api.putPermissions(id, `${names.worker}_x`, everything);
    const wanted = topology();
    const attempted = properties({
      ...wanted,
      exchanges: [...wanted.exchanges, { name: 'orders', type: 'topic' }],
      queues: [...wanted.queues, { name: 'orders', arguments: { 'x-queue-type': 'quorum' } }],
      bindings: [...wanted.bindings, { exchange: 'orders', queue: 'orders', routingKey: '' }],
      policies: [
        ...wanted.policies,
        {
          name: 'orders',
          pattern: '^orders$',
          applyTo: 'queues',
          priority: 10,
          definition: { overflow: 'drop-head', 'delivery-limit': -1 },
        },
      ],
    });
    refused(await twice('Update', attempted, before));
    applied(await twice('Update', before, attempted));
    expect((await api.exchanges(id)).find(({ name }) => name === 'orders')?.type).toBe('fanout');
    expect((await api.queues(id)).find(({ name }) => name === 'orders')?.type).toBe('classic');
    expect((await api.bindings(id)).filter(({ source }) => source === 'orders')).toHaveLength(1);
    expect((await api.policies(id)).find(({ name }) => name === 'orders')).toEqual({ name: 'orders', ...theirs });
    expect((await api.permissions()).find(({ user }) => user === `${names.worker}_x`)).toMatchObject(everything);
    await api.deleteUser(`${names.worker}_x`);
  });

  it('leaves the queues of an attempt that came half-way, with what they hold, and names them', async () => {
    const before = properties(topology());
    applied(await twice('Create', before));
    const attempted = properties(topology({ shardGroups: 2 }));
    applied(await twice('Update', attempted, before));
    const { username, password } = sharedBroker();
    const connection = await connect(sharedBroker().url({ username, password, vhost: id }));
    const channel = await connection.createConfirmChannel();
    channel.publish('ingestor.leases', leaseQueue(1), Buffer.from('a record'), { persistent: true });
    await channel.waitForConfirms();
    // Later something else of the stack failed.
    const answers = await twice('Update', before, attempted);
    applied(answers);
    const command = `npm run topology -- remove queue ${leaseQueue(1)} --vhost ${id} --url ${managementByTls}`;
    for (const answer of answers)
      expect(answer).toMatchObject({
        Data: { Kept: `queue ${leaseQueue(1)} is not wanted any more, and stays: ${command}`, Warning: 'none' },
      });
    expect((await channel.checkQueue(leaseQueue(1))).messageCount).toBe(1);
    await connection.close();
  });

  it('removes of the attempt what it made, and gives back what it changed', async () => {
    const before = properties(topology());
    applied(await twice('Create', before));
    const wanted = topology({ limits: { deliveryLimit: 5 } });
    const binding = { exchange: 'discord.events', queue: QUEUES.unrouted, routingKey: 'more' };
    const attempted = properties({ ...wanted, bindings: [...wanted.bindings, binding] });
    applied(await twice('Update', attempted, before));
    said = [];
    applied(await twice('Update', before, attempted));
    expect(steps()).toEqual([
      ...[QUEUES.interactions, QUEUES.guildEvents, QUEUES.gatewayEvents].map((name) => `change policy ${name}`),
      "remove binding discord.events → unrouted ('more')",
    ]);
  });
});

describe('a rollback to what was applied last', () => {
  const warned = {
    PhysicalResourceId: expect.stringMatching(/^topology of /),
    Data: {
      Version: 'unknown',
      Kept: 'unknown',
      Warning: expect.stringMatching(/^the broker was not asked, because what was applied last is wanted again: /),
    },
  };

  it('succeeds with the broker away, with a warning', async () => {
    const { port, proxy } = await proxied();
    environment({ managementUrl: `https://127.0.0.1:${port}` });
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await proxy.close();
    await rollBack(before);
  });

  it.each([
    ['wrong', () => administrator('wrong')],
    ['bare', () => 'wrong'],
  ])('succeeds with a %s password of the administrator, with a warning', async (_what, secret) => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    secrets.put(`administrator-${id}`, secret());
    await rollBack(before);
  });

  async function rollBack(before: ResourceProperties): Promise<void> {
    const attempted = properties(topology({ shardGroups: 2 }));
    await expect(handler(event('Update', attempted, before), within(16_500))).rejects.toThrow();
    for (let delivery = 0; delivery < 2; delivery += 1)
      expect(await handler(event('Update', before, attempted), within(16_500))).toEqual(warned);
    expect(said.at(-1)).toMatchObject({ level: 'warn', message: warned.Data.Warning });
  }

  it('fails where anything else was applied, or half of it, or another broker or revision is wanted', async () => {
    const { port, proxy } = await proxied();
    environment({ managementUrl: `https://127.0.0.1:${port}` });
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await proxy.close();
    const fails = async (now: ResourceProperties) =>
      await expect(handler(event('Update', now, before), within(16_500))).rejects.toThrow(/^cannot reach the broker/);
    await fails(properties(topology({ limits: { deliveryLimit: 5 } })));
    await fails({ ...before, Revision: 1 });
    environment({ managementUrl: await nowhere() });
    await fails(before);
    // Half of an attempt: the broker refuses the third queue.
    environment();
    await handler(event('Update', { ...before, Revision: 2 }, before), FIVE_MINUTES);
    const attempted = properties(topology({ shardGroups: 2, limits: { deliveryLimit: 5 } }));
    await manage('PUT', `vhost-limits/${id}/max-queues`, { value: topology().queues.length });
    await expect(handler(event('Update', attempted, before), FIVE_MINUTES)).rejects.toThrow(/queue limit/);
    secrets.put(`administrator-${id}`, administrator('wrong'));
    await expect(handler(event('Update', { ...before, Revision: 2 }, attempted), within(16_500))).rejects.toThrow(
      /refuses the login/,
    );
  });

  it('fails where it has begun to repair the broker, which then goes away', async () => {
    let ill = false;
    const broker = await refusing(
      sharedBroker().managementUrl,
      { test: (call) => ill && call.startsWith('PUT /api/queues') },
      503,
    );
    const own = await tlsInFrontOf(`http://127.0.0.1:${broker.port}`);
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(own.caFile, 'utf8')]);
    environment({ managementUrl: `https://127.0.0.1:${own.port}` });
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await api.deleteQueue(id, QUEUES.gatewayEvents);
    ill = true;
    await expect(handler(event('Update', before, before), within(20_000))).rejects.toThrow(/\(given up after \d+ s\)$/);
    await own.close();
    await broker.close();
  });

  it('asks the broker where it is there, and repairs what is not as it was', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await api.deletePolicy(id, QUEUES.interactions);
    said = [];
    await handler(event('Update', before, properties(topology({ shardGroups: 2 }))), FIVE_MINUTES);
    expect(steps()).toEqual(['create policy interactions']);
  });

  it('is refused as ever where the broker refuses it', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await manage('PUT', `operator-policies/${id}/hoster`, {
      ...{ pattern: '.*', 'apply-to': 'queues', priority: 1, definition: { 'message-ttl': 3_000 } },
    });
    await expect(handler(event('Update', before, before), FIVE_MINUTES)).rejects.toThrow(/^nothing was applied: /);
  });
});

describe('delete', () => {
  it('leaves everything, asks no broker, and succeeds whatever came before', async () => {
    const now = properties(topology());
    await handler(event('Create', now), FIVE_MINUTES);
    const asked = secrets.requests.length;
    environment({ managementUrl: '', loginSecretArns: 'none' });
    const PhysicalResourceId = 'AWSCDK::CustomResourceProviderFramework::CREATE_FAILED';
    for (const deletion of [event('Delete', now), event('Delete', now, undefined, PhysicalResourceId)])
      for (let delivery = 0; delivery < 2; delivery += 1)
        expect(await handler(deletion, within(1))).toEqual({
          PhysicalResourceId: (deletion as { PhysicalResourceId: string }).PhysicalResourceId,
        });
    expect(secrets.requests.length).toBe(asked);
    expect((await queues()).length).toBe(topology().queues.length);
    expect(await canLogIn(names.worker, 'workers-password')).toBe(true);
  });
});

/** The broker behind an address that can go away. */
async function proxied() {
  const port = await freePort();
  return { port, proxy: await forward(port, front.port) };
}

async function manage(method: string, path: string, body?: object): Promise<void> {
  const { managementUrl, username, password } = sharedBroker();
  const headers = {
    authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
    'content-type': 'application/json',
  };
  const answer = await fetch(`${managementUrl}/api/${path}`, {
    method,
    headers,
    ...(body && { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: HTTP ${answer.status}`);
}

async function nowhere(): Promise<string> {
  return `https://127.0.0.1:${await freePort()}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function forward(from: number, to: number): Promise<{ close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(to, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.pipe(other);
    }
  }).listen(from, '127.0.0.1');
  await once(server, 'listening');
  return {
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
