// What a frame may be, field by field, at both ends of each bound; and that nothing of it is quoted.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFrame } from '../../../service/gateway/frame.ts';

const HELLO = { op: 10, d: { heartbeat_interval: 41_250 } };
const READY = { op: 0, t: 'READY', s: 1, d: { session_id: 'abc', resume_gateway_url: 'wss://gateway.discord.gg' } };
const RESUMED = { op: 0, t: 'RESUMED', s: 9, d: {} };
const MESSAGE = { op: 0, t: 'MESSAGE_CREATE', s: 9, d: { id: '1' } };
const INVALID = { op: 9, d: true };

const parsed = (value: unknown) => parseFrame(typeof value === 'string' ? value : JSON.stringify(value));
const changed = (frame: object, path: string, value: unknown) => {
  const copy = structuredClone(frame) as Record<string, unknown>;
  const [name = '', inner] = path.split('.');
  if (inner === undefined) copy[name] = value;
  else copy[name] = { ...(copy[name] as object), [inner]: value };
  return copy;
};

const NOTHING: readonly unknown[] = [undefined, null];
const OTHERS = ['text', '', true, -1, 1.5, [], [1], {}, { a: { b: 1 } }];

describe('is taken', () => {
  it.each<[string, unknown]>([
    ['HELLO with the shortest interval', changed(HELLO, 'd.heartbeat_interval', 500)],
    ['HELLO with the longest', changed(HELLO, 'd.heartbeat_interval', 300_000)],
    ['READY', READY],
    ...[...NOTHING, 5, {}].map((url): [string, unknown] => [
      `READY with ${JSON.stringify(url)} as its address`,
      changed(READY, 'd.resume_gateway_url', url),
    ]),
    ['RESUMED', RESUMED],
    ['RESUMED without d', changed(RESUMED, 'd', undefined)],
    ...[...NOTHING, ...OTHERS].map((s): [string, unknown] => [
      `RESUMED with s ${JSON.stringify(s)}`,
      changed(RESUMED, 's', s),
    ]),
    ['a dispatch', MESSAGE],
    ['the first sequence', changed(MESSAGE, 's', 1)],
    ['an unknown type', changed(MESSAGE, 't', 'OF_TOMORROW')],
    ['d null', changed(MESSAGE, 'd', null)],
    ['d as a list', changed(MESSAGE, 'd', [])],
    ...[true, false].map((d): [string, unknown] => [`op 9 ${d}`, { op: 9, d }]),
    ...[1, 7, 11, 12, 99].flatMap((op) =>
      [...NOTHING, ...OTHERS].map((d): [string, unknown] => [`op ${op} with ${JSON.stringify(d)}`, { op, d }]),
    ),
  ])('%s', (_, frame) => {
    expect(parsed(frame)).toMatchObject({ op: (frame as { op: number }).op });
  });

  it('but a sequence of RESUMED that is none is ignored', () => {
    expect(parsed(changed(RESUMED, 's', 'x'))).not.toHaveProperty('s', 'x');
    expect(parsed(RESUMED)).toHaveProperty('s', 9);
  });
});

describe('is malformed', () => {
  const each = (frame: object, path: string, values: readonly unknown[]) =>
    values.map((value): [string, unknown] => [
      `${path} ${JSON.stringify(value)} in ${JSON.stringify(frame)}`,
      changed(frame, path, value),
    ]);

  it.each<[string, unknown]>([
    ...['', ' ', '{', '<html>', '\uFEFF{"op":1}', '\0', 'null', '5', '"text"', '[]', 'true'].map(
      (text): [string, unknown] => [JSON.stringify(text), text],
    ),
    ...each(HELLO, 'op', [undefined, null, '10', -1, 1.5, [], {}, true]),
    ...each(HELLO, 'd', [...NOTHING, ...OTHERS]),
    ...each(HELLO, 'd.heartbeat_interval', [...NOTHING, ...OTHERS, 0, 499, 300_001, '41250', 1e300]),
    ...each(READY, 'd', [...NOTHING, ...OTHERS]),
    ...each(READY, 'd.session_id', [...NOTHING, '', 5, [], {}, 'x'.repeat(201)]),
    ...each(READY, 's', [...NOTHING, ...OTHERS, 0]),
    ...each(MESSAGE, 's', [...NOTHING, ...OTHERS, 0, '9', 2 ** 53]),
    ...each(MESSAGE, 't', [...NOTHING, '', 5, [], {}, true]),
    ...each(MESSAGE, 'd', [undefined, 'text', 5, true]),
    ...each(INVALID, 'd', [...NOTHING, 'true', 0, 1, [], {}]),
    ['a huge sequence', '{"op":0,"t":"A","s":1e999,"d":{}}'],
  ])('%s', (_, frame) => {
    expect(parsed(frame)).toHaveProperty('reason', expect.any(String));
  });

  it('and its sentence names the field and the kind, briefly, and quotes nothing', () => {
    expect(parsed(changed(HELLO, 'd', null))).toEqual({
      reason: 'HELLO: Invalid input: expected object, received null → at d',
      mayBeDispatch: false,
    });
    for (const [frame, reason] of [
      ['SECRET', 'expected JSON, got 6 characters that are none'],
      ['null', 'expected an object, got null'],
      ['5', 'expected an object, got a number'],
      [{ op: -1 }, 'a frame: Too small: expected number to be >=0 → at op'],
      [
        { op: 0 },
        'a dispatch: Invalid input: expected string, received undefined → at t Invalid input: expected number, received undefined → at s expected an object, a list or null → at d',
      ],
    ])
      expect(parsed(frame)).toEqual({ reason, mayBeDispatch: true });
    // Each field has several faults.
    expect(parsed({ op: 0, t: [], s: -1e308 })).toHaveProperty('reason.length', 200);
    const sentences = [
      changed(MESSAGE, 's', 'SECRET'),
      changed(MESSAGE, 'd', 'SECRET'),
      changed(READY, 'd.session_id', 'SECRET'.repeat(99)),
      '{"op":10,"d":"SECRET"',
    ].map((each) => JSON.stringify(parsed(each)));
    for (const sentence of sentences) {
      expect(sentence).toContain('reason');
      expect(sentence).not.toContain('SECRET');
      expect(sentence.length).toBeLessThanOrEqual(250);
    }
  });
});

it('is no exception, whatever it is', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.json(),
        fc
          .record({
            op: fc.nat(12),
            d: fc.jsonValue(),
            s: fc.jsonValue(),
            t: fc.oneof(fc.constantFrom(...Object.values(GatewayDispatchEvents)), fc.jsonValue()),
          })
          .map((each) => JSON.stringify(each)),
      ),
      (text) => {
        const frame = parseFrame(text);
        if ('op' in frame && frame.op === 0 && 's' in frame && frame.s !== undefined)
          expect(Number.isSafeInteger(frame.s) && frame.s >= 1).toBe(true);
      },
    ),
    { numRuns: 2_000 },
  );
});

it('may be nested as deep as its size allows, and name a prototype', () => {
  const deep = `{"op":0,"t":"A","s":1,"d":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  expect(parseFrame(deep)).toHaveProperty('t', 'A');
  const named = '{"op":0,"t":"READY","s":1,"__proto__":{"x":1},"d":{"session_id":"a","__proto__":{"x":1}}}';
  expect(parseFrame(named)).toHaveProperty('t', 'READY');
  expect({}).not.toHaveProperty('x');
});

describe('of a dispatch that is not wanted', () => {
  const UNWANTED = new Set(['TYPING_START', 'PRESENCE_UPDATE']);
  const read = (text: string) => parseFrame(text, UNWANTED);

  it.each([
    '{"t":"TYPING_START","s":9,"op":0,"d":{"user_id":"1"}}',
    '{"t":"TYPING_START","s":9,"op":0,"d":[]}',
    '{"t":"TYPING_START","s":9,"op":0,"d":null}',
    '{"t":"TYPING_START","s":9,"op":0,"d":{ not JSON }}',
  ])('nothing is read behind its sequence, as Discord writes it: %s', (text) => {
    expect(read(text)).toEqual({ op: 0, t: 'TYPING_START', s: 9, d: null });
  });

  it.each([
    '{"t":"TYPING_START","s":9,"d":{"a":1},"op":0}',
    '{"op":0,"s":9,"t":"TYPING_START","d":{"a":1}}',
    '{ "t":"TYPING_START","s":9,"op":0,"d":{"a":1}}',
    '{"t": "TYPING_START","s":9,"op":0,"d":{"a":1}}',
    '{"t":"TYPING\\u005fSTART","s":9,"op":0,"d":{"a":1}}',
    '{"t":"TYPING_START","s":0,"op":0,"d":{"a":1}}',
    '{"t":"TYPING_START","s":09,"op":0,"d":{"a":1}}',
    '{"t":"TYPING_START","s":9e2,"op":0,"d":{"a":1}}',
    '{"t":"TYPING_START","s":9999999999999999,"op":0,"d":{"a":1}}',
    '{"t":"TYPING_START","s":9,"op":1,"d":{"a":1}}',
    '{"t":"TYPING_START","s":9,"op":00,"d":{"a":1}}',
    '{"t":"TYPING_START","s":9,"op":0,"d":5}',
    '{"t":"TYPING_START","s":9,"op":0,"d":{"a":1',
    '{"t":"MESSAGE_CREATE","s":9,"op":0,"d":{"a":1}}',
  ])('any other frame is parsed completely: %s', (text) => {
    expect(read(text)).toEqual(parseFrame(text));
  });

  it('the type and sequence are those of the parsed frame, whatever it holds', () => {
    fc.assert(
      fc.property(fc.constantFrom(...UNWANTED), fc.integer({ min: 1 }), fc.jsonValue(), (t, s, value) => {
        const { d: _, ...rest } = parseFrame(JSON.stringify({ t, s, op: 0, d: { value } })) as { d: unknown };
        expect(read(JSON.stringify({ t, s, op: 0, d: { value } }))).toEqual({ ...rest, d: null });
      }),
    );
  });
});
