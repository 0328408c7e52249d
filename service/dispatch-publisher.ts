// Makes messages of a dispatch and publishes them. It counts every dispatch by its outcome, and logs once per type what this
// version cannot read, and once per name the fields that it does not know.

import { type DispatchContext, type Outcome, unknown } from './events/outcome.ts';
import { toOutcomes } from './events/to-payload.ts';
import type { ShardOptions } from './gateway/shard-options.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Publisher } from './publisher/publisher.ts';
import type { ShardSession } from './session/session.ts';
import { toMessage } from './to-message.ts';

export interface DispatchPublisherOptions extends Pick<DispatchContext, 'choice' | 'optIns'> {
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly metrics: Pick<Metrics, 'add' | 'observe'>;
  readonly log: Log;
}

/** Names of types and fields may be anything: no more of them, and no more of each, are remembered as logged. */
const MAX_WARNED = 1_000;
const MAX_NAME = 100;

export class DispatchPublisher {
  readonly #options: DispatchPublisherOptions;
  /** Dispatch types, some with a field, that were logged. */
  readonly #warned = new Set<string>();

  constructor(options: DispatchPublisherOptions) {
    this.#options = options;
  }

  /**
   * Never throws: a dispatch that ended the connection or the process would be replayed to the next one.
   * @param settle called once nothing of the dispatch waits for a confirm, perhaps at once
   * @returns whether something is published
   */
  publish(
    { s: sequence, t: type, d }: Parameters<ShardOptions['onDispatch']>[0],
    { shardId, shardCount, guilds, id: sessionId = '' }: ShardSession,
    receivedAt: number,
    settle: () => void,
  ): boolean {
    const { choice, metrics, optIns, publisher } = this.#options;
    let outcomes: readonly Outcome[];
    let unconfirmed = 0;
    try {
      const context = { sessionId, shardId, shardCount, sequence, receivedAt, guilds, choice, optIns };
      outcomes = toOutcomes({ t: type, d }, context);
      const messages = outcomes.flatMap((each) => (each.kind === 'event' ? toMessage(each, sessionId, sequence) : []));
      unconfirmed = messages.length;
      for (const message of messages)
        publisher.publish(message, () => {
          unconfirmed -= 1;
          if (unconfirmed > 0) return;
          settle();
          metrics.observe('frameToConfirm', Date.now() - receivedAt);
        });
    } catch (error) {
      // Nested deeper than JSON can be written. The error may quote the payload, so only its kind is reported.
      outcomes = [unknown(`${error instanceof Error ? error.name : typeof error}: it cannot be made a message`)];
    }
    const isPublished = outcomes.some(({ kind }) => kind === 'event');
    for (const outcome of outcomes) if (!isPublished || outcome.kind !== 'filtered') this.#report(type, outcome);
    if (!isPublished) settle();
    return isPublished;
  }

  #report(type: string, outcome: Outcome): void {
    const { metrics } = this.#options;
    if (outcome.kind === 'event') {
      // They were removed from what workers get.
      for (const field of outcome.unknownFields ?? []) {
        metrics.add('unknownFields');
        const details = { dispatch: type, field: field.slice(0, MAX_NAME) };
        this.#warnOnce(
          `${type} ${field}`,
          details,
          'removed a field that this version does not know (logged once per name)',
        );
      }
      return;
    }
    metrics.add(outcome.kind === 'filtered' ? 'eventsFiltered' : 'eventsUnknown');
    if (outcome.kind === 'filtered') return;
    const details = { dispatch: type.slice(0, MAX_NAME), reason: outcome.reason };
    this.#warnOnce(type, details, 'dropped a dispatch that this version cannot read (logged once per type)');
  }

  #warnOnce(name: string, details: object, message: string): void {
    const what = name.slice(0, MAX_NAME);
    if (this.#warned.has(what) || this.#warned.size >= MAX_WARNED) return;
    this.#warned.add(what);
    this.#options.log.warn(details, message);
  }
}
