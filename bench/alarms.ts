// `npm run alarms`: plays disasters on this machine, with real tasks, a real RabbitMQ and the simulated Discord, for real
// minutes and several side by side, and evaluates the synthesized alarms on the metrics that the tasks wrote. Exit code 0 only
// if each disaster turns on what test/contracts/disasters.ts expects, and nothing else.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Stage } from '../local/stage.ts';
import { ENV } from '../service/contract/names.ts';
import { errorMessage } from '../service/errors.ts';
import {
  complaints,
  DISASTERS,
  type DisasterName,
  fileOf,
  metricsRead,
  type Outcome,
  outcomeOf,
  RECORDED,
  recordingOf,
  tableOf,
  withTable,
} from '../test/contracts/disasters.ts';
import { type Recording, rowsOf, written } from '../test/contracts/recording.ts';
import { type DisasterStage, MINUTES, MIX, STAGINGS } from './disasters.ts';

const USAGE = `npm run alarms -- [--only WORD …] [--side-by-side N] [--record]
  --only WORD       the disasters whose names have one of these words (default: all, about 50 minutes)
  --side-by-side N  so many at a time (default 4): each is a broker of about 150 MB
  --record          keeps the metrics for the test, and writes the table into docs/runbook.md`;

const { values, sideBySide, names } = readOptions();
// The longest first.
names.sort((a, b) => (STAGINGS[b].minutes ?? MINUTES) - (STAGINGS[a].minutes ?? MINUTES));
const read = metricsRead();
const log = (line: string) => console.error(`${new Date().toISOString().slice(11, 19)}  ${line}`);

const outcomes = new Map<DisasterName, Outcome>();
const wrong: string[] = [];
const left = [...names];
async function playOneByOne(): Promise<void> {
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    try {
      const recording = await play(name);
      outcomes.set(name, outcomeOf(recording, DISASTERS[name]));
      if (values.record) {
        mkdirSync(RECORDED, { recursive: true });
        writeFileSync(fileOf(name), written(recording));
      }
    } catch (error) {
      wrong.push(`${name}: not played: ${error instanceof Error ? error.stack : error}`);
    }
    log(`${name}: ${outcomes.has(name) ? 'played' : wrong.at(-1)}`);
  }
}
await Promise.all(Array.from({ length: sideBySide }, playOneByOne));

for (const [name, each] of outcomes)
  for (const complaint of complaints(each, DISASTERS[name])) wrong.push(`${name}: ${complaint}`);
console.log(tableOf(outcomes));
if (values.record) {
  // Those that were not played now are as they were recorded.
  const all = (Object.keys(DISASTERS) as DisasterName[]).flatMap((name) => {
    const found = outcomes.get(name) ?? (existsSync(fileOf(name)) && outcomeOf(recordingOf(name), DISASTERS[name]));
    return found ? [[name, found] as const] : [];
  });
  const runbook = join(import.meta.dirname, '../docs/runbook.md');
  writeFileSync(runbook, withTable(readFileSync(runbook, 'utf8'), tableOf(new Map(all))));
}
for (const complaint of wrong) console.error(complaint);
process.exit(wrong.length > 0 ? 1 : 0);

async function play(name: DisasterName): Promise<Recording> {
  const { stage: options = {}, rate = 5, minutes = MINUTES, tasks, first, inject } = STAGINGS[name];
  const stage = (await Stage.start({
    ...{ shards: 2, tasks: 2 },
    ...options,
    ...(tasks && { tasks: 0, untilReady: false }),
    env: { [ENV.environment]: 'production', ...options.env },
    simulator: { guilds: 40, mix: MIX, ...options.simulator },
  })) as DisasterStage;
  const ending = new AbortController();
  try {
    await tasks?.(stage);
    if (rate > 0) stage.simulator.startTraffic(rate);
    if (!first)
      // The last minute has one line of each.
      await stage.until('each task has written its metrics', 120_000, () =>
        stage.living.every(({ output }) => output.includes('"ResidentMemory":')),
      );
    const beganAt = Date.now();
    const injected = Promise.resolve(inject?.(stage, ending.signal));
    // Ends between two lines of a task, so that the last minutes have as many as any others.
    const playedMs = minutes * 60_000 - 5_000;
    await Promise.race([sleep(playedMs), injected.then(() => sleep(playedMs + 60_000))]);
    const seconds = Math.round((Date.now() - beganAt) / 1_000);
    ending.abort();
    await injected;
    const rows = rowsOf(
      stage.tasks.map(({ output }) => output),
      beganAt,
      read,
    );
    return { ...(first && { first }), rows: rows.filter(({ second }) => second < seconds), seconds };
  } finally {
    ending.abort();
    await stage.stop();
  }
}

function readOptions() {
  try {
    const { values, positionals } = parseArgs({
      options: {
        record: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [] },
        'side-by-side': { type: 'string', default: '4' },
      },
      allowPositionals: true,
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const words = [...values.only, ...positionals].map((word) => word.toLowerCase());
    const names = (Object.keys(DISASTERS) as DisasterName[]).filter(
      (name) => words.length === 0 || words.some((word) => name.toLowerCase().includes(word)),
    );
    if (names.length === 0) throw new Error(`--only: expected a word of a disaster's name, got ${words.join(', ')}`);
    const sideBySide = Number(values['side-by-side']);
    if (!Number.isInteger(sideBySide) || sideBySide < 1)
      throw new Error(`--side-by-side: expected a number from 1, got '${values['side-by-side']}'`);
    return { values, sideBySide, names };
  } catch (error) {
    console.error(`${errorMessage(error)}\n${USAGE}`);
    process.exit(2);
  }
}
