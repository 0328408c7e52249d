// The topology applied to a real broker: limits in force, removals, failures in the middle, a broker that
// refuses some calls. What a plan decides is tested by plan.test.ts; a first and a second apply by
// test/bin/topology.program.test.ts and apply-lambda.broker.test.ts.

import { describe, expect } from 'vitest';
import { ManagementApi, ManagementApiError } from '../../../lib/management/management-api.ts';
import {
  type ApplyOptions,
  type ApplyReport,
  applyTopology,
  planTopology,
  TopologyRefusedError,
} from '../../../lib/topology/apply.ts';
import { type Found, readFound } from '../../../lib/topology/found.ts';
import { recordName } from '../../../lib/topology/record.ts';
import type { Topology } from '../../../lib/topology/topology.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../../service/contract/names.ts';
import { manage, sharedBroker } from '../../support/broker.ts';
import type { OwnVhost } from '../../support/own-vhost.ts';
import { apply, applyWithAnswer, ofGroups, onBroker } from './on-broker.ts';

const lines = ({ steps }: Pick<ApplyReport, 'steps'>) => steps.map(({ kind, what }) => `${kind} ${what}`);
const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name).toSorted();

async function pending(own: OwnVhost, wanted: Topology): Promise<string[]> {
  return lines((await planTopology(own.api, wanted, own.passwords)).plan);
}

/** What is found, without the users of other tests, which share the broker. */
async function here(own: OwnVhost): Promise<Found> {
  const found = await readFound(own.api, own.vhost);
  const ours = Object.values<string>(own.userNames);
  return {
    ...found,
    users: found.users.filter(({ name }) => ours.includes(name)),
    userLimits: found.userLimits?.filter(({ user }) => ours.includes(user)),
  };
}

const ORDERS = { exchange: 'orders', queue: QUEUES.unrouted, routingKey: 'new' };
const ORDERS_POLICY = {
  ...{ name: 'orders', pattern: '^orders$', applyTo: 'exchanges' as const, priority: 10 },
  definition: { 'alternate-exchange': EXCHANGES.unrouted },
};

/** The product's layout, and an exchange with a binding and a policy. */
function withOrders(topology: Topology): Topology {
  return {
    ...topology,
    exchanges: [...topology.exchanges, { name: 'orders', type: 'topic' }],
    bindings: [...topology.bindings, ORDERS],
    policies: [...topology.policies, ORDERS_POLICY],
  };
}

const limitQueues = async ({ api, vhost }: OwnVhost, value: number) =>
  await api.put(['vhost-limits', vhost, 'max-queues'], { value });

describe.concurrent(`on RabbitMQ ${sharedBroker().version}`, () => {
  onBroker('limits of connections and channels are in force, and stay where none are wanted', async ({ own }) => {
    const wanted = own.topology({ connectionLimit: 62 });
    await apply(own, wanted);
    expect(await pending(own, wanted)).toEqual([]);
    const limits = wanted.users.find(({ name }) => name === own.userNames.worker)?.limits;
    expect(limits).toEqual({ 'max-connections': 6, 'max-channels': 18 });
    for (let opened = 0; opened < 6; opened += 1) await own.connect('worker');
    // amqplib's words where the broker closes the connection during the handshake.
    await expect(own.connect('worker')).rejects.toThrow('got <ConnectionClose');
    await (await own.connect('ingestor')).createChannel();
    expect(await pending(own, own.topology())).toEqual([]);
    expect((await here(own)).userLimits).toHaveLength(3);
  });

  onBroker('an unsound topology is refused before any call, an aborted one before a step', async ({ own }) => {
    const nowhere = new ManagementApi({ url: 'http://127.0.0.1:1', username: 'none', password: 'nothing' });
    const unsound = { ...own.topology(), policies: [] };
    await expect(applyTopology(nowhere, unsound, { passwords: {} })).rejects.toThrow(
      /^nothing was applied: queue interactions: no policy matches it, [^;\n]+; queue events\.guild: no policy matches it, /,
    );
    const late = new Error('time is up');
    const before = await here(own);
    const applying = async (options: Omit<ApplyOptions, 'passwords'>) =>
      await applyTopology(own.api, own.topology(), { passwords: own.passwords, ...options });
    const beforeChanges = () => expect.fail('it began');
    await expect(applying({ signal: AbortSignal.abort(late), beforeChanges })).rejects.toBe(late);
    const stopping = new AbortController();
    const stop = async () => stopping.abort(late);
    await expect(applying({ signal: stopping.signal, beforeChanges: stop })).rejects.toBe(late);
    expect({ ...(await here(own)), record: undefined }).toEqual({ ...before, record: undefined });
  });

  onBroker('of all that is no longer wanted, bindings, policies and permissions are removed', async ({ own }) => {
    const wanted = own.topology();
    await apply(own, wanted);
    // One of the same queue and key, and one to an exchange: no topology can have them.
    const theirs = { routing_key: 'guild.#', arguments: { theirs: true } };
    const { api, vhost } = own;
    await api.post(['bindings', vhost, 'e', EXCHANGES.events, 'q', QUEUES.guildEvents], theirs);
    await api.post(['bindings', vhost, 'e', EXCHANGES.events, 'e', EXCHANGES.unrouted], { routing_key: 'guild.#' });
    // What the user may do in another vhost is not the topology's.
    const elsewhere = `/api/permissions/%2F/${own.userNames.worker}`;
    await manage('PUT', elsewhere, { configure: '', write: '', read: '' });
    const nothing: Topology = { ...wanted, exchanges: [], queues: [], bindings: [], policies: [], users: [] };
    const report = await apply(own, nothing);
    expect(report.steps.every(({ kind }) => kind === 'remove')).toBe(true);
    expect(report.unwanted).toHaveLength(wanted.queues.length + wanted.exchanges.length + wanted.users.length);
    const found = await here(own);
    // The policy for operators' queues applies to none that is there.
    for (const kind of ['queues', 'exchanges', 'users', 'policies'] as const)
      expect(names(found[kind]), kind).toEqual(names(wanted[kind]).filter((name) => name !== 'tail'));
    expect(found.bindings.map(({ queue }) => queue)).toEqual([leaseQueue(0)]);
    const bound = (await api.list('bindings', vhost)).filter(({ source }) => source !== '');
    expect(names(bound.map(({ destination }) => ({ name: destination })))).toEqual(
      [EXCHANGES.unrouted, QUEUES.guildEvents, leaseQueue(0)].toSorted(),
    );
    expect(found.permissions.filter(({ user }) => user !== sharedBroker().username)).toEqual([]);
    expect(lines(await apply(own, nothing))).toEqual([]);
    // Everything comes back, and is the topology's own again.
    await apply(own, wanted);
    expect(await pending(own, wanted)).toEqual([]);
  });

  onBroker(
    "a failure in the middle has the broker's reason, and leaves a true record and the way back",
    async ({ own }) => {
      const before = own.topology();
      await apply(own, before);
      await limitQueues(own, before.queues.length);
      const failed = await apply(own, withOrders(ofGroups(own, 2))).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(ManagementApiError);
      expect(failed).toMatchObject({
        kind: 'refused',
        message: expect.stringMatching(
          /^the broker refuses PUT \/api\/queues\/topology-\w+\/ingestor\.lease\.1 by \w+: .*queue limit.* \(at create queue ingestor\.lease\.1, after \d+ of \d+ steps; apply again to continue\)$/,
        ),
      });
      expect(names((await here(own)).policies)).toContain('orders');
      const back = await apply(own, before);
      expect([lines(back), back.unwanted]).toEqual([[], [{ type: 'exchange', name: 'orders' }]]);
      expect(back.kept).toEqual(['kept: policy orders, which governs exchange orders']);
      await own.api.delete('exchanges', own.vhost, 'orders');
      expect(lines(await apply(own, before))).toEqual(['remove policy orders']);
      // What somebody makes afterwards is theirs, though it is the same.
      await own.api.put(['exchanges', own.vhost, 'orders'], { type: 'topic', durable: true });
      expect((await apply(own, before)).unwanted).toEqual([]);
    },
  );

  onBroker('a record that cannot be read is not overwritten, and nothing is applied', async ({ own }) => {
    await apply(own, withOrders(own.topology()));
    const parameter = recordName(own.vhost);
    for (const value of [{ version: 99 }, null, [], 'a text']) {
      await own.api.put(['global-parameters', parameter], { value });
      await expect(apply(own, ofGroups(own, 2))).rejects.toThrow(
        /^the global parameter \S+ is no record of this version, .*: nothing was applied\. Delete it to begin another$/,
      );
      expect(await own.api.find('global-parameters', parameter)).toEqual({ name: parameter, value });
    }
    expect(names((await own.api.list('queues', own.vhost)) ?? [])).not.toContain(leaseQueue(1));
  });
});

describe.concurrent('a broker that refuses its administrator', () => {
  for (const [status, body] of [
    [401, '{"error":"not_authorized","reason":"Access refused."}'],
    [401, '{"error":"not_authorized","reason":"Not_Authorized"}'],
    [405, ''],
  ] as const) {
    onBroker(`global parameters (${status} ${body}) has nothing removed, and a note`, async ({ own }) => {
      const note = [expect.stringMatching(/^nothing is removed: /)];
      await apply(own, withOrders(own.topology()));
      const unread = await applyWithAnswer(own, own.topology(), /global-parameters/, [status, body]);
      expect([lines(unread), unread.notes]).toEqual([[], note]);
      const more = ofGroups(own, 2);
      const unwritten = await applyWithAnswer(own, more, /PUT .*global-parameters/, [status, body]);
      const gap = `whether ${leaseQueue(1)} is new cannot be recorded: its first owner will report a gap`;
      expect([lines(unwritten)[0], unwritten.notes]).toEqual([`create queue ${leaseQueue(1)}`, [...note, gap]]);
      expect(lines(unwritten).join()).not.toMatch(/remove|empty group record/);
      // With it, what was recorded is known again.
      expect(await pending(own, more)).toEqual(["remove binding orders → unrouted ('new')"]);
    });

    onBroker(`limits of users (${status} ${body}) has none set, and notes`, async ({ own }) => {
      const wanted = own.topology({ connectionLimit: 200 });
      const unset = await applyWithAnswer(own, wanted, /PUT \/api\/user-limits/, [status, body]);
      expect(lines(unset).join()).not.toContain('limits of');
      expect(unset.notes).toEqual(
        wanted.users.map(({ name }) => expect.stringContaining(`limits of ${name} are not set: `)),
      );
      const read = await applyWithAnswer(own, wanted, /user-limits/, [status, body]);
      expect([lines(read), read.notes]).toEqual([[], [expect.stringMatching(/^limits of users are not set: /)]]);
    });
  }

  onBroker('operator policies is read by what applies to each queue', async ({ own }) => {
    await apply(own, own.topology());
    await setOperatorPolicy(own, '.*', { 'message-ttl': 3_000 });
    const applying = async () => await applyWithAnswer(own, own.topology(), /operator-policies/, [405, '']);
    await expect(applying).rejects.toThrow(/operator policy hoster: message-ttl 3000 on queue ingestor\.lease\.0/);
    await own.api.delete('operator-policies', own.vhost, 'hoster');
    expect((await applying()).notes).toEqual([
      expect.stringMatching(/^only queues that exist are checked for operator policies: /),
    ]);
  });
});

async function setOperatorPolicy({ api, vhost }: OwnVhost, pattern: string, definition: object): Promise<void> {
  await api.put(['operator-policies', vhost, 'hoster'], { pattern, 'apply-to': 'queues', priority: 1, definition });
}

describe.concurrent('an operator policy', () => {
  onBroker('that removes a record is refused before anything is made, and afterwards', async ({ own }) => {
    await setOperatorPolicy(own, '.*', { 'message-ttl': 3_000 });
    const applying = apply(own, own.topology());
    await expect(applying).rejects.toThrow(TopologyRefusedError);
    await expect(applying).rejects.toThrow('on queue ingestor.lease.0 removes the record of a shard group');
    expect((await here(own)).queues).toEqual([]);
    await setOperatorPolicy(own, '^theirs', { 'message-ttl': 3_000 });
    expect((await apply(own, own.topology())).notes).toEqual([]);
    // As min() of our -1 and 5, RabbitMQ 4.3 takes 5.
    await setOperatorPolicy(own, '.*', { 'delivery-limit': 5 });
    const { plan } = await planTopology(own.api, own.topology(), own.passwords);
    expect(plan.refusals).toEqual([expect.stringContaining('delivery-limit 5 on queue ingestor.lease.0')]);
    expect(plan.notes).toHaveLength(own.topology().queues.length - 1);
  });

  onBroker('whose expression only the broker can read is noticed by what it does', async ({ own }) => {
    await setOperatorPolicy(own, '(?>ingestor.lease)', { 'max-length': 1 });
    await expect(apply(own, own.topology())).rejects.toThrow(
      /^all was applied, and something else is in force: operator policy hoster: max-length 1 on queue ingestor\.lease\.0/,
    );
    await expect(apply(own, own.topology())).rejects.toThrow(TopologyRefusedError);
  });
});
