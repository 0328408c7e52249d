// Whatever comes off the wire, there is an answer, it keeps to the contract, and a refusal quotes nothing.

import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GuildPresence } from '../../../service/events/guild-presence.ts';
import type { Outcome } from '../../../service/events/outcome.ts';
import { EVENTS } from '../../../service/events/payload.ts';
import { family } from '../../../service/events/routing.ts';
import { toPayload } from '../../../service/events/to-payload.ts';
import * as dispatches from './dispatches.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const QUOTED = 'QUOTED-7f3a';

function answer(t: string, d: unknown): Outcome {
  return toPayload(
    { t, d },
    { sessionId: 's', shardId: 0, sequence: 2, receivedAt: 1_795_000_000_000, guilds: new GuildPresence(0) },
  );
}

function check(outcome: Outcome): void {
  if (outcome.kind !== 'event') {
    expect(outcome.reason).toMatch(/^[ -~]{5,200}$/);
    expect(outcome.reason).not.toContain(QUOTED);
    expect(outcome.reason).not.toContain('could not be read');
    return;
  }
  const name = family(outcome.routingKey);
  if (name === 'other') throw new Error(`no family has ${outcome.routingKey}`);
  const read = EVENTS[name].parse(JSON.parse(JSON.stringify(outcome.payload)));
  expect(read.eventType).toBe(outcome.routingKey);
  expect(Buffer.byteLength(outcome.routingKey)).toBeLessThanOrEqual(255);
}

const anyJson = fc.oneof(
  fc.jsonValue({ noUnicodeString: false }),
  fc.constantFrom<unknown>(Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 60, '', QUOTED, '\ud83e', '1'.repeat(21), [[]], {}),
  fc.constant(JSON.parse(`{"__proto__": {"id": "1"}, "${QUOTED}": "${QUOTED}", "constructor": 1}`)),
);

test('any JSON, under any name, gets an answer', () => {
  const names = fc.oneof(
    fc.constantFrom(...Object.values(dispatches.forwarded).map(({ t }) => t), 'READY', 'RESUMED', 'TYPING_START'),
    fc.string(),
  );
  fc.assert(
    fc.property(names, anyJson, (t, d) => check(answer(t, d))),
    { numRuns: 5000 },
  );
});

test('a true dispatch with any of its values replaced or removed gets an answer that keeps to the contract', () => {
  const kinds = Object.values(dispatches.forwarded).map(({ t, d }) => {
    const text = JSON.stringify(d);
    return { t, text, places: placesIn(JSON.parse(text)) };
  });
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(
      fc.constantFrom(...kinds),
      fc.array(fc.tuple(fc.nat(), fc.oneof(anyJson, fc.constant(REMOVED))), { minLength: 1, maxLength: 3 }),
      ({ t, text, places }, changes) => {
        const d: Json = JSON.parse(text);
        for (const [where, value] of changes) replace(d, places[where % places.length] ?? [], value);
        const outcome = answer(t, d);
        check(outcome);
        outcomes.add(outcome.kind);
      },
    ),
    { numRuns: 10_000 },
  );
  expect([...outcomes].toSorted()).toEqual(['event', 'filtered', 'unknown']);
});

test('a dispatch that nests a thousand deep gets an answer', () => {
  let options: Json = [];
  for (let depth = 0; depth < 1000; depth++) options = [{ name: 'x', type: 2, options }];
  const d = { ...Object(dispatches.chatCommand.d), data: { id: '1', name: 'deep', type: 1, options } };
  expect(answer('INTERACTION_CREATE', d)).toEqual({
    kind: 'unknown',
    reason: 'expected d.data.options[].options[].type to be that of a subcommand, got a number',
  });
});

const REMOVED = Symbol('removed');

function placesIn(value: Json, path: string[] = []): string[][] {
  const inside = Object.entries(Object(value) === value ? Object(value) : {}).flatMap(([key, each]) =>
    placesIn(each as Json, [...path, key]),
  );
  return path.length > 0 ? [path, ...inside] : inside;
}

function replace(root: Json, path: readonly string[], value: unknown): void {
  const last = path.at(-1);
  const parent = path.slice(0, -1).reduce<unknown>((each, key) => Object(each)[key], root);
  if (last === undefined || typeof parent !== 'object' || parent === null) return;
  if (value !== REMOVED) Reflect.set(parent, last, value);
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else Reflect.deleteProperty(parent, last);
}
