// Takes the shards of a group over, and gives them up: one after the other, in order. While it does, the sessions are those
// of another owner, and must not be stored.

import type { Log } from '../log.ts';
import type { LostSession } from '../lost-session.ts';
import type { GroupContents, GroupRecord, ShardLayout } from './group-record.ts';
import { abandonedBy, type FoundInQueue, type ShardGroup, takeOver } from './take-over.ts';

/** Who runs the shards of the group. Satisfied by `Ingestor`. */
export interface ShardRunner {
  /** By shard id; a shard without a session is missing. */
  readonly sessions: GroupContents['sessions'];
  readonly presences?: GroupContents['presences'];
  own(group: ShardGroup): void;
  /**
   * Closes the shards. What is not confirmed is still published, but for the events that a new owner has replayed.
   * @param later sessions of the new owner's record; nothing when none was seen
   */
  stepDown(later?: GroupContents['sessions']): Promise<void>;
  /** A record with these was delivered back. */
  stored(sessions: GroupContents['sessions']): void;
  /** Shards that are connected to Discord. */
  readonly connected: number;
  /** Shards whose session no other task has resumed, as far as Discord shows. */
  readonly untaken: number;
  /** Since when no shard has reached Discord although each tries to, Unix ms. */
  readonly unreachableSince: number | undefined;
}

/** Who reports lost sessions. Satisfied by `GapReporter`. */
export interface LostSessions {
  readonly unreportedGaps: readonly LostSession[];
  /** @param counted another task has counted and logged them. Resolves when the broker has all gap events */
  report(lost: readonly LostSession[], counted: readonly LostSession[]): Promise<void>;
}

export interface ShardHandoverOptions {
  readonly shardLayout: ShardLayout;
  readonly shards: ShardRunner;
  readonly gaps: LostSessions;
  readonly log: Log;
}

export class ShardHandover {
  readonly #options: ShardHandoverOptions;
  #work: Promise<void> = Promise.resolve();
  #pending = 0;
  #takenOverAt = 0;

  constructor(options: ShardHandoverOptions) {
    this.#options = options;
  }

  get underWay(): boolean {
    return this.#pending > 0;
  }

  /** When a group was last taken over, Unix ms; 0 for never. */
  get takenOverAt(): number {
    return this.#takenOverAt;
  }

  /** Resolves when all that was asked for so far is done. */
  get done(): Promise<void> {
    return this.#work;
  }

  /** What is to be stored of the shards. */
  get contents(): GroupContents {
    const { shardLayout, shards, gaps } = this.#options;
    const { sessions, presences = [] } = shards;
    return { shardLayout, sessions, unreportedGaps: [...gaps.unreportedGaps], presences };
  }

  takeOver(found: FoundInQueue): void {
    this.#takenOverAt = Date.now();
    this.#enqueue(async () => {
      const { shardLayout, shards, gaps } = this.#options;
      const { shardGroup, lost, unreportedGaps } = takeOver({ ...found, shardLayout });
      void gaps.report(lost, unreportedGaps);
      shards.own(shardGroup);
    });
  }

  stepDown(later: GroupRecord | undefined): void {
    this.#enqueue(() => this.#options.shards.stepDown(later?.sessions));
  }

  /** For a group that the shard layout no longer has. Resolves when the broker has its gap events. */
  async abandon(record: GroupRecord): Promise<void> {
    await this.#options.gaps.report(abandonedBy(record), record.unreportedGaps);
  }

  /** An error in one is logged and does not stop the next. */
  #enqueue(work: () => Promise<void>): void {
    this.#pending += 1;
    this.#work = this.#work
      .then(work)
      .catch((err: unknown) => this.#options.log.error({ err }, 'taking over or giving up the shard group failed'))
      .finally(() => {
        this.#pending -= 1;
      });
  }
}
