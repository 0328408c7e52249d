// What rolls a deployment back, and what does not: each row of the table in docs/deploy.md is played. Tasks of two
// versions write their metric lines as real ones do (gauges from their state, sessions by the law of sessions), the
// synthesized alarms look at them minute by minute, and ECS's rule decides.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Choices, type Settings, settingsFor } from '../../lib/settings.ts';
import { DEFAULT_METRICS_NAMESPACE } from '../../service/contract/metrics.ts';
import { declareGauges } from '../../service/gauges.ts';
import type { HealthSnapshot } from '../../service/health.ts';
import type { GroupRecord } from '../../service/lease/group-record.ts';
import { takeOver } from '../../service/lease/take-over.ts';
import { type CounterName, Metrics } from '../../service/metrics.ts';
import { ShardSession } from '../../service/session/session.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';
import { type AlarmProperties, DataPoints, type Judgement, judged, statesOf } from './cloudwatch.ts';

/** Minutes. The old version has been alone until then. */
const START = 10;
/** The new tasks stand beside the old ones until here. */
const ALONE = START + 2;
const MINUTE_MS = 60_000;

/** A task in some minute; what is left out is well. */
interface TaskState {
  /** Of the shards of its group, when it owns one. */
  readonly connected?: number;
  readonly owns?: boolean;
  /** Of the shards that are not connected. */
  readonly shard?: 'connecting' | 'identifying' | 'waiting' | 'failed' | 'stopped';
  readonly session?: boolean;
  readonly identifyingSince?: number;
  readonly broker?: 'used' | 'away' | 'blocked';
  readonly receiving?: boolean;
  readonly discord?: Partial<HealthSnapshot['discord']>;
  readonly spentUntil?: number;
  /** In this minute. */
  readonly counted?: Partial<Record<CounterName, number>>;
}

/** @param owner whether it is its turn to hold a group @returns nothing while it does not live long enough to report */
type Version = (minute: number, owner: boolean) => TaskState | undefined;

interface Situation {
  readonly settings?: Choices;
  /** Of the old version, where they differ. */
  readonly settingsBefore?: Choices;
  readonly old?: Version | 'none';
  readonly fresh?: Version;
  /** The old tasks end one after the other, a minute each; or not at all, as none of the new ones gets healthy. */
  readonly oldEnd?: 'slowly' | 'never';
}

const well: Version = () => ({});
const offline = { connected: 0 } as const;
/** Twelve shards a minute: one in 5 s. */
const identified = (minute: number): number => Math.max(0, 12 * (minute - ALONE));

/** Whether a session that another task stored is lost in the hand-over, by the law of sessions. */
function lostBy(record: { readonly storedAt: number; readonly aliveUntil?: number }, takenOverAt: number): boolean {
  let inHandOver: boolean | undefined;
  const session = new ShardSession(0, 1, (lost) => {
    inHandOver = lost.inHandOver;
  });
  const { storedAt, ...alive } = record;
  const stored = { sessionId: 's', resumeUrl: 'wss://x.discord.gg', sequence: 1, shardCount: 1, startedAt: 0 };
  session.restore({ ...stored, ...alive }, storedAt, takenOverAt);
  session.refused('op 9', takenOverAt);
  session.refused('op 9', takenOverAt);
  if (inHandOver === undefined) throw new Error('the session was not lost');
  return inHandOver;
}

const gap = (inHandOver: boolean): TaskState['counted'] => ({
  gatewayGaps: 1,
  ...(inHandOver && { gapsInHandOver: 1 }),
});

/** Once, in this minute. */
const once = (minute: number, at: number, counted: TaskState['counted']): TaskState =>
  minute === at ? { ...(counted && { counted }) } : {};

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
const resharding: Version = (minute, owner) =>
  owner
    ? {
        connected: Math.floor(identified(minute) / 4),
        shard: 'identifying',
        session: false,
        identifyingSince: ALONE * MINUTE_MS,
        ...once(minute, ALONE, resharded),
      }
    : {};

/** By situation: how it is played, what goes on, and whether the deployment is rolled back. */
const ROWS: Readonly<Record<string, { readonly alarm: string; readonly rolledBack: boolean } & Situation>> = {
  'A release that works': { alarm: '—', rolledBack: false },
  'A release that works, of many tasks that end one after the other': {
    alarm: '—',
    rolledBack: false,
    settings: { shards: { count: 128, perTask: 16, standbys: 2 } },
    oldEnd: 'slowly',
  },
  'The new tasks never own a shard': {
    alarm: 'release-offline',
    rolledBack: true,
    fresh: () => ({ owns: false }),
  },
  'The new tasks never connect: they cannot reach Discord, or what they send is refused': {
    alarm: 'release-offline',
    rolledBack: true,
    fresh: () => ({ ...offline, shard: 'waiting' }),
  },
  'Some shards of the new tasks never connect': {
    alarm: 'release-offline',
    rolledBack: true,
    settings: { shards: reshard },
    fresh: () => ({ connected: 15, shard: 'connecting' }),
  },
  'The new tasks ask for intents or a shard number that Discord refuses (4014, 4010)': {
    alarm: 'release-offline',
    rolledBack: true,
    fresh: () => ({ ...offline, shard: 'failed', session: false, discord: { identifyClosed: true } }),
  },
  'The same while the number of shards changes': {
    alarm: 'release-offline',
    rolledBack: true,
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
    alarm: 'release-offline',
    rolledBack: true,
    fresh: () => ({ ...offline, shard: 'identifying', session: false, identifyingSince: ALONE * MINUTE_MS }),
  },
  'A wrong token in place of one that worked': {
    alarm: 'release-offline',
    rolledBack: true,
    fresh: () => ({ ...offline, shard: 'connecting' }),
  },
  'A secret without a token in place of one that worked': {
    alarm: 'release-offline',
    rolledBack: true,
    fresh: () => ({ ...offline, shard: 'connecting', discord: { tokenMissing: true } }),
  },
  'The new tasks cannot use the broker: wrong secret, security group or network': {
    alarm: 'release-offline, release-broker',
    rolledBack: true,
    fresh: () => ({ owns: false, broker: 'away' }),
  },
  'One of the new tasks cannot use the broker': {
    alarm: 'release-broker',
    rolledBack: true,
    settings: { shards: { standbys: 1 } },
    fresh: (_, owner) => (owner ? {} : { broker: 'away' }),
  },
  'The broker refuses what the new tasks publish': {
    alarm: 'release-publish-errors',
    rolledBack: true,
    // A bot with few events has nothing to be refused in some minutes.
    fresh: (minute) => (minute < ALONE || minute % 4 === 0 ? {} : { counted: { publishErrors: 2 } }),
  },
  'The broker refuses messages in two minutes, and then takes them': {
    alarm: '—',
    rolledBack: false,
    fresh: (minute) => (minute < ALONE || minute >= ALONE + 2 ? {} : { counted: { publishErrors: 50 } }),
  },
  'No queue takes what the new tasks publish': {
    alarm: 'release-returned',
    rolledBack: true,
    fresh: (minute) => once(minute, ALONE + 3, { eventsReturned: 1 }),
  },
  'The new tasks are refused a session that was alive, or cannot read its record': {
    alarm: 'release-gaps',
    rolledBack: true,
    fresh: (minute, owner) => {
      const takenOverAt = ALONE * MINUTE_MS;
      return owner ? once(minute, ALONE, gap(lostBy({ storedAt: takenOverAt - 2_000 }, takenOverAt))) : {};
    },
  },
  'Tasks that crash before they are healthy': {
    alarm: 'circuit breaker',
    rolledBack: true,
    fresh: () => undefined,
    oldEnd: 'never',
  },
  'First deployment, no token yet': {
    alarm: 'release-offline is on before',
    rolledBack: false,
    old: 'none',
    fresh: () => ({ ...offline, shard: 'connecting', session: false, discord: { tokenMissing: true } }),
  },
  'First deployment, with a wrong token or without the intents': {
    alarm: 'release-offline is on before',
    rolledBack: false,
    old: 'none',
    fresh: () => ({ ...offline, shard: 'connecting', session: false }),
  },
  'Another deployment while there is still no token': {
    alarm: '—',
    rolledBack: false,
    old: () => ({ ...offline, shard: 'connecting', session: false, discord: { tokenMissing: true } }),
    fresh: () => ({ ...offline, shard: 'connecting', session: false, discord: { tokenMissing: true } }),
  },
  'Another number of shards: all sessions are given up, and one IDENTIFY is allowed in 5 s': {
    alarm: '—',
    rolledBack: false,
    settings: { shards: reshard },
    settingsBefore: { shards: { ...reshard, count: 32 } },
    fresh: resharding,
  },
  "New sessions, and the day's IDENTIFYs are spent": {
    alarm: '—',
    rolledBack: false,
    fresh: () => ({
      ...offline,
      shard: 'identifying',
      session: false,
      identifyingSince: 0,
      spentUntil: 24 * 60 * MINUTE_MS,
    }),
  },
  "New sessions, and Discord's REST asks to wait (429)": {
    alarm: '—',
    rolledBack: false,
    fresh: () => ({ ...offline, shard: 'connecting', session: false, discord: { restLimited: true } }),
  },
  'A long outage with tasks that run and cannot connect, then the fix, which meets expired sessions': {
    alarm: 'release-offline is on before',
    rolledBack: false,
    old: () => ({ ...offline, shard: 'waiting' }),
    fresh: (minute, owner) => {
      const takenOverAt = ALONE * MINUTE_MS;
      const record = { storedAt: takenOverAt - 1_000, aliveUntil: takenOverAt - 3_600_000 };
      return owner ? once(minute, ALONE, gap(lostBy(record, takenOverAt))) : {};
    },
  },
  'A long outage that ended a moment ago, then a deployment that meets expired sessions': {
    alarm: '—',
    rolledBack: false,
    fresh: (minute, owner) => {
      const takenOverAt = ALONE * MINUTE_MS;
      return owner ? once(minute, ALONE, gap(lostBy({ storedAt: takenOverAt - 600_000 }, takenOverAt))) : {};
    },
  },
  'The old version is offline, and the new one stays so': {
    alarm: 'release-offline is on before',
    rolledBack: false,
    old: () => ({ ...offline, shard: 'waiting' }),
    fresh: () => ({ ...offline, shard: 'waiting' }),
  },
  'No task of the old version runs, and the new one stays offline': {
    alarm: 'release-offline is on before',
    rolledBack: false,
    old: (minute) => (minute < 3 ? {} : undefined),
    fresh: () => ({ ...offline, shard: 'waiting' }),
  },
  'The old version cannot use the broker, nor can the new one': {
    alarm: 'release-broker is on before',
    rolledBack: false,
    old: () => ({ broker: 'away' }),
    fresh: () => ({ broker: 'away' }),
  },
  'The broker refuses what the old version publishes, and what the new one publishes': {
    alarm: 'release-publish-errors is on before',
    rolledBack: false,
    old: () => ({ counted: { publishErrors: 2 } }),
    fresh: () => ({ counted: { publishErrors: 2 } }),
  },
  'No queue takes what the old version publishes, nor what the new one publishes': {
    alarm: 'release-returned is on before',
    rolledBack: false,
    old: () => ({ counted: { eventsReturned: 1 } }),
    fresh: () => ({ counted: { eventsReturned: 1 } }),
  },
  'Each hand-over of the old version loses sessions, and those of the new one do': {
    alarm: 'release-gaps is on before',
    rolledBack: false,
    old: (_, owner) => (owner ? { counted: gap(true) ?? {} } : {}),
    fresh: (_, owner) => (owner ? { counted: gap(true) ?? {} } : {}),
  },
  'Discord is away for three minutes': {
    alarm: '—',
    rolledBack: false,
    fresh: (minute) => (minute < ALONE + 3 ? { ...offline, shard: 'waiting' } : {}),
  },
  'Discord goes away while old and new tasks run, and is back before the old ones end': {
    alarm: '—',
    rolledBack: false,
    old: (minute) => (minute < START - 2 ? {} : { ...offline, shard: 'waiting' }),
  },
  'Discord is away since before the deployment': {
    alarm: 'release-offline is on before',
    rolledBack: false,
    old: (minute) => (minute < 3 ? {} : { ...offline, shard: 'waiting' }),
    fresh: () => ({ ...offline, shard: 'waiting' }),
  },
  'Discord goes away during the deployment, and stays away': {
    alarm: 'release-offline',
    rolledBack: true,
    old: (minute) => (minute < START ? {} : { ...offline, shard: 'waiting' }),
    fresh: () => ({ ...offline, shard: 'waiting' }),
  },
  'Discord drops one session by itself': {
    alarm: '—',
    rolledBack: false,
    fresh: (minute, owner) => (owner ? once(minute, ALONE + 2, { gatewayGaps: 1 }) : {}),
  },
  'Discord drops a session in the moment of its hand-over': {
    alarm: 'release-gaps',
    rolledBack: true,
    fresh: (minute, owner) => {
      const takenOverAt = ALONE * MINUTE_MS;
      return owner ? once(minute, ALONE, gap(lostBy({ storedAt: takenOverAt - 1_000 }, takenOverAt))) : {};
    },
  },
  "The broker's maintenance: it is away for three minutes": {
    alarm: '—',
    rolledBack: false,
    fresh: (minute) => (minute >= ALONE && minute < ALONE + 3 ? { broker: 'away' } : {}),
  },
  'The broker goes away while old and new tasks run, and is back before the old ones end': {
    alarm: '—',
    rolledBack: false,
    old: (minute) => (minute < START - 2 ? {} : { broker: minute < ALONE ? 'away' : 'used' }),
    fresh: (minute) => ({ broker: minute < ALONE ? 'away' : 'used' }),
  },
  'The broker goes away once the old tasks are gone, and stays away': {
    alarm: 'release-broker',
    rolledBack: true,
    fresh: (minute) => (minute < ALONE ? {} : { broker: 'away' }),
  },
  'The broker blocks publishers (memory, disk), and outboxes fill up': {
    alarm: '—',
    rolledBack: false,
    fresh: (minute) =>
      minute < ALONE + 2 ? {} : { ...offline, shard: 'stopped', broker: 'blocked', receiving: false },
  },
  'A queue that refuses messages gets full during the deployment': {
    alarm: 'release-publish-errors',
    rolledBack: true,
    fresh: (minute) => (minute < ALONE + 2 ? {} : { counted: { publishErrors: 2 } }),
  },
};

/** A task of the ingestor, as far as its metric lines go. */
class Task {
  readonly #metrics = new Metrics();
  readonly #version: Version;
  #minute = 0;
  #owner = false;

  constructor(version: Version, settings: Settings) {
    this.#version = version;
    const snapshot = () => snapshotOf(this.#state ?? {}, { minute: this.#minute, owner: this.#owner, settings });
    declareGauges(this.#metrics, snapshot, { depths: new Map() }, { latest: undefined });
  }

  report(minute: number, owner: boolean): string[] {
    this.#minute = minute;
    this.#owner = owner;
    if (this.#state === undefined) return [];
    for (const [name, by] of Object.entries(this.#state.counted ?? {})) this.#metrics.add(name as CounterName, by);
    return this.#metrics.emf(DEFAULT_METRICS_NAMESPACE, 'production');
  }

  end(): string[] {
    return this.#metrics.lastEmf(DEFAULT_METRICS_NAMESPACE, 'production');
  }

  get #state(): TaskState | undefined {
    return this.#version(this.#minute, this.#owner);
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
    ...{ now, environment: 'production', shardCount: settings.shards.count, group: owns ? 0 : undefined },
    role: owns ? 'owner' : 'standby',
    shards: Array.from({ length: owns ? shards : 0 }, (_, id) => ({
      ...{ id, connected: id < connected, state: id < connected ? 'ready' : (state.shard ?? 'waiting') },
      ...{ latencyMs: undefined, problem: undefined, receivedSequence: undefined },
      identifyingSince: state.identifyingSince,
      confirmedSequence: id < connected || session ? 7 : undefined,
    })),
    receiving,
    discordProblems: [],
    discord: { tokenMissing: false, restLimited: false, identifyClosed: false, maxConcurrency: 1, ...state.discord },
    broker: {
      ...{ connected: broker !== 'away', channelOpen: broker !== 'away', blocked: broker === 'blocked' },
      ...{ publishCount: 0, errorCount: 0, lastTurnAt: now },
    },
    outbox: { events: 0, bytes: 0, usedPercent: 0 },
    identifies: { remaining: undefined, spentUntil: state.spentUntil },
    lease: {},
    memory: { heapUsed: 1, heapTotal: 1, rss: 1, heapLimit: 2 },
    memoryThreshold: 0.75,
  };
}

/** Old tasks until new ones stand beside them, then the new ones alone, until ECS looks at alarms no longer. */
function played({ settings = {}, settingsBefore = settings, old = well, fresh = well, oldEnd }: Situation): {
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
  const end = (oldEnd === 'slowly' ? endOf(former.length) : ALONE) + bakeMinutes();
  for (let minute = 0; minute <= end; minute += 1) {
    const write = (lines: readonly string[]) => {
      for (const line of lines) data.write(line, minute);
    };
    // A group goes on to a new task when its old owner ends.
    const handedOver = former.filter((_, index) => index < before.groups && minute >= endOf(index)).length;
    const owners = old === 'none' || (handedOver === before.groups && minute >= ALONE) ? now.groups : handedOver;
    for (const [index, task] of former.entries()) {
      if (minute < endOf(index)) write(task.report(minute, index < before.groups));
      else if (minute === endOf(index)) write(task.end());
    }
    // The first line of a task comes a minute after its start.
    if (minute > START) for (const [index, task] of younger.entries()) write(task.report(minute, index < owners));
  }
  return { data, end };
}

let production: Synthesized;
/** By settings. */
const environments = new Map<string, Synthesized>();
beforeAll(() => {
  production = synthesized('production');
  environments.set('{}', production);
});

function deploymentConfiguration() {
  return production.one('AWS::ECS::Service').Properties.DeploymentConfiguration as {
    readonly Alarms: { readonly AlarmNames: readonly string[] };
    readonly BakeTimeInMinutes: number;
    readonly DeploymentCircuitBreaker: object;
  };
}

const bakeMinutes = (): number => deploymentConfiguration().BakeTimeInMinutes;

/** The alarms of a deployment with these settings, each by its short name. */
function watchersOf(choices: Choices): Map<string, AlarmProperties> {
  const key = JSON.stringify(choices);
  const made = environments.get(key) ?? synthesized('production', choices);
  environments.set(key, made);
  const { resources } = made;
  const names = deploymentConfiguration().Alarms.AlarmNames;
  const alarms = [...resources.values()].flatMap(({ Type, Properties }) =>
    Type === 'AWS::CloudWatch::Alarm' ? (Properties as unknown as AlarmProperties) : [],
  );
  return new Map(
    names.map((name) => {
      const alarm = alarms.find(({ AlarmName }) => AlarmName === name);
      if (alarm === undefined) throw new Error(`there is no alarm ${name}`);
      return [name.replace('discord-ingestor-production-', ''), alarm];
    }),
  );
}

/** Twice: CloudWatch looks at more periods than its own for data that is there, and does not say at how many. */
function judgementsOf(situation: Situation): Judgement[] {
  const { data, end } = played(situation);
  const watchers = [...watchersOf(situation.settings ?? {})];
  return [0, 2].map((extra) =>
    judged(new Map(watchers.map(([id, alarm]) => [id, statesOf(alarm, data, end + 1, extra)])), { start: START, end }),
  );
}

function told({ before, during, rolledBack }: Judgement): string {
  if (before.length > 0) return `${before.join(', ')} ${before.length > 1 ? 'are' : 'is'} on before`;
  return rolledBack ? during.join(', ') : '—';
}

describe.each(Object.entries(ROWS))('%s', (_, { alarm, rolledBack, ...situation }) => {
  const cases =
    situation.settings === undefined
      ? [1, 0].map((standbys) => ({ ...situation, settings: { shards: { standbys } } }))
      : [situation];
  it.each(cases)('is rolled back, or not, by what the table says: $settings', (each) => {
    for (const judgement of judgementsOf(each)) {
      const found = { alarm: told(judgement), rolledBack: judgement.rolledBack };
      if (alarm !== 'circuit breaker') expect(found).toEqual({ alarm, rolledBack });
      else expect(found).toEqual({ alarm: '—', rolledBack: false });
    }
  });
});

it('tasks that do not start are for the circuit breaker', () => {
  expect(deploymentConfiguration().DeploymentCircuitBreaker).toMatchObject({ Enable: true, Rollback: true });
});

it('a deployment that ends as it should leaves every alarm off, so that the next one is looked at', () => {
  const { data, end } = played({});
  for (const [id, alarm] of watchersOf({})) expect(statesOf(alarm, data, end + 1, 0).at(-1), id).toBe('OK');
});

it('docs/deploy.md has the same table', () => {
  const deploy = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
  const [, section = ''] = /\n## What rolls a deployment back\n([\s\S]*?)(?=\n## )/.exec(deploy) ?? [];
  const lines = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| Situation'));
  const rows = lines.map((line) => line.slice(2, -2).split(' | '));
  expect(rows.map(([situation, alarm, rolledBack]) => [situation, alarm, rolledBack])).toEqual(
    Object.entries(ROWS).map(([situation, { alarm, rolledBack }]) => [
      situation,
      alarm.replaceAll(/release-[a-z-]+|^circuit breaker$/g, (name) =>
        name.startsWith('release') ? `\`${name}\`` : name,
      ),
      rolledBack ? 'yes' : 'no',
    ]),
  );
  for (const [situation, , , why = ''] of rows) expect(why.length, situation).toBeGreaterThan(20);
});
