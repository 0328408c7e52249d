// The id of an event: the same Discord event has the same id in every process and after every replay, because it follows
// from the session's id and the sequence alone. A UUID of version 5 (RFC 9562, section 5.5), whose digits are a W3C trace
// id too (https://www.w3.org/TR/trace-context/).

import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';

/** Chosen once. Changing it would make every replayed event look new. */
const NAMESPACE = Buffer.from('d81d9ebeb1f74ec99c7cd4bd0c2b5a6e', 'hex');

/** @param what in the session: a sequence, or what the ingestor reports of it */
export const eventId = (sessionId: string, what: number | string): string => uuidV5(NAMESPACE, `${sessionId}:${what}`);

/**
 * `traceparent` of an event. Marked as sampled, since a worker's tracer that follows its parent would drop it otherwise.
 * Neither id can be all zero: the version is part of the trace id, the variant opens the span id.
 */
export function traceparent(id: string): string {
  const digits = id.replaceAll('-', '');
  return `00-${digits}-${digits.slice(16)}-01`;
}

export function uuidV5(namespace: Uint8Array, name: string): string {
  const bytes = Buffer.allocUnsafe(namespace.length + Buffer.byteLength(name));
  bytes.set(namespace);
  bytes.write(name, namespace.length);
  const digits = hash('sha1', bytes, 'hex');
  const variant = '89ab'.charAt(Number.parseInt(digits.charAt(16), 16) & 0b0011);
  // One template: a list and its `join` cost a third of the whole.
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-5${digits.slice(13, 16)}-${variant}${digits.slice(17, 20)}-${digits.slice(20, 32)}`;
}
