// The bounds of the calls to the management API. What fails there: management-api.broker.test.ts.

import { EventEmitter } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { listening } from '../../support/fake-servers.ts';

async function apiOf(answer: http.RequestListener): Promise<ManagementApi> {
  const server = await listening(http.createServer(answer));
  const url = `http://127.0.0.1:${server.port}`;
  const api = new ManagementApi({ url, username: 'a', password: 'b', deadlineMs: 60_000 });
  onTestFinished(async () => {
    api.close();
    await server.close();
  });
  return api;
}

it('an answer has 64 MiB at most', async () => {
  const most = Buffer.alloc(67_108_864);
  const answers = [[most], [most, Buffer.alloc(1)]];
  // In one or two chunks: a server takes seconds for so much.
  const requested = vi.spyOn(http, 'request').mockImplementation(() => {
    const response = Object.assign(answers.shift() ?? [], { statusCode: 201 });
    const request = Object.assign(new EventEmitter(), {
      end: () => queueMicrotask(() => request.emit('response', response)),
    });
    return request as unknown as http.ClientRequest;
  });
  onTestFinished(() => void requested.mockRestore());
  const api = new ManagementApi({ url: 'http://127.0.0.1', username: 'a', password: 'b' });
  await api.put(['users', 'a'], {});
  await expect(api.put(['users', 'a'], {})).rejects.toThrow('(an answer of more than 67108864 bytes)');
});

it('16 calls are under way at a time, and the others wait', async () => {
  const held: ServerResponse[] = [];
  const connected = vi.spyOn(http.Agent.prototype, 'createConnection');
  onTestFinished(() => void connected.mockRestore());
  const api = await apiOf((_, response) => void held.push(response));
  const calls = Array.from({ length: 17 }, () => api.list('users'));
  await vi.waitUntil(() => held.length === 16, { timeout: 60_000 });
  expect(connected).toHaveBeenCalledTimes(16);
  for (const response of held.splice(0)) response.end('[]');
  await vi.waitUntil(() => held.length === 1, { timeout: 60_000 });
  held[0]?.end('[]');
  expect(await Promise.all(calls)).toEqual(calls.map(() => []));
});
