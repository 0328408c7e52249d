// What the end of a connection means, for every close code that Discord documents and those that it does not.

import { GatewayCloseCodes } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { type ConnectionEnd, RESUMABLE_CLOSE, type Verdict, verdictOf } from '../../../service/gateway/close-code.ts';

const ANSWERED: ConnectionEnd = {
  answered: true,
  advice: 'resume',
  socketFailed: false,
  resumeTimedOut: false,
  code: undefined,
  reason: undefined,
};

type Expected = readonly [advice: ConnectionEnd['advice'], kind: Verdict['kind']];

/** What `@discordjs/ws` 2.0.4 advises, and what is made of it. */
const CODES: Readonly<Record<GatewayCloseCodes, Expected>> & Readonly<Record<number, Expected>> = {
  [GatewayCloseCodes.UnknownError]: ['resume', 'resume'],
  [GatewayCloseCodes.UnknownOpcode]: ['resume', 'resume'],
  [GatewayCloseCodes.DecodeError]: ['resume', 'resume'],
  [GatewayCloseCodes.NotAuthenticated]: ['reconnect', 'refused'],
  [GatewayCloseCodes.AuthenticationFailed]: ['stop', 'token rejected'],
  [GatewayCloseCodes.AlreadyAuthenticated]: ['reconnect', 'refused'],
  [GatewayCloseCodes.InvalidSeq]: ['reconnect', 'refused'],
  [GatewayCloseCodes.RateLimited]: ['reconnect', 'refused'],
  [GatewayCloseCodes.SessionTimedOut]: ['resume', 'resume'],
  [GatewayCloseCodes.InvalidShard]: ['stop', 'fatal'],
  [GatewayCloseCodes.ShardingRequired]: ['stop', 'fatal'],
  [GatewayCloseCodes.InvalidAPIVersion]: ['stop', 'fatal'],
  [GatewayCloseCodes.InvalidIntents]: ['stop', 'fatal'],
  [GatewayCloseCodes.DisallowedIntents]: ['stop', 'fatal'],
  1000: ['reconnect', 'refused'],
  1006: ['resume', 'resume'],
  4999: ['resume', 'resume'],
  [RESUMABLE_CLOSE]: ['resume', 'resume'],
};

it.each(Object.entries(CODES))('close code %s: %s', (code, [advice, kind]) => {
  expect(verdictOf({ ...ANSWERED, advice, code: Number(code) }).kind).toBe(kind);
});

it.each([
  [4010, /SHARD_COUNT/],
  [4012, /update the ingestor/],
  [4013, /GATEWAY_INTENTS/],
  [4014, /Server Members Intent.*GATEWAY_INTENTS/],
])('the reason of %d is what to change', (code, sentence) => {
  const { reason } = verdictOf({ ...ANSWERED, code });
  expect(reason).toMatch(sentence);
  expect(reason).toContain(String(code));
});

describe('the verdict', () => {
  it.each<[string, Partial<ConnectionEnd>, Verdict['kind'], string]>([
    ['no HELLO', { answered: false, advice: 'stop' }, 'unreachable', 'the connection ended'],
    ['no answer to RESUME', { resumeTimedOut: true }, 'unreachable', 'no answer to RESUME'],
    [
      'a failed socket keeps the session',
      { socketFailed: true, advice: 'reconnect' },
      'resume',
      'the connection ended',
    ],
    ['op 9', { advice: 'reconnect', reason: 'Invalid session' }, 'refused', 'Invalid session'],
    ['4004 without HELLO', { answered: false, code: 4004 }, 'token rejected', 'Discord rejected the token (4004)'],
  ])('%s', (_, fields, kind, reason) => {
    expect(verdictOf({ ...ANSWERED, ...fields })).toEqual({ kind, reason });
  });
});
