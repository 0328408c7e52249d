import { Buffer } from 'node:buffer';
import { expect, test } from 'vitest';
import { eventId, traceparent, uuidV5 } from '../../../service/events/event-id.ts';
import { gatewayGap, gatewayReady, sessionReplaced } from '../../../service/events/gap.ts';

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
  expect(gatewayGap({ ...gap, firstMissing: 2 }).payload.eventId).toBe('76fa764b-ce62-51df-a14c-fa0f4f88dfd1');
  expect(sessionReplaced({ ...gap, endedAt: 1 }).payload.eventId).toBe('9a304afe-c572-5495-96bc-dc4d667a53af');
  const ready = { sessionId: session, applicationId: '1', userId: '2', shardCount: 1, guildIds: [] };
  expect(gatewayReady(1, 1, ready).payload.eventId).toBe('47ca3c5f-e11a-5aa6-89b3-b93ad7df911a');
});

test('traceparent carries the id of the event, and neither of its ids is zero', () => {
  expect(traceparent('2ed6657d-e927-568b-95e1-2665a8aea6a2')).toBe(
    '00-2ed6657de927568b95e12665a8aea6a2-95e12665a8aea6a2-01',
  );
  expect(traceparent('00000000-0000-5000-8000-000000000000')).toBe(
    '00-00000000000050008000000000000000-8000000000000000-01',
  );
});
