// The bounds of the calls to the management API, and which are repeated. What else fails there: management-api.broker.test.ts.

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
  function* longer() {
    yield* [most, Buffer.alloc(1)];
    throw new Error('it reads on');
  }
  const answers: Iterable<Buffer>[] = [[most], longer()];
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
  await expect(api.put(['users', 'a'], {})).rejects.toMatchObject({
    kind: 'unexpected',
    message: expect.stringMatching(
      /^what answers at http:\S+ is not RabbitMQ's .+ port \(an answer of more than 67108864 bytes\)$/,
    ),
  });
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

it('a connection that the broker closes while it is idle fails no call', async () => {
  let calls = 0;
  const answer: http.RequestListener = (request, response) => {
    calls += 1;
    // Closed in the moment of the second call on this connection.
    if (calls === 2) request.socket.destroy();
    else response.end('[]');
  };
  const api = await apiOf(answer);
  for (let repeated = 0; repeated < 2; repeated += 1) expect(await api.list('users')).toEqual([]);
  expect(calls).toBe(3);
  calls = 1;
  const other = await apiOf(answer);
  await expect(other.list('users')).rejects.toMatchObject({ kind: 'unreachable' });
});

it('a read that fails with 500 is repeated once, and a write is not', async () => {
  const asked: string[] = [];
  const api = await apiOf(({ method = '' }, response) => {
    asked.push(method);
    response.writeHead(asked.length === 2 ? 200 : 500).end('[]');
  });
  expect(await api.list('users')).toEqual([]);
  const failure = { kind: 'unreachable', message: expect.stringContaining('(HTTP 500)') };
  await expect(api.list('users')).rejects.toMatchObject(failure);
  await expect(api.put(['users', 'a'], {})).rejects.toMatchObject(failure);
  expect(asked).toEqual(['GET', 'GET', 'GET', 'GET', 'PUT']);
});

it.each([
  ['{"error":"Object Not Found","reason":"Not Found"}', undefined],
  ['{"error":"not_found","reason":"Not Found"}', 'unexpected'],
  ['not found', 'unexpected'],
])('what is deleted is missing only by the answer of RabbitMQ itself: %s', async (body, kind) => {
  const api = await apiOf((_, response) => void response.writeHead(404).end(body));
  const failed = await api.delete('users', 'a').catch((error: unknown) => error);
  if (kind === undefined) expect(failed).toBeUndefined();
  else expect(failed).toMatchObject({ kind, message: expect.stringContaining('DELETE /api/users/a: HTTP 404') });
});
