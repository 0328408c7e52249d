// The rotation function, as Secrets Manager calls it, against a real RabbitMQ: two users take turns, and nobody who is
// connected notices.
import { randomBytes } from 'node:crypto';
import { type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import type { handler as Handler } from '../../../lib/rotation/rotate.lambda.ts';
import { ROTATION_ENV } from '../../../lib/rotation/rotation.ts';
import { type RotationEvent, type SecretsManager, startSecretsManager } from '../../../local/secrets-manager.ts';
import { makeVhost, sharedBroker, type Vhost } from '../../broker.ts';

const ADMINISTRATOR = 'broker-administrator';

let secrets: SecretsManager;
let handler: typeof Handler;
let api: ManagementApi;
let vhost: Vhost;
let user: string;
let secret: string;
let said: string[];
const open: ChannelModel[] = [];

beforeAll(async () => {
  secrets = await startSecretsManager();
  for (const [name, value] of Object.entries(secrets.environment)) vi.stubEnv(name, value);
  const broker = sharedBroker();
  vi.stubEnv(ROTATION_ENV.managementUrl, broker.managementUrl);
  vi.stubEnv(ROTATION_ENV.administratorSecretArn, secrets.put(ADMINISTRATOR, JSON.stringify(loginOf(broker))));
  api = new ManagementApi({ url: broker.managementUrl, ...loginOf(broker) });
  // The SDK reads the environment when its client is made.
  ({ handler } = await import('../../../lib/rotation/rotate.lambda.ts'));
});

afterAll(async () => {
  api.close();
  vi.unstubAllEnvs();
  await secrets.stop();
});

beforeEach(async () => {
  vhost = await makeVhost('rotation');
  user = `ingestor-${randomBytes(4).toString('hex')}`;
  secret = `broker-${user}`;
  await api.putUser(user, { password: 'first-password' });
  await api.putPermissions(vhost.vhost, user, { configure: '', write: '^events$', read: '' });
  await api.putExchange(vhost.vhost, { name: 'events', type: 'topic' });
  await api.putQueue(vhost.vhost, { name: 'secret-queue', arguments: { 'x-queue-type': 'quorum' } });
  secrets.put(secret, JSON.stringify(login('first-password')));
  said = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void said.push(line));
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const connection of open.splice(0)) await connection.close().catch(() => undefined);
  await api.deleteUser(user);
  await api.deleteUser(`${user}_b`);
  await vhost.remove();
});

function loginOf({ username, password }: { username: string; password: string }) {
  return { username, password };
}

function login(password: string, username = user) {
  const { hostname, port } = new URL(sharedBroker().amqpUrl);
  return { host: hostname, port: Number(port), vhost: vhost.vhost, username, password, tls: false };
}

function current(): ReturnType<typeof login> {
  return JSON.parse(secrets.value(secret) ?? '');
}

async function connectAs({ username, password }: { username: string; password: string }): Promise<ChannelModel> {
  const connection = await connect(vhost.url({ username, password }));
  connection.on('error', () => undefined);
  open.push(connection);
  return connection;
}

/** Whether a message gets through on this connection: published, and confirmed. */
async function publishes(connection: ChannelModel): Promise<boolean> {
  const channel = await connection.createConfirmChannel();
  channel.publish('events', 'key', Buffer.from('{}'));
  await channel.waitForConfirms();
  await channel.close();
  return true;
}

describe('a rotation', () => {
  it('makes the other user, with the rights of the current one and a new password, the current one', async () => {
    await secrets.rotate(secret, handler);
    const next = current();
    expect(next).toEqual({ ...login(next.password), username: `${user}_b` });
    expect(next.password).toMatch(/^[A-Za-z0-9]{40}$/);
    const connection = await connectAs(next);
    expect(await publishes(connection)).toBe(true);
    // And no more rights than that.
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    await expect(channel.consume('secret-queue', () => undefined)).rejects.toThrow(/ACCESS_REFUSED/);
  });

  it('cuts nobody: connections of the former user go on, and it may connect again until its next turn', async () => {
    const before = await connectAs({ username: user, password: 'first-password' });
    await secrets.rotate(secret, handler);
    expect(await publishes(before)).toBe(true);
    expect(await publishes(await connectAs({ username: user, password: 'first-password' }))).toBe(true);
  });

  it('ends the first password with the second rotation, without cutting the connections that began with it', async () => {
    const first = await connectAs({ username: user, password: 'first-password' });
    await secrets.rotate(secret, handler);
    const second = await connectAs(current());
    await secrets.rotate(secret, handler);
    expect(current().username).toBe(user);
    expect(await publishes(first)).toBe(true);
    expect(await publishes(second)).toBe(true);
    expect(await publishes(await connectAs(current()))).toBe(true);
    await expect(connectAs({ username: user, password: 'first-password' })).rejects.toThrow(/ACCESS_REFUSED|403/);
  });

  it('withdraws what the next user has beyond the current one', async () => {
    const elsewhere = await makeVhost('elsewhere');
    await api.putUser(`${user}_b`, { password: 'left-over' });
    await api.putPermissions(elsewhere.vhost, `${user}_b`, { configure: '.*', write: '.*', read: '.*' });
    await secrets.rotate(secret, handler);
    const rights = (await api.permissions()).filter((some) => some.user === `${user}_b`);
    expect(rights).toEqual([{ user: `${user}_b`, vhost: vhost.vhost, configure: '', write: '^events$', read: '' }]);
    await elsewhere.remove();
  });

  it('may repeat every step', async () => {
    await secrets.rotate(secret, async (event) => {
      await handler(event);
      await handler(event);
    });
    expect(current().username).toBe(`${user}_b`);
    expect(await publishes(await connectAs(current()))).toBe(true);
  });

  it('says what it did by the names of users, and never a password', async () => {
    await secrets.rotate(secret, handler);
    expect(said.map((line) => JSON.parse(line).message)).toEqual([
      `the next login is of user ${user}_b`,
      `user ${user}_b has the rights of ${user}`,
      `user ${user}_b can log in`,
      `the login of user ${user}_b is the current one`,
    ]);
    expect(said.join()).not.toContain(current().password);
    expect(said.join()).not.toContain('first-password');
  });
});

describe('a rotation that fails', () => {
  it('leaves the current login as it is, and is taken up where it failed', async () => {
    let failing = true;
    const step = async (event: RotationEvent) => {
      if (event.Step === 'testSecret' && failing) throw new Error('the function was ended');
      await handler(event);
    };
    await expect(secrets.rotate(secret, step)).rejects.toThrow('the function was ended');
    expect(current()).toEqual(login('first-password'));
    const pending = JSON.parse(secrets.value(secret, 'AWSPENDING') ?? '');
    failing = false;
    await secrets.rotate(secret, step);
    expect(current()).toEqual(pending);
  });

  it('at the test says who could not log in where', async () => {
    const refusing = async (event: RotationEvent) => {
      if (event.Step === 'testSecret') await api.putUser(`${user}_b`, { password: 'changed-behind' });
      await handler(event);
    };
    await expect(secrets.rotate(secret, refusing)).rejects.toThrow(
      new RegExp(`^user ${user}_b cannot log in to .+, vhost ${vhost.vhost}: .*ACCESS_REFUSED`),
    );
    expect(current()).toEqual(login('first-password'));
  });

  it('where the broker refuses the administrator, the current user is unknown, or the secret is no login, says so', async () => {
    const administrator = loginOf(sharedBroker());
    secrets.put(ADMINISTRATOR, JSON.stringify({ ...administrator, password: 'wrong-password' }));
    await expect(secrets.rotate(secret, handler)).rejects.toThrow(
      `refuses the login of user '${administrator.username}'`,
    );
    secrets.put(ADMINISTRATOR, JSON.stringify(administrator));
    await api.deleteUser(user);
    await expect(secrets.rotate(secret, handler)).rejects.toThrow(`the broker does not know the user ${user}`);
    secrets.put(secret, 'hunter2');
    await expect(secrets.rotate(secret, handler)).rejects.toThrow(/expected JSON with host, port/);
    expect(secrets.value(secret)).toBe('hunter2');
  });

  it('refuses to change the password of the current user', async () => {
    const step = async (event: RotationEvent) => {
      const { Step, ClientRequestToken } = event;
      if (Step === 'createSecret') {
        const { PutSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
        const SecretString = JSON.stringify(login('another'));
        const put = { SecretId: secret, ClientRequestToken, SecretString, VersionStages: ['AWSPENDING'] };
        await new SecretsManagerClient({}).send(new PutSecretValueCommand(put));
      }
      await handler(event);
    };
    await expect(secrets.rotate(secret, step)).rejects.toThrow(
      `the pending login is of the current user ${user}, whose password would change under its connections`,
    );
    expect(await publishes(await connectAs({ username: user, password: 'first-password' }))).toBe(true);
  });
});

describe('when a schedule is made', () => {
  it('the test alone, with a version that nobody has written, tries the current login', async () => {
    const testOnly = async (event: RotationEvent) => {
      if (event.Step === 'testSecret') await handler(event);
    };
    // The version is not written, so nothing becomes current.
    await expect(secrets.rotate(secret, testOnly)).rejects.toThrow(/without its version becoming AWSCURRENT/);
    expect(said.map((line) => JSON.parse(line).message)).toEqual([`user ${user} can log in`]);
  });
});
