// What the end of a connection means, for every close code that Discord documents and those that it does not, and for
// every other cause.

import { GatewayCloseCodes, GatewayIntentBits } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { type EndCause, RESUMABLE_CLOSE, type Verdict, verdictOf } from '../../../service/gateway/close-code.ts';

const INTENTS = GatewayIntentBits.GuildMembers;

const CODES: Readonly<Record<GatewayCloseCodes, Verdict['kind']>> & Readonly<Record<number, Verdict['kind']>> = {
  [GatewayCloseCodes.UnknownError]: 'resume',
  [GatewayCloseCodes.UnknownOpcode]: 'resume',
  [GatewayCloseCodes.DecodeError]: 'resume',
  [GatewayCloseCodes.NotAuthenticated]: 'refused',
  [GatewayCloseCodes.AuthenticationFailed]: 'token rejected',
  [GatewayCloseCodes.AlreadyAuthenticated]: 'refused',
  [GatewayCloseCodes.InvalidSeq]: 'refused',
  [GatewayCloseCodes.RateLimited]: 'not now',
  [GatewayCloseCodes.SessionTimedOut]: 'resume',
  [GatewayCloseCodes.InvalidShard]: 'fatal',
  [GatewayCloseCodes.ShardingRequired]: 'fatal',
  [GatewayCloseCodes.InvalidAPIVersion]: 'fatal',
  [GatewayCloseCodes.InvalidIntents]: 'fatal',
  [GatewayCloseCodes.DisallowedIntents]: 'fatal',
  1000: 'resume',
  1001: 'resume',
  1006: 'resume',
  4006: 'resume',
  4999: 'resume',
  [RESUMABLE_CLOSE]: 'resume',
};

describe.each(Object.entries(CODES))('close code %s', (code, kind) => {
  it(`means: ${kind}`, () => {
    const verdict = verdictOf({ how: 'closed by Discord', code: Number(code), answered: true }, INTENTS);
    expect(verdict.kind).toBe(kind);
    expect(verdict.reason).toContain(code);
  });

  it('before HELLO: nothing about the session', () => {
    const { kind: before } = verdictOf({ how: 'closed by Discord', code: Number(code), answered: false }, INTENTS);
    expect(before).toBe(kind === 'fatal' || kind === 'token rejected' ? kind : 'unreachable');
  });
});

it.each([
  [4010, [], /SHARD_COUNT/],
  [4011, [], /raise SHARD_COUNT. If it is auto, deploy again/],
  [4012, [], /update the ingestor/],
  [
    4013,
    ['Guilds', 'GuildMembers'],
    /correct EVENTS, or GATEWAY_INTENTS where it is set: it asks for Guilds, GuildMembers$/,
  ],
  [
    4014,
    ['Guilds', 'GuildMembers'],
    /switch on 'Server Members Intent' in its developer portal .*, or choose no EVENTS that need GuildMembers \(and remove it from GATEWAY_INTENTS, where that is set\)$/,
  ],
  [4014, ['Guilds'], /'Guilds' .* no EVENTS that need Guilds /],
  [
    4014,
    ['GuildMembers', 'GuildPresences', 'MessageContent'],
    /'Server Members Intent' and 'Presence Intent' and 'Message Content Intent' in .* need GuildMembers and GuildP/,
  ],
])('the reason of %d with the intents %j is what to change', (code, names, sentence) => {
  const intents = names.reduce((bits, name) => bits | GatewayIntentBits[name as keyof typeof GatewayIntentBits], 0);
  expect(verdictOf({ how: 'closed by Discord', code, answered: true }, intents).reason).toMatch(sentence);
});

it.each<[EndCause, Verdict['kind'], before: Verdict['kind'], reason: string]>([
  [{ how: 'failed', reason: 'read ECONNRESET' }, 'resume', 'unreachable', 'read ECONNRESET'],
  [{ how: 'no HELLO' }, 'resume', 'unreachable', 'the gateway sent no HELLO in time'],
  [{ how: 'no READY' }, 'no READY', 'unreachable', 'the gateway sent no READY in time'],
  [{ how: 'no answer to RESUME' }, 'unreachable', 'unreachable', 'no answer to RESUME'],
  [{ how: 'zombie' }, 'resume', 'unreachable', 'no heartbeat was acknowledged for an interval'],
  [{ how: 'op 7' }, 'resume', 'unreachable', 'Discord asked to reconnect (op 7)'],
  [{ how: 'op 9', resumable: true }, 'not now', 'not now', 'invalid session (op 9), resumable'],
  [{ how: 'op 9', resumable: false }, 'refused', 'refused', 'invalid session (op 9)'],
  [{ how: 'malformed', reason: 'no JSON' }, 'malformed', 'malformed', 'malformed frame: no JSON'],
  [{ how: 'undecodable', reason: 'no UTF-8' }, 'malformed', 'malformed', 'malformed frame: no UTF-8'],
  [{ how: 'hole', reason: '11 did not come' }, 'resume', 'unreachable', '11 did not come'],
  [{ how: 'closed here' }, 'resume', 'unreachable', 'the ingestor closed the connection'],
])('%j: %s, and before HELLO %s', (cause, kind, before, reason) => {
  expect(verdictOf({ ...cause, answered: true }, INTENTS)).toEqual({ kind, reason });
  expect(verdictOf({ ...cause, answered: false }, INTENTS)).toEqual({ kind: before, reason });
});
