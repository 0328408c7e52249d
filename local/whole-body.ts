// The body of an event, whatever its size: decompressed, and joined from its parts. What every worker needs that reads
// `events.dispatch` with large guilds.

import { gunzipSync } from 'node:zlib';
import type { ConsumeMessage } from 'amqplib';
import { HEADERS } from '../service/contract/names.ts';

/** Events that still miss parts. If the ingestor ended while it published them, the rest never comes. */
const MOST_INCOMPLETE = 100;

export class WholeBody {
  /** By the header that all parts of an event share. */
  readonly #parts = new Map<string, Buffer[]>();

  /** @returns the JSON of the event; none until its last part has come */
  of({ content, properties }: Pick<ConsumeMessage, 'content' | 'properties'>): string | undefined {
    const { headers = {}, contentEncoding } = properties;
    const body = HEADERS.parts in headers ? this.#joined(headers, content) : content;
    return body && (contentEncoding === 'gzip' ? gunzipSync(body) : body).toString();
  }

  #joined(headers: Readonly<Record<string, unknown>>, content: Buffer): Buffer | undefined {
    const whole = String(headers[HEADERS.whole]);
    const parts = this.#parts.get(whole) ?? [];
    parts[Number(headers[HEADERS.part]) - 1] = content;
    this.#parts.set(whole, parts);
    const [oldest = ''] = this.#parts.keys();
    if (this.#parts.size > MOST_INCOMPLETE) this.#parts.delete(oldest);
    if (Object.keys(parts).length < Number(headers[HEADERS.parts])) return undefined;
    this.#parts.delete(whole);
    return Buffer.concat(parts);
  }
}
