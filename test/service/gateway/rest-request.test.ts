// How much is read of an answer of Discord's REST API, and what an abort throws.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { restRequest } from '../../../service/gateway/rest-request.ts';

const LIMIT = 64 * 1024;
const { signal: never } = new AbortController();

async function answering(bytes: number): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('x'.repeat(bytes));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it('reads an answer of 64 KiB with its content type, and no longer one', async () => {
  const answer = await restRequest(await answering(LIMIT), 'token', never);
  expect([answer.contentType, answer.body.length]).toEqual(['application/json', LIMIT]);
  await expect(restRequest(await answering(LIMIT + 1), 'token', never)).rejects.toThrow('more than 64 KiB (HTTP 200)');
});

it('has ten seconds', async () => {
  const timeout = vi.spyOn(AbortSignal, 'timeout');
  onTestFinished(() => timeout.mockRestore());
  await restRequest(await answering(1), 'token', never);
  expect(timeout).toHaveBeenCalledWith(10_000);
});

it("throws the signal's reason", async () => {
  const reason = new Error('the task drains');
  await expect(restRequest(await answering(1), 'token', AbortSignal.abort(reason))).rejects.toBe(reason);
});
