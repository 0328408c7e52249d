// The group record: what the next owner of a shard group needs to go on without losing an event. It is the one message
// of the group's lease queue. `epoch` counts owners, `commit` counts what one owner stored, so that the newest of several
// is known without trusting clocks. Whoever may write to the queue may write anything, and other versions write too: what
// is around the sessions must be right, or the record cannot be read; of the sessions and gaps each stands for itself.

import { z } from 'zod';
import { FIRST_EPOCH } from '../contract/lease-record.ts';
import { BOUNDS } from '../contract/limits.ts';
import { errorMessage } from '../errors.ts';
import type { LostSession } from '../lost-session.ts';

/** What a `Date` can hold. */
export const MAX_UNIX_MS = 8.64e15;
const UnixMs = z.number().min(0).max(MAX_UNIX_MS);
/** An id of Discord's has 32 characters; larger than this it fits into no RESUME. */
const SessionId = z.string().min(1).max(1_000);
/** As long as a message's property can be, in which it travels too. */
const OwnerName = z.string().min(1).max(255);
const ShardCount = z.int().min(BOUNDS.shardCount.least).max(BOUNDS.shardCount.most);

/**
 * Stored in place of an address that is none, for versions that refuse such a record. Read, it is none again, so that
 * the general address of this task is used.
 */
const NO_ADDRESS = 'wss://gateway.discord.gg';
/** As many sequences may be missing without a report. */
const MAX_RESUMES = 100;
const ResumeUrl = z.url().max(2_048);

const ResumeState = z.object({
  sessionId: SessionId,
  /** As it was stored: gateway/ decides whether it may be used. '' for none. */
  resumeUrl: ResumeUrl.catch('').transform((url) => (url === NO_ADDRESS ? '' : url)),
  /** Confirmed sequence: everything up to it is with the broker. */
  sequence: z.int().nonnegative(),
  shardCount: ShardCount,
  startedAt: UnixMs,
  /** Bit field of its IDENTIFY; missing from versions that do not know it. */
  intents: z.int().nonnegative().optional(),
  /** When it was last connected, Unix ms; missing while it is, and from versions that do not know it. */
  aliveUntil: UnixMs.optional(),
  /** Guilds joined in this session up to the sequence, each with when, Unix ms: see GuildPresence. */
  joins: z.record(z.string(), z.number()).optional(),
  /** RESUMEDs that may be above the sequence; missing for none, and from versions that do not know it. */
  resumes: z.int().nonnegative().max(MAX_RESUMES).optional().catch(undefined),
});
export type ResumeState = z.output<typeof ResumeState>;
/** What a session can do without. */
const BareResumeState = ResumeState.omit({ aliveUntil: true, intents: true, joins: true });

/** A gap that another task counted: whether it was lost in a hand-over is known no more, and not needed. */
const CountedGap = z.object({
  shardId: z.int().min(0).max(BOUNDS.shardCount.most),
  sessionId: SessionId,
  lastSequence: z.int().nonnegative(),
  lastReceivedAt: UnixMs,
  lostAt: UnixMs,
  reason: z.string().transform((text) => text.slice(0, 1_000)),
  missing: z.object({ first: z.int().positive(), last: z.int().positive() }).optional(),
});
/** A group has far fewer, and each becomes an event. */
const MAX_GAPS = 1_000;

/** What a command set; what is in it is not for the lease to know. */
const StoredPresence = z.object({
  data: z.record(z.string(), z.unknown()),
  shards: z.array(z.int().min(0).max(BOUNDS.shardCount.most)).max(BOUNDS.shardsPerTask.most),
});
export type StoredPresence = z.output<typeof StoredPresence>;

const ShardLayout = z.object({
  shardCount: ShardCount,
  shardsPerTask: z.int().min(BOUNDS.shardsPerTask.least).max(BOUNDS.shardsPerTask.most),
});
/** How the shards are divided into groups. */
export type ShardLayout = z.infer<typeof ShardLayout>;

/** Epochs are serial numbers (RFC 1982): none is the last. */
const EPOCHS = 2 ** 32;

const Stored = z.object({
  version: z.literal(1),
  group: z.int().nonnegative(),
  owner: OwnerName,
  epoch: z
    .int()
    .nonnegative()
    .max(EPOCHS - 1),
  commit: z.int().nonnegative(),
  storedAt: UnixMs,
  /** Its owner has given the group away with it. */
  released: z.boolean().optional().catch(undefined),
  /** The owner's shard layout. */
  division: ShardLayout.optional(),
  /** By shard id; a shard without a session is missing. */
  sessions: z
    .record(z.string(), z.unknown())
    .refine((sessions) => Object.keys(sessions).length <= BOUNDS.shardsPerTask.most, 'more than a group can have'),
  /** Lost sessions whose gap event may not be with the broker. */
  untoldGaps: z.unknown(),
  /** Missing from versions that do not know it. */
  presences: z.unknown().optional(),
});

/** What was left out of a record. */
export interface Fault {
  /** Where it is the session of a shard: this one has none now. */
  readonly lostShardId?: number | undefined;
  /** Where in the record, and what is wrong. */
  readonly reason: string;
}

export interface GroupRecord
  extends Omit<z.output<typeof Stored>, 'division' | 'sessions' | 'untoldGaps' | 'presences'> {
  readonly shardLayout: ShardLayout | undefined;
  readonly sessions: Readonly<Record<string, ResumeState>>;
  readonly unreportedGaps: readonly LostSession[];
  /** By presence: the shards that have it. */
  readonly presences?: readonly StoredPresence[];
  /** Of reading it. */
  readonly faults?: readonly Fault[];
}
/** What the owner's work contributes to it. */
export type GroupContents = Pick<GroupRecord, 'shardLayout' | 'sessions' | 'unreportedGaps' | 'presences'>;

/** The stored names stay: during a deployment tasks of two versions read each other's records. */
export function formatGroupRecord({
  shardLayout,
  sessions,
  unreportedGaps,
  faults: _,
  ...record
}: GroupRecord): string {
  const addressed = Object.entries(sessions).map(([id, session]) => {
    const resumeUrl = ResumeUrl.safeParse(session.resumeUrl).success ? session.resumeUrl : NO_ADDRESS;
    return [id, { ...session, resumeUrl }];
  });
  return JSON.stringify({
    ...record,
    division: shardLayout,
    sessions: Object.fromEntries(addressed),
    untoldGaps: unreportedGaps,
  });
}

/**
 * @param group whose queue it was in
 * @returns the record, with what had to be left out of it; or a sentence about what is wrong with all of it
 */
export function parseGroupRecord(body: { toString(encoding: 'utf8'): string }, group: number): GroupRecord | string {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch (error) {
    return `it is no JSON (${errorMessage(error).slice(0, 100)})`;
  }
  const { data, error } = Stored.safeParse(json);
  if (data === undefined) return sentence(error);
  const { division, sessions, untoldGaps, presences, ...record } = data;
  if (record.group !== group) return `group: expected ${group}, as this is its queue, got ${record.group}`;
  const faults: Fault[] = [];
  return {
    ...record,
    shardLayout: division,
    sessions: sessionsOf(sessions, faults),
    unreportedGaps: itemsOf('untoldGaps', CountedGap, MAX_GAPS, untoldGaps, faults),
    ...(presences !== undefined && {
      presences: itemsOf('presences', StoredPresence, BOUNDS.shardsPerTask.most, presences, faults),
    }),
    faults,
  };
}

function sessionsOf(stored: Readonly<Record<string, unknown>>, faults: Fault[]): Record<string, ResumeState> {
  const sessions: Record<string, ResumeState> = {};
  for (const [id, value] of Object.entries(stored)) {
    const shardId = /^\d{1,5}$/.test(id) ? Number(id) : undefined;
    const { data, error } = ResumeState.safeParse(value);
    const session = data ?? BareResumeState.safeParse(value).data;
    const fits = shardId !== undefined && shardId < (session?.shardCount ?? BOUNDS.shardCount.most);
    if (session !== undefined && fits) sessions[shardId] = session;
    if (!fits) faults.push({ reason: `sessions: expected a shard's number, got ${quoted(id)}` });
    else if (error)
      faults.push({ lostShardId: session ? undefined : shardId, reason: `sessions.${id}.${sentence(error)}` });
  }
  return sessions;
}

/** Each item stands for itself. */
function itemsOf<T>(name: string, item: z.ZodType<T>, most: number, stored: unknown, faults: Fault[]): T[] {
  if (!Array.isArray(stored)) {
    faults.push({ reason: `${name}: expected a list` });
    return [];
  }
  if (stored.length > most)
    faults.push({ reason: `${name}: ${stored.length} of them, and the first ${most} are read` });
  return stored.slice(0, most).flatMap((value, index) => {
    const { data, error } = item.safeParse(value);
    if (error) faults.push({ reason: `${name}.${index}.${sentence(error)}` });
    return data ?? [];
  });
}

/** Where, and what was expected there: never what was read. */
function sentence({ issues: [issue] }: z.ZodError): string {
  const path = issue?.path.map((part) => String(part).slice(0, 30)).join('.') || 'it';
  return `${path}: ${issue?.message.replaceAll(/\s+/g, ' ').slice(0, 100)}`;
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 20));

type Position = Pick<GroupRecord, 'epoch' | 'commit'>;

/** Whether `a` was stored later than `b`. What no owner stored is newer than nothing. */
export function isNewer(a: Position, b: Position): boolean {
  if (a.epoch === FIRST_EPOCH) return false;
  return a.epoch === b.epoch ? a.commit > b.commit : isLater(a.epoch, b.epoch);
}

/**
 * Whether the epoch follows the other one within half of all there are. So the greatest number does not end it: to
 * an owner it is an old one.
 */
export function isLater(epoch: number, other: number): boolean {
  return epoch !== other && (epoch - other + EPOCHS) % EPOCHS < EPOCHS / 2;
}

/** Never the first one: that is for records that no owner stored. */
export function epochAfter(epoch: number): number {
  return (epoch % (EPOCHS - 1)) + 1;
}
