// What Discord says before anyone connects, asked over real HTTP of a server that answers as Discord does.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BotToken } from '../../../service/gateway/bot-token.ts';
import { GatewayInformation } from '../../../service/gateway/gateway-information.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

const ANSWER = {
  url: 'wss://gateway.discord.gg',
  shards: 9,
  session_start_limit: { total: 1_000, remaining: 42, reset_after: 14_400_000, max_concurrency: 1 },
};

let server: Server;
let asked: { readonly path: string | undefined; readonly authorization: string | undefined }[];
/** What is answered to a token, by its value. */
let answer: (token: string) => { status: number; body: object; headers?: Record<string, string> };
let lines: LogLines;
let value: string;
let token: BotToken;
let information: GatewayInformation;

const forever = new AbortController().signal;

beforeEach(async () => {
  asked = [];
  answer = () => ({ status: 200, body: ANSWER });
  server = createServer((request, response) => {
    asked.push({ path: request.url, authorization: request.headers.authorization });
    const { status, body, headers } = answer(String(request.headers.authorization).replace('Bot ', ''));
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lines = logLines();
  value = 'the-token';
  let last = '';
  const source = {
    from: 'DISCORD_BOT_TOKEN',
    read: async () => value,
    refresh: async () => {
      const changed = value !== last;
      last = value;
      return changed;
    },
  };
  token = new BotToken(source, lines.log, 5);
  const { port } = server.address() as AddressInfo;
  information = new GatewayInformation(`http://127.0.0.1:${port}/api`, token, lines.log);
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('an answer', () => {
  it('comes from /gateway/bot of version 10, with the token', async () => {
    expect(await information.fetch(forever)).toEqual(ANSWER);
    expect(asked).toEqual([{ path: '/api/v10/gateway/bot', authorization: 'Bot the-token' }]);
    expect(information.latest).toEqual(ANSWER);
  });

  it('serves all who ask at once, and those who ask within moments', async () => {
    await Promise.all(Array.from({ length: 20 }, () => information.fetch(forever)));
    await information.fetch(forever);
    expect(asked).toHaveLength(1);
  });

  it('counts one IDENTIFY less for each that was sent since', async () => {
    await information.fetch(forever);
    information.identified();
    information.identified();
    expect((await information.fetch(forever)).session_start_limit.remaining).toBe(40);
    expect(information.latest?.session_start_limit.remaining).toBe(40);
  });

  it('never counts below nothing', async () => {
    answer = () => ({
      status: 200,
      body: { ...ANSWER, session_start_limit: { ...ANSWER.session_start_limit, remaining: 0 } },
    });
    await information.fetch(forever);
    information.identified();
    expect(information.latest?.session_start_limit.remaining).toBe(0);
  });
});

describe('a refusal', () => {
  it('of the token is told to all who share it, and asked again with the next one', async () => {
    answer = (given) =>
      given === 'the-token'
        ? { status: 401, body: { message: '401: Unauthorized', code: 0 } }
        : { status: 200, body: ANSWER };
    const waiting = information.fetch(forever);
    await eventually('the token is rejected', () => token.problem !== undefined);
    expect(token.problem).toMatch(/Discord rejected the token \(401\).*DISCORD_BOT_TOKEN/);
    value = 'the-next-token';
    expect(await waiting).toEqual(ANSWER);
    expect(asked.at(-1)?.authorization).toBe('Bot the-next-token');
    expect(lines.text).not.toContain('the-token');
  });

  it('for another reason is said, waited out, and no longer said when nobody asks', async () => {
    answer = () => ({ status: 403, body: { message: 'not now', code: 0 } });
    const leaver = new AbortController();
    const left = information.fetch(leaver.signal);
    await eventually('the problem is known', () => information.problem !== undefined);
    expect(information.problem).toMatch(/cannot be asked for the gateway: not now/);
    leaver.abort(new Error('stopped'));
    await expect(left).rejects.toThrow();
    await eventually('it is no problem any more', () => information.problem === undefined);
    answer = () => ({ status: 200, body: ANSWER });
    expect(await information.fetch(forever)).toEqual(ANSWER);
  });

  it('to wait is known for as long as Discord asks for, and is no problem of ours', async () => {
    answer = () => ({
      status: 429,
      headers: { 'retry-after': '0.5' },
      body: { message: 'You are being rate limited.', retry_after: 0.5, global: false },
    });
    expect(information.limited).toBe(false);
    const waiting = information.fetch(forever);
    await eventually('Discord has asked to wait', () => information.limited);
    expect(information.problem).toBeUndefined();
    answer = () => ({ status: 200, body: ANSWER });
    expect(await waiting).toEqual(ANSWER);
    expect(information.limited).toBe(false);
  });
});
