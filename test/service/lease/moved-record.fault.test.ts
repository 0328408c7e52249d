// The lease on a broker that does what a cluster does in a partition: it moves the record to another consumer and leaves the
// old one's channel open, or it confirms nothing and keeps the connection. A node of its own, as both need its inside.

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { asAdministrator } from '../../../local/rabbitmq/administrator.ts';
import type { RabbitMq } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { EXCHANGES, leaseQueue, VHOST } from '../../../service/contract/names.ts';
import { putVhost } from '../../support/broker.ts';
import { raft } from '../../support/broker-faults.ts';
import { eventually } from '../../support/log-lines.ts';
import { owner, ready, startTask, stored, type Task } from './keeper-tasks.ts';

let node: RabbitMq;
const tasks: Task[] = [];

beforeAll(async () => {
  node = await startRabbitMq({ name: 'moved' });
  await putVhost(VHOST, node);
  await asAdministrator(node, (channel) => channel.assertExchange(EXCHANGES.leases, 'direct'));
}, 120_000);
afterAll(async () => await node.remove());

beforeEach(() => async () => {
  await Promise.all(tasks.splice(0).map(({ keeper, connection }) => keeper.release().then(() => connection.close())));
  await asAdministrator(node, (channel) => channel.deleteQueue(leaseQueue(0)));
});

const login = () => ({ username: node.username, password: node.password });

/** An owner with a stored record, and a standby. */
async function pair(): Promise<[Task, Task]> {
  const one = startTask('task-1', node.amqpUrl({ ...login(), vhost: VHOST }));
  tasks.push(one);
  await owner(one);
  await stored(one);
  const two = startTask('task-2', node.amqpUrl({ ...login(), vhost: VHOST }));
  tasks.push(two);
  await ready(two);
  return [one, two];
}

/** In the replicated state only: the channel of the consumer learns nothing. */
const moveRecord = async () =>
  await node.ctl(
    'eval',
    `{ok, Queue} = rabbit_amqqueue:lookup({resource, <<"${VHOST}">>, queue, <<"${leaseQueue(0)}">>}),
    [Consumer] = [{element(2, Each), element(1, Each)} || Each <- rabbit_amqqueue:consumers(Queue), element(5, Each)],
    {ok, _, _} = ra:process_command({'${VHOST}_${leaseQueue(0)}', node()}, rabbit_fifo:make_checkout(Consumer, remove, #{})), ok.`,
  );

it('the record is moved and the channel stays open: the old owner finds out, and never takes it back', async () => {
  const [one, two] = await pair();
  [one.sequence, one.connected] = [10, 1];
  await eventually('it is delivered back', () => one.storedSequence === 10);
  await moveRecord();
  await owner(two);
  expect(two.taken[0]?.sessions.get(0)?.sequence).toBe(10);
  // Until then it would take over again, from a newer record of the old owner.
  await eventually('it is settled', () => two.storedSequence === 10);
  // Confirmed, and not delivered back.
  one.sequence = 11;
  await one.lines.line('the connection to the broker was lost');
  expect(one.lines.text).toContain('was not delivered back within 2 s');
  expect(one.storedSequence, 'Discord gets no sequence that the next owner does not find').toBe(10);
  // Uncertain, it stores on in its epoch.
  for (let sequence = 12; one.happened.length < 2; sequence += 1) {
    one.sequence = sequence;
    await eventually('a record', () => one.happened.length > 1 || one.keeper.detail.state === 'uncertain');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect([one.happened, two.happened]).toEqual([['own 0', 'step down'], ['own 0']]);
  expect(one.lines.lines.filter(({ because }) => because === 'silence')).toHaveLength(1);
  const logged = two.lines.lines.filter(({ from }) => from === 'task-1' && two.happened.length === 1);
  expect(logged.filter(({ msg }) => msg.includes('a record of another owner')).length).toBeLessThanOrEqual(1);
  two.sequence = 20;
  await eventually('the new owner stores on', () => two.storedSequence === 20);
  await eventually('nothing waits', async () => {
    const { messageCount } = await asAdministrator(node, (channel) => channel.checkQueue(leaseQueue(0)));
    return messageCount === 0;
  });
});

it('a queue that confirms nothing: another connection, the owner keeps its shards; a last record is not stored', async () => {
  const [one, two] = await pair();
  one.connected = 1;
  await raft(node, 'suspend', leaseQueue(0));
  try {
    one.sequence = 10;
    await one.lines.line('the broker confirms nothing');
    await two.lines.line('the broker confirms nothing');
    await eventually('the owner is uncertain', () => one.keeper.detail.state === 'uncertain');
    expect(one.storedSequence).not.toBe(10);
  } finally {
    await raft(node, 'resume', leaseQueue(0));
  }
  await eventually('one owner, with what it had', () => [one, two].some(({ storedSequence }) => storedSequence === 10));
  await eventually(
    'the other stands by',
    () => [one, two].filter(({ keeper }) => keeper.role === 'owner').length === 1,
  );
  const last = one.keeper.role === 'owner' ? one : two;
  last.sequence = 11;
  await raft(node, 'suspend', leaseQueue(0));
  try {
    await last.keeper.release();
    expect(await last.lines.line('the last group record is not stored')).toMatchObject({ level: 'error', group: 0 });
  } finally {
    await raft(node, 'resume', leaseQueue(0));
  }
});
