// What is shown of a message: readable, without a token, and with nothing that a terminal obeys.

import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { bodyOf, jsonLine, jsonText, printable } from '../../../lib/operator/printable.ts';
import { HEADERS } from '../../../service/contract/names.ts';

const nested = (levels: number): string => `${'['.repeat(levels)}1${']'.repeat(levels)}`;

describe('a body', () => {
  it.each<[string, Buffer, unknown, object, unknown]>([
    ['JSON', Buffer.from('{"a":1}'), undefined, {}, { a: 1 }],
    ['text', Buffer.from('{"a":'), undefined, {}, '{"a":'],
    ['null', Buffer.from('null'), undefined, {}, null],
    ['compressed JSON', gzipSync('{"a":1}'), 'gzip', {}, { a: 1 }],
    ['no gzip', Buffer.from('{}'), 'gzip', {}, '2 bytes that cannot be decompressed'],
    ['200 levels', Buffer.from(nested(200)), undefined, {}, JSON.parse(nested(200))],
    ['201 levels', Buffer.from(nested(201)), undefined, {}, '403 bytes of JSON that is nested too deeply'],
    ['a part', Buffer.from('abc'), 'gzip', { [HEADERS.part]: 2, [HEADERS.parts]: 3 }, 'part 2 of 3, 3 bytes'],
  ])('of %s', (_, content, encoding, headers, shown) => {
    expect(bodyOf(content, encoding, { ...headers })).toEqual(shown);
  });

  it('of up to 64 MiB is decompressed', () => {
    const compressed = (bytes: number) => gzipSync(Buffer.alloc(bytes, ' '));
    expect(bodyOf(compressed(64 * 1024 * 1024), 'gzip', {})).toMatch(/^ {9}/);
    expect(bodyOf(compressed(64 * 1024 * 1024 + 1), 'gzip', {})).toMatch(/^\d+ bytes that cannot be decompressed$/);
  });
});

it.each([
  ['a\u001b[2Jb', 'a\\u001b[2Jb'],
  ['\u007f\u0085', '\\u007f\\u0085'],
  ['\u202eabc\u2028\u2029', '\\u202eabc\\u2028\\u2029'],
  ['\u{e0041}', '\\udb40\\udc41'],
  ['помощь 🦆', 'помощь 🦆'],
])('%j is printed as %s', (text, shown) => {
  expect(printable(text)).toBe(shown);
});

it('JSON is one line, or several, without a token and with what a terminal obeys as escapes', () => {
  const value = { token: 'aW50ZXJhY3Rpb24', name: 'a\u202eb' };
  expect(jsonLine(value)).not.toContain('aW50ZXJhY3Rpb24');
  expect(jsonLine(value)).toContain('"name":"a\\u202eb"');
  expect(jsonText(value).split('\n')).toEqual([
    '{',
    expect.stringMatching(/^ {2}"token": "(?!aW50)/),
    '  "name": "a\\u202eb"',
    '}',
  ]);
});
