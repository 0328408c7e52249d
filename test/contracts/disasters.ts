// Which alarms each disaster turns on: expectations as data, and the evaluation of what real tasks wrote during it
// (`npm run alarms`, bench/alarms.ts). A recording begins one minute before the disaster. That minute, of a healthy bot, is
// repeated to fill the time before the recording; its last two minutes are repeated to fill the time after it.
//
// The offset between a task's minute and CloudWatch's is random, and AWS does not document how many periods CloudWatch reads
// beyond an alarm's own. So each recording is evaluated several times, and the seconds are the lowest and the highest of all
// evaluations. CloudWatch's own delay is not in them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { alarmDefinitions, IMPAIRED, UNHEALTHY } from '../../lib/alarms.ts';
import { type Choices, settingsFor } from '../../lib/settings.ts';
import { DEFAULT_METRICS_NAMESPACE, ENVIRONMENT_DIMENSION } from '../../service/contract/metrics.ts';
import { synthesized } from '../support/synthesized.ts';
import {
  type AlarmProperties,
  type AlarmState,
  alarmsOf,
  DataPoints,
  messagesOf,
  readBy,
  statesOf,
} from './cloudwatch.ts';
import { type Recording, type Row, readRecording } from './recording.ts';

export interface Disaster {
  readonly settings?: Choices;
  /** How much of the end of the recording is repeated: whole minutes. @default 120 */
  readonly repeatedSeconds?: number;
  /** Alarms, and within how many seconds each is on in every evaluation. No other alarm may be on in any. */
  readonly turnsOn?: Readonly<Record<string, number>>;
  /** Alarms that may be on in some evaluations. */
  readonly mayTurnOn?: readonly string[];
  /** Which alarm pages first, and within how many seconds. @default - none pages */
  readonly pages?: readonly ['unhealthy' | 'impaired', number];
}

const shards = (standbys: number): Choices => ({ shards: { count: 2, perTask: 16, standbys } });

/** Of tasks of which none reports for minutes. */
const SILENT = { silent: 240, 'release-offline': 420, 'shards-missing': 420 };
/** Of a task that cannot reach the broker. */
const UNREACHED = { unconfirmed: 240, 'release-broker': 300, 'broker-unreachable': 300, 'standby-missing': 930 };
/** Of a queue that refuses what is published, and whose workers are away. */
const REFUSED = { 'release-publish-errors': 210, 'publish-errors': 210, unconfirmed: 240, 'no-consumer': 360 };

export const DISASTERS = {
  healthy: {},
  idle: {},
  'a night with one event a minute': {},
  'a deployment': {},
  'a hand-over': {},
  'the broker restarts in 30 s': {},
  'op 7 to all': {},
  'the first deployment': {},
  'every task dead': { turnsOn: SILENT, pages: ['unhealthy', 240] },
  'crash loop: each task lives 40 s': { turnsOn: SILENT, pages: ['unhealthy', 240] },
  'crash loop that IDENTIFYs each time': {
    turnsOn: { ...SILENT, 'gateway-gap': 90, 'identifies-left': 330 },
    mayTurnOn: ['release-gaps'],
    pages: ['unhealthy', 90],
  },
  'no token': { turnsOn: { 'release-offline': 300, 'shards-missing': 300 }, pages: ['unhealthy', 300] },
  'first deployment without a token': { turnsOn: { 'shards-missing': 210 }, pages: ['unhealthy', 210] },
  'the token is rejected': { turnsOn: { 'release-offline': 300, 'shards-missing': 300 }, pages: ['unhealthy', 300] },
  'an intent is not granted': {
    turnsOn: { 'gateway-gap': 90, 'release-offline': 300, 'shards-missing': 300 },
    pages: ['unhealthy', 90],
  },
  'REST answers 429, all sessions lost': {
    turnsOn: { 'gateway-gap': 90, 'shards-missing': 300, 'discord-rest': 930 },
    pages: ['unhealthy', 90],
  },
  'all sessions lost once': { turnsOn: { 'gateway-gap': 90 }, pages: ['unhealthy', 90] },
  'a session lost, the task killed 20 s later': { turnsOn: { 'gateway-gap': 90 }, pages: ['unhealthy', 90] },
  "the day's IDENTIFYs are spent": {
    turnsOn: { 'gateway-gap': 90, 'shards-missing': 300, 'identifies-left': 330 },
    pages: ['unhealthy', 90],
  },
  'the broker is stopped': { turnsOn: UNREACHED, pages: ['impaired', 420] },
  'one task cannot reach the broker': { turnsOn: UNREACHED, pages: ['impaired', 420] },
  'memory alarm': { turnsOn: { 'broker-blocked': 180, unconfirmed: 240 }, pages: ['impaired', 360] },
  'memory alarm, and the outbox is full': {
    turnsOn: { 'broker-blocked': 180, outbox: 180, unconfirmed: 240, 'shards-missing': 300 },
    pages: ['unhealthy', 300],
  },
  'a queue is stuck': { turnsOn: { unconfirmed: 240 }, pages: ['impaired', 420] },
  'the lease queue is stuck': { turnsOn: { unconfirmed: 240, 'standby-missing': 930 }, pages: ['impaired', 420] },
  'workers are away, and their queue is full': {
    turnsOn: { ...REFUSED, 'interactions-waiting': 300 },
    pages: ['impaired', 420],
  },
  'a queue is full, and one message is taken in 2 s': {
    turnsOn: { ...REFUSED, 'interactions-waiting': 300, 'slow-confirms': 630 },
    pages: ['impaired', 420],
  },
  'interactions are full': {
    turnsOn: { 'release-publish-errors': 240, 'publish-errors': 240, unconfirmed: 240, 'no-consumer': 360 },
    pages: ['impaired', 420],
  },
  'all workers are away': {
    settings: { ...shards(1), budgets: { guildEventsWaiting: 500 } },
    turnsOn: { 'interactions-waiting': 300, 'no-consumer': 360, 'guild-events-waiting': 360 },
  },
  'the alternate exchange is gone, and a binding': {
    turnsOn: { 'release-returned': 90, returned: 90 },
    pages: ['unhealthy', 90],
  },
  'a binding is missing': { turnsOn: { unrouted: 120 } },
  'an unknown dispatch': { turnsOn: { 'not-understood': 90 }, pages: ['unhealthy', 90] },
  'one of two standbys is missing': {
    settings: shards(2),
    turnsOn: { 'standby-missing': 930 },
    pages: ['impaired', 1110],
  },
  'one of two standbys crashes after 70 s, again and again': {
    settings: shards(2),
    repeatedSeconds: 300,
    turnsOn: { 'standby-missing': 1200 },
    pages: ['impaired', 1380],
  },
  'no worker, and three interactions a minute': { turnsOn: { 'no-consumer': 360 } },
  'workers that acknowledge nothing': { turnsOn: { 'interactions-waiting': 360, 'no-consumer': 420 } },
  'workers refuse all messages': { turnsOn: { 'dead-letters': 300 } },
  'the broker confirms after 1.5 s': { turnsOn: { 'slow-confirms': 630 } },
  'a task is short of heap, as its outbox fills': {
    turnsOn: { 'broker-blocked': 180, outbox: 180, unconfirmed: 240, heap: 300 },
    pages: ['impaired', 360],
  },
  'Discord recommends more shards': { turnsOn: { 'more-shards-wanted': 330 } },
  'the lease queue is deleted': {},
} as const satisfies Record<string, Disaster>;

export type DisasterName = keyof typeof DISASTERS;

const BEFORE_MINUTES = 30;
export const AFTER_MINUTES = 40;
/** Seconds of CloudWatch's minute that have passed when the disaster begins. */
const OFFSETS = [0, 15, 30, 45];
const EXTRA_PERIODS = [0, 2];
/** A new environment's alarms are created when its service is stable: at the earliest two minutes after the tasks start. */
const CREATED_MINUTE = BEFORE_MINUTES + 2;
const ENVIRONMENT = 'production';
const PREFIX = `discord-ingestor-${ENVIRONMENT}-`;

interface CompositeAlarm extends AlarmProperties {
  readonly AlarmRule: unknown;
  readonly ActionsSuppressor?: unknown;
  readonly ActionsSuppressorWaitPeriod?: number;
  readonly ActionsSuppressorExtensionPeriod?: number;
}

/** Without the alarms on Amazon MQ's metrics. */
function ingestorAlarms(choices: Choices) {
  const made = synthesized(ENVIRONMENT, choices);
  const nameOf = (id: string) => String(made.resources.get(id)?.Properties.AlarmName).replace(PREFIX, '');
  const referred = (rule: unknown) =>
    [...JSON.stringify(rule ?? '').matchAll(/"Fn::GetAtt":\["(\w+)","Arn"\]/g)].map(([, id = '']) => nameOf(id));
  return {
    plain: [...alarmsOf(made)].filter(([, alarm]) => !JSON.stringify(alarm).includes('AWS/AmazonMQ')),
    composites: [...alarmsOf<CompositeAlarm>(made, 'CompositeAlarm')].map(([id, composite]) => ({
      ...{ id, of: referred(composite.AlarmRule), suppressor: referred(composite.ActionsSuppressor)[0] },
      wait: (composite.ActionsSuppressorWaitPeriod ?? 0) / 60,
      extension: (composite.ActionsSuppressorExtensionPeriod ?? 0) / 60,
    })),
  };
}

/** Metrics that these alarms read, as `Row` has them. */
export function metricsRead(choices: Choices = shards(1)): ReadonlySet<string> {
  const read = ingestorAlarms(choices).plain.flatMap(([, alarm]) => readBy(alarm));
  return new Set(
    read.map(({ Metric: { MetricName, Dimensions = [] } }) => {
      const queue = Dimensions.find(({ Name }) => Name === 'Queue')?.Value;
      return queue === undefined ? String(MetricName) : `${MetricName} ${queue}`;
    }),
  );
}

/** The healthy minute repeated, the recording, and its end repeated. */
function* allRows({ first, rows, seconds }: Recording, repeated: number): Generator<Row> {
  const again = function* (of: readonly Row[], length: number, times: readonly number[]): Generator<Row> {
    for (const row of of) for (const time of times) yield { ...row, second: row.second + time * length };
  };
  const minute = rows.filter(({ second, whole }) => second < 0 && whole);
  if (!first)
    yield* again(
      minute,
      60,
      count(BEFORE_MINUTES - 1).map((index) => -1 - index),
    );
  yield* rows;
  const last = rows.filter(({ second }) => second >= seconds - repeated);
  const times = count(Math.ceil((AFTER_MINUTES * 60 - seconds) / repeated));
  yield* again(
    last,
    repeated,
    times.map((index) => 1 + index),
  );
}

const count = (n: number): number[] => Array.from({ length: n }, (_, index) => index);

function dataOf(recording: Recording, offset: number, repeated: number): DataPoints {
  const data = new DataPoints();
  for (const { second, values } of allRows(recording, repeated)) {
    const minute = Math.floor((BEFORE_MINUTES * 60 + offset + second) / 60);
    for (const [name, value] of Object.entries(values)) {
      const [metric, queue] = name.split(' ');
      const dimensions = { [ENVIRONMENT_DIMENSION]: ENVIRONMENT, ...(queue && { Queue: queue }) };
      for (const each of [value].flat())
        data.add(`${DEFAULT_METRICS_NAMESPACE} ${metric}`, dimensions, { minute, value: each });
    }
  }
  return data;
}

/** One evaluation: seconds from the beginning of the disaster. */
interface Evaluation {
  /** When each alarm turned on. Below 0: it was on before the disaster. */
  readonly on: ReadonlyMap<string, number>;
  readonly pages: readonly { readonly composite: string; readonly state: AlarmState; readonly second: number }[];
}

function evaluations(recording: Recording, { settings = shards(1), repeatedSeconds = 120 }: Disaster): Evaluation[] {
  const { plain, composites } = ingestorAlarms(settings);
  const minutes = BEFORE_MINUTES + AFTER_MINUTES;
  return OFFSETS.flatMap((offset) => {
    const data = dataOf(recording, offset, repeatedSeconds);
    const endOf = (minute: number) => (minute + 1 - BEFORE_MINUTES) * 60 - offset;
    return EXTRA_PERIODS.map((extra) => {
      const states = new Map(
        plain.map(([id, alarm]) => {
          const each = statesOf(alarm, data, minutes, extra);
          return [id, recording.first ? each.fill('INSUFFICIENT_DATA', 0, CREATED_MINUTE) : each] as const;
        }),
      );
      for (const { id, of } of composites)
        states.set(
          id,
          count(minutes).map((minute) => (of.some((each) => states.get(each)?.[minute] === 'ALARM') ? 'ALARM' : 'OK')),
        );
      const on = [...states].flatMap(([id, each]) => {
        const from = each.indexOf('ALARM', BEFORE_MINUTES - 1);
        return from < 0 ? [] : [[id, endOf(from)] as const];
      });
      const from = (id: string) => (states.get(id) ?? []).slice(BEFORE_MINUTES - 1);
      const pages = composites.flatMap(({ id, suppressor, wait, extension }) =>
        messagesOf(from(id), suppressor === undefined ? undefined : { states: from(suppressor), wait, extension }).map(
          ({ minute, state }) => ({ composite: id, state, second: endOf(minute + BEFORE_MINUTES - 1) }),
        ),
      );
      return { on: new Map(on), pages: pages.toSorted((a, b) => a.second - b.second) };
    });
  });
}

export type Range = readonly [first: number, last: number];

/** What a disaster turns on, over all evaluations. */
export interface Outcome {
  readonly alarms: ReadonlyMap<string, { readonly on: Range; readonly always: boolean }>;
  /** The first page. `always`: it is sent in every evaluation. */
  readonly page: { readonly by: ReadonlySet<string>; readonly at: Range; readonly always: boolean } | undefined;
  /** The most pages of one alarm. More than one means a false OK between them. */
  readonly mostPages: number;
}

export function outcomeOf(recording: Recording, disaster: Disaster): Outcome {
  const all = evaluations(recording, disaster);
  const range = (seconds: readonly number[]): Range => [Math.min(...seconds), Math.max(...seconds)];
  const ids = new Set(all.flatMap(({ on }) => [...on.keys()]));
  const alarms = [...ids].map((id) => {
    const times = all.flatMap(({ on }) => on.get(id) ?? []);
    return [id, { on: range(times), always: times.length === all.length }] as const;
  });
  const pages = all.map((each) => each.pages.filter(({ state }) => state === 'ALARM'));
  const firsts = pages.flatMap(([first]) => first ?? []);
  return {
    alarms: new Map(alarms.toSorted(([, a], [, b]) => a.on[1] - b.on[1])),
    page:
      firsts.length === 0
        ? undefined
        : {
            by: new Set(firsts.map(({ composite }) => composite)),
            at: range(firsts.map(({ second }) => second)),
            always: firsts.length === all.length,
          },
    mostPages: Math.max(
      ...pages.flatMap((each) => [...COMPOSITES].map((id) => each.filter(({ composite }) => composite === id).length)),
    ),
  };
}

/** One sentence for each difference from what is expected. */
export function complaints(outcome: Outcome, { turnsOn = {}, mayTurnOn = [], pages }: Disaster): string[] {
  const found: string[] = [];
  for (const [id, within] of Object.entries(turnsOn)) {
    const { on, always } = outcome.alarms.get(id) ?? {};
    if (on === undefined) found.push(`${id} is never on, expected within ${within} s`);
    else if (!always) found.push(`${id} is on in some evaluations only, expected within ${within} s`);
    else if (on[0] < 0) found.push(`${id} is on before it`);
    else if (on[1] > within) found.push(`${id} is on after ${on[1]} s, expected within ${within} s`);
  }
  for (const [id, { on }] of outcome.alarms)
    if (!(id in turnsOn) && !mayTurnOn.includes(id) && !COMPOSITES.has(id))
      found.push(`${id} is on after ${on.join(' to ')} s, expected never`);
  if (pages === undefined) {
    if (outcome.page)
      found.push(`${[...outcome.page.by]} pages after ${outcome.page.at.join(' to ')} s, expected no page`);
  } else {
    const [by, within] = pages;
    if (outcome.page === undefined || !outcome.page.always) found.push(`expected a page by ${by} in every evaluation`);
    else if (outcome.page.at[1] > within || [...outcome.page.by].join() !== by)
      found.push(`${[...outcome.page.by]} pages after ${outcome.page.at[1]} s, expected ${by} within ${within} s`);
  }
  if (outcome.mostPages > 1) found.push(`one alarm pages ${outcome.mostPages} times: its OK between was false`);
  return found;
}

export const RECORDED = join(import.meta.dirname, 'recorded/alarms');
export const fileOf = (name: DisasterName): string =>
  join(RECORDED, `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.json`);

export const recordingOf = (name: DisasterName): Recording => readRecording(readFileSync(fileOf(name), 'utf8'));

/** In Markdown: seconds until each is on. */
export function tableOf(outcomes: ReadonlyMap<DisasterName, Outcome>): string {
  const rows = [...outcomes].map(([name, { alarms, page }]) => {
    const said = (ids: (id: string) => boolean) =>
      [...alarms]
        .flatMap(([id, { on, always }]) =>
          ids(id) ? `\`${id}\` ${secondsOf(on)}${always ? '' : ' (not always)'}` : [],
        )
        .join(', ') || '—';
    const ofRelease = (id: string) => id.startsWith('release-');
    const isNotice = (id: string) => !HEALTH.has(id) && !COMPOSITES.has(id) && !ofRelease(id);
    const paged =
      page === undefined ? '—' : `${[...page.by].map((id) => `\`${id}\``).join(' or ')} ${secondsOf(page.at)}`;
    return `| ${name} | ${said((id) => HEALTH.has(id))} | ${paged} | ${said(isNotice)} | ${said(ofRelease)} |`;
  });
  return [
    '| disaster | alarms of health, after so many seconds | pages | notices | rolls back |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

const COMPOSITES: ReadonlySet<string> = new Set([UNHEALTHY, IMPAIRED]);
const HEALTH: ReadonlySet<string> = new Set(
  alarmDefinitions(settingsFor(ENVIRONMENT, shards(1))).flatMap(({ id, family }) => (family === 'health' ? id : [])),
);
const secondsOf = ([first, last]: Range): string => (first === last ? `${first}` : `${first}–${last}`);

const [BEGIN, END] = ['<!-- written by npm run alarms -- --record -->', '<!-- until here -->'];

/** The text with the table between its two markers. */
export function withTable(text: string, table: string): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = rest?.split(END) ?? [];
  if (after === undefined) throw new Error(`docs/runbook.md: expected ${BEGIN} and ${END}`);
  return `${before}${BEGIN}\n${table}\n${END}${after}`;
}
