// `npm run soak -- --minutes 10`: faults by chance, one after the other and at times over each other, on everything that
// can fail: tasks, the broker, the connections to it, Discord; with `--nodes 3` single nodes of the broker too. The faults
// follow from the seed, which is printed. Discord keeps `--events` for a RESUME, with `--trimmed 1` only what was not
// acknowledged.
// At the end the ledger of what Discord sent is compared with what a worker read: exit code 0 only if nothing is lost, the
// order is kept, nothing was read that is not due, and no session ended but those that Discord invalidated, and the one
// exception of ARCHITECTURE.md: a task was killed after a RESUME that asked for more than was stored. Otherwise the logs of
// the tasks are written to files.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { replayBufferName } from '../local/discord/options.ts';
import { Random } from '../local/discord/random.ts';
import { RabbitMqCluster } from '../local/rabbitmq/cluster.ts';
import type { RabbitMq } from '../local/rabbitmq/node.ts';
import type { Stage } from '../local/stage.ts';
import { closeConnections } from '../test/support/connections.ts';
import { onStage, readNumbers } from './bench.ts';

/**
 * `pause`: the longest between two faults, in seconds. `events`: the most that Discord's staff has named; the busiest shard
 * has 30 events a second, and where its connection ends while the node of its lease is isolated it waits up to 75 s.
 */
const { minutes, seed, tasks, shards, rate, pause, nodes, events, trimmed } = readNumbers({
  ...{ minutes: 10, tasks: 3, shards: 32, rate: 400, pause: 8, nodes: 1, events: 3_500, trimmed: 1 },
  seed: Math.floor(Math.random() * 1_000_000),
});

type Fault = (stage: Stage, random: Random) => Promise<string | undefined>;

/** Each with its share. What it returns is printed beside its name. */
const FAULTS: readonly (readonly [share: number, name: string, Fault])[] = [
  [6, 'a task is killed', (stage, random) => end(stage, random, 'kill')],
  [4, 'a task drains', (stage, random) => end(stage, random, 'terminate')],
  [1, 'a deploy', async (stage) => void (await stage.deploy())],
  [1, 'the broker restarts', async ({ broker }) => void (await broker.restart())],
  [1, 'the broker is killed', killBroker],
  [1, 'the broker is away', away],
  [2, 'the broker is frozen', frozen],
  [2, 'a memory alarm', alarm],
  [2, 'a lease connection is cut', (stage) => cut(stage, 'lease')],
  [2, 'a publishing connection is cut', (stage) => cut(stage, 'publisher')],
  [2, 'op 7 to all', async ({ simulator }) => simulator?.reconnect() as undefined],
  [
    2,
    'op 9, resumable, to all',
    async ({ simulator }) => simulator?.invalidate(undefined, { resumable: true }) as undefined,
  ],
  [2, 'op 9 to one shard', invalidate],
  [2, 'all gateway connections break', async ({ simulator }) => simulator?.dropConnections() as undefined],
  [2, 'Discord closes with 4000', async ({ simulator }) => simulator?.close(undefined, 4000) as undefined],
  [2, 'Discord cannot be reached', unreachable],
  [2, 'zombies', async ({ simulator }) => simulator?.freeze() as undefined],
  [2, 'a burst', async ({ simulator }, random) => burst(simulator, random)],
];

/** Of one node of a cluster. */
const NODE_FAULTS: typeof FAULTS = [
  [4, 'a node is killed', async ({ broker }, random) => nodeAway(broker, random, 'kill', 'start')],
  [2, 'a node is stopped', async ({ broker }, random) => nodeAway(broker, random, 'stop', 'start')],
  [3, 'a node is frozen', async ({ broker }, random) => nodeAway(broker, random, 'freeze', 'thaw')],
  [3, 'a node is isolated', async ({ broker }, random) => cutOff(broker, random, 'everything')],
  [3, 'a node is cut off from the others', async ({ broker }, random) => cutOff(broker, random, 'its peers')],
];

const replayBuffer = { events, trimmedByAcknowledgement: trimmed !== 0 };
console.log(
  `seed ${seed}: ${tasks} tasks, ${shards} shards, ${rate} events/s for ${minutes} min, ${replayBufferName(replayBuffer)}`,
);
/** Ids of lost sessions. */
const reported = new Set<string>();
const random = new Random(seed, 31);
const limits = { maxConcurrency: 16, dailyIdentifies: 100_000, replayBuffer };
const simulator = { seed, guilds: 8 * shards, heartbeatIntervalMs: 10_000, ...limits };
let startedAt = Date.now();
await onStage({ tasks, shards, simulator, nodes }, async (stage) => {
  startedAt = Date.now();
  stage.simulator?.startTraffic(rate);
  const reporting = setInterval(() => reportLost(stage), 1_000);
  const counts = await strike(stage, Date.now() + minutes * 60_000);
  print('no more faults');
  await stage.ready(undefined, 300_000);
  await sleep(5_000);
  stage.simulator?.stopTraffic();
  clearInterval(reporting);
  const verdict = await stage.settled(300_000, 60_000);
  for (const [name, count] of counts) console.log(`${String(count).padStart(5)} × ${name}`);
  const { lost, disorders, conflicts, unexpected, announced } = verdict;
  const ended = [...(stage.simulator?.ledger.sessions ?? [])].flatMap((session) => session.lost ?? []);
  const excepted = ended.filter((reason) => reason === 'resumed from before an earlier RESUME').length;
  const sessionsLost = ended.length - excepted - ended.filter((reason) => reason === 'invalidated').length;
  const takings = (['resumed', 'identify'] as const).map((event) => stage.simulator?.count(event));
  console.log(
    [
      `seed ${seed}: ${verdict.due + announced} sent, ${verdict.read} read, ${lost} lost`,
      `${verdict.repeated} repeated, ${disorders} out of order, ${conflicts} under two ids`,
      `${unexpected} not due, ${verdict.gaps} gaps reported (${announced} events in them)`,
      `${sessionsLost} sessions lost beside ${ended.length - excepted - sessionsLost} that Discord invalidated`,
      `and ${excepted} of tasks that were killed after a RESUME`,
      `${takings[0]} resumed, ${takings[1]} begun`,
    ].join(', '),
  );
  for (const example of verdict.examples) console.log(`  ${example}`);
  for (const violation of new Set(verdict.violations)) console.log(`  Discord punished: ${violation}`);
  if (lost + disorders + conflicts + unexpected + sessionsLost === 0) return;
  process.exitCode = 1;
  const folder = await mkdtemp(join(tmpdir(), 'soak-'));
  for (const { name, output } of stage.tasks) await writeFile(join(folder, `${name}.log`), output);
  console.log(`  the logs of the tasks are in ${folder}`);
});
process.exit();

async function strike(stage: Stage, until: number): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  // Each as often as its share says.
  const faults = nodes > 1 ? [...FAULTS, ...NODE_FAULTS] : FAULTS;
  const drawn = faults.flatMap(([share, name, fault]) => Array.from({ length: share }, () => ({ name, fault })));
  while (Date.now() < until) {
    const chosen = drawn[random.below(drawn.length)];
    if (chosen === undefined) break;
    const { name, fault } = chosen;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const detail = await fault(stage, random).catch((error: unknown) => startedAgain(stage, error));
    print(detail === undefined ? name : `${name}: ${detail}`);
    // At times the next one comes before this one is over.
    await sleep(random.chance(0.3) ? 0 : random.below(pause * 1_000));
  }
  return counts;
}

function reportLost({ simulator }: Stage): void {
  for (const { sessionId, shardId, lost = 'invalidated' } of simulator?.ledger.sessions ?? []) {
    if (lost === 'invalidated' || reported.has(sessionId)) continue;
    reported.add(sessionId);
    print(`the session of shard ${shardId} is lost: ${lost}`);
  }
}

/** A node that does not end in a minute is killed. @returns what went wrong */
async function startedAgain({ broker }: Stage, error: unknown): Promise<string> {
  for (const node of broker.nodes) if (!(await node.running())) await node.start();
  return error instanceof Error ? error.message : String(error);
}

async function end(stage: Stage, random: Random, how: 'kill' | 'terminate'): Promise<string> {
  const task = stage.living[random.below(stage.living.length)];
  await Promise.all([task?.[how](), stage.startTask()]);
  return task?.name ?? 'none';
}

async function killBroker({ broker }: Stage): Promise<undefined> {
  await broker.rememberQueues();
  await broker.kill();
  await broker.start();
}

async function away({ broker }: Stage, random: Random): Promise<string> {
  await broker.stop();
  const seconds = await wait(random, 20);
  await broker.start();
  return seconds;
}

async function frozen({ broker }: Stage, random: Random): Promise<string> {
  broker.freeze();
  const seconds = await wait(random, 30);
  broker.thaw();
  return seconds;
}

async function nodeAway(
  { nodes }: RabbitMq,
  random: Random,
  how: 'kill' | 'stop' | 'freeze',
  back: 'start' | 'thaw',
): Promise<string> {
  const node = nodes[random.below(nodes.length)];
  await node?.[how]();
  const seconds = await wait(random, 60);
  await node?.[back]();
  return `${node?.name}, ${seconds}`;
}

async function cutOff(broker: RabbitMq, random: Random, from: 'its peers' | 'everything'): Promise<string> {
  const node = broker.nodes[random.below(broker.nodes.length)];
  if (!(broker instanceof RabbitMqCluster) || node === undefined) return 'no cluster';
  if (broker.obstacle !== undefined) return broker.obstacle;
  await broker.cut(node, from);
  // Erlang counts it as down after 45 to 75 s.
  const seconds = await wait(random, 120);
  await broker.heal();
  return `${node.name}, ${seconds}`;
}

async function alarm({ broker }: Stage, random: Random): Promise<string> {
  await broker.memoryAlarm(true);
  const seconds = await wait(random, 15);
  await broker.memoryAlarm(false);
  return seconds;
}

async function cut({ broker }: Stage, kind: 'lease' | 'publisher'): Promise<string> {
  // Every task's: which of them are owners follows from what was before.
  return `${await closeConnections(broker, new RegExp(` ${kind}$`)).catch(() => 0)} closed`;
}

async function invalidate({ simulator }: Stage, random: Random): Promise<string> {
  const shard = random.below(shards);
  simulator?.invalidate(shard, { resumable: false });
  return `shard ${shard}`;
}

async function unreachable({ simulator }: Stage, random: Random): Promise<string> {
  simulator?.refuseConnections(true);
  simulator?.dropConnections();
  const seconds = await wait(random, 20);
  simulator?.refuseConnections(false);
  return seconds;
}

async function wait(random: Random, most: number): Promise<string> {
  const seconds = 1 + random.below(most);
  await sleep(seconds * 1_000);
  return `${seconds} s`;
}

async function burst(simulator: Stage['simulator'], random: Random): Promise<string> {
  const events = 500 + random.below(4_000);
  simulator?.burst(events);
  return `${events} events`;
}

function print(text: string): void {
  const seconds = Math.floor((Date.now() - startedAt) / 1_000);
  console.log(`${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}  ${text}`);
}
