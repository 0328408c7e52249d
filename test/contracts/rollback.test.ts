// What rolls a deployment back, and what does not: one test for each row of the table in docs/deploy.md. Tasks of two versions
// write metric lines with the service's own code (gauges.ts, session.ts), the synthesized alarms evaluate them minute by minute,
// and ECS's rule decides.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Choices, type Settings, settingsFor } from '../../lib/settings.ts';
import { DEFAULT_METRICS_NAMESPACE } from '../../service/contract/metrics.ts';
import { QUEUES } from '../../service/contract/names.ts';
import { declareGauges } from '../../service/gauges.ts';
import type { HealthSnapshot } from '../../service/health.ts';
import type { GroupRecord } from '../../service/lease/group-record.ts';
import { takeOver } from '../../service/lease/take-over.ts';
import type { LostSession } from '../../service/lost-session.ts';
import { type CounterName, Metrics } from '../../service/metrics.ts';
import { ShardSession } from '../../service/session/session.ts';
import { HEALTHY, SHARD } from '../support/health-snapshot.ts';
import { logLines } from '../support/log-lines.ts';
import { NO_SESSION_EVENTS } from '../support/no-session-events.ts';
import { synthesized } from '../support/synthesized.ts';
import { alarmsOf, DataPoints, statesOf } from './cloudwatch.ts';

/** The minute at which the new tasks start. */
const START = 10;
/** The minute at which the new tasks run alone. */
const ALONE = START + 2;
const MINUTE_MS = 60_000;
const TAKEN_OVER_AT = ALONE * MINUTE_MS;

/** The state of a task in one minute. A missing field means healthy. */
interface TaskState {
  /** Number of connected shards of its group. @default - all */
  readonly connected?: number;
  readonly owns?: boolean;
  /** The state of the shards that are not connected. */
  readonly shard?: 'connecting' | 'identifying' | 'waiting' | 'failed' | 'stopped';
  readonly session?: boolean;
  readonly identifyingSince?: number;
  readonly broker?: 'used' | 'away' | 'blocked' | 'stuck';
  readonly receiving?: boolean;
  readonly discord?: Partial<HealthSnapshot['discord']>;
  readonly spentUntil?: number;
  /** What the counters add in this minute. */
  readonly counted?: Partial<Record<CounterName, number>>;
}

/** @param owner whether the task owns a group @returns undefined while the task ends before it reports */
type Version = TaskState | ((minute: number, owner: boolean) => TaskState | undefined);

interface Situation {
  readonly settings?: Choices;
  /** The settings of the old version. @default - the same */
  readonly settingsBefore?: Choices;
  readonly old?: Version | 'none';
  readonly fresh?: Version;
  /** The old tasks end one after the other, one each minute; or never, because no new one becomes healthy. */
  readonly oldEnd?: 'slowly' | 'never';
}

const offline = { connected: 0 } as const;
const WAITING: TaskState = { ...offline, shard: 'waiting' };
const NO_TOKEN: TaskState = { ...offline, shard: 'connecting', session: false, discord: { tokenMissing: true } };
const since =
  (start: number, state: TaskState): Version =>
  (minute) =>
    minute < start ? {} : state;
/** IDENTIFYs until this minute: one in 5 s. */
const identified = (minute: number): number => Math.max(0, 12 * (minute - ALONE));

interface StoredAt {
  readonly storedAt: number;
  readonly aliveUntil?: number;
}

/** Whether session.ts counts the loss of a session that another task stored as one in a hand-over. */
function lostBy({ storedAt, ...alive }: StoredAt): boolean {
  let inHandOver: boolean | undefined;
  const lost = (session: LostSession) => {
    inHandOver = session.inHandOver;
  };
  const session = new ShardSession(0, 1, { ...NO_SESSION_EVENTS, lost });
  const stored = { sessionId: 's', resumeUrl: 'wss://x.discord.gg', sequence: 1, shardCount: 1, startedAt: 0 };
  session.restore({ ...stored, ...alive }, storedAt, TAKEN_OVER_AT);
  session.refused('op 9', TAKEN_OVER_AT);
  session.refused('op 9', TAKEN_OVER_AT);
  if (inHandOver === undefined) throw new Error('the session was not lost');
  return inHandOver;
}

const gap = (inHandOver: boolean): TaskState['counted'] => ({
  gatewayGaps: 1,
  ...(inHandOver && { gapsInHandOver: 1 }),
});

const once = (minute: number, at: number, counted: TaskState['counted']): TaskState =>
  minute === at ? { ...(counted && { counted }) } : {};

/** Each new owner loses one session that was stored like this. */
const losing =
  (record: StoredAt): Version =>
  (minute, owner) =>
    owner ? once(minute, ALONE, gap(lostBy(record))) : {};

const reshard = { count: 64, perTask: 16, standbys: 1 };
/** What the new owner of a group counts when the number of shards has changed. */
const resharded = (() => {
  const session = { sessionId: 's', resumeUrl: 'wss://x.discord.gg', sequence: 1, shardCount: 32, startedAt: 0 };
  const record: GroupRecord = {
    ...{ version: 1, group: 0, owner: 'old', epoch: 1, commit: 1, storedAt: 0, unreportedGaps: [] },
    shardLayout: { shardCount: 32, shardsPerTask: 16 },
    sessions: Object.fromEntries(Array.from({ length: 16 }, (_, id) => [String(id), session])),
  };
  const { lost } = takeOver({ group: 0, shardLayout: { shardCount: 64, shardsPerTask: 16 }, record }, 1_000);
  return { gatewayGaps: lost.length, gapsInHandOver: lost.filter(({ inHandOver }) => inHandOver).length };
})();
const resharding = (minute: number, owner: boolean): TaskState =>
  owner
    ? {
        connected: Math.floor(identified(minute) / 4),
        shard: 'identifying',
        session: false,
        identifyingSince: ALONE * MINUTE_MS,
        ...once(minute, ALONE, resharded),
      }
    : {};

/** The tasks of each situation in the table. */
const SITUATIONS: Readonly<Record<string, Situation>> = {
  'A release that works': {},
  'A release that works, of many tasks that end one after the other': {
    settings: { shards: { count: 128, perTask: 16, standbys: 2 } },
    oldEnd: 'slowly',
  },
  'The new tasks never own a shard': { fresh: { owns: false } },
  'The new tasks never connect: they cannot reach Discord, or what they send is refused': { fresh: WAITING },
  'Some shards of the new tasks never connect': {
    settings: { shards: reshard },
    fresh: { connected: 15, shard: 'connecting' },
  },
  'The new tasks ask for intents or a shard number that Discord refuses (4014, 4010)': {
    fresh: { ...offline, shard: 'failed', session: false, discord: { identifyClosed: true } },
  },
  'The same while the number of shards changes': {
    settings: { shards: reshard },
    settingsBefore: { shards: { ...reshard, count: 32 } },
    fresh: (minute, owner) => ({
      ...resharding(minute, owner),
      ...offline,
      shard: 'identifying',
      discord: { identifyClosed: true },
    }),
  },
  'IDENTIFYs of the new tasks are never answered': {
    fresh: { ...offline, shard: 'identifying', session: false, identifyingSince: ALONE * MINUTE_MS },
  },
  'A wrong token in place of one that worked': { fresh: { ...offline, shard: 'connecting' } },
  'A secret without a token in place of one that worked': {
    fresh: { ...offline, shard: 'connecting', discord: { tokenMissing: true } },
  },
  'The new tasks cannot use the broker: wrong secret, security group or network': {
    fresh: { owns: false, broker: 'away' },
  },
  'One of the new tasks cannot use the broker': {
    settings: { shards: { standbys: 1 } },
    fresh: (_, owner) => (owner ? {} : { broker: 'away' }),
  },
  'The broker refuses what the new tasks publish': {
    // With few events, no message is refused in some minutes.
    fresh: (minute) => (minute < ALONE || minute % 4 === 0 ? {} : { counted: { publishErrors: 2 } }),
  },
  'The broker refuses messages for two minutes, and then accepts them': {
    fresh: (minute) => (minute < ALONE || minute >= ALONE + 2 ? {} : { counted: { publishErrors: 50 } }),
  },
  'Events that are larger than the broker accepts': { fresh: since(START, { counted: { messagesDropped: 5 } }) },
  'No queue is bound for what the new tasks publish': {
    fresh: (minute) => once(minute, ALONE + 3, { eventsReturned: 1 }),
  },
  'The new tasks are refused a session that was alive, or cannot read its record': {
    fresh: losing({ storedAt: TAKEN_OVER_AT - 2_000 }),
  },
  'Tasks that crash before they are healthy': { fresh: () => undefined, oldEnd: 'never' },
  'First deployment, no token yet': { old: 'none', fresh: NO_TOKEN },
  'First deployment, with a wrong token or without the intents': {
    old: 'none',
    fresh: { ...offline, shard: 'connecting', session: false },
  },
  'Another deployment while there is still no token': { old: NO_TOKEN, fresh: NO_TOKEN },
  'Another number of shards: all sessions are given up, and one IDENTIFY is allowed in 5 s': {
    settings: { shards: reshard },
    settingsBefore: { shards: { ...reshard, count: 32 } },
    fresh: resharding,
  },
  "New sessions, and the day's IDENTIFYs are spent": {
    fresh: {
      ...offline,
      shard: 'identifying',
      session: false,
      identifyingSince: 0,
      spentUntil: 24 * 60 * MINUTE_MS,
    },
  },
  "New sessions, and Discord's REST asks to wait (429)": {
    fresh: { ...offline, shard: 'connecting', session: false, discord: { restLimited: true } },
  },
  'A long outage with tasks that run and cannot connect, then the fix, which meets expired sessions': {
    old: WAITING,
    fresh: losing({ storedAt: TAKEN_OVER_AT - 1_000, aliveUntil: TAKEN_OVER_AT - 3_600_000 }),
  },
  'A long outage that ended a moment ago, then a deployment that meets expired sessions': {
    fresh: losing({ storedAt: TAKEN_OVER_AT - 600_000 }),
  },
  'The old version is offline, and the new one too': { old: WAITING, fresh: WAITING },
  'No task of the old version runs, and the new one stays offline': {
    old: (minute) => (minute < 3 ? {} : undefined),
    fresh: WAITING,
  },
  'The old version cannot use the broker, nor can the new one': { old: { broker: 'away' }, fresh: { broker: 'away' } },
  'The broker refuses what the old version publishes, and what the new one publishes': {
    old: { counted: { publishErrors: 2 } },
    fresh: { counted: { publishErrors: 2 } },
  },
  'No queue is bound for what the old version publishes, nor for what the new one publishes': {
    old: { counted: { eventsReturned: 1 } },
    fresh: { counted: { eventsReturned: 1 } },
  },
  'Each hand-over of the old version loses sessions, and those of the new one do': {
    old: (_, owner) => (owner ? { counted: gap(true) ?? {} } : {}),
    fresh: (_, owner) => (owner ? { counted: gap(true) ?? {} } : {}),
  },
  'Discord is unreachable for three minutes': { fresh: (minute) => (minute < ALONE + 3 ? WAITING : {}) },
  'Discord is unreachable while old and new tasks run, and is back before the old ones end': {
    old: since(START - 2, WAITING),
  },
  'Discord is unreachable since before the deployment': { old: since(3, WAITING), fresh: WAITING },
  'Discord becomes unreachable during the deployment, and stays unreachable': {
    old: since(START, WAITING),
    fresh: WAITING,
  },
  'Discord drops one session by itself': {
    fresh: (minute, owner) => (owner ? once(minute, ALONE + 2, { gatewayGaps: 1 }) : {}),
  },
  'Discord drops a session in the moment of its hand-over': { fresh: losing({ storedAt: TAKEN_OVER_AT - 1_000 }) },
  "The broker's maintenance: it is away for three minutes": {
    fresh: (minute) => (minute >= ALONE && minute < ALONE + 3 ? { broker: 'away' } : {}),
  },
  'The broker is unreachable while old and new tasks run, and is back before the old ones end': {
    old: (minute) => (minute < START - 2 ? {} : { broker: minute < ALONE ? 'away' : 'used' }),
    fresh: (minute) => ({ broker: minute < ALONE ? 'away' : 'used' }),
  },
  'The broker becomes unreachable after the old tasks have ended, and stays unreachable': {
    fresh: since(ALONE, { broker: 'away' }),
  },
  'The broker blocks publishers (memory, disk), and outboxes fill up': {
    fresh: since(ALONE + 2, { ...offline, shard: 'stopped', broker: 'blocked', receiving: false }),
  },
  'A queue stops answering, and outboxes fill up': {
    fresh: since(ALONE + 2, { ...offline, shard: 'stopped', broker: 'stuck', receiving: false }),
  },
  'A queue that refuses messages gets full during the deployment': {
    fresh: since(ALONE + 2, { counted: { publishErrors: 2 } }),
  },
};

/** The metric lines of one task of the ingestor. */
class Task {
  readonly #metrics = new Metrics();
  readonly #version: Version;
  #minute = 0;
  #owner = false;

  constructor(version: Version, settings: Settings) {
    this.#version = version;
    const snapshot = () => snapshotOf(this.#state ?? {}, { minute: this.#minute, owner: this.#owner, settings });
    const information = { latest: undefined, invalidRequests: 0, problem: undefined };
    const queues = { depths: new Map(), consumers: new Map() };
    declareGauges(this.#metrics, snapshot, queues, information, logLines().log);
  }

  report(minute: number, owner: boolean): string[] {
    this.#minute = minute;
    this.#owner = owner;
    if (this.#state === undefined) return [];
    for (const [name, by] of Object.entries(this.#state.counted ?? {})) this.#metrics.add(name as CounterName, by);
    return this.#metrics.emf(DEFAULT_METRICS_NAMESPACE, 'production');
  }

  end(): string[] {
    return this.#metrics.emf(DEFAULT_METRICS_NAMESPACE, 'production', 'counted');
  }

  get #state(): TaskState | undefined {
    return typeof this.#version === 'function' ? this.#version(this.#minute, this.#owner) : this.#version;
  }
}

function snapshotOf(
  state: TaskState,
  { minute, owner, settings }: { readonly minute: number; readonly owner: boolean; readonly settings: Settings },
): HealthSnapshot {
  const { broker = 'used', owns = owner, receiving = true, session = true } = state;
  const shards = Math.min(settings.shards.count, settings.shards.perTask);
  const connected = state.connected ?? shards;
  const now = minute * MINUTE_MS;
  return {
    ...{ ...HEALTHY, now, shardCount: settings.shards.count, receiving, group: owns ? 0 : undefined },
    role: owns ? 'owner' : 'standby',
    shards: Array.from({ length: owns ? shards : 0 }, (_, id) => ({
      ...{ ...SHARD, id, connected: id < connected, identifyingSince: state.identifyingSince },
      state: id < connected ? 'ready' : (state.shard ?? 'waiting'),
      confirmedSequence: id < connected || session ? 7 : undefined,
    })),
    discord: { ...HEALTHY.discord, ...state.discord },
    broker: {
      ...{ ...HEALTHY.broker, connected: broker !== 'away', channelOpen: broker !== 'away' },
      ...{ blocked: broker === 'blocked', stuck: broker === 'stuck' ? [QUEUES.guildEvents] : [] },
    },
    identifies: { ...HEALTHY.identifies, spentUntil: state.spentUntil },
  };
}

/** First the old tasks, then both, then the new ones alone until the end of ECS's bake time. */
function played({ settings = {}, settingsBefore = settings, old = {}, fresh = {}, oldEnd }: Situation): {
  readonly data: DataPoints;
  readonly end: number;
} {
  const data = new DataPoints();
  const now = settingsFor('production', settings);
  const before = settingsFor('production', settingsBefore);
  const former = old === 'none' ? [] : Array.from({ length: before.tasks }, () => new Task(old, before));
  const younger = Array.from({ length: now.tasks }, () => new Task(fresh, now));
  const endOf = (index: number) =>
    ALONE + { slowly: index, never: Number.POSITIVE_INFINITY, atOnce: 0 }[oldEnd ?? 'atOnce'];
  const end = (oldEnd === 'slowly' ? endOf(former.length) : ALONE) + deploymentConfiguration().BakeTimeInMinutes;
  for (let minute = 0; minute <= end; minute += 1) {
    const write = (lines: readonly string[]) => {
      for (const line of lines) data.write(line, minute);
    };
    // A new task takes a group over when its old owner ends.
    const handedOver = former.filter((_, index) => index < before.groups && minute >= endOf(index)).length;
    const owners = old === 'none' || (handedOver === before.groups && minute >= ALONE) ? now.groups : handedOver;
    for (const [index, task] of former.entries()) {
      if (minute < endOf(index)) write(task.report(minute, index < before.groups));
      else if (minute === endOf(index)) write(task.end());
    }
    // A task writes its first line one minute after its start.
    if (minute > START) for (const [index, task] of younger.entries()) write(task.report(minute, index < owners));
  }
  return { data, end };
}

function deploymentConfiguration() {
  return synthesized('production').one('AWS::ECS::Service').Properties.DeploymentConfiguration as {
    readonly Alarms: { readonly AlarmNames: readonly string[] };
    readonly BakeTimeInMinutes: number;
    readonly DeploymentCircuitBreaker: object;
  };
}

function deploymentAlarmsOf(choices: Choices = {}) {
  const { AlarmNames } = deploymentConfiguration().Alarms;
  const alarms = [...alarmsOf(synthesized('production', choices))];
  return alarms.filter(([, { AlarmName }]) => AlarmNames.includes(AlarmName));
}

/** As in the table; one for each number of additional periods: see `statesOf`. */
function cellsOf(situation: Situation): string[] {
  const { data, end } = played(situation);
  const alarms = deploymentAlarmsOf(situation.settings);
  return [0, 2].map((extra) => {
    const states = alarms.map(([id, alarm]) => ({ id, states: statesOf(alarm, data, end + 1, extra) }));
    const on = (from: number, to: number) =>
      states.flatMap((each) => (each.states.slice(from, to).includes('ALARM') ? each.id : [])).join(', ');
    // ECS ignores the alarms when one of them is on at the start of a deployment.
    const before = on(START - 1, START);
    return before ? `${before} is on before` : on(START, end + 1) || '—';
  });
}

const deploy = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
const [, section = ''] = /\n## What rolls a deployment back\n([\s\S]*?)(?=\n## )/.exec(deploy) ?? [];
const table = [...section.matchAll(/^\| (.+) \| (.+) \| (yes|no) \| (.+) \|$/gm)].map(
  ([, situation = '', alarm = '', rolledBack, why = '']) => ({
    situation,
    alarm: alarm.replaceAll('`', ''),
    rolledBack: rolledBack === 'yes',
    why,
  }),
);

it('every row of docs/deploy.md has a situation here, and a reason', () => {
  expect(table.map(({ situation }) => situation)).toEqual(Object.keys(SITUATIONS));
  for (const { situation, why } of table) expect(why.length, situation).toBeGreaterThan(20);
});

it.each(table)('$situation: $alarm', ({ situation, alarm, rolledBack }) => {
  const each = SITUATIONS[situation] ?? {};
  const cases = each.settings ? [each] : [1, 0].map((standbys) => ({ ...each, settings: { shards: { standbys } } }));
  // The circuit breaker rolls back when tasks do not start: no alarm does.
  const cell = alarm === 'circuit breaker' ? '—' : alarm;
  expect(new Set(cases.flatMap(cellsOf))).toEqual(new Set([cell]));
  expect(rolledBack).toBe(alarm !== '—' && !alarm.endsWith('is on before'));
});

it('the circuit breaker rolls back', () => {
  expect(deploymentConfiguration().DeploymentCircuitBreaker).toMatchObject({ Enable: true, Rollback: true });
});

it('a deployment that works leaves every alarm off, so that ECS looks at them in the next one', () => {
  const { data, end } = played({});
  for (const [id, alarm] of deploymentAlarmsOf()) expect(statesOf(alarm, data, end + 1, 0).at(-1), id).toBe('OK');
});
