// Reports lost sessions, and sequences that did not come: counts them, logs them, and publishes a gap event for each. What the
// broker has not confirmed is kept, because it must outlive this process: it is stored with the group record.

import { gatewayGap, sessionReplaced } from './events/gap.ts';
import type { Log } from './log.ts';
import type { LostSession } from './lost-session.ts';
import type { Metrics } from './metrics.ts';
import type { Publisher } from './publisher/publisher.ts';
import type { SessionEvents } from './session/session.ts';
import { toMessage } from './to-message.ts';

export class GapReporter {
  readonly #publisher: Pick<Publisher, 'publish'>;
  readonly #metrics: Pick<Metrics, 'add'>;
  readonly #log: Log;
  #last: readonly LostSession[] = [];
  /** By the id of the event that reports it, or would. */
  readonly #unreported = new Map<string, LostSession>();

  constructor(publisher: Pick<Publisher, 'publish'>, metrics: Pick<Metrics, 'add'>, log: Log) {
    this.#publisher = publisher;
    this.#metrics = metrics;
    this.#log = log;
  }

  /** Sessions whose gap event is not confirmed, and sessions that are lost if this process ends now. */
  get unreportedGaps(): readonly LostSession[] {
    return [...this.#unreported.values()];
  }

  /** The last five that this process reported, the newest last. */
  get last(): readonly LostSession[] {
    return this.#last;
  }

  /**
   * Resolves when the broker has confirmed all gap events.
   * @param lost to be counted and logged
   * @param counted another task has done that, and may have published them
   */
  async report(lost: readonly LostSession[], counted: readonly LostSession[] = []): Promise<void> {
    for (const each of lost) this.#count(each);
    this.#last = [...this.#last, ...lost].slice(-5);
    await Promise.all([...counted, ...lost].map((each) => this.#publish(each)));
  }

  /** Logs, counts and publishes what a session of this shard reports. */
  eventsOf(shard: number): SessionEvents {
    const [log, metrics] = [this.#log, this.#metrics];
    return {
      lost: (lost) => void this.report([lost]),
      hole: ({ first, last, outcome }) => {
        metrics.add('sequenceHoles');
        log.warn({ shard, first, last, outcome }, 'sequences are missing');
      },
      replaced: ({ settled, unsettled, ...replaced }) => {
        const { sessionId, lastSequence, reason } = replaced;
        log.info({ shard, session: sessionId, lastSequence, reason }, 'the session was ended, to begin another');
        this.#publisher.publish(toMessage(sessionReplaced(replaced), sessionId, lastSequence), () => undefined);
        // Should this process end before all of it is settled, the session is lost.
        void this.#keepUntil(settled, unsettled);
      },
      heartbeatsLagged: (mostLag) =>
        log.warn(
          { shard, mostLag },
          'Discord closed connections whose heartbeats lag: they now carry what is received, if they lag more',
        ),
    };
  }

  #count({ shardId, sessionId, lastSequence, reason, inHandOver = false, missing }: LostSession): void {
    if (missing !== undefined) {
      // `sequenceHoles` has counted it: no session is lost, and no release is the cause.
      this.#log.warn({ shard: shardId, session: sessionId, reason }, 'events of a session did not come');
      return;
    }
    this.#metrics.add('gatewayGaps');
    if (inHandOver) this.#metrics.add('gapsInHandOver');
    this.#log.error(
      { shard: shardId, lastSequence, reason, inHandOver },
      'a session is lost: events after its last sequence may be missing',
    );
  }

  async #publish(lost: LostSession): Promise<void> {
    const message = toMessage(gapOf(lost), lost.sessionId, lost.lastSequence);
    await this.#keepUntil(new Promise((resolve) => this.#publisher.publish(message, resolve)), lost);
  }

  async #keepUntil(settled: Promise<void>, lost: LostSession): Promise<void> {
    const { eventId } = gapOf(lost).payload;
    this.#unreported.set(eventId, lost);
    await settled;
    this.#unreported.delete(eventId);
  }

  /** The next owner of the shard group reports these. */
  forget(isReported: (lost: LostSession) => boolean): void {
    for (const [id, lost] of this.#unreported) if (isReported(lost)) this.#unreported.delete(id);
  }
}

export function gapOf({ shardId, sessionId, lastSequence, lastReceivedAt, lostAt, reason, missing }: LostSession) {
  return gatewayGap({
    ...{ shardId, sessionId, lastSequence, lostFrom: lastReceivedAt, lostUntil: lostAt, reason },
    firstMissing: missing?.first,
  });
}
