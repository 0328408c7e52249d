// The overall state in words: what is wrong and what to do first, the worst first. Pure.

import { QUEUES } from '../contract/names.ts';
import type { FleetView, KnownTask } from './fleet.ts';
import { PARTS, type Part, type Report } from './report.ts';

export type Level = 'good' | 'warn' | 'bad';

export interface Finding {
  readonly level: Level;
  readonly wrong: string;
  readonly first: string;
}

export interface Group {
  readonly group: number;
  /** Of its shards: the first, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** None between two owners. */
  readonly owner: Report | undefined;
}

const FIRST: Readonly<Record<Part, string>> = {
  rabbitmq:
    'see whether RabbitMQ runs, whether it has memory and disk, and whether workers read its queues; events wait in the outbox',
  discord: 'do what the sentence says; where it says nothing to do and all shards are alike, look at discordstatus.com',
  outbox:
    'find out why RabbitMQ does not confirm: nothing is lost yet, and nothing is received while the outbox is full',
  lease: 'apply the topology again (runbook), so that this task can take over',
  memory: 'stop this task: another takes over its shards without loss; then give tasks more memory',
  commands: 'apply the topology again (runbook); events are not affected',
  other: 'read the log of this task: it is a defect',
};
/** How long a group may be between two owners, and a queue may have messages in it. */
const HAND_OVER_MS = 20_000;
const RECENT_MS = 15 * 60_000;
const MANY_INTERACTIONS = 100;

export const shortName = (task: string): string => task.slice(task.lastIndexOf('-') + 1);
export const plural = (count: number, noun: string): string =>
  `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

/** Of every group that the newest layout has. */
export function groupsOf({ me, tasks }: FleetView): Group[] {
  const owners = new Map<number, Report>();
  for (const { report, silent } of tasks) {
    const { group, ownedSince } = report;
    if (silent || group === null || !(report.role === 'owner' || report.shards.length > 0)) continue;
    if ((owners.get(group)?.ownedSince ?? -1) <= (ownedSince ?? 0)) owners.set(group, report);
  }
  const layout = [me, ...tasks.map(({ report }) => report)].find(({ shardCount }) => shardCount !== null) ?? me;
  const { shardCount, shardsPerTask } = layout;
  const count = Math.max(Math.ceil((shardCount ?? 0) / shardsPerTask), ...[...owners.keys()].map((group) => group + 1));
  return Array.from({ length: count }, (_, group) => {
    const from = group * shardsPerTask;
    return {
      group,
      from,
      to: Math.max(from, Math.min(from + shardsPerTask, shardCount ?? from)),
      owner: owners.get(group),
    };
  });
}

/** The worst first; none when all is well. */
export function findings(view: FleetView): Finding[] {
  const { events, heard, me, now, tasks } = view;
  const living = tasks.filter(({ silent }) => !silent);
  const standbys = living.filter(({ report }) => report.role === 'standby');
  const isRecent = (ms: number) => (event: { readonly at: number }) => now - event.at <= ms;
  const changing = events.some((event) => event.kind !== 'gap' && isRecent(HAND_OVER_MS)(event));
  const found: Finding[] = [];
  const add = (level: Level, wrong: string, first: string) => found.push({ level, wrong, first });

  if (heard === 'all') {
    const free = groupsOf(view).filter(({ owner }) => owner === undefined);
    const isSilent = ({ group }: Group) => tasks.some(({ report, silent }) => silent && report.group === group);
    const wasOwned = ({ group }: Group) => events.some((event) => event.kind === 'owner' && event.group === group);
    const standby =
      standbys.length > 0 ? 'read the log of a standby' : 'see in ECS why too few tasks run: none stands by';
    const why = (group: Group) =>
      changing || me.shardCount === null ? 'now' : isSilent(group) ? 'silent' : wasOwned(group) ? 'free' : 'unknown';
    for (const [when, level, what, first] of [
      ['free', 'bad', 'no owner: events of these shards do not come', standby],
      ['now', 'warn', 'no owner at the moment', 'wait some seconds: a task takes over'],
      ['silent', 'warn', 'an owner that does not report', 'see in ECS whether it runs, and read its log'],
      ['unknown', 'warn', 'no owner known to this task (tasks of an older version do not report)', standby],
    ] as const) {
      const groups = free.filter((group) => why(group) === when).map(({ group }) => String(group));
      const has = groups.length === 1 ? `Shard group ${groups[0]} has` : `Shard groups ${listOf(groups)} have`;
      if (groups.length > 0) add(level, `${has} ${what}`, first);
    }
  }
  for (const part of PARTS) {
    const about = new Map<string, KnownTask[]>();
    for (const task of living)
      for (const { text } of task.report.problems.filter((problem) => problem.part === part))
        about.set(text, [...(about.get(text) ?? []), task]);
    for (const [text, on] of about)
      add(part === 'commands' ? 'warn' : 'bad', `${capital(text)} (${where(on, living)})`, FIRST[part]);
  }
  if (heard === 'some')
    add(
      'warn',
      'Reports of tasks only begin to arrive: not every task is known yet',
      'wait: it takes a minute and a half at most',
    );
  // What is wrong with RabbitMQ explains it.
  if (heard === 'none' && !me.problems.some(({ part }) => part === 'rabbitmq'))
    add(
      now - me.startedAt < HAND_OVER_MS ? 'warn' : 'bad',
      'Reports of tasks do not arrive: only this task is known',
      'read its log; if the exchange ingestor.status or a permission is missing, apply the topology again',
    );
  for (const { report, at } of tasks.filter(({ silent }) => silent))
    add(
      'warn',
      `Task ${shortName(report.task)} is gone: it did not drain, and last reported ${age(now - at)} ago`,
      'read the end of its log; ECS starts another, and its shards were taken over if they are below',
    );
  const gaps = events.filter((event) => event.kind === 'gap').filter(isRecent(RECENT_MS));
  const shards = [...new Set(gaps.map(({ shard }) => shard))].toSorted((a, b) => a - b);
  if (shards.length > 0)
    add(
      'warn',
      `${plural(gaps.length, 'gap')} in the last 15 minutes (${shards.length === 1 ? 'shard' : 'shards'} ${listOf(shards.map(String))}): events may be missing`,
      'read why in the time line; workers get a gateway.gap and can ask Discord for the present state',
    );
  for (const [queue, most, wrong, first] of [
    [QUEUES.interactions, MANY_INTERACTIONS, 'wait for an answer', 'see whether the workers of interactions run'],
    [QUEUES.unrouted, 0, 'found no queue', 'apply the topology again: a binding is missing'],
    [QUEUES.deadLetters, 0, 'dead-lettered', 'read them (npm run dead-letters), fix the worker, then replay them'],
  ] as const) {
    const depth = me.queues[queue] ?? 0;
    if (depth > most) add('warn', `${plural(depth, 'message')} ${wrong}`, first);
  }
  return found.toSorted((a, b) => Number(b.level === 'bad') - Number(a.level === 'bad'));
}

function where(on: readonly KnownTask[], living: readonly KnownTask[]): string {
  if (living.length > 1 && on.length === living.length) return `all ${on.length} tasks`;
  return `${on.length === 1 ? 'task' : 'tasks'} ${listOf(on.map(({ report }) => shortName(report.task)))}`;
}

export function listOf(names: readonly string[], most = 5): string {
  const more = names.length - most;
  return `${names.slice(0, most).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

/** Two units at most. @param ms */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / (24 * 60))} d`;
}
