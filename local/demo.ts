// `npm run demo`: the product on one machine, without AWS and without a bot token. A private RabbitMQ with the
// topology, a simulated Discord (or the real one, with DISCORD_BOT_TOKEN), the ingestor, the worker of examples/worker,
// which answers the simulated interactions, a reader that counts what it reads, and a live table. Ctrl-C drains, as a deploy
// does, and exits 0 if nothing was lost.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { PATHS } from '../service/contract/names.ts';
import { errorMessage } from '../service/errors.ts';
import { poll } from './poll.ts';
import { EXAMPLE_WORKER, Stage } from './stage.ts';
import { MetricsCollector, type StageMetrics } from './stage-metrics.ts';
import { table } from './table.ts';

const USAGE = `npm run demo -- [options]
  --seconds N   end after N seconds (default: run until Ctrl-C)
  --rate N      events a second that the simulated Discord sends (default 100)
  --guilds N    guilds of the simulated bot (default 50)
  --shards N    shards (default 1)
  --nodes N     nodes of RabbitMQ (default 1; production has 3)
  --tasks N     processes of the ingestor (default 1; those without shards are standbys)
  --events E    which of Discord's dispatches, as EVENTS of the service (default: the seven; all)
  --seed N      same seed, same events (default 1)
  --json        print one JSON object at the end instead of the table
With DISCORD_BOT_TOKEN set, the real Discord is used instead of the simulated one: interactions are read, not answered.`;

const KEYS = 'keys: k kill an owner · n kill a node of RabbitMQ · d deploy · r restart RabbitMQ · Ctrl-C drain and end';

/** Many shards IDENTIFY one after the other. */
const CONNECT_DEADLINE_MS = 90_000;
/** Discord waits so long for the first answer. */
const ANSWER_WITHIN_MS = 3_000;
/** Until a node that was killed starts again. */
const NODE_AWAY_MS = 10_000;

const options = readOptions();
const botToken = process.env.DISCORD_BOT_TOKEN;
const print = (line: string) => process.stderr.write(`${line}\n`);
const ending = new AbortController();
let notice: string | undefined;
let busy = false;

process.on('SIGINT', () => ending.abort());
process.on('SIGTERM', () => ending.abort());

try {
  process.exitCode = await run();
} catch (error) {
  print(errorMessage(error));
  process.exitCode = 1;
}
// Whatever still holds the event loop (a key listener, a reader) has nothing left to do.
process.exit();

async function run(): Promise<number> {
  print('starting RabbitMQ, the topology, Discord and the ingestor …');
  const stage = await Stage.start({
    tasks: options.tasks,
    shards: options.shards,
    nodes: options.nodes,
    events: options.events,
    untilReady: false,
    log: print,
    // With the real Discord it would answer people in addition to the bot's own workers.
    ...(botToken ? { botToken } : { worker: EXAMPLE_WORKER }),
    // 16 IDENTIFYs at a time: with one, as small bots have, many shards take minutes.
    simulator: { guilds: options.guilds, seed: options.seed, maxConcurrency: 16 },
  });
  // By group, because a single shard of many may have no events.
  stage.reader.silenceOf = (shardId) => Math.floor(shardId / stage.shardsPerTask);
  const startedAt = Date.now();
  try {
    const collector = new MetricsCollector(stage);
    listenToKeys(stage);
    let before = await collector.collect();
    let trafficSince: number | undefined;
    while (!ending.signal.aborted) {
      const metrics = await collector.collect();
      const connected = metrics.tasks.reduce((sum, { shards }) => sum + shards.connected, 0);
      if (trafficSince === undefined && connected === options.shards) {
        trafficSince = Date.now();
        stage.simulator?.startTraffic(options.rate);
      }
      if (!options.json) show(stage, metrics, before, (Date.now() - startedAt) / 1_000);
      before = metrics;
      if (isOver(startedAt, trafficSince)) break;
      await sleep(1_000, undefined, { signal: ending.signal }).catch(() => undefined);
    }
    const code = await end(stage, collector, trafficSince ?? Date.now());
    if (trafficSince !== undefined || ending.signal.aborted) return code;
    const problems = [...new Set(before.tasks.flatMap((task) => task.problems))].join(' ');
    print(`not every shard was connected within ${CONNECT_DEADLINE_MS / 1_000} s: ${problems || 'see the logs'}`);
    return 1;
  } finally {
    await stage.stop();
  }
}

/** With --seconds: so long after every shard is connected, and not indefinitely when that does not happen. */
function isOver(startedAt: number, trafficSince: number | undefined): boolean {
  if (options.seconds === undefined) return false;
  if (trafficSince === undefined) return Date.now() - startedAt >= CONNECT_DEADLINE_MS;
  return Date.now() - trafficSince >= options.seconds * 1_000;
}

/** Drains as a deploy would, and counts. @returns the exit code */
async function end(stage: Stage, collector: MetricsCollector, trafficSince: number): Promise<number> {
  print('\ndraining …');
  stage.simulator?.stopTraffic();
  const seconds = Number(((Date.now() - trafficSince) / 1_000).toFixed(1));
  if (stage.simulator !== undefined) await stage.settled(60_000, 5_000);
  await answered(stage);
  const { at: _, ...metrics } = await collector.collect();
  const codes = await Promise.all(stage.living.map((task) => task.terminate()));
  const verdict = stage.simulator && (await stage.settled(10_000, 3_000));
  if (stage.worker !== undefined) codes.push(await stage.worker.terminate());
  const { events, repeats, gaps } = stage.reader;
  // The real Discord does not report what it sent: there only confirmed events can be counted as lost.
  const lost = verdict?.lost ?? Math.max(0, metrics.confirmed - events - repeats - gaps.size);
  if (options.json) {
    const rss = Math.max(0, ...metrics.tasks.map((task) => task.rss));
    const summary = { broker: stage.broker.version, seconds, rate: options.rate, ...metrics, lost, rss };
    process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
  }
  print(
    `${verdict?.due ?? metrics.confirmed} events due, ${metrics.read} read, ${lost} lost, ${metrics.repeated} repeated; ` +
      `the tasks${stage.worker ? ' and the worker' : ''} drained with exit codes ${codes.join(', ')}`,
  );
  for (const example of verdict?.examples ?? []) print(`  ${example}`);
  for (const violation of verdict?.violations ?? []) print(`  violation of Discord's rules: ${violation}`);
  const { answered: inTotal, unanswered, p50 } = metrics.replies ?? { answered: 0, unanswered: 0, p50: null };
  const came = inTotal + unanswered;
  const areLate = came > 0 && (p50 ?? Number.POSITIVE_INFINITY) > ANSWER_WITHIN_MS;
  if (areLate)
    print(`${came} interactions came, the worker answered ${inTotal}, and not within the 3 s that Discord waits`);
  return lost > 0 || areLate || codes.some((code) => code !== 0) ? 1 : 0;
}

/** Until the worker has answered every interaction, as long as Discord waits for it. */
async function answered({ simulator, worker }: Stage): Promise<void> {
  if (worker) await poll(ANSWER_WITHIN_MS, () => !simulator?.callbacks.replies.unanswered);
}

function show(stage: Stage, metrics: StageMetrics, before: StageMetrics, seconds: number): void {
  const { version, managementUrl, username, password } = stage.broker;
  const discord = stage.simulator === undefined ? 'the real Discord' : `simulated Discord, ${options.guilds} guilds`;
  const first = metrics.tasks[0]?.url;
  const nodes = options.nodes > 1 ? `, ${options.nodes} nodes` : '';
  const shards = `${options.shards} ${options.shards === 1 ? 'shard' : 'shards'}`;
  const lines = table(metrics, before, {
    title: `RabbitMQ ${version}${nodes} · ${discord}, ${shards}`,
    seconds,
    notice,
    footer: [
      `  ${first}${PATHS.health}   ${first}${PATHS.metrics}`,
      `  RabbitMQ management: ${managementUrl}  (${username} / ${password})`,
      `  logs: ${stage.folder}   ${KEYS}`,
    ],
  });
  // Home, each line cleared to its end, then everything below.
  if (process.stdout.isTTY)
    process.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\n')}\n\u001b[J`);
  else process.stdout.write(`${lines.join('\n')}\n\n`);
}

function listenToKeys(stage: Stage): void {
  if (!process.stdin.isTTY || options.json) return;
  if (process.stdout.isTTY) process.stdout.write('\u001b[2J');
  process.stdin.setRawMode(true);
  process.stdin.on('data', (key) => {
    const pressed = key.toString();
    // In raw mode Ctrl-C is a character.
    if (pressed === '\u0003' || pressed === 'q') ending.abort();
    const action = { k: killOwner, n: killNode, d: deploy, r: restartBroker }[pressed];
    // One action at a time.
    if (action === undefined || busy) return;
    busy = true;
    stage.reader.resetSilences();
    action(stage)
      .catch((error: unknown) => {
        notice = errorMessage(error);
      })
      .finally(() => {
        busy = false;
      });
  });
}

async function killOwner(stage: Stage): Promise<void> {
  const owners = (await stage.reports()).filter(({ role }) => role === 'owner').map(({ task }) => task);
  const owner = owners[Math.floor(Math.random() * owners.length)];
  if (owner === undefined) return;
  notice = `${owner.name} killed with kill -9; a new task starts, as ECS would start one`;
  await owner.kill();
  await stage.startTask();
}

async function killNode({ broker }: Stage): Promise<void> {
  const node = broker.nodes[Math.floor(Math.random() * broker.nodes.length)];
  if (node === undefined) return;
  notice = `${node.name} killed with kill -9; it starts again in ${NODE_AWAY_MS / 1_000} s`;
  await broker.rememberQueues();
  await node.kill();
  await sleep(NODE_AWAY_MS, undefined, { signal: ending.signal }).catch(() => undefined);
  await node.start();
  notice = `${node.name} is back`;
}

async function deploy(stage: Stage): Promise<void> {
  notice = `deploying: ${stage.living.length} new tasks, then the old ones drain`;
  await stage.deploy();
  notice = 'deployed';
}

async function restartBroker(stage: Stage): Promise<void> {
  notice = 'RabbitMQ restarts; events wait in the outbox';
  await stage.broker.restart();
  notice = 'RabbitMQ is back';
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string' },
        rate: { type: 'string', default: '100' },
        guilds: { type: 'string', default: '50' },
        shards: { type: 'string', default: '1' },
        tasks: { type: 'string', default: '1' },
        nodes: { type: 'string', default: '1' },
        events: { type: 'string' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(`${USAGE}\n`);
      process.exit(0);
    }
    return {
      seconds: values.seconds === undefined ? undefined : whole('seconds', values.seconds, 1, 86_400),
      rate: whole('rate', values.rate, 0, 20_000),
      guilds: whole('guilds', values.guilds, 1, 100_000),
      shards: whole('shards', values.shards, 1, 1_000),
      tasks: whole('tasks', values.tasks, 1, 50),
      nodes: whole('nodes', values.nodes, 1, 5),
      seed: whole('seed', values.seed, 0, 2 ** 31),
      events: values.events,
      json: values.json,
    };
  } catch (error) {
    process.stderr.write(`${errorMessage(error)}\n\n${USAGE}\n`);
    process.exit(2);
  }
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`--${name}: expected a whole number from ${least} to ${most}, got '${text}'`);
}
