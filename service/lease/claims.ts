// Asks by claims who holds the lease of a group: whoever does acknowledges them, and in an empty queue a claim makes an owner.

import { Buffer } from 'node:buffer';
import { leaseQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import type { LeaseChannels, Sender } from './lease-channels.ts';

export interface ClaimsOptions {
  readonly connection: { readonly blocked: boolean };
  readonly sender: Sender;
  /** How many there are. */
  readonly groups: number;
  /** In so many turns every group has had a claim. */
  readonly turns: number;
  readonly log: Log;
}

export class Claims {
  readonly #options: ClaimsOptions;
  #last = -1;

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /** Never throws. @returns whether the broker has it */
  async claim(channels: LeaseChannels, group: number): Promise<boolean> {
    const { connection, log, sender } = this.#options;
    try {
      await channels.publish(leaseQueue(group), Buffer.from('{}'), { ...sender, type: 'claim' });
      return true;
    } catch (err) {
      if (channels.ended || connection.blocked) return false;
      log.warn({ group, err }, 'cannot claim a shard group; retrying');
      await channels.close();
      return false;
    }
  }

  /** Of a standby, which stores nothing: a broker that confirms nothing is noticed by these, and a queue that was emptied. */
  next(channels: LeaseChannels): void {
    const { groups, turns } = this.#options;
    for (let count = Math.ceil(groups / turns); count > 0; count -= 1) void this.claim(channels, this.nextGroup());
  }

  /** Another one each time. @param owned left out, if there are others */
  nextGroup(owned?: number): number {
    const { groups } = this.#options;
    this.#last = (this.#last + 1) % groups;
    if (this.#last === owned) this.#last = (this.#last + 1) % groups;
    return this.#last;
  }
}
