// The rotation function, as Secrets Manager calls it, against a real RabbitMQ: two users take turns, and nobody who is
// connected notices. With a leaked login a person revokes the former user.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import type { handler as Handler } from '../../../lib/rotation/rotate.lambda.ts';
import { ROTATION_ENV } from '../../../lib/rotation/rotation.ts';
import { type RotationEvent, type SecretsManager, startSecretsManager } from '../../../local/secrets-manager.ts';
import { makeVhost, sharedBroker, type Vhost } from '../../support/broker.ts';
import { managementByTls } from '../../support/management-by-tls.ts';

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
  vi.stubEnv(ROTATION_ENV.managementUrl, managementByTls());
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
  const arn = secrets.put(secret, JSON.stringify(login('first-password')));
  vi.stubEnv(ROTATION_ENV.loginSecretArns, JSON.stringify({ somebody: 'arn:of-somebody', [user]: arn }));
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

function login(password: string, username = user, name = vhost.vhost) {
  const { hostname, port } = new URL(sharedBroker().amqpUrl);
  return { host: hostname, port: Number(port), vhost: name, username, password, tls: false };
}

function current(): ReturnType<typeof login> {
  return JSON.parse(secrets.value(secret) ?? '');
}

/** What the broker knows of users, and the secret: nothing of it may change in a refusal. */
async function everything() {
  const [users, permissions] = await Promise.all([api.users(), api.permissions()]);
  const ours = ({ name }: { name: string }) => name.startsWith(user) || name === sharedBroker().username;
  return {
    users: users.filter(ours),
    permissions: permissions.filter((some) => some.user.startsWith(user)),
    current: secrets.value(secret),
  };
}

/** A secret that says nothing but what a rotation needs to begin. */
async function refusal(): Promise<string> {
  const before = await everything();
  const error: Error = await secrets.rotate(secret, handler).then(
    () => expect.unreachable('it was not refused'),
    (thrown) => thrown,
  );
  expect(await everything()).toEqual(before);
  return error.message;
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

  it('may repeat every step, after its end too', async () => {
    const events: RotationEvent[] = [];
    await secrets.rotate(secret, async (event) => {
      events.push(event);
      await handler(event);
      await handler(event);
    });
    const after = current();
    expect(after.username).toBe(`${user}_b`);
    said = [];
    for (const event of events) await handler(event);
    expect(said.map((line) => JSON.parse(line).message)).toEqual(
      events.map(() => 'nothing to do: this version is the current one'),
    );
    expect(current()).toEqual(after);
    expect(await publishes(await connectAs(after))).toBe(true);
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
  it.each(['createSecret', 'setSecret', 'testSecret', 'finishSecret'])(
    'because the function was ended in the middle of %s or just after it is taken up again',
    async (ended) => {
      let isFirst = true;
      const step = async (event: RotationEvent) => {
        await handler(event);
        if (event.Step !== ended || !isFirst) return;
        isFirst = false;
        // What the step may have left half done at the broker.
        if (ended === 'setSecret') await api.deletePermissions(vhost.vhost, `${user}_b`);
        throw new Error('the time was up');
      };
      await expect(secrets.rotate(secret, step)).rejects.toThrow('the time was up');
      const kept = secrets.value(secret, 'AWSPENDING');
      // Of finishSecret nothing is left to do: the next rotation is the next user's turn.
      await secrets.rotate(secret, step);
      if (ended === 'finishSecret') expect(current().username).toBe(user);
      else expect(secrets.value(secret)).toBe(kept);
      expect(await publishes(await connectAs(current()))).toBe(true);
    },
  );

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

describe('a vhost', () => {
  it.each(['/', '%', 'a b', 'é', 'a%2Fb', 'a/b', '%zz', 'a+b?c#d'])('named %s is one like any other', async (part) => {
    // The default one is there already; the others have a name that no other test has.
    const name = part === '/' ? part : `${part} ${vhost.vhost}`;
    if (name !== '/') await api.putVhost(name);
    await api.putPermissions(name, user, { configure: '', write: '^events$', read: '' });
    secrets.put(secret, JSON.stringify(login('first-password', user, name)));
    await secrets.rotate(secret, handler);
    expect(current()).toMatchObject({ username: `${user}_b`, vhost: name });
    expect((await api.permissions()).filter((some) => some.user === `${user}_b`).map((some) => some.vhost)).toContain(
      name,
    );
    if (name !== '/') await (await fetchVhost('DELETE', name)).text();
  });

  async function fetchVhost(method: string, name: string): Promise<Response> {
    const { managementUrl, username, password } = sharedBroker();
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    return await fetch(`${managementUrl}/api/vhosts/${encodeURIComponent(name)}`, {
      method,
      headers: { authorization },
    });
  }
});

describe('a login', () => {
  it.each(['p%40ss', 'p@ss:w/rd', 'pässwörd %zz', '"\\'])(
    'with the password %s is tried as it is',
    async (password) => {
      await api.putUser(user, { password });
      secrets.put(secret, JSON.stringify(login(password)));
      const testOnly = async (event: RotationEvent) => {
        if (event.Step === 'testSecret') await handler(event);
      };
      await expect(secrets.rotate(secret, testOnly)).rejects.toThrow(/without its version becoming AWSCURRENT/);
      expect(said.map((line) => JSON.parse(line).message)).toEqual([`user ${user} can log in`]);
    },
  );
});

describe('limits', () => {
  it('of the current user are those of the next one; what the next one has beyond them ends', async () => {
    await api.putUser(`${user}_b`, { password: 'left-over' });
    await api.putUserLimit(`${user}_b`, 'max-channels', 1);
    await api.putUserLimit(user, 'max-connections', 7);
    await secrets.rotate(secret, handler);
    const limits = Object.fromEntries((await api.userLimits()).map((some) => [some.user, some.limits]));
    expect(limits[`${user}_b`]?.['max-connections']).toBe(7);
    expect(limits[`${user}_b`]?.['max-channels'] ?? -1).toBe(-1);
    expect(limits[user]).toEqual({ 'max-connections': 7 });
  });

  it.each([
    ['max-connections', 0, /NOT_ALLOWED - connection refused for user '.+': user connection limit \(0\) is reached/],
    [
      'max-channels',
      0,
      /NOT_ALLOWED - number of channels opened for user '.+' has reached the maximum allowed user limit of 0/,
    ],
  ] as const)(
    'that keep the next user out fail the test in the words of the broker: %s',
    async (name, value, words) => {
      await api.putUserLimit(user, name, value);
      await expect(secrets.rotate(secret, handler)).rejects.toThrow(words);
      expect(current()).toEqual(login('first-password'));
    },
  );
});

describe('a vhost without permissions', () => {
  it('fails the test in the words of the broker', async () => {
    await api.deletePermissions(vhost.vhost, user);
    await expect(secrets.rotate(secret, handler)).rejects.toThrow(
      `NOT_ALLOWED - access to vhost '${vhost.vhost}' refused for user '${user}_b'`,
    );
  });
});

describe('before anything changes, it is refused', () => {
  it('that a secret names another user', async () => {
    secrets.put(secret, JSON.stringify(login('first-password', sharedBroker().username)));
    expect(await refusal()).toMatch(`expected a login of the user ${user} or ${user}_b, got one of another user`);
    secrets.put(secret, JSON.stringify(login('first-password', `${user}_b_b`)));
    expect(await refusal()).toMatch('got one of another user');
  });

  it('that a pending version names another user, at each step', async () => {
    const { PutSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
    for (const step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret']) {
      const begin = async (event: RotationEvent) => {
        const { Step, ClientRequestToken } = event;
        if (Step === 'createSecret') {
          const SecretString = JSON.stringify(login('another', sharedBroker().username));
          const put = { SecretId: secret, ClientRequestToken, SecretString, VersionStages: ['AWSPENDING'] };
          await new SecretsManagerClient({}).send(new PutSecretValueCommand(put));
        }
        if (Step === step) await handler(event);
      };
      const before = await everything();
      await expect(secrets.rotate(secret, begin), step).rejects.toThrow('got one of another user');
      expect(await everything(), step).toEqual(before);
    }
  });

  it('that the function does not know the secret', async () => {
    vi.stubEnv(ROTATION_ENV.loginSecretArns, JSON.stringify({ [user]: 'arn:of-another-secret' }));
    expect(await refusal()).toMatch(/^secret arn:.+: expected one of those in LOGIN_SECRET_ARNS, got another/);
  });

  it('that a user of the pair has a tag', async () => {
    await api.putUser(user, { password: 'first-password' }, ['monitoring']);
    expect(await refusal()).toMatch(`user ${user} has the tag monitoring at the broker`);
    await api.putUser(user, { password: 'first-password' });
    await api.putUser(`${user}_b`, { password: 'theirs' }, ['administrator']);
    expect(await refusal()).toMatch(`user ${user}_b has the tag administrator at the broker`);
    expect(secrets.value(secret, 'AWSPENDING')).toBeUndefined();
  });

  it('that a user has a tag since the step before', async () => {
    const tagged = async (event: RotationEvent) => {
      if (event.Step === 'setSecret') await api.putUser(`${user}_b`, { password: 'theirs' }, ['administrator']);
      await handler(event);
    };
    await expect(secrets.rotate(secret, tagged)).rejects.toThrow(`user ${user}_b has the tag administrator`);
    await connectAs({ username: `${user}_b`, password: 'theirs' }).catch((error: Error) => {
      // Known, by the password that it had; it has no permission here.
      expect(error.message).not.toMatch(/ACCESS_REFUSED/);
    });
  });

  it('that the secret belongs to the administrator', async () => {
    const { username } = sharedBroker();
    const arn = secrets.put(secret, JSON.stringify(login('first-password', username)));
    vi.stubEnv(ROTATION_ENV.loginSecretArns, JSON.stringify({ [username]: arn }));
    expect(await refusal()).toMatch(`user ${username} is the administrator, whose login is not rotated`);
    expect((await api.users()).map(({ name }) => name)).not.toContain(`${username}_b`);
  });

  it("that the administrator's password would be sent without TLS", async () => {
    vi.stubEnv(ROTATION_ENV.managementUrl, sharedBroker().managementUrl);
    expect(await refusal()).toMatch('MANAGEMENT_URL: expected an address with https://');
    vi.stubEnv(ROTATION_ENV.managementUrl, managementByTls());
  });
});

describe('revoke', () => {
  const revoke = async () => await handler({ Step: 'revoke', SecretId: secrets.put(secret) });

  it('after a rotation ends the password of the former user and its connections at once, and touches no other', async () => {
    const leaked = await connectAs({ username: user, password: 'first-password' });
    const another = await connectAs({ username: user, password: 'first-password' });
    await secrets.rotate(secret, handler);
    const connected = await connectAs(current());
    const closed = Promise.all([once(leaked, 'close'), once(another, 'close')]);
    said = [];
    expect(await revoke()).toEqual({ revoked: user, current: `${user}_b`, connectionsClosed: 2 });
    await closed;
    await expect(connectAs({ username: user, password: 'first-password' })).rejects.toThrow(/ACCESS_REFUSED/);
    expect(await publishes(connected)).toBe(true);
    expect(await publishes(await connectAs(current()))).toBe(true);
    expect(said.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ message: `the password of user ${user} is revoked`, connectionsClosed: 2 }),
    ]);
  });

  it('twice does the same, and never touches the current user', async () => {
    await secrets.rotate(secret, handler);
    const connected = await connectAs(current());
    await revoke();
    expect(await revoke()).toEqual({ revoked: user, current: `${user}_b`, connectionsClosed: 0 });
    expect(await publishes(connected)).toBe(true);
    // The next rotation gives the revoked user a new password, and its rights are still there.
    await secrets.rotate(secret, handler);
    expect(current().username).toBe(user);
    expect(await publishes(await connectAs(current()))).toBe(true);
  });

  it('of a login that was never rotated has nothing to do', async () => {
    const connected = await connectAs({ username: user, password: 'first-password' });
    expect(await revoke()).toEqual({ revoked: undefined, current: user, connectionsClosed: 0 });
    expect(await publishes(connected)).toBe(true);
    expect((await api.users()).map(({ name }) => name)).not.toContain(`${user}_b`);
  });

  it('is refused while a rotation is under way, whose user it would revoke', async () => {
    const until = async (event: RotationEvent) => {
      if (event.Step === 'finishSecret') throw new Error('the function was ended');
      await handler(event);
    };
    await expect(secrets.rotate(secret, until)).rejects.toThrow('the function was ended');
    const pending = JSON.parse(secrets.value(secret, 'AWSPENDING') ?? '');
    await expect(revoke()).rejects.toThrow(/expected no rotation under way/);
    expect(await publishes(await connectAs(pending))).toBe(true);
    await secrets.rotate(secret, handler);
    expect(await revoke()).toMatchObject({ revoked: user });
  });

  it('is refused where a rotation came between, whose user it would revoke', async () => {
    await secrets.rotate(secret, handler);
    const { users } = ManagementApi.prototype;
    vi.spyOn(ManagementApi.prototype, 'users').mockImplementationOnce(async function (this: ManagementApi) {
      await secrets.rotate(secret, handler);
      return await users.call(this);
    });
    await expect(revoke()).rejects.toThrow(`a rotation came between, and user ${user} is current now`);
    const current = JSON.parse(secrets.value(secret) ?? '');
    expect(current.username).toBe(user);
    expect(await publishes(await connectAs(current))).toBe(true);
    expect(await revoke()).toMatchObject({ revoked: `${user}_b`, current: user });
  });

  it('is refused for a secret that is not known, a user of another pair, and a user with a tag', async () => {
    await secrets.rotate(secret, handler);
    await expect(handler({ Step: 'revoke', SecretId: 'arn:another' })).rejects.toThrow('expected one of those in');
    await api.putUser(user, { password: 'first-password' }, ['management']);
    await expect(revoke()).rejects.toThrow(`user ${user} has the tag management`);
    await api.putUser(user, { password: 'first-password' });
    secrets.put(secret, JSON.stringify(login('first-password', `${sharedBroker().username}_b`)));
    await expect(revoke()).rejects.toThrow('got one of another user');
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
