// The demo's table: metrics to lines of text. Pure.

import { styleText } from 'node:util';
import type { StageMetrics, TaskMetrics } from './stage-metrics.ts';

export interface TableTexts {
  /** What runs: broker, Discord. */
  readonly title: string;
  readonly seconds: number;
  /** Addresses and keys, below the table. */
  readonly footer: readonly string[];
  /** The last thing that was done. */
  readonly notice: string | undefined;
}

/** Widths of the columns; a negative one is aligned left. */
const EVENTS = [-16, 12, 10, 0];
const QUEUES = [-16, 12, 10, 10];
const TASKS = [-10, -10, -7, -8, 11, 9, 10, 0];
const NONE = '–';
const MOST_TYPES = 9;
const WIDTH = 100;

/** @param before the metrics about a second earlier, for what is per second */
export function table(now: StageMetrics, before: StageMetrics, texts: TableTexts): string[] {
  const seconds = Math.max(0.001, (now.at - before.at) / 1_000);
  const perSecond = (a: number | null, b: number | null) => (a === null || b === null ? '' : number((a - b) / seconds));
  const row = (name: 'sent' | 'received' | 'published' | 'confirmed' | 'read', note: string) =>
    line(EVENTS, name, number(now[name]), perSecond(now[name], before[name]), `   ${dim(note)}`);
  const read = (queue: string) => before.perQueue.find((each) => each.queue === queue)?.read ?? 0;
  const { latency, outbox, replies } = now;
  const notRead = `repeated ${number(now.repeated)}, sessions lost ${number(now.gaps)}`;
  return [
    `${bold('Discord Gateway Ingestor')}  ${texts.title}  ${clock(texts.seconds)}`,
    '',
    dim(line(EVENTS, 'events', 'total', 'per s')),
    row('sent', 'due to workers, as the simulated Discord counts'),
    row('received', `of which ${number(now.filtered)} no worker wants`),
    row('published', ''),
    row('confirmed', 'by RabbitMQ'),
    row('read', 'from the queues, repeats not counted'),
    line(EVENTS, 'lost', lost(now), '', `   ${dim(notRead)}`),
    '',
    dim(line(QUEUES, 'queue', 'read', 'per s', 'waiting')),
    ...now.perQueue.map((each) =>
      line(QUEUES, each.queue, number(each.read), perSecond(each.read, read(each.queue)), number(each.waiting)),
    ),
    ...typesLine(now.perType),
    '',
    `  frame → confirm  p50 ${ms(latency.p50)}   p99 ${ms(latency.p99)}   outbox ${number(outbox.events)} events, ${number(outbox.bytes / 1024)} KiB`,
    ...(replies === null ? [] : [repliesLine(replies)]),
    '',
    dim(line(TASKS, 'task', 'role', 'group', 'shards', 'silence', 'heap', 'resident', '   status page')),
    ...now.tasks.flatMap(taskLines),
    '',
    ...(now.nodes.length > 1 ? [`  nodes  ${now.nodes.map(nodeText).join(' · ')}`] : []),
    ...texts.footer,
    ...(texts.notice === undefined ? [] : [bold(texts.notice)]),
  ];
}

const repliesLine = ({ p50, p99, answered, unanswered }: NonNullable<StageMetrics['replies']>): string =>
  `  frame → reply    p50 ${ms(p50)}   p99 ${ms(p99)}   answered by the worker ${number(answered)}, not answered ${number(unanswered)}`;

/** The most frequent ones: with EVENTS=all there are more than eighty. */
function typesLine(perType: StageMetrics['perType']): string[] {
  const types = Object.entries(perType);
  const shown = types.slice(0, MOST_TYPES).map(([type, read]) => `${type} ${number(read)}`);
  const more = types.length - shown.length;
  if (more > 0) shown.push(`${more} more types`);
  return shown.length === 0 ? [] : ['', ...rows(shown, '  ')];
}

function rows(words: readonly string[], indent: string): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const line = lines.at(-1);
    if (line === undefined || line.length + word.length > WIDTH) lines.push(`${indent}${word}`);
    else lines[lines.length - 1] = `${line} · ${word}`;
  }
  return lines;
}

function taskLines({ name, role, group, shards, silenceMs, heapUsed, rss, url, problems }: TaskMetrics): string[] {
  const connected = `${shards.connected}/${shards.assigned}`;
  const silence = silenceMs === null ? NONE : `${number(silenceMs)} ms`;
  return [
    line(TASKS, name, role, String(group ?? NONE), connected, silence, mib(heapUsed), mib(rss), `   ${url}/`),
    ...problems.map((problem) => `  ${styleText('red', problem)}`),
  ];
}

const nodeText = ({ name, running }: StageMetrics['nodes'][number]): string =>
  running ? name : styleText('red', `${name} is down`);

function line(widths: readonly number[], ...cells: string[]): string {
  const padded = cells.map((cell, column) => {
    const width = widths[column] ?? 0;
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
  });
  return `  ${padded.join('')}`;
}

/** While events wait in an outbox, or for a broker that is away, they are late, not lost. */
const lost = ({ lost: count, outbox }: StageMetrics): string =>
  count !== null && count > 0 && outbox.events > 0 ? NONE : number(count);

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const number = (value: number | null): string => (value === null ? NONE : grouped.format(value));
const ms = (value: number | null): string => (value === null ? NONE : `${value.toFixed(1)} ms`);
const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
const bold = (text: string): string => styleText('bold', text);
const dim = (text: string): string => styleText('dim', text);

function clock(seconds: number): string {
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
