// What a client does wrong, and what it gets for it: each with Discord's own answer, and told in `violations`.

import { GatewayCloseCodes, GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import type { SimulatorOptions } from '../../../local/discord/options.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient, INTENTS } from './gateway-client.ts';

interface Wrong {
  readonly what: string;
  readonly code: GatewayCloseCodes;
  readonly sentence: RegExp;
  readonly options?: Partial<SimulatorOptions>;
  readonly query?: string;
  /** Before IDENTIFY. */
  readonly greeted?: (client: GatewayClient) => void;
  /** After READY; the last sequence is 3. */
  readonly ready?: (client: GatewayClient & { session: { id: string } }) => void;
}

const wrong: readonly Wrong[] = [
  {
    what: 'another version',
    code: GatewayCloseCodes.InvalidAPIVersion,
    sentence: /expected v=10 in the address, got v=9/,
    query: 'v=9&encoding=json',
  },
  {
    what: 'another encoding',
    code: GatewayCloseCodes.DecodeError,
    sentence: /encoding=json, not etf/,
    query: 'v=10&encoding=etf',
  },
  {
    what: 'an unknown compression',
    code: GatewayCloseCodes.DecodeError,
    sentence: /compress=zlib-stream or none, not brotli/,
    query: 'v=10&encoding=json&compress=brotli',
  },
  {
    what: 'something that is not JSON',
    code: GatewayCloseCodes.DecodeError,
    sentence: /to be JSON/,
    greeted: (client) => client.socket.send('{'),
  },
  {
    what: 'JSON that is no object',
    code: GatewayCloseCodes.DecodeError,
    sentence: /to be an object/,
    greeted: (client) => client.socket.send('[1]'),
  },
  {
    what: 'more than 4,096 bytes',
    code: GatewayCloseCodes.DecodeError,
    sentence: /may have 4096 bytes, this has/,
    greeted: (client) => client.identify({ more: 'x'.repeat(4_096) }),
  },
  {
    what: 'an unknown opcode',
    code: GatewayCloseCodes.UnknownOpcode,
    sentence: /opcode 99/,
    greeted: (client) => client.send(99, null),
  },
  {
    what: 'an opcode that only the gateway sends',
    code: GatewayCloseCodes.UnknownOpcode,
    sentence: /opcode 0/,
    ready: (client) => client.send(GatewayOpcodes.Dispatch, {}),
  },
  {
    what: 'a payload before IDENTIFY',
    code: GatewayCloseCodes.NotAuthenticated,
    sentence: /opcode 3 came before IDENTIFY/,
    greeted: (client) => client.send(GatewayOpcodes.PresenceUpdate, {}),
  },
  {
    what: 'a wrong token in IDENTIFY',
    code: GatewayCloseCodes.AuthenticationFailed,
    sentence: /not the bot's/,
    greeted: (client) => client.identify({ token: 'wrong' }),
  },
  {
    what: 'a wrong token in RESUME',
    code: GatewayCloseCodes.AuthenticationFailed,
    sentence: /not the bot's/,
    greeted: (client) => client.resume('x', 1, { token: 'wrong' }),
  },
  {
    what: 'an IDENTIFY without properties',
    code: GatewayCloseCodes.DecodeError,
    sentence: /needs properties/,
    greeted: (client) => client.identify({ properties: undefined }),
  },
  {
    what: 'a second IDENTIFY',
    code: GatewayCloseCodes.AlreadyAuthenticated,
    sentence: /IDENTIFY came on a connection that is already identified/,
    ready: (client) => client.identify(),
  },
  {
    what: 'a second IDENTIFY before READY',
    code: GatewayCloseCodes.AlreadyAuthenticated,
    sentence: /already identified/,
    options: { readyDelayMs: 60_000 },
    greeted: (client) => {
      client.identify();
      client.identify();
    },
  },
  {
    what: 'a RESUME on an identified connection',
    code: GatewayCloseCodes.AlreadyAuthenticated,
    sentence: /RESUME came on a connection that is already identified/,
    ready: (client) => client.resume(client.session.id, 1),
  },
  {
    what: 'a RESUME without a sequence',
    code: GatewayCloseCodes.InvalidSeq,
    sentence: /needs the last sequence received, got null/,
    greeted: (client) => client.resume('x', null),
  },
  {
    what: 'a heartbeat with a sequence that was never sent',
    code: GatewayCloseCodes.InvalidSeq,
    sentence: /says 4, but this session only came to 3/,
    ready: (client) => client.heartbeat(4),
  },
  {
    what: 'a heartbeat without a number',
    code: GatewayCloseCodes.DecodeError,
    sentence: /a sequence or null/,
    ready: (client) => client.heartbeat('3'),
  },
  {
    what: 'a shard beyond the count',
    code: GatewayCloseCodes.InvalidShard,
    sentence: /\[id, count\].*got \[2,2\]/,
    greeted: (client) => client.identify({ shard: [2, 2] }),
  },
  {
    what: 'a shard that is no pair',
    code: GatewayCloseCodes.InvalidShard,
    sentence: /got "0\/1"/,
    greeted: (client) => client.identify({ shard: '0/1' }),
  },
  {
    what: 'a count that large-bot sharding does not allow',
    code: GatewayCloseCodes.InvalidShard,
    sentence: /multiple of 16, got 24/,
    options: { shardCountMultiple: 16 },
    greeted: (client) => client.identify({ shard: [0, 24] }),
  },
  {
    what: 'too many guilds for a shard',
    code: GatewayCloseCodes.ShardingRequired,
    sentence: /5001 guilds over 2 shards are more than 2500 each/,
    options: { guilds: 5_001 },
    greeted: (client) => client.identify({ shard: [0, 2] }),
  },
  {
    what: 'an unknown intent',
    code: GatewayCloseCodes.InvalidIntents,
    sentence: /no intent behind these bits: 524288/,
    greeted: (client) => client.identify({ intents: INTENTS | (1 << 19) }),
  },
  {
    what: 'intents beyond 31 bits',
    code: GatewayCloseCodes.InvalidIntents,
    sentence: /no intent/,
    greeted: (client) => client.identify({ intents: 2 ** 40 }),
  },
  {
    what: 'no intents',
    code: GatewayCloseCodes.InvalidIntents,
    sentence: /to be a bit set, got undefined/,
    greeted: (client) => client.identify({ intents: undefined }),
  },
  {
    what: 'MessageContent that was not granted',
    code: GatewayCloseCodes.DisallowedIntents,
    sentence: /not granted MessageContent/,
    greeted: (client) => client.identify({ intents: INTENTS | GatewayIntentBits.MessageContent }),
  },
  {
    what: 'GuildMembers that was not granted',
    code: GatewayCloseCodes.DisallowedIntents,
    sentence: /not granted GuildMembers/,
    options: { grantedIntents: 0 },
    greeted: (client) => client.identify(),
  },
  {
    what: '121 payloads in a minute',
    code: GatewayCloseCodes.RateLimited,
    sentence: /more than 120 payloads .* within 60 s/,
    ready: (client) => {
      for (let n = 0; n < 120; n += 1) client.heartbeat(3);
    },
  },
  {
    what: 'no heartbeat',
    code: GatewayCloseCodes.UnknownError,
    sentence: /no heartbeat came for 80 ms; the interval is 50 ms/,
    options: { heartbeatIntervalMs: 50, heartbeatGraceMs: 30 },
    greeted: () => undefined,
  },
];

describe('each is closed with its code and told', () => {
  test.each(wrong)('$what: $code', async ({ code, sentence, options, query, greeted, ready }) => {
    const simulator = await startSimulator({ guilds: 2, ...options });
    if (query !== undefined) {
      expect((await new GatewayClient(simulator, { query }).closed).code).toBe(code);
    } else if (greeted) {
      const client = await GatewayClient.greeted(simulator);
      greeted(client);
      expect((await client.closed).code).toBe(code);
    } else if (ready) {
      const client = await GatewayClient.ready(simulator);
      await client.dispatch('GUILD_CREATE');
      await client.dispatch('GUILD_CREATE');
      ready(client);
      expect((await client.closed).code).toBe(code);
    }
    expect(simulator.violations.map((each) => each.code)).toEqual([code]);
    expect(simulator.violations[0]?.sentence).toMatch(sentence);
    expect(simulator.count('violation')).toBe(1);
  });
});

test('120 payloads in a minute are fine', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  for (let n = 0; n < 118; n += 1) client.heartbeat(1);
  await client.settled();
  expect(simulator.violations).toEqual([]);
});

test('presence, voice state and requests for members are taken from an identified client', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  for (const op of [3, 4, 8]) client.send(op, {});
  await client.settled();
  expect(simulator.violations).toEqual([]);
});

test('a heartbeat in time keeps the connection; the next that is missing ends it', async () => {
  const simulator = await startSimulator({ guilds: 1, heartbeatIntervalMs: 60, heartbeatGraceMs: 240 });
  const client = await GatewayClient.ready(simulator);
  for (let n = 0; n < 10; n += 1) {
    client.heartbeat(1);
    await client.opcode(GatewayOpcodes.HeartbeatAck);
    await simulator.waitUntil('another heartbeat', () => simulator.count('heartbeat') > n);
  }
  expect(simulator.violations).toEqual([]);
  const last = performance.now();
  expect((await client.closed).code).toBe(4000);
  expect(performance.now() - last).toBeGreaterThan(200);
  // The session is still there: only the connection was given up.
  const again = await GatewayClient.greeted(simulator);
  again.resume(client.session.id, 2);
  await again.dispatch('RESUMED');
});

test('multiples are accepted by large-bot sharding', async () => {
  const simulator = await startSimulator({ shardCountMultiple: 16, maxConcurrency: 16 });
  await GatewayClient.ready(simulator, { shard: [31, 32] });
  expect(simulator.violations).toEqual([]);
});
