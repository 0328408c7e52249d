// Stores the group record: as soon as a session has started, at each tick when something has changed, every few minutes
// in any case, and a last time when the task ends. One at a time; what fails is stored at the next tick. It stores only
// what the next owner can read: a record that cannot be read would lose every session of the group.

import { Buffer } from 'node:buffer';
import { RECORD_TYPE } from '../contract/lease-record.ts';
import { leaseQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import { logUnstored } from './faults.ts';
import type { GroupContents, GroupRecord } from './group-record.ts';
import type { LeaseChannels, Sender } from './lease-channels.ts';
import { readable } from './readable.ts';

export interface RecordWriterOptions {
  /** The last record of the group that this task owns, and where to publish the next; none while it may store nothing. */
  readonly owned: () =>
    | (Pick<GroupRecord, 'group' | 'epoch' | 'commit'> & { readonly channels: LeaseChannels })
    | undefined;
  readonly contents: () => GroupContents;
  /** The next record is about to be published. */
  readonly onStoring: () => void;
  readonly onStored: (commit: number) => void;
  readonly sender: Sender;
  /** An unchanged record is stored again after this time. */
  readonly renewEveryMs: number;
  readonly log: Log;
}

export class RecordWriter {
  readonly #options: RecordWriterOptions;
  #storing: Promise<boolean> | undefined;
  /** It is to be stored, also when nothing has changed. */
  #asked = false;
  #last = { text: '', storedAt: 0, sessions: 0 };
  /** As they were logged last: they are the same a second later. */
  #faults = '[]';

  constructor(options: RecordWriterOptions) {
    this.#options = options;
  }

  /** Of the last record stored: when (Unix ms; 0 before the first), and how many sessions it has. */
  get last(): { readonly storedAt: number; readonly sessions: number } {
    return this.#last;
  }

  storeNow(): void {
    this.#asked = true;
    this.tick();
  }

  tick(): void {
    this.#storing ??= this.#store().then((stored) => {
      this.#storing = undefined;
      // Asked for while it was under way. A failure waits for the next tick.
      if (stored && this.#asked) this.tick();
      return stored;
    });
  }

  /** @returns whether the broker has it */
  async storeLast(): Promise<boolean> {
    // Another may follow the one that is under way.
    while (this.#storing !== undefined) await this.#storing;
    this.#asked = true;
    return await this.#store(true);
  }

  /** Never throws. @param released with it the group is given away @returns whether the broker has it */
  async #store(released?: true): Promise<boolean> {
    const { owned, contents, onStoring, onStored, renewEveryMs, sender, log } = this.#options;
    const now = owned();
    if (now === undefined) return false;
    const { channels, group, epoch } = now;
    const commit = now.commit + 1;
    const stored = contents();
    const text = JSON.stringify({ epoch, ...stored });
    const storedAt = Date.now();
    if (!this.#asked && text === this.#last.text && storedAt - this.#last.storedAt < renewEveryMs) return false;
    this.#asked = false;
    onStoring();
    try {
      const owner = sender.appId;
      const body = this.#readable({ version: 1, group, owner, epoch, commit, storedAt, released, ...stored });
      const timestamp = Math.floor(storedAt / 1_000);
      await channels.publish(leaseQueue(group), body, { ...sender, type: RECORD_TYPE, timestamp });
    } catch (err) {
      this.#asked = true;
      if (!channels.ended) log.warn({ err }, 'cannot store the group record; retrying');
      return false;
    }
    this.#last = { text, storedAt, sessions: Object.keys(stored.sessions).length };
    onStored(commit);
    return true;
  }

  #readable(record: GroupRecord): Buffer {
    const { text, faults } = readable(record);
    const described = JSON.stringify(faults);
    if (described !== this.#faults) logUnstored(this.#options.log, record.group, faults);
    this.#faults = described;
    return Buffer.from(text);
  }
}
