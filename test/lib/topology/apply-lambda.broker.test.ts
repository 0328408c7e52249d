// The function that applies the topology, as CloudFormation's provider framework calls it, against a real RabbitMQ by TLS.
// That no secret appears in its output is tested by secrecy.broker.test.ts.

import { randomBytes } from 'node:crypto';
import { SecretsManagerClient, TagResourceCommand } from '@aws-sdk/client-secrets-manager';
import { connect } from 'amqplib';
import type { CdkCustomResourceEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { recordName } from '../../../lib/topology/record.ts';
import { type ResourceProperties, toProperties } from '../../../lib/topology/resource-properties.ts';
import { discordTopology, type Topology } from '../../../lib/topology/topology.ts';
import { commandQueue, leaseQueue, QUEUES, type USERS } from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import {
  ADMINISTRATOR,
  administratorSecret,
  type BrokerFunctions,
  brokerFunctions,
  trust,
} from '../../support/broker-functions.ts';
import { closedPort, type FakeServer, refusing, tcpProxy, tlsInFrontOf } from '../../support/fake-servers.ts';

const CLASSIC = { durable: true, arguments: { 'x-queue-type': 'classic' } };

let functions: BrokerFunctions;
let id: string;
let names: Readonly<Record<keyof typeof USERS, string>>;
let logged: { level: string; message: string }[];

beforeAll(async () => {
  functions = await brokerFunctions();
});
afterAll(async () => await functions.stop());

beforeEach(() => {
  id = randomBytes(5).toString('hex');
  names = { ingestor: `ingestor-${id}`, worker: `worker-${id}`, deadLetters: `dead-letters-${id}` };
  logged = [];
  functions.secrets.put(ADMINISTRATOR, administratorSecret());
  for (const [part, name] of Object.entries(names)) functions.secrets.put(name, login(name, `${part}s-password`));
  configure();
  vi.spyOn(console, 'log').mockImplementation((line: string) => void logged.push(JSON.parse(line)));
});

afterEach(async () => {
  vi.restoreAllMocks();
  const { api } = functions;
  for (const name of Object.values(names)) for (const user of [name, `${name}_b`]) await api.delete('users', user);
  await api.delete('vhosts', id);
  await api.delete('global-parameters', recordName(id));
});

function topology(options: Parameters<typeof discordTopology>[0] = {}): Topology {
  return discordTopology({ vhost: id, userNames: names, ...options });
}

function login(username: string, password: string): string {
  return JSON.stringify({ host: 'b-1.mq.eu-central-1.on.aws', port: 5671, vhost: id, username, password });
}

function configure(changes: Parameters<BrokerFunctions['configure']>[1] = {}): void {
  functions.configure(Object.fromEntries(Object.values(names).map((name) => [name, name])), changes);
}

function properties(wanted: Topology, changes: Partial<ResourceProperties> = {}): ResourceProperties {
  return { Topology: toProperties(wanted), Revision: 0, ManagementUrl: '', LoginSecretArns: {}, ...changes };
}

/** As it arrives: with all fields of CloudFormation, and every number and boolean as a string. */
function event(RequestType: 'Create' | 'Update' | 'Delete', now: ResourceProperties, before?: ResourceProperties) {
  const text = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(text);
    if (typeof value !== 'object' || value === null) return String(value);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, text(inner)]));
  };
  const added = { ServiceToken: 'arn:aws:lambda:eu-central-1:111122223333:function:onEvent', ServiceTimeout: '600' };
  return {
    ...{ RequestType, ...added, StackId: 'arn:aws:cloudformation:eu-central-1:111122223333:stack/staging-broker/1' },
    ResourceProperties: { ...added, ...Object(text(now)) },
    ...(before && { OldResourceProperties: { ...added, ...Object(text(before)) } }),
    ...(RequestType !== 'Create' && { PhysicalResourceId: `topology of ${id}` }),
  } as unknown as CdkCustomResourceEvent & { ResourceProperties: ResourceProperties };
}

const within = (ms: number) => ({ getRemainingTimeInMillis: () => ms });

async function call(...[type, now, before]: Parameters<typeof event>) {
  return await functions.apply(event(type, now, before), within(300_000));
}

/** Each event twice, as CloudFormation may deliver it. */
async function twice(...args: Parameters<typeof event>) {
  return [await call(...args), await call(...args)];
}

async function refusedTwice(...args: Parameters<typeof event>): Promise<void> {
  for (let delivery = 0; delivery < 2; delivery += 1)
    await expect(call(...args)).rejects.toThrow(/^nothing was applied: /);
}

const steps = () => logged.filter(({ level }) => level === 'info').map(({ message }) => message);
const namesOf = (list: readonly { name: string }[]) => list.map(({ name }) => name).toSorted();
const queues = async () => namesOf(await functions.api.list('queues', id));
const named = <T extends { name: string }>(list: readonly T[], name: string) => list.find((one) => one.name === name);

async function canLogIn(username: string, password: string): Promise<boolean> {
  return await connect(sharedBroker().url({ username, password, vhost: id })).then(
    async (connection) => await connection.close().then(() => true),
    () => false,
  );
}

/** The policies with a delivery limit. */
const LIMITED = [QUEUES.interactions, QUEUES.guildEvents, QUEUES.gatewayEvents, QUEUES.dispatches, 'commands'];

it('the properties differ in one place for one change, which is what `cdk diff` shows', () => {
  const [before, after] = [toProperties(topology()), toProperties(topology({ limits: { deliveryLimit: 5 } }))];
  const changed = Object.entries(after.Policies).filter(([name, policy]) => before.Policies[name] !== policy);
  expect(changed.map(([name]) => name)).toEqual(LIMITED);
  expect({ ...after, Policies: {} }).toEqual({ ...before, Policies: {} });
});

describe('create', () => {
  it('makes everything, with users that can log in; again it changes nothing', async () => {
    const PhysicalResourceId = `topology of ${id}`;
    const Data = { Version: sharedBroker().version, Kept: 'nothing', Warning: 'none' };
    // Whatever address the event has: the password is sent to that of the environment.
    const now = properties(topology(), { ManagementUrl: `http://127.0.0.1:${await closedPort()}` });
    expect(await call('Create', now)).toEqual({ PhysicalResourceId, Data });
    expect(await queues()).toEqual(namesOf(topology().queues));
    for (const part of ['ingestor', 'worker', 'deadLetters'] as const)
      expect(await canLogIn(names[part], `${part}s-password`), part).toBe(true);
    logged = [];
    const before = functions.secrets.requests.length;
    expect(await call('Create', now)).toEqual({ PhysicalResourceId, Data });
    expect(logged).toEqual([]);
    // Nor does it take the tag away for a moment, without which a rollback needs the broker.
    expect(functions.secrets.requests.slice(before).join()).not.toContain('TagResource');
  });

  it('retries while the broker does not answer yet', async () => {
    const port = await closedPort();
    configure({ managementUrl: `https://127.0.0.1:${port}` });
    const applied = call('Create', properties(topology()));
    await vi.waitUntil(() => logged[0], { timeout: 60_000 });
    const message = expect.stringMatching(/^cannot reach the broker .+: retrying in 1 s$/);
    expect(logged[0]).toEqual({ level: 'warn', message });
    const proxy = await tcpProxy(Number(new URL(functions.managementUrl).port), port);
    await expect(applied).resolves.toMatchObject({ PhysicalResourceId: `topology of ${id}` });
    await proxy.close();
  });

  it('ends before the function is ended, with the reason, where the broker never answers or refuses', async () => {
    const started = Date.now();
    const { secrets, apply } = functions;
    configure({ managementUrl: `https://127.0.0.1:${await closedPort()}` });
    await expect(apply(event('Create', properties(topology())), within(17_500))).rejects.toThrow(
      /^cannot reach the broker at https:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED \S+ Start it, or correct host and port \(given up after [1-9] s\)$/,
    );
    expect(logged.at(-1)).toMatchObject({ level: 'error', err: expect.stringMatching(/ECONNREFUSED.+\[cause\]/s) });
    configure();
    secrets.put(ADMINISTRATOR, administratorSecret('wrong-password'));
    await expect(apply(event('Create', properties(topology())), within(17_500))).rejects.toThrow(
      `refuses the login of user '${sharedBroker().username}': the password is wrong, or there is no such user`,
    );
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  it('without a secret for each user is refused before it reads a secret', async () => {
    const before = functions.secrets.requests.length;
    configure({ loginSecretArns: '{}' });
    const refused = 'LOGIN_SECRET_ARNS: expected a secret for the user ingestor-';
    await expect(call('Create', properties(topology()))).rejects.toThrow(refused);
    expect(functions.secrets.requests.length).toBe(before);
  });
});

describe('a login secret', () => {
  it('that names the administrator is refused before anything changes', async () => {
    const { username } = sharedBroker();
    functions.secrets.put(names.worker, login(username, 'workers-password'));
    const before = await functions.api.list('users');
    await expect(call('Create', properties(topology()))).rejects.toThrow('got one of another user');
    const users = await functions.api.list('users');
    expect(named(users, username)).toEqual(named(before, username));
    expect(named(users, names.deadLetters)).toBeUndefined();
    expect(await functions.api.find('vhosts', id)).toBeUndefined();
  });

  it('that names a user with tags is refused before anything changes', async () => {
    const name = `${names.worker}_b`;
    await functions.api.put(['users', name], { password: 'theirs', tags: 'administrator' });
    functions.secrets.put(names.worker, login(name, 'workers-password'));
    await expect(call('Create', properties(topology()))).rejects.toThrow(
      `nothing was applied: user ${name} has the tags 'administrator', wanted ''`,
    );
    expect(named(await functions.api.list('users'), name)?.tags).toEqual(['administrator']);
    expect(await functions.api.find('vhosts', id)).toBeUndefined();
  });

  it('whose former version was no login is accepted', async () => {
    functions.secrets.put(names.worker, 'a bare password');
    functions.secrets.put(names.worker, login(names.worker, 'workers-password'));
    await call('Create', properties(topology()));
    expect(await canLogIn(names.worker, 'workers-password')).toBe(true);
  });
});

describe('update', () => {
  it('after a rotation knows both users of a pair, and leaves their passwords alone', async () => {
    const before = properties(topology());
    await call('Create', before);
    // What a rotation leaves: the other user is current, the first one still has its password.
    const other = `${names.ingestor}_b`;
    await functions.api.put(['users', other], { password: 'rotated-password', tags: '' });
    functions.secrets.put(names.ingestor, login(other, 'rotated-password'));
    const users = topology().users.map((user) =>
      user.name === names.ingestor ? { ...user, permissions: { ...user.permissions, read: '^more$' } } : user,
    );
    logged = [];
    const answer = await call('Update', properties({ ...topology(), users }), before);
    expect(answer.PhysicalResourceId).toBe(`topology of ${id}`);
    expect(steps()).toEqual([`create permissions of ${other}`, `change permissions of ${names.ingestor}`]);
    expect(await canLogIn(names.ingestor, 'ingestors-password')).toBe(true);
    expect(await canLogIn(other, 'rotated-password')).toBe(true);
  });

  it('of nothing but the revision corrects what somebody changed, the passwords included', async () => {
    const before = properties(topology());
    await call('Create', before);
    await functions.api.put(['users', names.ingestor], { password: 'changed-by-hand', tags: '' });
    await functions.api.delete('policies', id, QUEUES.interactions);
    logged = [];
    await call('Update', { ...before, Revision: 1 }, before);
    expect(steps()).toEqual(['create policy interactions', `change user ${names.ingestor}`]);
    expect(await canLogIn(names.ingestor, 'ingestors-password')).toBe(true);
  });
});

describe('an update that is refused, and rolled back', () => {
  it("leaves somebody's exchange, queues, binding, policy and permissions of the same names", async () => {
    const { api } = functions;
    const before = properties(topology({ shards: { count: 2, perTask: 1 } }));
    await twice('Create', before);
    const theirs = { pattern: '^orders', 'apply-to': 'queues', priority: 3, definition: { 'max-length': 7 } };
    await api.put(['exchanges', id, 'orders'], { type: 'fanout' });
    for (const queue of [leaseQueue(2), leaseQueue(3)]) await api.put(['queues', id, queue], CLASSIC);
    await api.post(['bindings', id, 'e', 'orders', 'q', QUEUES.unrouted], { routing_key: '' });
    await api.put(['policies', id, 'orders'], theirs);
    const wanted = topology({ shards: { count: 4, perTask: 1 } });
    const definition = { 'alternate-exchange': 'discord.unrouted' };
    const attempted = properties({
      ...wanted,
      exchanges: [...wanted.exchanges, { name: 'orders', type: 'topic' }],
      bindings: [...wanted.bindings, { exchange: 'orders', queue: QUEUES.unrouted, routingKey: '' }],
      policies: [
        ...wanted.policies,
        { name: 'orders', pattern: '^orders$', applyTo: 'exchanges', priority: 10, definition },
      ],
    });
    await refusedTwice('Update', attempted, before);
    await twice('Update', before, attempted);
    expect(named(await api.list('exchanges', id), 'orders')?.type).toBe('fanout');
    for (const queue of [leaseQueue(2), leaseQueue(3)])
      expect(named(await api.list('queues', id), queue)?.type, queue).toBe('classic');
    expect((await api.list('bindings', id)).filter(({ source }) => source === 'orders')).toHaveLength(1);
    expect(named(await api.list('policies', id), 'orders')).toMatchObject({ priority: 3, pattern: '^orders' });
  });

  it('after it failed in the middle, leaves its queues and their messages, names them, and corrects the rest', async () => {
    const before = properties(topology());
    await twice('Create', before);
    const wanted = topology({ shards: { count: 2, perTask: 1 }, limits: { deliveryLimit: 5 } });
    const binding = { exchange: 'discord.events', queue: QUEUES.unrouted, routingKey: 'more' };
    const attempted = properties({ ...wanted, bindings: [...wanted.bindings, binding] });
    await twice('Update', attempted, before);
    const connection = await connect(sharedBroker().url({ ...sharedBroker(), vhost: id }));
    const channel = await connection.createConfirmChannel();
    channel.publish('ingestor.leases', leaseQueue(1), Buffer.from('a record'), { persistent: true });
    await channel.waitForConfirms();
    logged = [];
    // Later something else of the stack fails.
    const answers = await twice('Update', before, attempted);
    expect(steps()).toEqual([
      ...LIMITED.map((name) => `change policy ${name}`),
      "remove binding discord.events → unrouted ('more')",
      'remove bindings discord.commands → ingestor.commands.1 (2)',
    ]);
    const kept = [commandQueue(1), leaseQueue(1)].map((queue) => {
      const command = `npm run topology -- remove queue ${queue} --vhost ${id} --url ${functions.managementUrl}`;
      return `queue ${queue} is no longer wanted, and stays: ${command}`;
    });
    for (const { Data } of answers) expect(Data).toMatchObject({ Kept: kept.join('; '), Warning: 'none' });
    for (const message of kept) expect(logged).toContainEqual({ level: 'warn', message });
    // The empty one and this.
    expect((await channel.checkQueue(leaseQueue(1))).messageCount).toBe(2);
    await connection.close();
  });
});

describe('a rollback to what was applied last', () => {
  let proxy: FakeServer;
  let before: ResourceProperties;

  beforeEach(async () => {
    proxy = await tcpProxy(Number(new URL(functions.managementUrl).port));
    configure({ managementUrl: `https://127.0.0.1:${proxy.port}` });
    before = properties(topology());
    await call('Create', before);
    logged = [];
  });
  afterEach(async () => await proxy.close());

  const soon = async (now: ResourceProperties, old: ResourceProperties) =>
    await functions.apply(event('Update', now, old), within(16_500));

  it.each<[string, () => Promise<void> | string]>([
    ['the broker away', async () => await proxy.close()],
    ['a wrong password of the administrator', () => functions.secrets.put(ADMINISTRATOR, administratorSecret('wrong'))],
    ['a bare password of the administrator', () => functions.secrets.put(ADMINISTRATOR, 'bare')],
  ])('succeeds with %s, with a warning', async (_what, breakIt) => {
    await breakIt();
    const attempted = properties(topology({ shards: { count: 2, perTask: 1 } }));
    await expect(soon(attempted, before)).rejects.toThrow();
    const Warning = expect.stringMatching(/^the broker was not reached, and what was applied last is wanted again: /);
    const Data = { Version: 'unknown', Kept: 'unknown', Warning };
    for (let delivery = 0; delivery < 2; delivery += 1)
      expect(await soon(before, attempted)).toEqual({ PhysicalResourceId: `topology of ${id}`, Data });
    expect(logged.at(-1)).toMatchObject({ level: 'warn', message: Warning, err: expect.stringContaining('    at ') });
  });

  it('waits a minute for the broker', async () => {
    await proxy.close();
    // The function's clock goes ahead by so much once it retries, and once it retries again.
    const jumps = [0, 50_000, 60_000];
    const retries = () => logged.filter(({ message }) => message.includes(': retrying in ')).length;
    const { now } = Date;
    vi.spyOn(Date, 'now').mockImplementation(() => now() + (jumps[retries()] ?? 0));
    const attempted = properties(topology({ shards: { count: 2, perTask: 1 } }));
    const rolledBack = functions.apply(event('Update', before, attempted), within(100_000));
    const Warning = expect.stringMatching(/\(given up after 6\d s\)$/);
    await expect(rolledBack).resolves.toMatchObject({ Data: { Warning } });
  });

  it('is not prepared where the tag cannot be written: nothing is changed, and where nothing changes it is a warning', async () => {
    const { send } = SecretsManagerClient.prototype;
    vi.spyOn(SecretsManagerClient.prototype, 'send').mockImplementation(async function (
      this: SecretsManagerClient,
      ...args: unknown[]
    ) {
      if (args[0] instanceof TagResourceCommand) throw new Error('denied');
      return await Reflect.apply(send, this, args);
    });
    const attempted = properties(topology({ shards: { count: 2, perTask: 1 } }));
    await expect(call('Update', attempted, before)).rejects.toThrow('TagResource failed: Error');
    expect(await queues()).toEqual(namesOf(topology().queues));
    await call('Update', { ...before, Revision: 1 }, before);
    expect(logged.at(-1)).toMatchObject({ level: 'warn', message: expect.stringMatching(/^a rollback will need the/) });
  });

  it('fails where anything else was applied, or another broker or revision is wanted', async () => {
    await proxy.close();
    for (const now of [properties(topology({ limits: { deliveryLimit: 5 } })), { ...before, Revision: 1 }])
      await expect(soon(now, before)).rejects.toThrow(/^cannot reach the broker/);
    configure({ managementUrl: `https://127.0.0.1:${await closedPort()}` });
    await expect(soon(before, before)).rejects.toThrow(/^cannot reach the broker/);
  });

  it('fails where half of something else was applied', async () => {
    const attempted = properties(topology({ shards: { count: 2, perTask: 1 }, limits: { deliveryLimit: 5 } }));
    await functions.api.put(['vhost-limits', id, 'max-queues'], { value: topology().queues.length });
    await expect(call('Update', attempted, before)).rejects.toThrow(/queue limit/);
    await proxy.close();
    await expect(soon(before, attempted)).rejects.toThrow(/^cannot reach the broker/);
  });

  it('fails where the broker stops during the repair', async () => {
    let fails = false;
    const what = { test: (call: string) => fails && call.startsWith('PUT /api/queues') };
    const broker = await refusing(sharedBroker().managementUrl, what, 503);
    const front = await tlsInFrontOf(`http://127.0.0.1:${broker.port}`);
    trust(front.caFile);
    configure({ managementUrl: `https://127.0.0.1:${front.port}` });
    await call('Create', before);
    await functions.api.delete('queues', id, QUEUES.gatewayEvents);
    fails = true;
    // Time enough to come to the queue.
    const repairing = functions.apply(event('Update', before, before), within(25_000));
    await expect(repairing).rejects.toThrow(/\(given up after \d+ s\)$/);
    await front.close();
    await broker.close();
  });

  it('repairs a broker that answers where it differs, and may be refused', async () => {
    await functions.api.delete('policies', id, QUEUES.interactions);
    await call('Update', before, properties(topology({ shards: { count: 2, perTask: 1 } })));
    expect(steps()).toEqual(['create policy interactions']);
    const definition = { 'message-ttl': 3_000 };
    const policy = { pattern: '.*', 'apply-to': 'queues', priority: 1, definition };
    await functions.api.put(['operator-policies', id, 'hoster'], policy);
    await expect(call('Update', before, before)).rejects.toThrow(/^nothing was applied: /);
  });
});

it('a deletion leaves everything, calls nothing, and succeeds whatever came before', async () => {
  await call('Create', properties(topology()));
  const before = functions.secrets.requests.length;
  configure({ managementUrl: '', loginSecretArns: 'none' });
  const PhysicalResourceId = 'AWSCDK::CustomResourceProviderFramework::CREATE_FAILED';
  const deletion = { ...event('Delete', properties(topology())), PhysicalResourceId } as CdkCustomResourceEvent;
  for (let delivery = 0; delivery < 2; delivery += 1)
    expect(await functions.apply(deletion, within(1))).toEqual({ PhysicalResourceId });
  expect(functions.secrets.requests.length).toBe(before);
  expect((await queues()).length).toBe(topology().queues.length);
  expect(await canLogIn(names.worker, 'workers-password')).toBe(true);
});
