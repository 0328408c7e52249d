// `npm run topology` with a real broker: what it prints, its exit codes, and that it prints no password.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { run } from '../../bin/topology.ts';
import { applyTopology } from '../../lib/topology/apply.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../service/contract/names.ts';
import { sharedBroker } from '../support/broker.ts';
import { refusing } from '../support/fake-servers.ts';
import { type OwnVhost, ownVhost } from '../support/own-vhost.ts';
import { start } from '../support/program.ts';

const { version, managementUrl, managementTlsUrl = '', caFile = '', username, password } = sharedBroker();

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

/** Runs in this process. */
async function topology(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const printed = { out: '', err: '' };
  const code = await run(args, env, {
    log: (line: string) => (printed.out += `${line}\n`),
    error: (line: string) => (printed.err += `${line}\n`),
  });
  for (const secret of [password, ...Object.values(own.passwords)])
    expect(printed.out + printed.err).not.toContain(secret);
  return { code, ...printed };
}

/** With the vhost and the users of this test. */
function ours(): string[] {
  const { ingestor, worker, deadLetters } = own.userNames;
  const users = ['--ingestor-user', ingestor, '--worker-user', worker, '--dead-letters-user', deadLetters];
  return ['--vhost', own.vhost, ...users];
}

const TWO_GROUPS = ['--shard-count', '2', '--shards-per-task', '1'];

const onBroker = (command: string, more: readonly string[]) => [
  ...[command, '--url', withLogin(managementUrl), ...ours(), ...more],
];
const here = async (command: string, more: readonly string[] = [], env = passwords) =>
  await topology(onBroker(command, more), env);

function withLogin(address: string): string {
  const url = new URL(address);
  url.username = encodeURIComponent(username);
  url.password = encodeURIComponent(password);
  return url.href;
}

const exists = async (kind: 'queues' | 'exchanges', name: string) =>
  (await own.api.list(kind, own.vhost)).some((some) => some.name === name);

describe('plan and apply', () => {
  test('show the steps; plan exits with 2 while changes are pending, and with 0 after they are applied', async () => {
    const planned = await start('bin/topology.ts', onBroker('plan', TWO_GROUPS), passwords).ended;
    expect([planned.code, planned.err]).toEqual([2, '']);
    const lines = planned.out.split('\n');
    expect(lines[0]).toBe(`RabbitMQ ${version}, vhost ${own.vhost}`);
    for (const line of ['+ queue interactions', "    x-queue-type: 'quorum'", `+ queue ${leaseQueue(1)}`])
      expect(lines).toContain(line);
    expect(await exists('queues', QUEUES.interactions)).toBe(false);
    const applied = await here('apply', TWO_GROUPS);
    expect(applied).toEqual({ ...planned, code: 0 });
    await (await own.connect('ingestor')).createChannel();
    const out = `RabbitMQ ${version}, vhost ${own.vhost}\ncreate 0, change 0, remove 0, refused 0\n`;
    expect(await here('apply', TWO_GROUPS)).toEqual({ code: 0, out, err: '' });
    expect(await here('plan', TWO_GROUPS)).toEqual({ code: 0, out, err: '' });
  });

  test('show both values of a difference, and that a binding of an earlier deployment is removed', async () => {
    await here('apply', ['--connection-limit', '100']);
    const former = own.topology();
    const binding = { exchange: EXCHANGES.events, queue: QUEUES.unrouted, routingKey: 'k' };
    await applyTopology(own.api, { ...former, bindings: [...former.bindings, binding] }, { passwords: own.passwords });
    await own.api.put(['permissions', own.vhost, own.userNames.worker], { configure: '', write: 'x', read: '^$' });
    const { code, out } = await here('plan');
    expect([code, out.split('\n').slice(1)]).toEqual([
      2,
      [
        `~ permissions of ${own.userNames.worker}`,
        "    write: 'x' → '^discord\\.commands$'",
        "    read: '^$' → '^(interactions|events\\.guild|events\\.gateway|events\\.dispatch)$'",
        "- binding discord.events → unrouted ('k')",
        'create 0, change 1, remove 1, refused 0',
        '',
      ],
    ]);
    expect((await here('apply')).code).toBe(0);
    expect((await here('plan')).code).toBe(0);
  });

  test('accept additional queues and workers as a deployment does; a queue that is removed from them stays, without bindings', async () => {
    const { analytics } = own.userNames;
    const queues = { 'events.analytics': { keys: ['member.#'] } };
    const settings = JSON.stringify({ queues, workers: { [analytics]: { queues: ['events.analytics'] } } });
    const env = { ...passwords, [`${analytics.toUpperCase()}_PASSWORD`]: own.passwords[analytics] ?? '' };
    expect((await here('apply', ['--settings', settings], env)).code).toBe(0);
    const channel = await (await own.connect('analytics')).createChannel();
    await channel.checkQueue('events.analytics');
    expect(await here('plan', ['--settings', settings], env)).toMatchObject({ code: 0 });
    const without = await here('apply');
    expect(without.code).toBe(0);
    const lines = without.out.split('\n').map((line) => line.replace(/: npm run topology.*/, ''));
    expect(lines.slice(1)).toEqual([
      "- binding discord.events → events.analytics ('member.#')",
      `- permissions of ${analytics}`,
      '= queue events.analytics is no longer wanted, and stays',
      `= user ${analytics} is no longer wanted, and stays`,
      '= kept: policy events.analytics, which governs queue events.analytics',
      'create 0, change 0, remove 2, refused 0',
      '',
    ]);
    expect(await exists('queues', 'events.analytics')).toBe(true);
  });

  test('skip users without a password, and name the variables; with --json print one object', async () => {
    const { ingestor, worker, deadLetters } = own.userNames;
    const why = 'is skipped: it does not exist yet, and no password was given';
    const { code, out } = await here('apply', ['--json'], {});
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      ...{ version, vhost: own.vhost, steps: expect.any(Array), refusals: [], kept: [] },
      notes: [
        `user ${ingestor} ${why} (INGESTOR_PASSWORD)`,
        `user ${worker} ${why} (WORKER_PASSWORD)`,
        `user ${deadLetters} ${why} (DEAD_LETTERS_PASSWORD)`,
      ],
    });
    expect((await own.api.list('users')).map(({ name }) => name)).not.toContain(ingestor);
    expect((await here('plan', [], {})).out).toContain(`= user ${worker} ${why} (WORKER_PASSWORD)\n`);
  });

  test('read address and login also from the environment, and accept a certificate authority', async () => {
    const env = { RABBITMQ_ADMIN_USERNAME: username, RABBITMQ_ADMIN_PASSWORD: password };
    const address = { ...env, RABBITMQ_MANAGEMENT_URL: managementTlsUrl };
    const untrusted = await topology(['plan', ...ours()], address);
    expect(untrusted).toMatchObject({ code: 1, err: expect.stringMatching(/^no trusted TLS connection to .+\n$/) });
    const trusted = await topology(['plan', ...ours(), '--ca-file', caFile], address);
    expect([trusted.code, trusted.err]).toEqual([2, '']);
  });
});

describe('what is no longer wanted', () => {
  test('is named with the command that removes it, which first shows its contents', async () => {
    await here('apply', TWO_GROUPS);
    const channel = await (await own.connect('ingestor')).createConfirmChannel();
    channel.publish(EXCHANGES.leases, leaseQueue(1), Buffer.from('a record'));
    await channel.waitForConfirms();
    const { out } = await here('plan');
    const command = `remove queue ${leaseQueue(1)} --vhost ${own.vhost} --url ${new URL(managementUrl).origin}`;
    expect(out).toContain(`= queue ${leaseQueue(1)} is no longer wanted, and stays: npm run topology -- ${command}\n`);
    const shown = await here('remove', ['queue', leaseQueue(1)]);
    expect([shown.code, shown.err]).toEqual([2, '']);
    expect(shown.out).toMatch(
      /^queue ingestor\.lease\.1, vhost .+\n {2}messages: (\d+ .+|unknown)\n {2}consumers: (\d+|unknown)\n {2}binding ingestor\.leases → ingestor\.lease\.1 \('ingestor\.lease\.1'\)\nnothing was removed/,
    );
    expect(await exists('queues', leaseQueue(1))).toBe(true);
    const removed = await here('remove', ['queue', leaseQueue(1), '--yes']);
    expect([removed.code, removed.out.split('\n').at(-2)]).toEqual([0, `- queue ${leaseQueue(1)}`]);
    expect(await exists('queues', leaseQueue(1))).toBe(false);
  });

  test('has an unknown number of messages, not none, when the broker has no statistics', async () => {
    await here('apply', TWO_GROUPS);
    const queue = JSON.stringify({ name: leaseQueue(1), durable: true, auto_delete: false, arguments: {} });
    const broker = await refusing(managementUrl, /^GET \/api\/queues\/[^/]+\/ingestor/, 200, queue);
    const url = withLogin(`http://127.0.0.1:${broker.port}`);
    const { out } = await topology(['remove', 'queue', leaseQueue(1), '--url', url, ...ours()]);
    expect(out).toContain('\n  messages: unknown\n  consumers: unknown\n');
    await broker.close();
  });

  test('is never a lease queue that a task consumes, even for fewer groups', async () => {
    await here('apply', TWO_GROUPS);
    const channel = await (await own.connect('ingestor')).createChannel();
    await channel.consume(leaseQueue(1), () => undefined);
    // Without --yes, until the broker's statistics have the consumer.
    await vi.waitFor(
      async () =>
        expect(await here('remove', ['queue', leaseQueue(1)])).toEqual({
          ...{ code: 1, out: '' },
          err: 'queue ingestor.lease.1 is in use by a shard group, with consumers (1): nothing was removed\n',
        }),
      { timeout: 120_000, interval: 1_000 },
    );
    expect((await here('remove', ['queue', leaseQueue(1), '--yes'])).code).toBe(1);
    expect(await exists('queues', leaseQueue(1))).toBe(true);
  });

  test('may be an exchange or a user, but never one that is wanted or that is logged in', async () => {
    await here('apply');
    const { worker } = own.userNames;
    await own.api.put(['exchanges', own.vhost, "it's theirs"], { type: 'fanout', durable: true });
    await own.api.post(['bindings', own.vhost, 'e', "it's theirs", 'q', QUEUES.unrouted], { routing_key: 'k' });
    expect(await here('remove', ['exchange', "it's theirs", '--yes'])).toMatchObject({
      code: 0,
      out: expect.stringContaining("\n  binding it's theirs → unrouted ('k')\n- exchange"),
    });
    expect(await exists('exchanges', "it's theirs")).toBe(false);
    for (const [what, reason] of [
      [`queue ${QUEUES.interactions}`, 'is wanted by this topology: nothing was removed'],
      [`user ${worker}_b`, 'is wanted by this topology: nothing was removed'],
      [`user ${username}`, 'is logged in here: nothing was removed'],
    ] as const)
      expect(await here('remove', [...what.split(' '), '--yes'])).toEqual({
        code: 1,
        out: '',
        err: `${what} ${reason}\n`,
      });
    expect((await here('remove', ['queue', 'never', '--yes'])).err).toMatch(
      /^queue never: there is none at this broker/,
    );
    await own.api.put(['users', `${worker}-x`], { password: 'theirs', tags: 'monitoring' });
    const shown = await here('remove', ['user', `${worker}-x`, '--yes']);
    expect(shown.out).toContain('  tags: monitoring\n  permissions in vhosts: none\n');
    expect((await own.api.list('users')).map(({ name }) => name)).not.toContain(`${worker}-x`);
  });
});

test('plan and apply name what they refuse, and apply nothing', async () => {
  const classic = { durable: true, arguments: { 'x-queue-type': 'classic' } };
  await own.api.put(['queues', own.vhost, QUEUES.interactions], classic);
  const refusal =
    "! queue interactions: x-queue-type is 'classic', wanted 'quorum', and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed";
  expect(await here('plan')).toMatchObject({ code: 1, out: expect.stringContaining(`\n${refusal}\n`) });
  expect(await here('apply')).toEqual({ code: 1, out: '', err: `nothing was applied:\n${refusal}\n` });
  expect(await exists('exchanges', EXCHANGES.events)).toBe(false);
});
