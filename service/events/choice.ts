// Which events are published (EVENTS), and the intents that they need. Pure. The deployer's settings are parsed by the same code.

import { ALWAYS_READ, DISPATCHES, type DispatchName, type Intent } from './dispatches.ts';

/** What is private by default, and forwarded only where it is set. */
export interface OptIns {
  /** What Discord's MessageContent intent governs. */
  readonly messageContent: boolean;
  /** Messages of bots and webhooks. */
  readonly botMessages: boolean;
  /** Dispatches outside guilds: messages, reactions, typing, interactions. */
  readonly directMessages: boolean;
}

export interface Choice {
  readonly dispatches: ReadonlySet<DispatchName>;
  /** Every GUILD_CREATE with its lists, besides the joins. */
  readonly wholeGuilds: boolean;
}

/** Less than their groups: these were published before EVENTS existed. */
export const DEFAULT_EVENTS: readonly DispatchName[] = [
  'INTERACTION_CREATE',
  'GUILD_MEMBER_ADD',
  'GUILD_MEMBER_REMOVE',
  'GUILD_MEMBER_UPDATE',
  'GUILD_CREATE',
  'GUILD_DELETE',
  'MESSAGE_CREATE',
];

const WHOLE_GUILDS = 'guilds.full';

const NAMES = Object.keys(DISPATCHES) as DispatchName[];

/** By the entries of EVENTS that are no dispatch's name. */
export const GROUPS: ReadonlyMap<string, readonly DispatchName[]> = new Map<string, readonly DispatchName[]>([
  ...Map.groupBy(
    NAMES.filter((name) => DISPATCHES[name].group !== undefined),
    (name) => DISPATCHES[name].group ?? '',
  ),
  [WHOLE_GUILDS, ['GUILD_CREATE']],
  ['all', NAMES],
]);

const WORDS = [...GROUPS.keys(), ...NAMES];
const OF_SESSION = ['READY', 'RESUMED'];

/** @param text names of dispatches and groups, separated by commas @throws Error with a sentence about the first invalid one */
export function parseEvents(text: string): Choice {
  const words = text.split(',').map((word) => word.trim());
  const dispatches = words.flatMap((word) => GROUPS.get(word) ?? named(word));
  return { dispatches: new Set(dispatches), wholeGuilds: words.includes(WHOLE_GUILDS) };
}

function named(word: string): DispatchName {
  const name = NAMES.find((each) => each === word);
  if (name !== undefined) return name;
  if (OF_SESSION.includes(word))
    throw new Error(
      `${word} is about the session itself, which the ingestor keeps: workers get gateway.ready and gateway.gap without asking. Remove it`,
    );
  const expected = `expected names of Discord's dispatches, or of groups (${[...GROUPS.keys()].join(', ')}), separated by commas`;
  throw new Error(
    `${expected}, got ${quoted(word)}${LIKE_A_NAME.test(word) ? `. The nearest is ${nearest(word)}` : ''}`,
  );
}

/** For an error. What cannot be a name is not quoted: it may be a credential in the wrong variable. */
export const quoted = (word: string): string =>
  LIKE_A_NAME.test(word) ? `'${word}'` : `${word.length} characters that are none`;

const LIKE_A_NAME = /^[\w.*-]{1,40}$/;

const letters = (word: string): string => word.toUpperCase().replaceAll(/[^A-Z]/g, '');

function nearest(word: string): string {
  const from = letters(word);
  return WORDS.map((name) => ({ name, steps: edits(from, letters(name)) })).reduce((best, each) =>
    each.steps < best.steps ? each : best,
  ).name;
}

/** Letters to insert, delete or replace (Levenshtein). */
function edits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (let at = 0; at < to.length; at++) {
      const replaced = (row[at] ?? 0) + (letter === to[at] ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The intents with which Discord sends all that is published of a dispatch; none: it sends it always. */
export function intentsOf(name: DispatchName, { directMessages }: Pick<OptIns, 'directMessages'>): readonly Intent[] {
  const { intent, direct } = DISPATCHES[name];
  return [intent, directMessages ? direct : undefined].filter((each) => each !== undefined && each !== null);
}

/** Dispatches whose `d` is not read. */
export const unread = ({ dispatches }: Choice): ReadonlySet<string> =>
  new Set(NAMES.filter((name) => !dispatches.has(name) && !ALWAYS_READ.has(name)));

/** The intents of IDENTIFY, unless GATEWAY_INTENTS is set. */
export function intentsFor({ dispatches }: Choice, optIns: OptIns): readonly Intent[] {
  const needed = new Set([...dispatches].flatMap((name) => intentsOf(name, optIns)));
  if (optIns.messageContent) needed.add('MessageContent');
  return [...needed];
}
