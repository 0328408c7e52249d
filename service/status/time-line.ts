// What happened, in words: events that are close to each other are one episode, such as a deploy with its hand-overs. Pure.

import { type Event, isLoss } from './report.ts';
import { type Level, listOf, plural, shortName } from './verdict.ts';

export interface Episode {
  /** Unix ms. */
  readonly at: number;
  readonly level: Level;
  readonly title: string;
  readonly texts: readonly string[];
}

/** ECS takes so long between a new task and the end of an old one. */
const CLOSE_MS = 120_000;

/** @param events the newest first @returns the newest first */
export function episodes(events: readonly Event[]): Episode[] {
  const together: Event[][] = [];
  for (const event of events.toReversed()) {
    const current = together.at(-1) ?? [];
    const isClose = event.at - (current.at(-1)?.at ?? Number.NEGATIVE_INFINITY) <= CLOSE_MS;
    // A loss during a deploy is an episode of its own.
    if (isClose && (!isLoss(event) || current.some(isLoss))) current.push(event);
    else together.push([event]);
  }
  const owners = new Map<number, string>();
  return together.map((each) => episodeOf(each, owners)).toReversed();
}

/** @param ownersBefore by group; it is updated to the owners after the episode */
function episodeOf(events: readonly Event[], ownersBefore: Map<number, string>): Episode {
  const tasks = (kind: Event['kind']) =>
    events.flatMap((event) => (event.kind === kind && 'task' in event ? shortName(event.task) : []));
  const [started, drained, gone, back] = [tasks('started'), tasks('drained'), tasks('gone'), tasks('back')];
  const handOvers = events
    .filter((event) => event.kind === 'owner')
    .map(({ group, task }) => {
      const from = ownersBefore.get(group);
      ownersBefore.set(group, task);
      return `group ${group}: ${from === undefined ? '' : `${shortName(from)} `}→ ${shortName(task)}`;
    });
  const gaps = events.filter((event) => event.kind === 'gap');
  const isDeploy = started.length > 0 && drained.length > 0;
  const titles = [
    ...(isDeploy ? ['Deploy'] : started.length > 0 ? ['Start'] : drained.length > 0 ? ['Drained'] : []),
    ...(gone.length > 0 ? ['Task lost'] : []),
    ...(back.length > 0 ? ['Task back'] : []),
    ...(gaps.length > 0 ? ['Gap'] : []),
  ];
  const counted = (names: readonly string[], what: string) =>
    names.length === 0 ? [] : [`${plural(names.length, 'task')} ${what} (${listOf(names)})`];
  return {
    at: events[0]?.at ?? 0,
    level: gaps.length > 0 ? 'bad' : gone.length > 0 ? 'warn' : 'good',
    title: (titles.length > 0 ? titles : ['Hand-over']).join(' · '),
    texts: [
      ...counted(started, 'started'),
      ...counted(drained, 'drained'),
      ...counted(gone, 'gone without draining'),
      ...counted(back, 'reported again'),
      ...(handOvers.length > 0 ? [listOf(handOvers)] : []),
      ...(gaps.length > 0 ? [listOf(gaps.map(({ shard, reason }) => `shard ${shard}: ${reason}`))] : []),
    ],
  };
}
