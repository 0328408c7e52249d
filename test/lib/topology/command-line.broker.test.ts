// The command line as a process: what it prints, what it exits with, and what it never prints.

import { spawn } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { applyTopology } from '../../../lib/topology/apply.ts';
import { readFound } from '../../../lib/topology/found.ts';
import { discordTopology } from '../../../lib/topology/topology.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';
import { closedPort, tlsInFrontOf } from '../../support/strangers.ts';

const PROGRAM = new URL('../../../bin/topology.ts', import.meta.url).pathname;
const { version, managementUrl, username, password } = sharedBroker();

let own: OwnVhost;
let passwords: Readonly<Record<string, string>>;

beforeEach(async () => {
  own = await ownVhost('cli');
  const { ingestor, worker, deadLetters } = own.userNames;
  passwords = {
    INGESTOR_PASSWORD: own.passwords[ingestor] ?? '',
    WORKER_PASSWORD: own.passwords[worker] ?? '',
    DEAD_LETTERS_PASSWORD: own.passwords[deadLetters] ?? '',
  };
});
afterEach(async () => await own.remove());

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The program with these arguments and nothing of our own environment but the path. */
async function topology(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Run> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 45_000,
  });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
  const code = await new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  const run = { code, out: out.join(''), err: err.join('') };
  for (const secret of [password, ...Object.values(own.passwords)])
    expect(`${run.out}${run.err}`).not.toContain(secret);
  return run;
}

/** Against the shared broker, in the vhost and with the users of this test. */
async function here(command: string, more: readonly string[] = [], env = passwords): Promise<Run> {
  return await topology([command, '--url', withLogin(managementUrl), '--vhost', own.vhost, ...users(), ...more], env);
}

function users(): string[] {
  const { ingestor, worker, deadLetters } = own.userNames;
  return ['--ingestor-user', ingestor, '--worker-user', worker, '--dead-letters-user', deadLetters];
}

function withLogin(address: string, login = { username, password }): string {
  const url = new URL(address);
  url.username = encodeURIComponent(login.username);
  url.password = encodeURIComponent(login.password);
  return url.href;
}

const oneLine = (text: string) => expect(text.trimEnd().split('\n')).toHaveLength(1);

describe('plan and apply', () => {
  test('a plan with changes pending exits with 2 and changes nothing', async () => {
    const { code, out, err } = await here('plan', ['--shard-groups', '2']);
    expect([code, err]).toEqual([2, '']);
    const lines = out.split('\n');
    expect(lines[0]).toBe(`RabbitMQ ${version}, vhost ${own.vhost}`);
    expect(lines).toContain('+ queue interactions');
    expect(lines).toContain("    x-queue-type: 'quorum'");
    expect(lines).toContain(`+ queue ${leaseQueue(1)}`);
    expect(lines).toContain(`+ user ${own.userNames.worker}`);
    expect((await readFound(own.api, own.vhost)).queues).toEqual([]);
  });

  test('apply applies, and then nothing is to do: exit 0 each', async () => {
    const first = await here('apply');
    expect([first.code, first.err]).toEqual([0, '']);
    expect(first.out).toContain('+ queue interactions');
    await (await own.connect('ingestor')).createChannel();
    for (const command of ['apply', 'plan']) {
      const { code, out } = await here(command);
      expect(code).toBe(0);
      expect(out).toBe(`RabbitMQ ${version}, vhost ${own.vhost}\ncreate 0, change 0, remove 0, refused 0\n`);
    }
  });

  test('drift is shown as a change, with both values, and what is not ours as kept', async () => {
    await here('apply');
    const [policy] = own.topology().policies;
    if (policy === undefined) throw new Error('no policy');
    await own.api.putPolicy(own.vhost, { ...policy, definition: { ...policy.definition, 'message-ttl': 60_000 } });
    await own.api.putQueue(own.vhost, { name: 'theirs', arguments: { 'x-queue-type': 'quorum' } });
    const { code, out } = await here('plan');
    expect(code).toBe(2);
    expect(out.split('\n').slice(1)).toEqual([
      '~ policy interactions',
      '    message-ttl: 60000 → 900000',
      '= queue theirs: not of this topology',
      'create 0, change 1, remove 0, refused 0',
      '',
    ]);
  });

  test('without passwords the users are left out, and the variables named', async () => {
    const { code, out } = await here('apply', [], {});
    expect(code).toBe(0);
    const { ingestor, worker } = own.userNames;
    const why = 'is left out: it does not exist yet, and no password was given';
    expect(out).toContain(`= user ${ingestor} ${why} (INGESTOR_PASSWORD)`);
    expect(out).toContain(`= user ${worker} ${why} (WORKER_PASSWORD)`);
    expect((await own.api.users()).map(({ name }) => name)).not.toContain(ingestor);
  });

  test('with --json there is one object with the same content', async () => {
    const planned = JSON.parse((await here('plan', ['--json'])).out);
    expect(planned).toMatchObject({ version, vhost: own.vhost, refusals: [], kept: [], leftAlone: [], notes: [] });
    const applied = JSON.parse((await here('apply', ['--json'])).out);
    expect(applied.steps).toEqual(planned.steps);
    expect(JSON.parse((await here('apply', ['--json'])).out).steps).toEqual([]);
  });

  test('the login comes from the environment as well, and the address too', async () => {
    const { code, err } = await topology(['plan', '--vhost', own.vhost, ...users()], {
      RABBITMQ_MANAGEMENT_URL: managementUrl,
      RABBITMQ_ADMIN_USERNAME: username,
      RABBITMQ_ADMIN_PASSWORD: password,
    });
    expect([code, err]).toEqual([2, '']);
  });
});

describe('what is not wanted any more', () => {
  const removal = (what: string) =>
    `npm run topology -- remove ${what} --vhost ${own.vhost} --url ${new URL(managementUrl).origin}`;

  test('is named with the command that removes it, which first shows what it holds', async () => {
    await here('apply', ['--shard-groups', '2']);
    const channel = await (await own.connect('ingestor')).createConfirmChannel();
    channel.publish(EXCHANGES.leases, leaseQueue(1), Buffer.from('a record'));
    await channel.waitForConfirms();
    const { code, out } = await here('plan');
    expect(code).toBe(0);
    expect(out).toContain(
      `= queue ${leaseQueue(1)} is not wanted any more, and stays: ${removal(`queue ${leaseQueue(1)}`)}\n`,
    );
    const shown = await here('remove', ['queue', leaseQueue(1)]);
    expect([shown.code, shown.err]).toEqual([2, '']);
    expect(shown.out).toMatch(
      /^queue ingestor\.lease\.1, vhost .+\n {2}messages: (\d+ .+|unknown)\n {2}consumers: (\d+|unknown)\n/,
    );
    expect(shown.out).toContain(
      `  binding ingestor.leases → ${leaseQueue(1)} ('${leaseQueue(1)}')\nnothing was removed`,
    );
    expect((await own.api.queues(own.vhost)).map(({ name }) => name)).toContain(leaseQueue(1));
    const removed = await here('remove', ['queue', leaseQueue(1), '--yes']);
    expect([removed.code, removed.out.split('\n').at(-2)]).toEqual([0, `- queue ${leaseQueue(1)}`]);
    expect((await own.api.queues(own.vhost)).map(({ name }) => name)).not.toContain(leaseQueue(1));
  });

  test('is no lease queue that tasks consume, however many groups are named', async () => {
    await here('apply', ['--shard-groups', '2']);
    const channel = await (await own.connect('ingestor')).createChannel();
    await channel.consume(leaseQueue(1), () => undefined);
    // Without --yes, until the broker's statistics know the consumer.
    await vi.waitFor(
      async () =>
        expect(await here('remove', ['queue', leaseQueue(1)])).toEqual({
          ...{ code: 1, out: '' },
          err: 'queue ingestor.lease.1 is the lease of a shard group, with consumers (1): nothing was removed\n',
        }),
      { timeout: 120_000, interval: 1_000 },
    );
    expect((await here('remove', ['queue', leaseQueue(1), '--yes'])).code).toBe(1);
    expect((await own.api.queues(own.vhost)).map(({ name }) => name)).toContain(leaseQueue(1));
  });

  test('may be an exchange or a user, and is never what is wanted, or who asks', async () => {
    await here('apply');
    await own.api.putExchange(own.vhost, { name: "it's theirs", type: 'fanout' });
    expect((await here('remove', ['exchange', "it's theirs", '--yes'])).code).toBe(0);
    expect((await own.api.exchanges(own.vhost)).map(({ name }) => name)).not.toContain("it's theirs");
    const { worker } = own.userNames;
    for (const what of [`queue ${QUEUES.interactions}`, `user ${worker}_b`])
      expect(await here('remove', [...what.split(' '), '--yes'])).toEqual({
        ...{ code: 1, out: '', err: `${what} is wanted by this topology: nothing was removed\n` },
      });
    expect((await here('remove', ['user', username, '--yes'])).err).toBe(
      `user ${username} is the one that asks: nothing was removed\n`,
    );
    expect((await here('remove', ['queue', 'never', '--yes'])).err).toMatch(
      /^queue never: there is none at this broker/,
    );
    await own.api.putUser(`${worker}-x`, { password: 'theirs' }, ['monitoring']);
    const shown = await here('remove', ['user', `${worker}-x`]);
    expect(shown.out).toContain('  tags: monitoring\n  permissions in vhosts: none\n');
    expect((await here('remove', ['user', `${worker}-x`, '--yes'])).code).toBe(0);
    expect((await own.api.users()).map(({ name }) => name)).not.toContain(`${worker}-x`);
  });

  test('binding, policy or permissions of a former deploy goes with the next apply', async () => {
    await here('apply', ['--connection-limit', '100']);
    const former = discordTopology({ vhost: own.vhost, userNames: own.userNames });
    const more = {
      ...former,
      bindings: [...former.bindings, { exchange: EXCHANGES.events, queue: QUEUES.unrouted, routingKey: 'k' }],
    };
    await applyTopology(own.api, more, { passwords: own.passwords });
    const { code, out } = await here('plan');
    expect([code, out.split('\n').slice(1)]).toEqual([
      2,
      ["- binding discord.events → unrouted ('k')", 'create 0, change 0, remove 1, refused 0', ''],
    ]);
    expect((await here('apply')).code).toBe(0);
    expect((await here('plan')).code).toBe(0);
  });
});

describe('what is refused', () => {
  test('is marked, exits with 1, and nothing is applied', async () => {
    await own.manage('PUT', `queues/${own.vhost}/${QUEUES.interactions}`, {
      durable: true,
      arguments: { 'x-queue-type': 'classic' },
    });
    const refusal =
      "! queue interactions: x-queue-type is 'classic', wanted 'quorum', and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed";
    const planned = await here('plan');
    expect(planned.code).toBe(1);
    expect(planned.out).toContain(refusal);
    const applied = await here('apply');
    expect(applied).toEqual({ code: 1, out: '', err: `nothing was applied:\n${refusal}\n` });
    expect((await readFound(own.api, own.vhost)).exchanges).toEqual([]);
  });
});

describe('one clear sentence and exit 1 for', () => {
  test('a wrong password', async () => {
    const { code, out, err } = await topology([
      'apply',
      '--url',
      withLogin(managementUrl, { username, password: 'wrong-one' }),
    ]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/refuses the login of user '\w+': the password is wrong, or there is no such user\n$/);
    expect(err).not.toContain('wrong-one');
    oneLine(err);
  });

  test('a host that cannot be reached', async () => {
    const { code, err } = await topology(['apply', '--url', `http://a:b@127.0.0.1:${await closedPort()}`]);
    expect(code).toBe(1);
    expect(err).toMatch(/^cannot reach the broker at http:\S+: nothing listens at this port \(ECONNREFUSED\)\n$/);
  });

  test('a 400 of the broker, with its reason and with how far it came', async () => {
    await own.manage('PUT', `vhost-limits/${own.vhost}/max-queues`, { value: 3 });
    const { code, err } = await here('apply');
    expect(code).toBe(1);
    expect(err).toMatch(
      /^the broker refuses PUT \/api\/queues\/\S+: .*queue limit.* \(at create queue dead-letters, after \d+ of \d+ steps; apply again to go on from there\)\n$/,
    );
    oneLine(err);
  });

  test('a certificate that is not trusted, and none with its authority', async () => {
    const tls = await tlsInFrontOf(managementUrl);
    try {
      const url = withLogin(`https://127.0.0.1:${tls.port}`);
      const args = ['plan', '--url', url, '--vhost', own.vhost, ...users()];
      const untrusted = await topology(args);
      expect(untrusted.code).toBe(1);
      expect(untrusted.err).toMatch(
        /^the certificate of https:\S+ is not trusted \(\w+\): name the certificate authority/,
      );
      oneLine(untrusted.err);
      const trusted = await topology([...args, '--ca-file', tls.caFile]);
      expect([trusted.code, trusted.err]).toEqual([2, '']);
    } finally {
      await tls.close();
    }
  });

  test.each<[what: string, args: string[], sentence: string]>([
    ['no command', [], "expected plan, apply or remove, got ''. More: npm run topology -- --help"],
    ['another command', ['destroy'], "expected plan, apply or remove, got 'destroy'. More: npm run topology -- --help"],
    ['no address', ['plan'], 'expected the address of the management API: give --url, or set RABBITMQ_MANAGEMENT_URL'],
    [
      'a password that is not encoded',
      ['plan', '--url', 'http://user:hunter2%@localhost'],
      "--url: expected special characters of user and password percent-encoded, got a '%' without two hexadecimal digits behind it",
    ],
    [
      'an address that is none',
      ['plan', '--url', 'localhost'],
      '--url: expected an address such as http://user:password@host:15672',
    ],
    [
      'the address of AMQP',
      ['plan', '--url', 'amqps://a:b@localhost:5671'],
      'expected http:// or https:// of the management API, got amqps://',
    ],
    [
      'no login',
      ['plan', '--url', 'http://localhost:15672'],
      'expected the login of an administrator: in the address (http://user:password@host:15672), or set RABBITMQ_ADMIN_USERNAME and RABBITMQ_ADMIN_PASSWORD',
    ],
    [
      'half a shard group',
      ['plan', '--url', 'http://a:b@localhost', '--shard-groups', '1.5'],
      "--shard-groups: expected 1 to 4096, got '1.5'",
    ],
    [
      'no connections',
      ['plan', '--url', 'http://a:b@localhost', '--connection-limit', '0'],
      "--connection-limit: expected 1 to 1000000, got '0'",
    ],
    [
      'something to remove that is never removed so',
      ['remove', 'policy', 'leases', '--url', 'http://a:b@localhost'],
      "remove: expected queue, exchange, user and one name, got 'policy leases'",
    ],
    [
      'a file that is not there',
      ['plan', '--url', 'http://a:b@localhost', '--ca-file', '/no/such/file'],
      '--ca-file: cannot read /no/such/file',
    ],
  ])('%s', async (_what, args, sentence) => {
    expect(await topology(args)).toEqual({ code: 1, out: '', err: `${sentence}\n` });
  });

  test('an option that is none', async () => {
    const { code, err } = await topology(['plan', '--uri', 'x']);
    expect(code).toBe(1);
    expect(err).toContain("Unknown option '--uri'");
    oneLine(err);
  });
});

test('--help says the commands, the options, the variables and the exit codes', async () => {
  const { code, out } = await topology(['--help']);
  expect(code).toBe(0);
  for (const word of [
    'plan|apply',
    'remove queue|exchange|user NAME',
    '--url',
    '--vhost',
    '--shard-groups',
    '--ca-file',
    '--json',
    'INGESTOR_PASSWORD',
    'Exit code',
  ])
    expect(out).toContain(word);
});
