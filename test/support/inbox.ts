// The messages that a worker got from the queues of a stage, for tests that look into them.

import type { ConsumeMessage } from 'amqplib';
import type { Stage } from '../../local/stage.ts';
import { WholeBody } from '../../local/whole-body.ts';
import { HEADERS } from '../../service/contract/names.ts';

export interface Received {
  readonly queue: string;
  readonly message: ConsumeMessage;
  readonly sessionId: string;
  readonly sequence: number;
  readonly routingKey: string;
  readonly body: Record<string, unknown>;
}

const WITHIN_MS = 30_000;

export class Inbox {
  readonly all: Received[] = [];
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
    const bodies = new WholeBody();
    stage.reader.onMessage = (queue, message) => {
      const body = bodies.of(message);
      if (body === undefined) return;
      const { headers = {} } = message.properties;
      this.all.push({
        queue,
        message,
        sessionId: String(headers[HEADERS.session]),
        sequence: Number(headers[HEADERS.sequence]),
        routingKey: message.fields.routingKey,
        body: JSON.parse(body) as Record<string, unknown>,
      });
    };
  }

  /** The first message that fits. @throws when none arrives within half a minute */
  async first(what: string, fits: (received: Received) => boolean): Promise<Received> {
    await this.#stage.until(`a message: ${what}`, WITHIN_MS, () => this.all.some(fits));
    return this.all.find(fits) as Received;
  }

  /** The message of an event that the simulator emitted. */
  of(emitted: { readonly sessionId: string; readonly sequence: number }): Promise<Received> {
    const { sessionId, sequence } = emitted;
    return this.first(`${sessionId} ${sequence}`, (each) => each.sessionId === sessionId && each.sequence === sequence);
  }

  /** Resolves when both queues are read up to now: one more event is sent through each, with its lowest priority. */
  async upToNow(): Promise<void> {
    const { simulator } = this.#stage;
    for (const last of ['message.text', 'autocomplete.plain']) {
      const emitted = simulator?.emit(last);
      if (emitted !== undefined) await this.of(emitted);
    }
  }
}
