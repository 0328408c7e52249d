import { Buffer } from 'node:buffer';
import { expect, test } from 'vitest';
import { eventId, traceparent, uuidV5 } from '../../../service/events/event-id.ts';
import { gatewayGap } from '../../../service/events/gap.ts';

test('a UUID of version 5 is that of RFC 9562', () => {
  // Appendix A.4: the name www.example.com in the namespace of DNS.
  const dns = Buffer.from('6ba7b8109dad11d180b400c04fd430c8', 'hex');
  expect(uuidV5(dns, 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2');
});

test('the ids of events never change: workers have stored them', () => {
  const session = 'fd4f4f6e8d9e4a0c8a3f3d1b2c5e7a90';
  expect(eventId(session, 42)).toBe('250239c7-dc0d-560e-b175-9037305871d8');
  const gap = { sessionId: session, shardId: 1, lastSequence: 1, lostFrom: null, lostUntil: 1, reason: '' };
  expect(gatewayGap(gap).payload.eventId).toBe('ea526059-07e3-5759-846e-d1be7c4ccff9');
});

test('traceparent carries the id of the event, and neither of its ids is zero', () => {
  expect(traceparent('2ed6657d-e927-568b-95e1-2665a8aea6a2')).toBe(
    '00-2ed6657de927568b95e12665a8aea6a2-95e12665a8aea6a2-01',
  );
  expect(traceparent('00000000-0000-5000-8000-000000000000')).toBe(
    '00-00000000000050008000000000000000-8000000000000000-01',
  );
});
