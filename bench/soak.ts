// `npm run soak -- --minutes 10`: faults by chance, one after the other and at times over each other, on everything that
// can fail: tasks, the broker, the connections to it, Discord. The row of faults follows from the seed, which is printed.
// At the end the ledger of what Discord sent is held against what a worker read: exit code 0 only if nothing is lost, the
// order is kept, and nothing was told that did not happen.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Random } from '../local/discord/random.ts';
import { Stage } from '../local/stage.ts';
import { closeConnections } from '../test/support/connections.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    tasks: { type: 'string', default: '3' },
    shards: { type: 'string', default: '32' },
    rate: { type: 'string', default: '400' },
    /** The longest pause between two faults, in seconds. */
    pause: { type: 'string', default: '8' },
  },
});
const seed = Number(values.seed);
const shards = Number(values.shards);
const tasks = Number(values.tasks);

type Fault = (stage: Stage, random: Random) => Promise<string | undefined>;

/** Each with its share. What it returns is printed beside its name. */
const FAULTS: readonly (readonly [share: number, name: string, Fault])[] = [
  [6, 'a task is killed', (stage, random) => end(stage, random, 'kill')],
  [4, 'a task drains', (stage, random) => end(stage, random, 'terminate')],
  [1, 'a deploy', deploy],
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

console.log(`seed ${seed}: ${tasks} tasks, ${shards} shards, ${values.rate} events/s for ${values.minutes} min`);
const random = new Random(seed, 31);
const stage = await Stage.start({
  tasks,
  shards,
  simulator: {
    seed,
    guilds: 8 * shards,
    maxConcurrency: 16,
    dailyIdentifies: 100_000,
    replayBufferEvents: 200_000,
    heartbeatIntervalMs: 10_000,
  },
});
const startedAt = Date.now();
try {
  stage.simulator?.startTraffic(Number(values.rate));
  const counts = await strike(startedAt + Number(values.minutes) * 60_000);
  say('no more faults');
  await stage.ready(undefined, 300_000);
  await sleep(5_000);
  stage.simulator?.stopTraffic();
  const verdict = await stage.settled(300_000, 60_000);
  for (const [name, count] of counts) console.log(`${String(count).padStart(5)} × ${name}`);
  console.log(
    [
      `seed ${seed}: ${verdict.due + verdict.announced} sent, ${verdict.read} read, ${verdict.lost} lost`,
      `${verdict.repeated} repeated, ${verdict.disorders} out of order, ${verdict.conflicts} under two ids`,
      `${verdict.unexpected} not due, ${verdict.gaps} gaps told (${verdict.announced} events in them)`,
    ].join(', '),
  );
  for (const example of verdict.examples) console.log(`  ${example}`);
  for (const violation of new Set(verdict.violations)) console.log(`  Discord punished: ${violation}`);
  const good = verdict.lost + verdict.disorders + verdict.conflicts + verdict.unexpected === 0;
  if (!good) console.log(`logs: ${stage.folder}`);
  process.exitCode = good ? 0 : 1;
} finally {
  await stage.stop();
}
process.exit();

async function strike(until: number): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  // Each as often as its share says.
  const drawn = FAULTS.flatMap(([share, name, fault]) => Array.from({ length: share }, () => ({ name, fault })));
  while (Date.now() < until) {
    const chosen = drawn[random.below(drawn.length)];
    if (chosen === undefined) break;
    const { name, fault } = chosen;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const detail = await fault(stage, random);
    say(detail === undefined ? name : `${name}: ${detail}`);
    // At times the next one comes before this one is over.
    await sleep(random.chance(0.3) ? 0 : random.below(Number(values.pause) * 1_000));
  }
  return counts;
}

async function end(stage: Stage, random: Random, how: 'kill' | 'terminate'): Promise<string> {
  const task = stage.living[random.below(stage.living.length)];
  await Promise.all([task?.[how](), stage.startTask()]);
  return task?.name ?? 'none';
}

async function deploy(stage: Stage): Promise<undefined> {
  const old = stage.living;
  await Promise.all(old.map(() => stage.startTask()));
  for (const task of old) await task.terminate();
}

async function killBroker({ broker }: Stage): Promise<undefined> {
  await broker.rememberQueues();
  await broker.kill();
  await broker.start();
}

async function away({ broker }: Stage, random: Random): Promise<string> {
  const seconds = 1 + random.below(20);
  await broker.stop();
  await sleep(seconds * 1_000);
  await broker.start();
  return `${seconds} s`;
}

async function frozen({ broker }: Stage, random: Random): Promise<string> {
  const seconds = 1 + random.below(30);
  broker.freeze();
  await sleep(seconds * 1_000);
  broker.thaw();
  return `${seconds} s`;
}

async function alarm({ broker }: Stage, random: Random): Promise<string> {
  const seconds = 1 + random.below(15);
  await broker.memoryAlarm(true);
  await sleep(seconds * 1_000);
  await broker.memoryAlarm(false);
  return `${seconds} s`;
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
  const seconds = 1 + random.below(20);
  simulator?.refuseConnections(true);
  simulator?.dropConnections();
  await sleep(seconds * 1_000);
  simulator?.refuseConnections(false);
  return `${seconds} s`;
}

async function burst(simulator: Stage['simulator'], random: Random): Promise<string> {
  const events = 500 + random.below(4_000);
  simulator?.burst(events);
  return `${events} events`;
}

function say(text: string): void {
  const seconds = Math.floor((Date.now() - startedAt) / 1_000);
  console.log(`${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}  ${text}`);
}
