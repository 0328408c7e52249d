// What the end of a connection means, over every close code that Discord documents and those that it does not.

import { GatewayCloseCodes } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { type ConnectionEnd, RESUMABLE_CLOSE, type Verdict, verdictOf } from '../../../service/gateway/close-code.ts';

/** A connection on which Discord spoke and which ended with this code; the advice is what `@discordjs/ws` 2.0.4 gives. */
function end(code: number | undefined, fields: Partial<ConnectionEnd> = {}): ConnectionEnd {
  return {
    answered: true,
    advice: adviceOf(code),
    socketFailed: false,
    resumeTimedOut: false,
    code,
    reason: undefined,
    ...fields,
  };
}

function adviceOf(code: number | undefined): ConnectionEnd['advice'] {
  if (code === undefined) return 'resume';
  if ([4004, 4010, 4011, 4012, 4013, 4014].includes(code)) return 'stop';
  return [1000, 4003, 4005, 4007, 4008].includes(code) ? 'reconnect' : 'resume';
}

const VERDICTS: Readonly<Record<GatewayCloseCodes, Verdict['kind']>> = {
  [GatewayCloseCodes.UnknownError]: 'resume',
  [GatewayCloseCodes.UnknownOpcode]: 'resume',
  [GatewayCloseCodes.DecodeError]: 'resume',
  [GatewayCloseCodes.NotAuthenticated]: 'refused',
  [GatewayCloseCodes.AuthenticationFailed]: 'token rejected',
  [GatewayCloseCodes.AlreadyAuthenticated]: 'refused',
  [GatewayCloseCodes.InvalidSeq]: 'refused',
  [GatewayCloseCodes.RateLimited]: 'refused',
  [GatewayCloseCodes.SessionTimedOut]: 'resume',
  [GatewayCloseCodes.InvalidShard]: 'fatal',
  [GatewayCloseCodes.ShardingRequired]: 'fatal',
  [GatewayCloseCodes.InvalidAPIVersion]: 'fatal',
  [GatewayCloseCodes.InvalidIntents]: 'fatal',
  [GatewayCloseCodes.DisallowedIntents]: 'fatal',
};

const documented = Object.values(GatewayCloseCodes).filter((code) => typeof code === 'number');

describe('a close code', () => {
  it.each(documented.map((code) => [code, GatewayCloseCodes[code], VERDICTS[code]] as const))(
    '%d (%s): %s',
    (code, _name, kind) => {
      expect(verdictOf(end(code)).kind).toBe(kind);
    },
  );

  it.each([
    [1000, 'refused'],
    [1001, 'resume'],
    [1005, 'resume'],
    [1006, 'resume'],
    [1011, 'resume'],
    [1012, 'resume'],
    [4999, 'resume'],
    [RESUMABLE_CLOSE, 'resume'],
    [undefined, 'resume'],
  ])('%s, which Discord does not document: %s', (code, kind) => {
    expect(verdictOf(end(code)).kind).toBe(kind);
  });

  it('keeps the session unless Discord itself said no: no code loses it by one connection', () => {
    for (const code of [...documented, 1000, 1001, 1006, undefined])
      expect(['resume', 'refused', 'token rejected', 'fatal']).toContain(verdictOf(end(code)).kind);
  });

  it.each([
    [4010, /SHARD_COUNT/],
    [4011, /raise SHARD_COUNT/],
    [4012, /update the ingestor/],
    [4013, /GATEWAY_INTENTS/],
    [4014, /Server Members Intent.*GATEWAY_INTENTS/],
  ])('%d says what to change', (code, sentence) => {
    expect(verdictOf(end(code)).reason).toMatch(sentence);
    expect(verdictOf(end(code)).reason).toContain(String(code));
  });

  it('that is fatal or rejects the token is so whatever else is known of the connection', () => {
    for (const fields of [{ answered: false }, { socketFailed: true }, { resumeTimedOut: true }]) {
      expect(verdictOf(end(4004, fields)).kind).toBe('token rejected');
      expect(verdictOf(end(4014, fields)).kind).toBe('fatal');
    }
  });
});

describe('a connection that ended otherwise', () => {
  it('is unreachable when the gateway never spoke, whatever the package advises', () => {
    for (const advice of ['resume', 'reconnect', 'stop'] as const)
      for (const socketFailed of [true, false])
        expect(verdictOf(end(undefined, { answered: false, advice, socketFailed })).kind).toBe('unreachable');
    expect(verdictOf(end(1006, { answered: false })).kind).toBe('unreachable');
  });

  it('is unreachable when RESUME was not answered', () => {
    expect(verdictOf(end(undefined, { resumeTimedOut: true, advice: 'resume' }))).toEqual({
      kind: 'unreachable',
      reason: 'no answer to RESUME',
    });
  });

  it('keeps the session when the socket failed, though the package would give it up', () => {
    expect(verdictOf(end(1006, { socketFailed: true, advice: 'reconnect' })).kind).toBe('resume');
  });

  it('is a refusal when the package gives the session up and the socket was well (op 9)', () => {
    expect(verdictOf(end(undefined, { advice: 'reconnect', reason: 'Invalid session' }))).toEqual({
      kind: 'refused',
      reason: 'Invalid session',
    });
  });

  it('says its reason, or that there was none', () => {
    expect(verdictOf(end(undefined, { reason: 'Zombie connection' })).reason).toBe('Zombie connection');
    expect(verdictOf(end(undefined)).reason).toBe('the connection ended');
    expect(verdictOf(end(4008)).reason).toBe('close code 4008');
  });
});
