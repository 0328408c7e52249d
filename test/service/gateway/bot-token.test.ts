// The token that all shards share, with a source that the test changes.

import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { BotToken } from '../../../service/gateway/bot-token.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { Secret } from './secret.ts';

const unaborted = new AbortController().signal;
let lines: LogLines;

beforeEach(() => {
  lines = logLines();
});

const tokenOf = (source: Secret, readAgainMs = 5) => new BotToken(source, lines.log, readAgainMs);

it('a usable token is read once', async () => {
  const source = new Secret('first');
  const token = tokenOf(source);
  expect(await Promise.all([token.usable(unaborted), token.usable(unaborted)])).toEqual(['first', 'first']);
  expect(await token.usable(unaborted)).toBe('first');
  expect(source.readings).toBe(1);
  expect([token.problem, lines.lines]).toEqual([undefined, []]);
});

it('a missing token is waited for, until its signal for each, and logged once', async () => {
  const source = new Secret();
  const token = tokenOf(source);
  expect(token.missing).toBe(false);
  const stopping = new AbortController();
  const stopped = token.usable(stopping.signal);
  const waiting = token.usable(unaborted);
  await eventually('a few readings', () => source.readings > 3);
  expect(token.problem).toMatch(/no value yet/);
  expect(token.missing).toBe(true);
  stopping.abort(new Error('stopped'));
  await expect(stopped).rejects.toThrow('stopped');
  source.value = 'first';
  expect(await waiting).toBe('first');
  expect(token.missing).toBe(false);
  expect(token.problem).toBeUndefined();
  expect(lines.lines.map(({ msg }) => msg)).toEqual([
    'no usable bot token: waiting for another one',
    'there is a new bot token',
  ]);
});

it('a missing token is read every ten seconds', async () => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  onTestFinished(() => void vi.useRealTimers());
  const source = new Secret();
  const stopping = new AbortController();
  const stopped = new BotToken(source, lines.log).usable(stopping.signal);
  for (const [ms, readings] of [
    [9_900, 1],
    [200, 2],
    [9_800, 2],
    [200, 3],
  ] as const) {
    await vi.advanceTimersByTimeAsync(ms);
    expect(source.readings).toBe(readings);
  }
  stopping.abort(new Error('stopped'));
  await expect(stopped).rejects.toThrow('stopped');
});

it('a rejected token is used by no shard again; another one is waited for', async () => {
  const source = new Secret('MTIzNDU2.first');
  const token = tokenOf(source);
  await token.usable(unaborted);
  for (let shard = 0; shard < 5; shard += 1) token.reject('MTIzNDU2.first', 'Discord rejected the token (4004)');
  expect(token.problem).toMatch(
    /^Discord rejected the token \(4004\)\. Put the bot's current token into arn:of:the:token\. This one is tried again at 2\S+Z$/,
  );
  expect(token.missing).toBe(false);
  expect(lines.lines).toHaveLength(1);
  let used: string | undefined;
  const waiting = token.usable(unaborted).then((value) => {
    used = value;
  });
  await eventually('a few readings', () => source.readings > 4);
  expect(used).toBeUndefined();
  source.value = 'MTIzNDU2.second';
  await waiting;
  expect(used).toBe('MTIzNDU2.second');
  expect(token.problem).toBeUndefined();
  // A late refusal of the old one.
  token.reject('MTIzNDU2.first', 'rejected');
  expect(token.problem).toBeUndefined();
  expect(await token.usable(unaborted)).toBe('MTIzNDU2.second');
  expect(lines.text).not.toContain('MTIzNDU2');
});

it('a rejected token that stays is tried again every 15 minutes, though its secret cannot be read', async () => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  onTestFinished(() => void vi.useRealTimers());
  const source = new Secret('first');
  const token = tokenOf(source, 10_000);
  await token.usable(unaborted);
  for (let times = 1; times <= 2; times += 1) {
    token.reject('first', 'rejected');
    if (times === 2) source.value = undefined;
    let used = false;
    const waiting = token.usable(unaborted).then(() => {
      used = true;
    });
    await vi.advanceTimersByTimeAsync(899_999);
    expect([used, token.problem]).toEqual([
      false,
      expect.stringMatching(times === 1 ? /^rejected/ : /^rejected.*no value yet/),
    ]);
    await vi.advanceTimersByTimeAsync(1);
    await waiting;
    expect(token.problem ?? '').not.toContain('rejected');
  }
  const once = ['no usable bot token: waiting for another one', 'trying the rejected bot token again'];
  expect(lines.lines.map(({ msg }) => msg)).toEqual([...once, once[0], ...once]);
});

it('a rejected token is used again, though the same, where its secret has a new version, and may be rejected again', async () => {
  const source = new Secret('first');
  const token = tokenOf(source);
  for (source.version = 1; source.version <= 3; source.version += 1) {
    expect(await token.usable(unaborted)).toBe('first');
    expect(token.problem).toBeUndefined();
    token.reject('first', 'rejected');
  }
  expect(token.problem).toMatch(/rejected/);
});

it('is renewed by another version of its secret, not by readings that fail or find the same', async () => {
  const source = new Secret('first');
  const token = tokenOf(source);
  await token.usable(unaborted);
  let renewed = false;
  const waiting = token.renewed(unaborted).then(() => {
    renewed = true;
  });
  await eventually('a few readings', () => source.readings > 3);
  source.value = undefined;
  await eventually('a few that fail', () => source.readings > 6);
  expect([renewed, token.problem, await token.usable(unaborted)]).toEqual([false, undefined, 'first']);
  token.reject('first', 'rejected');
  [source.value, source.version] = ['second', 2];
  await waiting;
  expect(token.problem).toBeUndefined();
  expect([token.latest, await token.usable(unaborted)]).toEqual(['second', 'second']);
  await expect(token.renewed(AbortSignal.abort(new Error('stopped')))).rejects.toThrow();
});
