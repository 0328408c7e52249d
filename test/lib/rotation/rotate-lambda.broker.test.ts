// The rotation function, as Secrets Manager calls it, against a real RabbitMQ: two users take turns, and no connection is
// closed. With a leaked login a person revokes the former user.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ManagementApi } from '../../../lib/management/management-api.ts';
import type { RotationEvent } from '../../../local/secrets-manager.ts';
import { makeVhost, sharedBroker, type Vhost } from '../../support/broker.ts';
import {
  ADMINISTRATOR,
  administratorSecret,
  type BrokerFunctions,
  brokerFunctions,
  putPending,
} from '../../support/broker-functions.ts';
import { tlsInFrontOf } from '../../support/fake-servers.ts';

let functions: BrokerFunctions;
let vhost: Vhost;
let user: string;
let secret: string;
let logged: { message: string }[];
const open: ChannelModel[] = [];

beforeAll(async () => {
  functions = await brokerFunctions();
});
afterAll(async () => await functions.stop());

beforeEach(async () => {
  const { api, secrets } = functions;
  vhost = await makeVhost('rotation');
  user = `ingestor-${randomBytes(4).toString('hex')}`;
  secret = `broker-${user}`;
  await setUser(user, 'first-password');
  await api.put(['permissions', vhost.vhost, user], { configure: '', write: '^events$', read: '' });
  await api.put(['exchanges', vhost.vhost, 'events'], { type: 'topic', durable: true });
  await api.put(['queues', vhost.vhost, 'secret-queue'], { durable: true });
  secrets.put(ADMINISTRATOR, administratorSecret());
  secrets.put(secret, JSON.stringify(login('first-password')));
  functions.configure({ somebody: 'another-secret', [user]: secret });
  logged = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void logged.push(JSON.parse(line)));
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const connection of open.splice(0)) await connection.close().catch(() => undefined);
  for (const name of [user, `${user}_b`]) await functions.api.delete('users', name);
  await vhost.remove();
});

async function setUser(name: string, password: string, tags = ''): Promise<void> {
  await functions.api.put(['users', name], { password, tags });
}

function login(password: string, username = user, name = vhost.vhost) {
  const { hostname, port } = new URL(sharedBroker().amqpUrl);
  return { host: hostname, port: Number(port), vhost: name, username, password, tls: false };
}

const rotate = async (step: (event: RotationEvent) => Promise<unknown> = functions.rotate) =>
  await functions.secrets.rotate(secret, step);
const versionOf = (stage: string): ReturnType<typeof login> =>
  JSON.parse(functions.secrets.value(secret, stage) ?? 'null');
const current = () => versionOf('AWSCURRENT');
const messages = () => logged.map(({ message }) => message);
const rightsOf = async (name: string) =>
  (await functions.api.list('permissions')).filter((some) => some.user === name).map(({ user: _, ...rest }) => rest);

/** Calls `before` before this step. */
const beforeStep =
  (name: string, before: (event: RotationEvent) => Promise<unknown>) => async (event: RotationEvent) => {
    if (event.Step === name) await before(event);
    await functions.rotate(event);
  };
const testOnly = async (event: RotationEvent) => {
  if (event.Step === 'testSecret') await functions.rotate(event);
};
const end = async () => await Promise.reject(new Error('the function was ended'));

async function connectAs({ username, password }: { username: string; password: string }): Promise<ChannelModel> {
  const connection = await connect(vhost.url({ username, password }));
  connection.on('error', () => undefined);
  open.push(connection);
  return connection;
}

/** This connection works: a message is published and confirmed. */
async function publish(connection: ChannelModel): Promise<void> {
  const channel = await connection.createConfirmChannel();
  channel.publish('events', 'key', Buffer.from('{}'));
  await channel.waitForConfirms();
  await channel.close();
}

/** Why it is refused, before anything changes: users, permissions and the secret stay. */
async function refused(call: () => Promise<unknown> = rotate): Promise<string> {
  const everything = async () => {
    const isOurs = (name: string) => name.startsWith(user) || name === sharedBroker().username;
    const users = (await functions.api.list('users')).filter(({ name }) => isOurs(name));
    return {
      users,
      rights: [await rightsOf(user), await rightsOf(`${user}_b`)],
      current: functions.secrets.value(secret),
    };
  };
  const before = await everything();
  const reason: string = await call().then(
    () => expect.unreachable('it was not refused'),
    (error) => error.message,
  );
  expect(await everything()).toEqual(before);
  expect(logged.at(-1)).toMatchObject({ level: 'error', message: reason, err: expect.stringContaining(reason) });
  return reason;
}

describe('a rotation', () => {
  it('makes the other user, with the rights of the current one and a new password, the current one', async () => {
    const before = await connectAs(login('first-password'));
    await rotate();
    const next = current();
    expect(next).toEqual({ ...login(next.password), username: `${user}_b` });
    expect(next.password).toMatch(/^[A-Za-z0-9]{40}$/);
    const connection = await connectAs(next);
    await publish(connection);
    // And no more permissions than that.
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    await expect(channel.consume('secret-queue', () => undefined)).rejects.toThrow(/ACCESS_REFUSED/);
    // The former user goes on, and may connect again until its next turn.
    await publish(before);
    await publish(await connectAs(login('first-password')));
    expect(messages()).toEqual([
      `the next login is of user ${user}_b`,
      `user ${user}_b has the permissions and limits of ${user}`,
      `user ${user}_b can log in`,
      `the login of user ${user}_b is the current one`,
    ]);
    expect(JSON.stringify(logged)).not.toMatch(new RegExp(`first-password|${next.password}`));
    // The second rotation ends the first password, and still closes no connection.
    await rotate();
    expect(current().username).toBe(user);
    for (const each of [before, connection, await connectAs(current())]) await publish(each);
    await expect(connectAs(login('first-password'))).rejects.toThrow(/ACCESS_REFUSED/);
  });

  it('withdraws permissions and limits that the next user has beyond the current one', async () => {
    const { api } = functions;
    const elsewhere = await makeVhost('elsewhere');
    await setUser(`${user}_b`, 'left-over');
    await api.put(['permissions', elsewhere.vhost, `${user}_b`], { configure: '.*', write: '.*', read: '.*' });
    await api.put(['user-limits', `${user}_b`, 'max-channels'], { value: 1 });
    await api.put(['user-limits', user, 'max-connections'], { value: 1 });
    await rotate();
    expect(await rightsOf(`${user}_b`)).toEqual([{ vhost: vhost.vhost, configure: '', write: '^events$', read: '' }]);
    const limits = Object.fromEntries((await api.list('user-limits')).map((some) => [some.user, some.value]));
    expect(limits[user]).toEqual({ 'max-connections': 1 });
    expect({ 'max-channels': -1, ...limits[`${user}_b`] }).toEqual({ 'max-connections': 1, 'max-channels': -1 });
    // The only one is not that of the test: the broker counts it off in a moment.
    await vi.waitFor(async () => await publish(await connectAs(current())), { timeout: 60_000 });
    await elsewhere.remove();
  });

  it('may repeat every step, after its end too', async () => {
    const events: RotationEvent[] = [];
    await rotate(async (event) => {
      events.push(event);
      for (let delivery = 0; delivery < 2; delivery += 1) await functions.rotate(event);
    });
    const after = current();
    expect(after.username).toBe(`${user}_b`);
    logged = [];
    for (const event of events) await functions.rotate(event);
    expect(messages()).toEqual(events.map(() => 'nothing to do: this version is the current one'));
    expect(current()).toEqual(after);
    await publish(await connectAs(after));
  });

  it.each(['createSecret', 'setSecret', 'testSecret'])('is continued where it ended after %s', async (ended) => {
    let isFirst = true;
    const step = async (event: RotationEvent) => {
      await functions.rotate(event);
      if (event.Step !== ended || !isFirst) return;
      isFirst = false;
      // What the step may have left half done at the broker.
      if (ended === 'setSecret') await functions.api.delete('permissions', vhost.vhost, `${user}_b`);
      await end();
    };
    await expect(rotate(step)).rejects.toThrow('the function was ended');
    expect(current()).toEqual(login('first-password'));
    const kept = versionOf('AWSPENDING');
    await rotate(step);
    expect(current()).toEqual(kept);
    await publish(await connectAs(current()));
  });

  it.each(['p%40ss', 'pässwörd %zz"\\'])(
    'tries the current login in its test alone, which a new schedule calls without a pending one: %s',
    async (password) => {
      await setUser(user, password);
      functions.secrets.put(secret, JSON.stringify(login(password)));
      await expect(rotate(testOnly)).rejects.toThrow(/without its version becoming AWSCURRENT/);
      expect(messages()).toEqual([`user ${user} can log in`]);
    },
  );

  it.each(['/', 'a%2Fb c/é', '%zz+?#'])('works in a vhost %s', async (part) => {
    // The default one exists already; the others have a name that no other test has.
    const name = part === '/' ? part : `${part} ${vhost.vhost}`;
    if (name !== '/') await functions.api.put(['vhosts', name], {});
    await functions.api.put(['permissions', name, user], { configure: '', write: '^events$', read: '' });
    functions.secrets.put(secret, JSON.stringify(login('first-password', user, name)));
    await rotate();
    expect(current()).toMatchObject({ username: `${user}_b`, vhost: name });
    expect((await rightsOf(`${user}_b`)).map((some) => some.vhost)).toContain(name);
    if (name !== '/') await functions.api.delete('vhosts', name);
  });
});

describe('the test fails with the reason of the broker', () => {
  it.each<[string, () => Promise<void>, RegExp]>([
    [
      'another password',
      async () => await setUser(`${user}_b`, 'changed-behind'),
      /^user .+_b cannot log in to .+, vhost rotation-\w+: .*ACCESS_REFUSED/,
    ],
    [
      'no channels left',
      async () => await functions.api.put(['user-limits', `${user}_b`, 'max-channels'], { value: 0 }),
      /NOT_ALLOWED - number of channels opened for user '.+' has reached the maximum allowed user limit of 0/,
    ],
  ])('%s', async (_what, breakIt, reason) => {
    await expect(rotate(beforeStep('testSecret', breakIt))).rejects.toThrow(reason);
    expect(current()).toEqual(login('first-password'));
  });
});

it('the login is tried by TLS, and only with a server that is trusted', async () => {
  const untrusted = await tlsInFrontOf(sharedBroker().managementUrl);
  const byTls = (port: number) => JSON.stringify({ ...login('first-password'), host: '127.0.0.1', port, tls: true });
  functions.secrets.put(secret, byTls(untrusted.port));
  await expect(rotate(testOnly)).rejects.toThrow(/cannot log in to 127\.0\.0\.1:\d+.*certificate/);
  functions.secrets.put(secret, byTls(sharedBroker().amqpsPort ?? 0));
  await expect(rotate(testOnly)).rejects.toThrow(/without its version becoming AWSCURRENT/);
  expect(messages().at(-1)).toBe(`user ${user} can log in`);
  await untrusted.close();
});

describe('before anything changes, it is refused', () => {
  it.each<[string, () => Promise<unknown> | unknown, string | RegExp]>([
    [
      'that a secret names another user',
      () => functions.secrets.put(secret, JSON.stringify(login('first-password', sharedBroker().username))),
      'got one of another user',
    ],
    [
      'that the function does not know the secret',
      () => functions.configure({ [user]: 'another-secret' }),
      /^secret arn:.+: expected one of those in LOGIN_SECRET_ARNS, got another/,
    ],
    [
      'that the other user has a tag',
      async () => await setUser(`${user}_b`, 'theirs', 'administrator'),
      /^user \S+_b has the tag administrator at the broker/,
    ],
    [
      "that the administrator's password would be sent without TLS",
      () => functions.configure({ [user]: secret }, { managementUrl: sharedBroker().managementUrl }),
      'MANAGEMENT_URL: expected https://host',
    ],
  ])('%s', async (_what, breakIt, sentence) => {
    await breakIt();
    expect(await refused()).toMatch(sentence);
    expect(versionOf('AWSPENDING')).toBeNull();
  });

  it('that a pending version names another user, at each step', async () => {
    const pending = JSON.stringify(login('another', sharedBroker().username));
    for (const step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret']) {
      const begin = async (event: RotationEvent) => {
        if (event.Step === 'createSecret') await putPending(event, pending);
        if (event.Step === step) await functions.rotate(event);
      };
      expect(await refused(async () => await rotate(begin)), step).toMatch('got one of another user');
    }
  });

  it('that a pending version names the current user, whose password would change under its connections', async () => {
    const begin = beforeStep('createSecret', async (event) => {
      await putPending(event, JSON.stringify(login('another')));
    });
    expect(await refused(async () => await rotate(begin))).toMatch(/the pending login is of the current user/);
  });

  it('that a user has a tag since the step before', async () => {
    const tagged = beforeStep('setSecret', async () => await setUser(`${user}_b`, 'theirs', 'administrator'));
    await expect(rotate(tagged)).rejects.toThrow(`user ${user}_b has the tag administrator`);
    expect((await functions.api.list('users')).find(({ name }) => name === `${user}_b`)?.tags).toEqual([
      'administrator',
    ]);
  });
});

describe('revoke', () => {
  const revoke = async (SecretId = functions.secrets.put(secret)) =>
    await functions.rotate({ Step: 'revoke', SecretId });

  it('ends the password of the former user and its connections at once, may be repeated, and touches no other', async () => {
    const leaked = [await connectAs(login('first-password')), await connectAs(login('first-password'))];
    await rotate();
    const connected = await connectAs(current());
    const closed = Promise.all(leaked.map(async (connection) => await once(connection, 'close')));
    logged = [];
    expect(await revoke()).toEqual({ revoked: user, current: `${user}_b`, connectionsClosed: 2 });
    await closed;
    await expect(connectAs(login('first-password'))).rejects.toThrow(/ACCESS_REFUSED/);
    expect(logged).toMatchObject([{ message: `the password of user ${user} is revoked`, connectionsClosed: 2 }]);
    expect(await revoke()).toEqual({ revoked: user, current: `${user}_b`, connectionsClosed: 0 });
    for (const connection of [connected, await connectAs(current())]) await publish(connection);
    // The next rotation gives the revoked user a new password, and its permissions still exist.
    await rotate();
    expect(current().username).toBe(user);
    await publish(await connectAs(current()));
  });

  it('is refused while a rotation is under way, whose user it would revoke', async () => {
    await expect(rotate(beforeStep('finishSecret', end))).rejects.toThrow('the function was ended');
    await expect(revoke()).rejects.toThrow(/expected no rotation under way/);
    await publish(await connectAs(versionOf('AWSPENDING')));
    await rotate();
    expect(await revoke()).toMatchObject({ revoked: user });
  });

  it('is refused where a rotation came between, whose user it would revoke', async () => {
    await rotate();
    const prototype: ManagementApi = Object.getPrototypeOf(functions.api);
    const { list } = prototype;
    vi.spyOn(prototype, 'list').mockImplementationOnce(async function (this: ManagementApi, kind) {
      await rotate();
      return await list.call(this, kind);
    });
    await expect(revoke()).rejects.toThrow(`a rotation came between, and user ${user} is current now`);
    await publish(await connectAs(current()));
    expect(await revoke()).toMatchObject({ revoked: `${user}_b`, current: user });
  });

  it('is refused for an unknown secret, a user with a tag, and a user of another pair', async () => {
    await rotate();
    await expect(revoke('arn:another')).rejects.toThrow('expected one of those in');
    await setUser(user, 'first-password', 'management');
    await expect(revoke()).rejects.toThrow(`user ${user} has the tag management`);
    await setUser(user, 'first-password');
    functions.secrets.put(secret, JSON.stringify(login('first-password', `${sharedBroker().username}_b`)));
    await expect(revoke()).rejects.toThrow('got one of another user');
    await publish(await connectAs(login('first-password')));
  });
});
