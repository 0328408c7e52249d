// What service/gateway/owned-shard.ts replaces in `@discordjs/ws` and in `ws`. When one of these fails after an update, read
// the package's WebSocketShard again: which promises are not awaited, what is emitted when, what is private.

import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { WebSocketShard } from '@discordjs/ws';
import { expect, it } from 'vitest';

it('the class is the one that was read: 2.0.4', () => {
  expect(hash('sha256', String(WebSocketShard))).toBe(
    '418bdc0c2e183ea9b9ba35c60752a4865db7cf89eed2ccfcccadd789cff70d0d',
  );
});

it('`ws` has the bound where it is set', () => {
  const require = createRequire(createRequire(import.meta.url).resolve('@discordjs/ws'));
  const receiver = readFileSync(require.resolve('ws').replace(/index\.js$|wrapper\.mjs$/, 'lib/receiver.js'), 'utf8');
  expect(receiver).toMatch(/this\._messageLength > this\._maxPayload/);
  expect(receiver).toMatch(/this\._totalPayloadLength > this\._maxPayload/);
});
