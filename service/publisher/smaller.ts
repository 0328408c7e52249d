// A message that is larger than the broker takes, made smaller: compressed, and in parts if that is not enough. A worker joins
// the parts in their order, and decompresses the whole. Compressed off the event loop: 5 MB take a tenth of a second.
//
// The same event published again may be compressed to other bytes, since its time of receipt may differ. So parts belong
// together by what they are parts of, event and checksum, and not by the event alone; and so do their ids.

import type { Buffer } from 'node:buffer';
import { promisify } from 'node:util';
import { crc32, gzip } from 'node:zlib';
import { HEADERS } from '../contract/names.ts';
import type { Message } from './message.ts';

/** Half of what Amazon MQ takes by default: a broker that takes less than this needs smaller ones. */
export const PART_BYTES = 256 * 1024;

const compressed = promisify(gzip) as (body: Buffer) => Promise<Buffer>;

/** @returns what is published in its place, in order; none if it cannot be smaller, being a part already */
export async function smaller(message: Message, maxBytes: number): Promise<readonly Message[]> {
  if (HEADERS.part in message.headers) return [];
  const isCompressed = message.contentEncoding !== undefined;
  const body = isCompressed ? message.body : await compressed(message.body);
  if (body.length <= maxBytes) return [{ ...message, body, contentEncoding: 'gzip' }];
  const bytes = Math.min(PART_BYTES, maxBytes);
  const parts = Math.ceil(body.length / bytes);
  const whole = `${message.messageId}-${crc32(body).toString(16)}`;
  return Array.from({ length: parts }, (_, index) => ({
    ...message,
    body: body.subarray(index * bytes, (index + 1) * bytes),
    contentEncoding: 'gzip',
    messageId: `${whole}:${index + 1}`,
    headers: {
      ...message.headers,
      [HEADERS.whole]: whole,
      [HEADERS.part]: index + 1,
      [HEADERS.parts]: parts,
    },
  }));
}
