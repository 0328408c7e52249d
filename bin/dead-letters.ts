// The dead letters on the command line: what is there and why, single messages, publishing them again, and dropping them.
// Nothing is changed without --yes, and a message leaves the queue only when that was its purpose, or when the broker has
// confirmed its copy. Whatever ends the program, what it had not finished is in the queue.

import { parseArgs } from 'node:util';
import {
  argumentsOf,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  connectAsOperator,
  exitCodeOf,
  UsageError,
} from '../lib/operator/connect.ts';
import {
  copyOf,
  count,
  type DeadLetter,
  deadLetterOf,
  durationMs,
  emptyCounts,
  type Filter,
  inUnits,
  matches,
  QUEUE,
  REASONS,
  reasonToSkip,
} from '../lib/operator/dead-letter.ts';
import { print } from '../lib/operator/print.ts';
import { bodyOf, jsonLine, jsonText, printable } from '../lib/operator/printable.ts';
import { Progress } from '../lib/operator/progress.ts';
import { replayOn } from '../lib/operator/replay.ts';
import { walk } from '../lib/operator/walk.ts';
import { EXCHANGES, QUEUES } from '../service/contract/names.ts';

const COMMANDS = ['list', 'show', 'replay', 'discard'] as const;
/** What `list` prints of its table. */
const MOST_LINES = 40;

const HELP = `Usage: npm run dead-letters -- list|show|replay|discard [filters] [options]

  list     counts the messages of the queue ${QUEUE} by reason, queue and type, with the oldest and the newest
  show     prints them; tokens are masked. They stay where they are, as with list
  replay   publishes them to ${EXCHANGES.events} again, under the key and the id that they had. What can no longer be
           answered (interactions after 15 minutes, autocompletes after 3 s) and what is no event is left out
  discard  removes them

Filters; of several of one kind any is enough:
  --reason R         ${REASONS.join(', ')}; refused: a command, by the ingestor
  --type TOPIC       routing key at first, an event's type: member.join, 'member.*', 'interaction.#'
  --id ID            eventId
  --older-than AGE, --younger-than AGE
                     since it became a dead letter: 90s, 30m, 2h, 7d

Options:
  --yes              replay and discard: without it they only report what they would do
  --expired          replay: also what can no longer be answered
  --json             list: one JSON object; show: one JSON object a line
${CONNECTION_HELP}
  --help

Every queue that is bound to the key gets the copy, further queues too: workers drop an eventId that they have
handled. A key that no queue is bound to takes it to the queue ${QUEUES.unrouted}, and the broker confirms that too. A
message leaves ${QUEUE} when the broker has confirmed its copy. Ctrl-C finishes what is under way, a second one does
not. However the program ends, a message is then in ${QUEUE}, in its queue, or in both.

Exit code: 0 done; 1 failed, was interrupted, or the broker did not take all; 2 a mistake in the command`;

const DRY = '\nnothing was changed: the same command with --yes does it';
const READER_GONE = 'the reader of the output is gone';
const interrupted = new AbortController();
if (import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  // `| head` has read enough.
  process.stdout.on('error', () => interrupted.abort(READER_GONE));
  process.exitCode = await run(process.argv.slice(2));
}

/** @returns the exit code */
export async function run(args: readonly string[]): Promise<number> {
  return await exitCodeOf(() => main(args));
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args);
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [name, ...more] = positionals;
  const command = COMMANDS.find((known) => known === name);
  if (command === undefined || more.length > 0)
    throw new UsageError(
      `expected ${COMMANDS.join(', ')}, got '${positionals.join(' ')}'. More: npm run dead-letters -- --help`,
    );
  const filter = filterOf(values);
  const { yes, expired, json } = values;
  const model = await connectAsOperator('dead-letters', values);
  try {
    const run: Run = { filter, yes, expired, json, now: Date.now() };
    const work = { list, show, replay, discard }[command];
    return await work(model, run);
  } finally {
    await model.close().catch(() => undefined);
  }
}

interface Run {
  readonly filter: Filter;
  readonly yes: boolean;
  readonly expired: boolean;
  readonly json: boolean;
  /** Of every age, Unix ms. */
  readonly now: number;
}

type Model = Awaited<ReturnType<typeof connectAsOperator>>;
type Message = Parameters<Parameters<typeof walk>[1]['leaves']>[0];

function readArguments(args: readonly string[]) {
  return argumentsOf(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        reason: { type: 'string', multiple: true, default: [] },
        type: { type: 'string', multiple: true, default: [] },
        id: { type: 'string', multiple: true, default: [] },
        'older-than': { type: 'string' },
        'younger-than': { type: 'string' },
        yes: { type: 'boolean', default: false },
        expired: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        ...CONNECTION_OPTIONS,
        help: { type: 'boolean', default: false },
      },
    }),
  );
}

function filterOf(values: ReturnType<typeof readArguments>['values']): Filter {
  const unknown = values.reason.find((reason) => !REASONS.some((known) => known === reason));
  if (unknown !== undefined) throw new UsageError(`--reason: expected ${REASONS.join(', ')}, got '${unknown}'`);
  const age = (option: 'older-than' | 'younger-than') => {
    const text = values[option];
    const ms = text === undefined ? undefined : durationMs(text);
    if (text !== undefined && ms === undefined)
      throw new UsageError(`--${option}: expected a time such as 90s, 30m, 2h or 7d, got '${text}'`);
    return ms;
  };
  return {
    ...{ reasons: values.reason, types: values.type, ids: values.id },
    ...{ olderThanMs: age('older-than'), youngerThanMs: age('younger-than') },
  };
}

/** Each message that the filter matches, once. @returns how many the queue had, and how many matched */
async function each(
  model: Model,
  { filter, now }: Run,
  leaves: (letter: DeadLetter, message: Message) => Promise<boolean> | boolean,
  { isNew, quiet = false }: { isNew?: (message: Message) => boolean; quiet?: boolean } = {},
): Promise<{ looked: number; matched: number }> {
  const progress = quiet ? undefined : new Progress(process.stderr);
  const counts = { looked: 0, matched: 0 };
  await walk(model, {
    ...{ queue: QUEUE, signal: interrupted.signal, ...(isNew && { isNew }) },
    leaves: (message) => {
      const letter = deadLetterOf(message);
      counts.looked += 1;
      if (!matches(filter, letter, now)) return false;
      counts.matched += 1;
      return leaves(letter, message);
    },
    onProgress: (looked, total) => progress?.show(looked, total),
    note: console.error,
  }).finally(() => progress?.clear());
  return counts;
}

async function list(model: Model, run: Run): Promise<number> {
  const counts = emptyCounts();
  const { looked } = await each(model, run, (letter) => {
    count(letter, counts);
    return false;
  });
  const { all } = counts;
  const rows = [...counts.rows.values()].toSorted((a, b) => b.messages - a.messages);
  const time = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());
  if (run.json) {
    const groups = rows.map((row) => ({ ...row, oldest: time(row.oldest), newest: time(row.newest) }));
    const { messages, oldest, newest } = all;
    console.log(jsonLine({ looked, messages, oldest: time(oldest), newest: time(newest), groups }));
    return ended();
  }
  console.log(`${QUEUE}: ${number(looked)} messages, of which ${number(all.messages)} match`);
  if (all.messages === 0) return ended();
  const age = (ms: number | undefined) => (ms === undefined ? 'unknown' : inUnits(run.now - ms));
  const lines = rows
    .slice(0, MOST_LINES)
    .map(({ reason, queue, type, messages, oldest, newest }) => [
      ...[printable(reason), printable(queue), printable(type)],
      ...[number(messages), age(oldest), age(newest)],
    ]);
  console.log(`\n${aligned([['reason', 'from', 'type', 'messages', 'oldest', 'newest'], ...lines])}`);
  const more = rows.slice(MOST_LINES);
  const left = more.reduce((sum, { messages }) => sum + messages, 0);
  if (more.length > 0) console.log(`and ${number(left)} more, of ${number(more.length)} kinds: --json has them`);
  return ended();
}

async function show(model: Model, run: Run): Promise<number> {
  const shown = async (letter: DeadLetter, { content, properties }: Message) => {
    const { answerableUntil: _, run: replayed, since, ...rest } = letter;
    const body = bodyOf(content, properties.contentEncoding, properties.headers ?? {});
    const time = since === undefined ? undefined : new Date(since).toISOString();
    const text = run.json
      ? jsonLine({ ...rest, since: time, replayed, body })
      : [...headOf(letter, run.now).map(printable), jsonText(body), ''].join('\n');
    await print(`${text}\n`, interrupted.signal);
    return false;
  };
  await each(model, run, shown, { quiet: true });
  return ended();
}

function headOf({ reason, type, queue, since, id, run, refusal }: DeadLetter, now: number): string[] {
  const age = since === undefined ? 'at an unknown time' : `${inUnits(now - since)} ago`;
  const again = run === undefined ? '' : `, replayed at ${run}`;
  return [`${reason} ${type} from ${queue}, ${age}, id ${id ?? 'none'}${again}`, ...(refusal ? [refusal] : [])];
}

async function replay(model: Model, run: Run): Promise<number> {
  const counts = { published: 0, returned: 0, refused: 0, expired: 0, noEvent: 0 };
  const name = new Date(run.now).toISOString();
  const publish = await replayOn(model);
  const { matched } = await each(
    model,
    run,
    async (letter, message) => {
      const why = reasonToSkip(letter, Date.now());
      if (why !== undefined && !(why === 'expired' && run.expired)) {
        counts[why] += 1;
        return false;
      }
      const options = copyOf(message, letter, name, Date.now());
      const outcome = run.yes ? await publish(letter.type, message.content, options) : 'published';
      counts[outcome] += 1;
      return run.yes && outcome === 'published';
    },
    { isNew: (message) => deadLetterOf(message).run === name },
  );
  const { published, returned, refused, expired, noEvent } = counts;
  const reasons = [
    expired > 0 && `${number(expired)} can no longer be answered (--expired publishes them)`,
    noEvent > 0 && `${number(noEvent)} are no events`,
    returned > 0 && `${number(returned)} would reach no queue: is the topology applied?`,
    refused > 0 &&
      `${number(refused)} could not be published: is the queue full, or are the headers odd or above 64 KiB?`,
  ].filter((reason) => reason !== false);
  const left = reasons.length === 0 ? '' : `; left in the queue: ${reasons.join(', ')}`;
  const unrouted = published > 0 ? `\nwhat no queue is bound to goes to the queue ${QUEUES.unrouted}` : '';
  const sum = `${number(published)} of ${number(matched)} matching messages to ${EXCHANGES.events}${left}${unrouted}`;
  console.log(run.yes ? `published ${sum}` : `would publish ${sum}${DRY}`);
  return ended(returned + refused);
}

async function discard(model: Model, run: Run): Promise<number> {
  const { looked, matched } = await each(model, run, () => run.yes);
  const sum = `${number(matched)} of the ${number(looked)} messages`;
  console.log(run.yes ? `discarded ${sum}` : `would discard ${sum}${DRY}`);
  return ended();
}

/** @returns the exit code */
function ended(failures = 0): number {
  const { aborted, reason } = interrupted.signal;
  if (reason === READER_GONE) return 0;
  if (aborted) console.error('interrupted: the rest stays in the queue');
  return aborted || failures > 0 ? 1 : 0;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row.map((cell, column) => (column < 3 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))),
    )
    .map((cells) => cells.join('  ').trimEnd())
    .join('\n');
}
