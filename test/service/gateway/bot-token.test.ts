// The token as all shards share it, against a source that is changed by hand.

import { beforeEach, describe, expect, it } from 'vitest';
import { BotToken, type TokenSource } from '../../../service/gateway/bot-token.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

/** As a secret: each reading is counted; undefined means that there is no value yet. */
class Secret implements TokenSource {
  readonly from = 'arn:of:the:token';
  value: string | undefined;
  readings = 0;
  #last: string | undefined;

  constructor(value?: string) {
    this.value = value;
  }

  async read(): Promise<string> {
    if (this.#last === undefined) await this.refresh();
    return this.#last ?? '';
  }

  async refresh(): Promise<boolean> {
    this.readings += 1;
    if (this.value === undefined) throw new Error(`${this.from}: it has no value yet. Put the value into it`);
    const changed = this.value !== this.#last;
    this.#last = this.value;
    return changed;
  }
}

const forever = new AbortController().signal;
let lines: LogLines;

beforeEach(() => {
  lines = logLines();
});

const tokenOf = (source: TokenSource) => new BotToken(source, lines.log, 5);

describe('the token', () => {
  it('is read once and kept', async () => {
    const source = new Secret('first');
    const token = tokenOf(source);
    expect(await Promise.all([token.usable(forever), token.usable(forever)])).toEqual(['first', 'first']);
    expect(await token.usable(forever)).toBe('first');
    expect(source.readings).toBe(1);
    expect(token.problem).toBeUndefined();
  });

  it('is waited for while there is none, and that is said once', async () => {
    const source = new Secret();
    const token = tokenOf(source);
    const waiting = token.usable(forever);
    await eventually('it was asked for some times', () => source.readings > 3);
    expect(token.problem).toMatch(/no value yet/);
    expect(token.missing).toBe(true);
    source.value = 'first';
    expect(await waiting).toBe('first');
    expect(token.missing).toBe(false);
    expect(token.problem).toBeUndefined();
    expect(lines.lines.map(({ msg }) => msg)).toEqual([
      'no usable bot token: waiting for another one',
      'there is a new bot token',
    ]);
  });
});

describe('a rejected token', () => {
  it('is given to nobody again, and waited out until another one is there', async () => {
    const source = new Secret('first');
    const token = tokenOf(source);
    await token.usable(forever);
    token.reject('first', 'Discord rejected the token (4004)');
    expect(token.problem).toBe("Discord rejected the token (4004). Put the bot's present token into arn:of:the:token");
    let given: string | undefined;
    const waiting = token.usable(forever).then((value) => {
      given = value;
    });
    await eventually('it was read again some times', () => source.readings > 4);
    expect(given).toBeUndefined();
    source.value = 'second';
    await waiting;
    expect(given).toBe('second');
    expect(token.problem).toBeUndefined();
    expect(await token.usable(forever)).toBe('second');
  });

  it('is said once, however many shards were refused with it', async () => {
    const token = tokenOf(new Secret('first'));
    await token.usable(forever);
    for (let shard = 0; shard < 5; shard += 1) token.reject('first', 'Discord rejected the token (4004)');
    expect(lines.lines).toHaveLength(1);
  });

  it('does not take the one after it along: a late refusal of the old one changes nothing', async () => {
    const source = new Secret('first');
    const token = tokenOf(source);
    await token.usable(forever);
    token.reject('first', 'rejected');
    source.value = 'second';
    expect(await token.usable(forever)).toBe('second');
    token.reject('first', 'rejected');
    expect(token.problem).toBeUndefined();
    expect(await token.usable(forever)).toBe('second');
  });

  it('may be refused again when it comes back', async () => {
    const source = new Secret('first');
    const token = tokenOf(source);
    for (const value of ['first', 'second', 'first']) {
      source.value = value;
      expect(await token.usable(forever)).toBe(value);
      token.reject(value, 'rejected');
    }
    expect(token.problem).toMatch(/rejected/);
  });
});

describe('the signal', () => {
  it('ends one wait and leaves the others', async () => {
    const source = new Secret();
    const token = tokenOf(source);
    const leaver = new AbortController();
    const left = token.usable(leaver.signal);
    const stays = token.usable(forever);
    leaver.abort(new Error('stopped'));
    await expect(left).rejects.toThrow('stopped');
    source.value = 'first';
    expect(await stays).toBe('first');
  });
});

it('never writes the token into the log', async () => {
  const source = new Secret('MTIzNDU2.the-bots-token');
  const token = tokenOf(source);
  token.reject(await token.usable(forever), 'Discord rejected the token (4004)');
  source.value = 'MTIzNDU2.another-token';
  await token.usable(forever);
  expect(lines.lines.length).toBeGreaterThan(1);
  expect(lines.text).not.toMatch(/MTIzNDU2/);
});

it('a rejected token was there: it is not missing', async () => {
  const token = tokenOf(new Secret('first'));
  token.reject(await token.usable(forever), 'Discord rejected the token (4004)');
  expect(token.problem).toMatch(/4004/);
  expect(token.missing).toBe(false);
});
