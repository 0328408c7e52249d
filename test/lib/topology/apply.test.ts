// The topology applied to a real broker: from nothing, again, after drift, after a change of mind, and with failures in
// the middle.

import type { ConfirmChannel } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { ManagementApi, ManagementApiError } from '../../../lib/management/management-api.ts';
import { type ApplyReport, applyTopology, planTopology, TopologyRefusedError } from '../../../lib/topology/apply.ts';
import { type Found, readFound } from '../../../lib/topology/found.ts';
import type { Topology } from '../../../lib/topology/topology.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../../service/contract.ts';
import { sharedBroker } from '../../broker.ts';
import { type OwnVhost, ownVhost } from './own-vhost.ts';

const { version } = sharedBroker();

const onBroker = test.extend<{ own: OwnVhost }>({
  own: async ({ task: _ }, use) => {
    const own = await ownVhost('apply');
    await use(own);
    await own.remove();
  },
});

const lines = ({ steps }: Pick<ApplyReport, 'steps'>) => steps.map(({ kind, what }) => `${kind} ${what}`);

async function apply(own: OwnVhost, wanted: Topology, previous?: Topology): Promise<ApplyReport> {
  return await applyTopology(own.api, wanted, { passwords: own.passwords, ...(previous && { previous }) });
}

async function pending(own: OwnVhost, wanted: Topology, previous?: Topology): Promise<string[]> {
  const { plan } = await planTopology(own.api, wanted, {
    passwords: own.passwords,
    ...(previous && { previous }),
  });
  return lines(plan);
}

/** The product's layout with the queue `interactions` under another name. */
function renamed(topology: Topology, name: string): Topology {
  const rename = (other: string) => (other === QUEUES.interactions ? name : other);
  return {
    ...topology,
    queues: topology.queues.map((queue) => ({ ...queue, name: rename(queue.name) })),
    bindings: topology.bindings.map((binding) => ({ ...binding, queue: rename(binding.queue) })),
    policies: topology.policies.map((policy) =>
      policy.name === QUEUES.interactions ? { ...policy, name, pattern: `^${name.replaceAll('.', '\\.')}$` } : policy,
    ),
  };
}

async function publish(channel: ConfirmChannel, routingKey: string, ids: readonly string[]): Promise<void> {
  for (const id of ids)
    channel.publish(EXCHANGES.events, routingKey, Buffer.from(id), { persistent: true, messageId: id });
  await channel.waitForConfirms();
}

/** Everything that is ready, taken. */
async function drain(own: OwnVhost, queue: string): Promise<string[]> {
  const channel = await (await own.connect()).createChannel();
  const { messageCount } = await channel.checkQueue(queue);
  const ids: string[] = [];
  const all = Promise.withResolvers<void>();
  if (messageCount === 0) all.resolve();
  await channel.consume(queue, (message) => {
    if (message === null) return;
    channel.ack(message);
    ids.push(String(message.properties.messageId));
    if (ids.length === messageCount) all.resolve();
  });
  await all.promise;
  await channel.close();
  return ids;
}

describe.concurrent(`on RabbitMQ ${version}`, () => {
  onBroker('everything is made from nothing, and a second time changes nothing', async ({ own }) => {
    await own.removeVhost();
    const wanted = own.topology({ shardGroups: 2 });
    const first = await apply(own, wanted);
    expect(first.version).toBe(version);
    expect(lines(first).slice(0, 2)).toEqual([
      `create vhost ${own.vhost}`,
      expect.stringMatching(/^create permissions of /),
    ]);
    expect(first.steps.every(({ kind }) => kind === 'create')).toBe(true);

    const found = await here(own);
    expect(found.queues.map(({ name }) => name).toSorted()).toEqual(wanted.queues.map(({ name }) => name).toSorted());
    expect(found.bindings).toHaveLength(wanted.bindings.length);

    const second = await apply(own, wanted, wanted);
    expect(second).toEqual({ version, steps: [], kept: [], leftAlone: [], notes: [] });
    expect(await here(own)).toEqual(found);
  });

  onBroker('a plan changes nothing', async ({ own }) => {
    const before = await here(own);
    expect(await pending(own, own.topology())).toContain('create queue interactions');
    expect(await here(own)).toEqual(before);
  });

  onBroker('drift is mended, step by step and nothing else', async ({ own }) => {
    const wanted = own.topology();
    await apply(own, wanted);
    const settled = await here(own);
    const [policy] = wanted.policies;
    if (policy === undefined) throw new Error('no policy');
    await own.api.putPolicy(own.vhost, {
      ...policy,
      priority: 3,
      definition: { 'max-length': 5, overflow: 'drop-head' },
    });
    await own.api.deleteQueue(own.vhost, QUEUES.gatewayEvents);
    await own.api.deleteExchange(own.vhost, EXCHANGES.unrouted);
    await own.api.putPermissions(own.vhost, own.userNames.worker, { configure: '', write: '.*', read: '.*' });
    expect(lines(await apply(own, wanted))).toEqual([
      'change policy interactions',
      'create exchange discord.unrouted',
      'create queue events.gateway',
      "create binding discord.events → events.gateway ('gateway.#')",
      "create binding discord.unrouted → unrouted ('')",
      `change permissions of ${own.userNames.worker}`,
    ]);
    const mended = await here(own);
    expect({ ...mended, queues: names(mended.queues), exchanges: names(mended.exchanges) }).toEqual({
      ...settled,
      queues: names(settled.queues),
      exchanges: names(settled.exchanges),
    });
  });

  onBroker('a new password is set, the old one ends, and without one it is kept', async ({ own }) => {
    const wanted = own.topology();
    await apply(own, wanted);
    const { worker } = own.userNames;
    const changed = { ...own.passwords, [worker]: 'another-secret' };
    expect(lines(await applyTopology(own.api, wanted, { passwords: changed }))).toEqual([`change user ${worker}`]);
    await (await own.connect('worker', 'another-secret')).createChannel();
    await expect(own.connect('worker')).rejects.toThrow(/ACCESS.REFUSED/);

    const unnamed = await applyTopology(own.api, wanted, { passwords: {} });
    expect(unnamed.steps).toEqual([]);
    expect(unnamed.notes).toContain(`user ${worker} keeps its password: none was given`);
  });

  onBroker('a tag that a user should not have is taken away without its password', async ({ own }) => {
    const wanted = own.topology();
    await apply(own, wanted);
    const { ingestor } = own.userNames;
    const password = own.passwords[ingestor] ?? '';
    await own.api.putUser(ingestor, { password }, ['monitoring']);
    expect(lines(await applyTopology(own.api, wanted, { passwords: {} }))).toEqual([`change user ${ingestor}`]);
    expect((await own.api.users()).find(({ name }) => name === ingestor)?.tags).toEqual([]);
    await own.connect('ingestor');
  });

  onBroker(
    'a queue of another type is refused by name with both values, its messages stay, and nothing is applied',
    async ({ own }) => {
      const channel = await (await own.connect()).createConfirmChannel();
      await channel.assertQueue(QUEUES.interactions, { durable: true, arguments: { 'x-queue-type': 'classic' } });
      channel.sendToQueue(QUEUES.interactions, Buffer.from('precious'), { messageId: 'precious' });
      await channel.waitForConfirms();

      const refused = await apply(own, own.topology()).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(TopologyRefusedError);
      expect(refused).toMatchObject({
        message:
          "nothing was applied: queue interactions: x-queue-type is 'classic', wanted 'quorum', and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed",
      });
      const found = await here(own);
      expect(names(found.queues)).toEqual([QUEUES.interactions]);
      expect([found.exchanges, found.policies]).toEqual([[], []]);
      expect(await drain(own, QUEUES.interactions)).toEqual(['precious']);
    },
  );

  onBroker('an unsound topology is refused before any broker is asked', async ({ own }) => {
    const nowhere = new ManagementApi({ url: 'http://127.0.0.1:1', username: 'nobody', password: 'nothing' });
    const unsound = { ...own.topology(), policies: [] };
    await expect(applyTopology(nowhere, unsound, { passwords: {} })).rejects.toThrow(
      /^nothing was applied: queue interactions: no policy matches it/,
    );
  });

  onBroker('a signal that aborts ends it before the next step', async ({ own }) => {
    const enough = new Error('time is up');
    const signal = AbortSignal.abort(enough);
    await expect(applyTopology(own.api, own.topology(), { passwords: {}, signal })).rejects.toBe(enough);
    expect((await here(own)).policies).toEqual([]);
  });

  onBroker("the broker's own reason is in the failure, and the next time goes on from there", async ({ own }) => {
    const wanted = own.topology();
    await own.manage('PUT', `vhost-limits/${own.vhost}/max-queues`, { value: 2 });
    const failed = await apply(own, wanted).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ManagementApiError);
    expect(failed).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(
        /^the broker refuses PUT \/api\/queues\/apply-\w+\/events\.gateway: .*queue limit.* \(at create queue events\.gateway, after \d+ of \d+ steps; apply again to go on from there\)$/,
      ),
    });
    await own.manage('DELETE', `vhost-limits/${own.vhost}/max-queues`);
    const rest = lines(await apply(own, wanted));
    expect(rest[0]).toBe('create queue events.gateway');
    expect(await pending(own, wanted)).toEqual([]);
  });

  onBroker('shard groups come and go', async ({ own }) => {
    let previous: Topology | undefined;
    for (const shardGroups of [3, 1, 4]) {
      const wanted = own.topology({ shardGroups });
      expect((await apply(own, wanted, previous)).kept).toEqual([]);
      expect(await pending(own, wanted, previous)).toEqual([]);
      const leases = (await own.api.queues(own.vhost))
        .map(({ name }) => name)
        .filter((name) => name.startsWith('ingestor.'));
      expect(leases.toSorted()).toEqual(Array.from({ length: shardGroups }, (_, group) => leaseQueue(group)));
      previous = wanted;
    }
  });

  onBroker('all goes when nothing is wanted any more, users included, and what is not ours stays', async ({ own }) => {
    const before = own.topology();
    await apply(own, before);
    await own.manage('PUT', `queues/${own.vhost}/theirs`, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    const nothing: Topology = { ...before, exchanges: [], queues: [], bindings: [], policies: [], users: [] };
    const report = await apply(own, nothing, before);
    expect(report.kept).toEqual([]);
    expect(report.leftAlone).toEqual(['queue theirs']);
    const found = await here(own);
    expect([found.exchanges, found.bindings, found.policies, names(found.queues)]).toEqual([[], [], [], ['theirs']]);
    expect(names(found.users)).not.toContain(own.userNames.ingestor);
    await expect(own.connect('ingestor')).rejects.toThrow(/ACCESS.REFUSED/);
  });
});

describe.concurrent('a queue that is not wanted any more', () => {
  const NAME = 'interactions.v2';
  const kept = (because: string) => [
    `queue interactions is kept, without its bindings: it has ${because}. Delete it by hand when it is empty and nobody reads it`,
    'policy interactions is kept: it governs queue interactions. Delete it together with the queue',
  ];

  onBroker(
    'stays while it has messages, even one that the figures do not show yet, and goes when it is empty',
    async ({ own, expect }) => {
      const before = own.topology();
      const wanted = renamed(before, NAME);
      await apply(own, before);
      const channel = await (await own.connect()).createConfirmChannel();
      await publish(channel, 'interaction.button', ['one']);

      const report = await apply(own, wanted, before);
      expect(report.kept).toEqual(kept('1 message'));
      await publish(channel, 'interaction.button', ['two']);
      expect(await drain(own, QUEUES.interactions)).toEqual(['one']);
      expect(await drain(own, NAME)).toEqual(['two']);

      // The figures of the broker lag behind.
      await expect.poll(async () => (await apply(own, wanted, before)).kept, { timeout: 45_000 }).toEqual([]);
      expect(names(await own.api.queues(own.vhost))).not.toContain(QUEUES.interactions);
      expect(names(await own.api.policies(own.vhost))).not.toContain(QUEUES.interactions);
    },
  );

  onBroker('stays while somebody holds its only message unacknowledged', async ({ own }) => {
    const before = own.topology();
    await apply(own, before);
    const connection = await own.connect();
    const channel = await connection.createConfirmChannel();
    const delivered = Promise.withResolvers<void>();
    await channel.consume(QUEUES.interactions, () => delivered.resolve());
    await publish(channel, 'interaction.button', ['held']);
    await delivered.promise;

    const report = await apply(own, renamed(before, NAME), before);
    expect([kept('1 message'), kept('a reader')]).toContainEqual(report.kept);
    // Nobody else has it, and it is still there: it comes again.
    await connection.close();
    expect(await drain(own, QUEUES.interactions)).toEqual(['held']);
  });

  onBroker('loses nothing that is published while its name changes', async ({ own }) => {
    const before = own.topology();
    await apply(own, before);
    const channel = await (await own.connect()).createConfirmChannel();
    const ids: string[] = [];
    let changing = true;
    const publishing = (async () => {
      while (changing) {
        const batch = Array.from({ length: 10 }, (_, index) => `${ids.length + index}`);
        ids.push(...batch);
        await publish(channel, 'interaction.command.ping', batch);
      }
    })();
    try {
      await apply(own, renamed(before, NAME), before);
    } finally {
      changing = false;
      await publishing;
    }
    expect(ids.length).toBeGreaterThan(0);
    const read = new Set([...(await drain(own, QUEUES.interactions)), ...(await drain(own, NAME))]);
    expect(ids.filter((id) => !read.has(id))).toEqual([]);
    expect(await drain(own, QUEUES.unrouted)).toEqual([]);
  });
});

/** What is found, without the users of others: tests share the broker. */
async function here(own: OwnVhost): Promise<Found> {
  const found = await readFound(own.api, own.vhost);
  const ours = Object.values<string>(own.userNames);
  return {
    ...found,
    users: found.users.filter(({ name }) => ours.includes(name)),
    permissions: found.permissions.filter(({ user, vhost }) => ours.includes(user) || vhost === own.vhost),
  };
}

function names(list: readonly { readonly name: string }[]): string[] {
  return list.map(({ name }) => name).toSorted();
}
