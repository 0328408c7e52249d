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
import type { DiscordSimulator } from '../local/discord/simulator.ts';
import { RabbitMqCluster } from '../local/rabbitmq/cluster.ts';
import type { Stage } from '../local/stage.ts';
import { errorMessage } from '../service/errors.ts';
import { closeConnections } from '../test/support/broker-faults.ts';
import { onStage, readNumbers } from './bench.ts';

/**
 * `pause`: the longest between two faults, in seconds. `events`: the most that Discord's staff has named; the busiest shard
 * has 30 events a second, and where its connection ends while the node of its lease is isolated it waits up to 75 s.
 */
const { minutes, seed, tasks, shards, rate, pause, nodes, events, trimmed } = readNumbers({
  ...{ minutes: 10, tasks: 3, shards: 32, rate: 400, pause: 8, nodes: 1, events: 3_500, trimmed: 1 },
  seed: Math.floor(Math.random() * 1_000_000),
});

/** @returns details, where there are some */
type Fault = (stage: SimulatedStage, random: Random) => unknown;
type SimulatedStage = Stage & { readonly simulator: DiscordSimulator };

/** Each with its share. */
const FAULTS: readonly (readonly [share: number, name: string, Fault])[] = [
  [6, 'a task is killed', (stage, random) => end(stage, random, 'kill')],
  [4, 'a task drains', (stage, random) => end(stage, random, 'terminate')],
  [1, 'a deploy', (stage) => stage.deploy()],
  [1, 'the broker restarts', ({ broker }) => broker.restart()],
  [1, 'the broker is killed', killBroker],
  [
    1,
    'the broker is away',
    ({ broker }, random) =>
      during(
        random,
        20,
        () => broker.stop(),
        () => broker.start(),
      ),
  ],
  [
    2,
    'the broker is frozen',
    ({ broker }, random) =>
      during(
        random,
        30,
        () => broker.freeze(),
        () => broker.thaw(),
      ),
  ],
  [
    2,
    'a memory alarm',
    ({ broker }, random) =>
      during(
        random,
        15,
        () => broker.memoryAlarm(true),
        () => broker.memoryAlarm(false),
      ),
  ],
  [2, 'a lease connection is cut', (stage) => cut(stage, 'lease')],
  [2, 'a publishing connection is cut', (stage) => cut(stage, 'publisher')],
  [2, 'op 7 to all', ({ simulator }) => simulator.reconnect()],
  [2, 'op 9, resumable, to all', ({ simulator }) => simulator.invalidate(undefined, { resumable: true })],
  [2, 'op 9 to one shard', invalidate],
  [2, 'all gateway connections break', ({ simulator }) => simulator.dropConnections()],
  [2, 'Discord closes with 4000', ({ simulator }) => simulator.close(undefined, 4000)],
  [2, 'Discord cannot be reached', unreachable],
  [2, 'zombies', ({ simulator }) => simulator.freeze()],
  [2, 'a burst', burst],
];

/** Of one node of a cluster. */
const NODE_FAULTS: typeof FAULTS = [
  [4, 'a node is killed', (stage, random) => nodeAway(stage, random, 'kill', 'start')],
  [2, 'a node is stopped', (stage, random) => nodeAway(stage, random, 'stop', 'start')],
  [3, 'a node is frozen', (stage, random) => nodeAway(stage, random, 'freeze', 'thaw')],
  [3, 'a node is isolated', (stage, random) => cutOff(stage, random, 'everything')],
  [3, 'a node is cut off from the others', (stage, random) => cutOff(stage, random, 'its peers')],
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
await onStage({ tasks, shards, simulator, nodes }, async (started) => {
  const stage = started as SimulatedStage;
  startedAt = Date.now();
  stage.simulator.startTraffic(rate);
  const reporting = setInterval(() => reportLost(stage), 1_000);
  const counts = await strike(stage, Date.now() + minutes * 60_000);
  print('no more faults');
  await stage.ready(undefined, 300_000);
  await sleep(5_000);
  stage.simulator.stopTraffic();
  clearInterval(reporting);
  const verdict = await stage.settled(300_000, 60_000);
  for (const [name, count] of counts) console.log(`${String(count).padStart(5)} × ${name}`);
  const { lost, disorders, conflicts, unexpected, announced } = verdict;
  const ended = [...stage.simulator.ledger.sessions].flatMap((session) => session.lost ?? []);
  const excepted = ended.filter((reason) => reason === 'resumed from before an earlier RESUME').length;
  const sessionsLost = ended.length - excepted - ended.filter((reason) => reason === 'invalidated').length;
  const takings = (['resumed', 'identify'] as const).map((event) => stage.simulator.count(event));
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

async function strike(stage: SimulatedStage, until: number): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  // Each as often as its share.
  const faults = nodes > 1 ? [...FAULTS, ...NODE_FAULTS] : FAULTS;
  const drawn = faults.flatMap(([share, name, fault]) => Array.from({ length: share }, () => ({ name, fault })));
  while (Date.now() < until) {
    const { name, fault } = oneOf(drawn, random);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const detail = await play(fault, stage);
    print(typeof detail === 'string' ? `${name}: ${detail}` : name);
    // At times the next one comes before this one is over.
    await sleep(random.chance(0.3) ? 0 : random.below(pause * 1_000));
  }
  return counts;
}

/** One that fails ends no soak. @returns its details, or what went wrong */
async function play(fault: Fault, stage: SimulatedStage): Promise<unknown> {
  try {
    return await fault(stage, random);
  } catch (error) {
    // A node that does not end in a minute is killed.
    for (const node of stage.broker.nodes) if (!(await node.running())) await node.start();
    return errorMessage(error);
  }
}

function oneOf<T>(of: readonly T[], random: Random): T {
  return of[random.below(of.length)] as T;
}

function reportLost({ simulator }: SimulatedStage): void {
  for (const { sessionId, shardId, lost = 'invalidated' } of simulator.ledger.sessions) {
    if (lost === 'invalidated' || reported.has(sessionId)) continue;
    reported.add(sessionId);
    print(`the session of shard ${shardId} is lost: ${lost}`);
  }
}

async function end(stage: Stage, random: Random, how: 'kill' | 'terminate'): Promise<string> {
  const task = stage.living[random.below(stage.living.length)];
  await Promise.all([task?.[how](), stage.startTask()]);
  return task?.name ?? 'none';
}

async function killBroker({ broker }: Stage): Promise<void> {
  await broker.rememberQueues();
  await broker.kill();
  await broker.start();
}

/** Begins, waits a random time, and ends. @returns how long it lasted */
async function during(random: Random, mostSeconds: number, begin: () => unknown, end: () => unknown): Promise<string> {
  await begin();
  const seconds = 1 + random.below(mostSeconds);
  await sleep(seconds * 1_000);
  await end();
  return `${seconds} s`;
}

async function nodeAway(
  { broker }: Stage,
  random: Random,
  how: 'kill' | 'stop' | 'freeze',
  back: 'start' | 'thaw',
): Promise<string> {
  const node = oneOf(broker.nodes, random);
  return `${node.name}, ${await during(
    random,
    60,
    () => node[how](),
    () => node[back](),
  )}`;
}

async function cutOff({ broker }: Stage, random: Random, from: 'its peers' | 'everything'): Promise<string> {
  if (!(broker instanceof RabbitMqCluster)) return 'no cluster';
  if (broker.obstacle !== undefined) return broker.obstacle;
  const node = oneOf(broker.nodes, random);
  // Erlang counts it as down after 45 to 75 s.
  return `${node.name}, ${await during(
    random,
    120,
    () => broker.cut(node, from),
    () => broker.heal(),
  )}`;
}

async function cut({ broker }: Stage, kind: 'lease' | 'publisher'): Promise<string> {
  // Every task's: which of them are owners follows from what was before.
  return `${await closeConnections(broker, new RegExp(` ${kind}$`)).catch(() => 0)} closed`;
}

function invalidate({ simulator }: SimulatedStage, random: Random): string {
  const shard = random.below(shards);
  simulator.invalidate(shard, { resumable: false });
  return `shard ${shard}`;
}

async function unreachable({ simulator }: SimulatedStage, random: Random): Promise<string> {
  const begin = () => {
    simulator.refuseConnections(true);
    simulator.dropConnections();
  };
  return await during(random, 20, begin, () => simulator.refuseConnections(false));
}

function burst({ simulator }: SimulatedStage, random: Random): string {
  const events = 500 + random.below(4_000);
  simulator.burst(events);
  return `${events} events`;
}

function print(text: string): void {
  const seconds = Math.floor((Date.now() - startedAt) / 1_000);
  console.log(`${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}  ${text}`);
}
