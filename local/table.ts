// The demo's table: figures to lines of text. Pure.

import type { Figures, TaskFigures } from './figures.ts';

export interface TableTexts {
  /** What runs: broker, Discord. */
  readonly title: string;
  readonly seconds: number;
  /** Addresses and keys, below the table. */
  readonly footer: readonly string[];
  /** The last thing that was done. */
  readonly notice: string | undefined;
}

const MIB = 1024 * 1024;

/** @param before the figures about a second earlier, for what is per second */
export function table(now: Figures, before: Figures, texts: TableTexts): string[] {
  const seconds = Math.max(0.001, (now.at - before.at) / 1_000);
  const perSecond = (a: number | null, b: number | null) => (a === null || b === null ? '' : number((a - b) / seconds));
  const row = (name: string, a: number | null, b: number | null, note: string) =>
    `  ${name.padEnd(16)}${(a === null ? '–' : number(a)).padStart(12)}${perSecond(a, b).padStart(10)}   ${note}`;
  const queueRows = now.perQueue.map(({ queue, read, waiting }) => {
    const earlier = before.perQueue.find((each) => each.queue === queue)?.read ?? 0;
    return `  ${queue.padEnd(16)}${number(read).padStart(12)}${perSecond(read, earlier).padStart(10)}${(waiting === null ? '–' : number(waiting)).padStart(10)}`;
  });
  const { latency, outbox } = now;
  return [
    `${bold('Discord Gateway Ingestor')}  ${texts.title}  ${clock(texts.seconds)}`,
    '',
    dim(`  ${'events'.padEnd(16)}${'total'.padStart(12)}${'per s'.padStart(10)}`),
    row('sent', now.sent, before.sent, dim('due to workers, as the simulated Discord counts')),
    row('received', now.received, before.received, dim(`of which ${number(now.filtered)} no worker wants`)),
    row('published', now.published, before.published, ''),
    row('confirmed', now.confirmed, before.confirmed, dim('by RabbitMQ')),
    row('read', now.read, before.read, dim('by a worker, repeats not counted')),
    `  ${'lost'.padEnd(16)}${lost(now).padStart(12)}${''.padStart(10)}   ${dim(`repeated ${number(now.repeated)}, sessions lost ${number(now.gaps)}`)}`,
    '',
    dim(`  ${'queue'.padEnd(16)}${'read'.padStart(12)}${'per s'.padStart(10)}${'waiting'.padStart(10)}`),
    ...queueRows,
    '',
    `  frame → confirm  p50 ${ms(latency.p50)}   p99 ${ms(latency.p99)}   outbox ${number(outbox.events)} events, ${number(outbox.bytes / 1024)} KiB`,
    '',
    dim(
      `  ${'task'.padEnd(10)}${'role'.padEnd(10)}${'group'.padEnd(7)}${'shards'.padEnd(8)}${'silence'.padStart(11)}${'heap'.padStart(9)}${'resident'.padStart(10)}   status page`,
    ),
    ...now.tasks.flatMap((task) => [
      `  ${task.name.padEnd(10)}${task.role.padEnd(10)}${String(task.group ?? '–').padEnd(7)}${`${task.shards.connected}/${task.shards.assigned}`.padEnd(8)}${silence(task).padStart(11)}${mib(task.heapUsed).padStart(9)}${mib(task.rss).padStart(10)}   ${task.url}/`,
      ...task.problems.map((problem) => `  ${red(problem)}`),
    ]),
    '',
    ...texts.footer,
    ...(texts.notice === undefined ? [] : [bold(texts.notice)]),
  ];
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const number = (value: number): string => grouped.format(value);
/** Since the last key was pressed. */
const silence = ({ silenceMs }: TaskFigures): string => (silenceMs === null ? '–' : `${number(silenceMs)} ms`);
const ms = (value: number | null): string => (value === null ? '–' : `${value.toFixed(1)} ms`);
const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
const bold = (text: string): string => `\u001b[1m${text}\u001b[0m`;
const dim = (text: string): string => `\u001b[2m${text}\u001b[0m`;
const red = (text: string): string => `\u001b[31m${text}\u001b[0m`;
/** While events wait in an outbox, or for a broker that is away, they are late, not lost. */
const lost = ({ lost: count, outbox }: Figures): string =>
  count === null || (count > 0 && outbox.events > 0) ? '–' : number(count);

function clock(seconds: number): string {
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
