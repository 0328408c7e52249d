// The function that applies the topology, as CloudFormation's provider framework calls it, against a real RabbitMQ.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { connect } from 'amqplib';
import type { CdkCustomResourceEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import type { handler as Handler, TopologyData } from '../../../lib/topology/apply.lambda.ts';
import { fromProperties, type ResourceProperties, toProperties } from '../../../lib/topology/resource-properties.ts';
import { discordTopology, type Topology } from '../../../lib/topology/topology.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager.ts';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS, leaseQueue, QUEUES } from '../../../service/contract.ts';
import { sharedBroker } from '../../broker.ts';

let secrets: SecretsManager;
let handler: typeof Handler;
let api: ManagementApi;
let id: string;
let names: { ingestor: string; worker: string };
let said: { level: string; message: string }[];
let hear: (() => void) | undefined;

beforeAll(async () => {
  secrets = await startSecretsManager();
  for (const [name, value] of Object.entries(secrets.environment)) vi.stubEnv(name, value);
  const { managementUrl: url, username, password } = sharedBroker();
  api = new ManagementApi({ url, username, password });
  // The SDK reads the environment when its client is made.
  ({ handler } = await import('../../../lib/topology/apply.lambda.ts'));
});

afterAll(async () => {
  api.close();
  vi.unstubAllEnvs();
  await secrets.stop();
});

beforeEach(() => {
  id = randomBytes(5).toString('hex');
  names = { ingestor: `ingestor-${id}`, worker: `worker-${id}` };
  said = [];
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
  await fetch(`${managementUrl}/api/vhosts/${id}`, { method: 'DELETE', headers: { authorization } });
});

function topology(limits = {}): Topology {
  return discordTopology({ vhost: id, userNames: names, limits });
}

function login(username: string, password: string): string {
  return JSON.stringify({ host: 'b-1.mq.eu-central-1.on.aws', port: 5671, vhost: id, username, password });
}

function properties(wanted: Topology, changes: Partial<ResourceProperties> = {}): ResourceProperties {
  const { managementUrl, username, password } = sharedBroker();
  const arn = (name: string, value: string) =>
    secrets.value(secrets.put(name)) === undefined ? secrets.put(name, value) : secrets.put(name);
  return {
    Topology: toProperties(wanted),
    ManagementUrl: managementUrl,
    AdministratorSecretArn: arn(`administrator-${id}`, JSON.stringify({ username, password })),
    LoginSecretArns: {
      [names.ingestor]: arn(names.ingestor, login(names.ingestor, 'ingestors-password')),
      [names.worker]: arn(names.worker, login(names.worker, 'workers-password')),
    },
    OnDelete: 'keep',
    Revision: 0,
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

async function publish(exchange: string, routingKey: string): Promise<void> {
  const { username, password } = sharedBroker();
  const connection = await connect(sharedBroker().url({ username, password, vhost: id }));
  const channel = await connection.createConfirmChannel();
  channel.publish(exchange, routingKey, Buffer.from('{}'), { persistent: true });
  await channel.waitForConfirms();
  await connection.close();
}

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
    const [before, after] = [toProperties(topology()), toProperties(topology({ deliveryLimit: 5 }))];
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
      Data: { Version: sharedBroker().version, Kept: 'nothing' } satisfies TopologyData,
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
    const now = properties(topology(), { ManagementUrl: `http://127.0.0.1:${port}` });
    const refusedOnce = new Promise<void>((resolve) => {
      hear = resolve;
    });
    const applied = handler(event('Create', now), FIVE_MINUTES);
    await refusedOnce;
    expect(said[0]).toMatchObject({
      level: 'warn',
      message: expect.stringMatching(/^cannot reach the broker .+: trying again in 1 s$/),
    });
    const proxy = await forward(port, Number(new URL(sharedBroker().managementUrl).port));
    await expect(applied).resolves.toMatchObject({ PhysicalResourceId: `topology of ${id}` });
    await proxy.close();
  });

  it('ends before the function is ended, with the reason, where the broker never answers', async () => {
    const now = properties(topology(), { ManagementUrl: `http://127.0.0.1:${await freePort()}` });
    const started = Date.now();
    await expect(handler(event('Create', now), within(17_500))).rejects.toThrow(
      /^cannot reach the broker at http:\/\/127\.0\.0\.1:\d+: nothing listens at this port \(ECONNREFUSED\) \(given up after \d s\)$/,
    );
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  it('says that the administrator is refused, after some patience', async () => {
    const { username } = sharedBroker();
    const AdministratorSecretArn = secrets.put(`wrong-${id}`, JSON.stringify({ username, password: 'wrong-password' }));
    const wrong = properties(topology(), { AdministratorSecretArn });
    await expect(handler(event('Create', wrong), within(17_500))).rejects.toThrow(
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

  it('refuses a login without its secret', async () => {
    const now = properties(topology(), { LoginSecretArns: {} });
    await expect(handler(event('Create', now), FIVE_MINUTES)).rejects.toThrow(
      `LoginSecretArns: expected a secret for the user ${names.ingestor}, got none`,
    );
  });
});

describe('update', () => {
  it('carries out what differs, and keeps the id', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    said = [];
    const answer = await handler(event('Update', properties(topology({ deliveryLimit: 5 })), before), FIVE_MINUTES);
    expect(answer.PhysicalResourceId).toBe(`topology of ${id}`);
    expect(steps()).toEqual([
      'change policy interactions',
      'change policy events.guild',
      'change policy events.gateway',
    ]);
  });

  const NEW_NAMES: Readonly<Record<string, string>> = {
    [QUEUES.gatewayEvents]: 'events.session',
    [QUEUES.guildEvents]: 'events.server',
  };

  function renamed(wanted: Topology): Topology {
    const name = (text: string) => NEW_NAMES[text] ?? text;
    return {
      ...wanted,
      queues: wanted.queues.map((queue) => ({ ...queue, name: name(queue.name) })),
      bindings: wanted.bindings.map((binding) => ({ ...binding, queue: name(binding.queue) })),
      policies: wanted.policies.map((policy) => {
        const other = NEW_NAMES[policy.name];
        return other ? { ...policy, pattern: `^${other.replace('.', '\\.')}$` } : policy;
      }),
    };
  }

  it('of names makes the new queues first, removes an old one that is empty, and keeps and names one with messages', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await publish(EXCHANGES.events, 'guild.join');
    said = [];
    const answer = await handler(event('Update', properties(renamed(topology())), before), FIVE_MINUTES);
    const after = await queues();
    expect(after).toEqual(expect.arrayContaining(['events.session', 'events.server', QUEUES.guildEvents]));
    expect(after).not.toContain(QUEUES.gatewayEvents);
    expect(steps().indexOf('create queue events.session')).toBeLessThan(steps().indexOf('remove queue events.gateway'));
    expect(answer.Data?.Kept).toMatch(/^queue events\.guild is kept, without its bindings: /);
  });

  it('that failed half-way is rolled back by an update to what was before', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    const after = properties(discordTopology({ vhost: id, userNames: names, shardGroups: 2 }));
    // It came as far as the new queue.
    await api.putQueue(id, { name: leaseQueue(1), arguments: LEASE_QUEUE_ARGUMENTS });
    await handler(event('Update', before, after), FIVE_MINUTES);
    expect(await queues()).not.toContain(leaseQueue(1));
    expect((await queues()).length).toBe(topology().queues.length);
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

  it('removes both users of a pair that is not wanted any more', async () => {
    const before = properties(topology());
    await handler(event('Create', before), FIVE_MINUTES);
    await api.putUser(`${names.worker}_b`, { password: 'rotated-password' });
    const wanted = topology();
    const without = { ...wanted, users: wanted.users.filter(({ name }) => name !== names.worker) };
    await handler(event('Update', properties(without), before), FIVE_MINUTES);
    const users = (await api.users()).map(({ name }) => name);
    expect(users).not.toContain(names.worker);
    expect(users).not.toContain(`${names.worker}_b`);
    expect(users).toContain(names.ingestor);
  });

  it('of what another version wrote removes nothing, and says so', async () => {
    const now = properties(topology());
    await handler(event('Create', now), FIVE_MINUTES);
    said = [];
    const old = { ...now, Topology: { ...now.Topology, Queues: { old: 'not json' } } };
    await handler(event('Update', now, old), FIVE_MINUTES);
    expect(said).toMatchObject([{ level: 'warn', message: expect.stringContaining('so nothing is removed') }]);
  });
});

describe('delete', () => {
  it('leaves everything to a broker that goes, or stays, by itself', async () => {
    const now = properties(topology());
    await handler(event('Create', now), FIVE_MINUTES);
    expect(await handler(event('Delete', now), FIVE_MINUTES)).toEqual({ PhysicalResourceId: `topology of ${id}` });
    expect((await queues()).length).toBe(topology().queues.length);
  });

  it('of a dead broker succeeds', async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    const kept = properties(topology(), { ManagementUrl: dead });
    await expect(handler(event('Delete', kept), FIVE_MINUTES)).resolves.toBeDefined();
    const removed = properties(topology(), { ManagementUrl: dead, OnDelete: 'remove' });
    await expect(handler(event('Delete', removed), within(17_500))).resolves.toBeDefined();
    expect(said.at(-1)?.message).toMatch(/^the topology was not removed: cannot reach the broker/);
  });

  it('after a create that failed succeeds, whatever the id and however little was made', async () => {
    const { username } = sharedBroker();
    const AdministratorSecretArn = secrets.put(`gone-${id}`, JSON.stringify({ username, password: 'wrong-password' }));
    const failed = properties(topology(), { AdministratorSecretArn, OnDelete: 'remove' });
    await expect(handler(event('Create', failed), within(16_500))).rejects.toThrow(/refuses the login/);
    const PhysicalResourceId = 'AWSCDK::CustomResourceProviderFramework::CREATE_FAILED';
    const deletion = event('Delete', failed, undefined, PhysicalResourceId);
    expect(await handler(deletion, within(16_500))).toEqual({ PhysicalResourceId });
  });

  it("takes what is empty from somebody else's broker, with its users, and keeps and names what has messages", async () => {
    const now = properties(topology(), { OnDelete: 'remove' });
    await handler(event('Create', now), FIVE_MINUTES);
    await publish(EXCHANGES.events, 'interaction.button');
    await handler(event('Delete', now), FIVE_MINUTES);
    expect(await queues()).toEqual([QUEUES.interactions]);
    expect((await api.exchanges(id)).filter(({ name }) => name.startsWith('discord.'))).toEqual([]);
    const users = (await api.users()).map(({ name }) => name);
    expect(users).not.toContain(names.ingestor);
    expect(said.map(({ message }) => message).join('\n')).toMatch(/queue interactions is kept/);
  });
});

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
