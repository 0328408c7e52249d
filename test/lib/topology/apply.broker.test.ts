// The topology applied to a real broker: from nothing, again, after drift, after a change of mind, and with failures in
// the middle.

import type { ConfirmChannel } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { ManagementApi, ManagementApiError } from '../../../lib/management/management-api.ts';
import { type ApplyReport, applyTopology, planTopology, TopologyRefusedError } from '../../../lib/topology/apply.ts';
import { type Found, readFound } from '../../../lib/topology/found.ts';
import { recordName } from '../../../lib/topology/record.ts';
import type { Policy, Topology } from '../../../lib/topology/topology.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';
import { refusing } from '../../support/strangers.ts';

const { version } = sharedBroker();

const onBroker = test.extend<{ own: OwnVhost }>({
  own: async ({ task: _ }, use) => {
    const own = await ownVhost('apply');
    await use(own);
    await own.remove();
  },
});

const NOTHING_TO_SAY = { unwanted: [], kept: [], leftAlone: [], withoutPassword: [], notes: [] };
const lines = ({ steps }: Pick<ApplyReport, 'steps'>) => steps.map(({ kind, what }) => `${kind} ${what}`);

async function apply(own: OwnVhost, wanted: Topology): Promise<ApplyReport> {
  return await applyTopology(own.api, wanted, { passwords: own.passwords });
}

async function pending(own: OwnVhost, wanted: Topology): Promise<string[]> {
  const { plan } = await planTopology(own.api, wanted, { passwords: own.passwords });
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

    const second = await apply(own, wanted);
    expect(second).toEqual({ version, steps: [], ...NOTHING_TO_SAY });
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
    expect(unnamed.withoutPassword).toContainEqual({ user: worker, exists: true });
  });

  onBroker('a user with tags is refused, and keeps them', async ({ own }) => {
    const { worker } = own.userNames;
    await own.api.putUser(worker, { password: 'somebody elses' }, ['monitoring']);
    await expect(apply(own, own.topology())).rejects.toThrow(
      `nothing was applied: user ${worker} has the tags 'monitoring', wanted ''`,
    );
    expect((await own.api.users()).find(({ name }) => name === worker)?.tags).toEqual(['monitoring']);
    expect((await here(own)).queues).toEqual([]);
  });

  onBroker('limits of connections and channels are in force, and stay where none are wanted', async ({ own }) => {
    const wanted = own.topology({ connectionLimit: 52 });
    await apply(own, wanted);
    expect(await pending(own, wanted)).toEqual([]);
    const { worker, ingestor } = own.userNames;
    const limits = wanted.users.find(({ name }) => name === worker)?.limits;
    expect(limits).toEqual({ 'max-connections': 6, 'max-channels': 18 });
    for (let opened = 0; opened < 6; opened += 1) await own.connect('worker');
    // amqplib's words for being sent away in the middle of the opening.
    await expect(own.connect('worker')).rejects.toThrow('got <ConnectionClose');
    await (await own.connect('ingestor')).createChannel();
    expect(await pending(own, own.topology())).toEqual([]);
    expect((await own.api.userLimits()).map(({ user }) => user)).toContain(ingestor);
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

  onBroker('shard groups come, and those that go leave their queues with what they hold', async ({ own }) => {
    const leases = async () => names(await own.api.queues(own.vhost)).filter((name) => name.startsWith('ingestor.'));
    await apply(own, own.topology({ shardGroups: 3 }));
    const fewer = await apply(own, own.topology({ shardGroups: 1 }));
    expect([lines(fewer), fewer.kept, fewer.leftAlone]).toEqual([[], [], []]);
    expect(fewer.unwanted).toEqual([1, 2].map((group) => ({ type: 'queue', name: leaseQueue(group) })));
    expect(await leases()).toEqual([0, 1, 2].map(leaseQueue));
    // A task of the former division still has its lease renewed.
    const channel = await (await own.connect('ingestor')).createConfirmChannel();
    channel.publish(EXCHANGES.leases, leaseQueue(2), Buffer.from('a record'));
    await channel.waitForConfirms();
    expect(await drain(own, leaseQueue(2))).toHaveLength(1);
    expect(lines(await apply(own, own.topology({ shardGroups: 4 })))).toEqual([
      `create queue ${leaseQueue(3)}`,
      `create binding ingestor.leases → ${leaseQueue(3)} ('${leaseQueue(3)}')`,
    ]);
  });

  onBroker('of all that is not wanted any more, bindings, policies and permissions go', async ({ own }) => {
    const wanted = own.topology();
    await apply(own, wanted);
    await own.manage('PUT', `queues/${own.vhost}/theirs`, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    const nothing: Topology = { ...wanted, exchanges: [], queues: [], bindings: [], policies: [], users: [] };
    const report = await apply(own, nothing);
    expect(report.steps.every(({ kind }) => kind === 'remove')).toBe(true);
    const left = report.unwanted.map(({ type, name }) => `${type} ${name}`);
    expect(left.toSorted()).toEqual(
      [
        ...wanted.queues.map(({ name }) => `queue ${name}`),
        ...wanted.exchanges.map(({ name }) => `exchange ${name}`),
        ...wanted.users.map(({ name }) => `user ${name}`),
      ].toSorted(),
    );
    expect(report.leftAlone).toEqual(['queue theirs']);
    const found = await here(own);
    expect(names(found.queues)).toEqual([...names(wanted.queues), 'theirs'].toSorted());
    expect(names(found.exchanges)).toEqual(names(wanted.exchanges));
    expect(names(found.users)).toEqual(names(wanted.users));
    // Those of lease queues stay, and so do policies that govern what stays.
    expect(found.bindings.map(({ destination }) => destination)).toEqual([leaseQueue(0)]);
    expect(names(found.policies)).toEqual(names(wanted.policies));
    expect(found.permissions.filter(({ user }) => user !== sharedBroker().username)).toEqual([]);
    // And again there is nothing to do.
    expect(lines(await apply(own, nothing))).toEqual([]);
    // Everything comes back, and is the topology's own again.
    await apply(own, wanted);
    expect(await pending(own, wanted)).toEqual([]);
  });

  onBroker('what was there before, and as wanted, is never removed', async ({ own }) => {
    const wanted = own.topology();
    const more: Topology = {
      ...wanted,
      exchanges: [...wanted.exchanges, { name: 'orders', type: 'topic' }],
      bindings: [...wanted.bindings, ORDERS],
      policies: [...wanted.policies, ORDERS_POLICY],
    };
    await own.api.putExchange(own.vhost, { name: 'orders', type: 'topic' });
    await own.api.putQueue(own.vhost, { name: QUEUES.unrouted, arguments: { 'x-queue-type': 'quorum' } });
    await own.api.bind(own.vhost, ORDERS);
    await own.api.putPolicy(own.vhost, ORDERS_POLICY);
    await apply(own, more);
    const report = await apply(own, wanted);
    expect(lines(report)).toEqual([]);
    expect(report.leftAlone).toEqual(['exchange orders', "binding orders → unrouted ('new')", 'policy orders']);
  });

  onBroker('what we made goes only while it is as we made it', async ({ own }) => {
    const wanted = own.topology();
    const other: Topology = {
      ...wanted,
      exchanges: [...wanted.exchanges, { name: 'orders', type: 'topic' }],
      bindings: [...wanted.bindings, ORDERS],
      policies: [...wanted.policies, ORDERS_POLICY],
    };
    await apply(own, other);
    await own.api.putPolicy(own.vhost, { ...ORDERS_POLICY, priority: 11 });
    const report = await apply(own, wanted);
    expect(lines(report)).toEqual(["remove binding orders → unrouted ('new')"]);
    expect(report.unwanted).toEqual([{ type: 'exchange', name: 'orders' }]);
    expect(report.kept).toEqual(['policy orders is kept: it was changed after it was applied']);
    await own.api.deleteExchange(own.vhost, 'orders');
    await own.api.deletePolicy(own.vhost, 'orders');
    expect(await apply(own, wanted)).toMatchObject({ steps: [], ...NOTHING_TO_SAY });
    // What somebody makes afterwards is theirs, though it is the same.
    await own.api.putExchange(own.vhost, { name: 'orders', type: 'topic' });
    await own.api.bind(own.vhost, ORDERS);
    const { steps, unwanted, leftAlone } = await apply(own, wanted);
    expect([steps, unwanted, leftAlone]).toEqual([[], [], ['exchange orders', "binding orders → unrouted ('new')"]]);
  });

  onBroker('a failure in the middle leaves a true record, and the way back', async ({ own }) => {
    const before = own.topology();
    await apply(own, before);
    await own.manage('PUT', `vhost-limits/${own.vhost}/max-queues`, { value: before.queues.length });
    const after = { ...own.topology({ shardGroups: 2 }), policies: [...before.policies, ORDERS_POLICY] };
    after.exchanges = [...before.exchanges, { name: 'orders', type: 'topic' }];
    await expect(apply(own, after)).rejects.toThrow(/queue limit/);
    expect(names((await here(own)).policies)).toContain('orders');
    const back = await apply(own, before);
    expect([lines(back), back.unwanted]).toEqual([[], [{ type: 'exchange', name: 'orders' }]]);
    expect(back.kept).toEqual(['policy orders is kept: it governs exchange orders']);
    await own.api.deleteExchange(own.vhost, 'orders');
    expect(lines(await apply(own, before))).toEqual(['remove policy orders']);
  });

  onBroker('without a record of this version nothing is removed, and it is not overwritten', async ({ own }) => {
    const before = { ...own.topology(), policies: [...own.topology().policies, ORDERS_POLICY] };
    before.exchanges = [...before.exchanges, { name: 'orders', type: 'topic' }];
    await apply(own, before);
    await own.api.putGlobalParameter(recordName(own.vhost), { version: 99 });
    const report = await apply(own, own.topology());
    expect(report.notes).toEqual([
      expect.stringMatching(/^nothing is removed: the global parameter .+ is no record of this version/),
    ]);
    expect([report.steps, report.unwanted]).toEqual([[], []]);
    expect(await own.api.globalParameter(recordName(own.vhost))).toEqual({ version: 99 });
  });
});

describe.concurrent('a broker that keeps from its administrator', () => {
  const REFUSALS: readonly [status: number, body: string][] = [
    [401, '{"error":"not_authorized","reason":"Access refused."}'],
    [403, '{"error":"forbidden","reason":"not here"}'],
    [404, '{"error":"Object Not Found","reason":"Not Found"}'],
    [405, ''],
  ];

  /** Applies through a proxy that refuses what matches. */
  async function applyWithout(own: OwnVhost, what: RegExp, refusal: (typeof REFUSALS)[number], wanted: Topology) {
    const { managementUrl, username, password } = sharedBroker();
    const proxy = await refusing(managementUrl, what, ...refusal);
    const api = new ManagementApi({ url: `http://127.0.0.1:${proxy.port}`, username, password });
    const report = await applyTopology(api, wanted, { passwords: own.passwords });
    api.close();
    await proxy.close();
    return report;
  }

  for (const refusal of REFUSALS) {
    onBroker(`global parameters (${refusal[0]}) has nothing removed, and a note`, async ({ own }) => {
      const wanted = own.topology();
      const more = {
        ...wanted,
        bindings: [...wanted.bindings, { exchange: EXCHANGES.events, queue: QUEUES.unrouted, routingKey: 'k' }],
      };
      await apply(own, more);
      const first = await applyWithout(own, /global-parameters/, refusal, own.topology({ shardGroups: 2 }));
      expect(lines(first)).toEqual([
        `create queue ${leaseQueue(1)}`,
        `create binding ingestor.leases → ${leaseQueue(1)} ('${leaseQueue(1)}')`,
      ]);
      expect(first.notes).toEqual([expect.stringMatching(/^nothing is removed: /)]);
      const unwritten = await applyWithout(own, /PUT .*global-parameters/, refusal, own.topology({ shardGroups: 3 }));
      expect(lines(unwritten).filter((line) => line.startsWith('remove'))).toEqual([]);
      expect(unwritten.notes).toEqual([expect.stringMatching(/^nothing is removed: /)]);
      // With it, what was recorded is known again.
      expect(await pending(own, wanted)).toEqual(["remove binding discord.events → unrouted ('k')"]);
    });

    onBroker(`limits of users (${refusal[0]}) goes without, and has notes`, async ({ own }) => {
      const wanted = own.topology({ connectionLimit: 200 });
      const asked = await applyWithout(own, /PUT \/api\/user-limits/, refusal, wanted);
      expect(lines(asked)).not.toContainEqual(expect.stringContaining('limits of'));
      expect(asked.notes).toEqual(
        wanted.users.map(({ name }) => expect.stringContaining(`limits of ${name} are not set: `)),
      );
      const read = await applyWithout(own, /user-limits/, refusal, wanted);
      expect([lines(read), read.notes]).toEqual([[], [expect.stringMatching(/^limits of users are not set: /)]]);
    });

    onBroker(`operator policies (${refusal[0]}) is asked what applies to each queue`, async ({ own }) => {
      await apply(own, own.topology());
      await own.manage('PUT', `operator-policies/${own.vhost}/hidden`, {
        ...{ pattern: '.*', 'apply-to': 'queues', priority: 1, definition: { 'message-ttl': 3_000 } },
      });
      const applying = applyWithout(own, /operator-policies/, refusal, own.topology());
      await expect(applying).rejects.toThrow(/operator policy hidden: message-ttl 3000 on queue ingestor\.lease\.0/);
      await own.manage('DELETE', `operator-policies/${own.vhost}/hidden`);
      const report = await applyWithout(own, /operator-policies/, refusal, own.topology());
      expect(report.notes).toEqual([
        expect.stringMatching(/^only queues that are there are checked for operator policies: /),
      ]);
    });
  }
});

const ORDERS = { exchange: 'orders', queue: QUEUES.unrouted, routingKey: 'new' };
const ORDERS_POLICY: Policy = {
  name: 'orders',
  pattern: '^orders$',
  applyTo: 'exchanges',
  priority: 10,
  definition: { 'alternate-exchange': EXCHANGES.unrouted },
};

describe.concurrent('an operator policy', () => {
  const set = async (own: OwnVhost, pattern: string, definition: object) =>
    await own.manage('PUT', `operator-policies/${own.vhost}/hoster`, {
      ...{ pattern, 'apply-to': 'queues', priority: 1, definition },
    });

  onBroker('that removes a record is refused before anything is made, and afterwards', async ({ own }) => {
    await set(own, '.*', { 'message-ttl': 3_000 });
    const refused = apply(own, own.topology());
    await expect(refused).rejects.toThrow(TopologyRefusedError);
    await expect(refused).rejects.toThrow(
      'message-ttl 3000 on queue ingestor.lease.0 removes the record of a shard group',
    );
    expect((await here(own)).queues).toEqual([]);
    await own.manage('DELETE', `operator-policies/${own.vhost}/hoster`);
    await apply(own, own.topology());
    // As min() of our -1 and 5, RabbitMQ 4.3 takes 5.
    await set(own, '.*', { 'delivery-limit': 5 });
    const { plan } = await planTopology(own.api, own.topology(), { passwords: own.passwords });
    expect(plan.refusals).toEqual([expect.stringContaining('delivery-limit 5 on queue ingestor.lease.0')]);
    expect(plan.notes).toHaveLength(own.topology().queues.length - 1);
  });

  onBroker('whose expression only the broker can read is noticed by what it does', async ({ own }) => {
    await set(own, '(?>ingestor.lease)', { 'max-length': 1 });
    await expect(apply(own, own.topology())).rejects.toThrow(
      /^all was applied, and something else is in force: operator policy hoster: max-length 1 on queue ingestor\.lease\.0/,
    );
    await expect(apply(own, own.topology())).rejects.toThrow(TopologyRefusedError);
  });

  onBroker('of other queues does not matter', async ({ own }) => {
    await set(own, '^theirs', { 'message-ttl': 3_000 });
    expect((await apply(own, own.topology())).notes).toEqual([]);
  });
});

describe.concurrent('a queue under another name', () => {
  const NAME = 'interactions.v2';

  onBroker('leaves the old one with its messages, its policy and its reader', async ({ own }) => {
    const before = own.topology();
    await apply(own, before);
    const channel = await (await own.connect()).createConfirmChannel();
    await publish(channel, 'interaction.button', ['one']);
    const report = await apply(own, renamed(before, NAME));
    expect(report.unwanted).toEqual([{ type: 'queue', name: QUEUES.interactions }]);
    expect(report.kept).toEqual(['policy interactions is kept: it governs queue interactions']);
    await publish(channel, 'interaction.button', ['two']);
    expect(await drain(own, QUEUES.interactions)).toEqual(['one']);
    expect(await drain(own, NAME)).toEqual(['two']);
    await own.api.deleteQueue(own.vhost, QUEUES.interactions);
    expect(lines(await apply(own, renamed(before, NAME)))).toEqual(['remove policy interactions']);
  });

  onBroker('loses nothing that is published meanwhile', async ({ own }) => {
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
      await apply(own, renamed(before, NAME));
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
    userLimits: found.userLimits?.filter(({ user }) => ours.includes(user)),
    permissions: found.permissions.filter(({ user, vhost }) => ours.includes(user) || vhost === own.vhost),
  };
}

function names(list: readonly { readonly name: string }[]): string[] {
  return list.map(({ name }) => name).toSorted();
}
