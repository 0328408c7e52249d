// What examples/worker does when Discord's REST fails, at a server that counts what arrived.

import { createServer } from 'node:http';
import { afterAll, expect, it } from 'vitest';
import { listening } from '../support/fake-servers.ts';

let calls: string[] = [];
/** What each request gets, in order; then 200. `lost`: taken, and its response is lost. */
let answers: (number | 'lost')[] = [];

const server = createServer((request, response) => {
  calls.push(String(request.method));
  const status = answers.shift() ?? 200;
  if (status === 'lost') return void request.socket.destroy();
  const body = { 200: { id: '1', channel_id: '2', author: { id: '3' } }, 400: { code: 40_060 } }[status] ?? {};
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
});
const { port, close } = await listening(server);
afterAll(close);
process.env.DISCORD_API_URL = `http://127.0.0.1:${port}/api`;
const example = await import('../../examples/worker/answer.ts');

const user = { id: '5', username: 'u', discriminator: '0', avatar: null };
const data = (name: string, more: object = {}) => ({
  ...{ id: '9', application_id: '8', type: 2, version: 1, token: 'token', locale: 'en-US', user },
  ...{ channel_id: '7', authorizing_integration_owners: {}, entitlements: [], data: { id: '8', name, type: 1 } },
  ...more,
});

/** @returns what each try came to: `true`, or whether Discord said that it is answered */
async function tries(deferInMs: number, results: typeof answers, work: Promise<string> = Promise.resolve('Paid')) {
  let started = 0;
  example.COMMANDS.set('pay', () => {
    started += 1;
    return work;
  });
  [calls, answers] = [[], results];
  const send = example.begin(example.interactionOf(data('pay')), Date.now() + deferInMs);
  const outcomes: (true | string)[] = [];
  const failure = (error: unknown) => (example.isAnswered(error) ? 'answered' : 'failed');
  while (outcomes.at(-1) !== true && outcomes.length < 3) outcomes.push(await send().then(() => true, failure));
  return { started, outcomes, calls };
}

it('starts the work once, and sends its result again', async () => {
  expect(await tries(60_000, [500, 'lost'])).toEqual({
    ...{ started: 1, outcomes: ['failed', 'failed', true], calls: ['POST', 'POST', 'POST'] },
  });
});

it('edits the deferral whose response was lost, even when the work is done by then', async () => {
  const { promise: work, resolve } = Promise.withResolvers<string>();
  server.once('request', () => resolve('Paid'));
  expect(await tries(0, ['lost', 400], work)).toEqual({
    ...{ started: 1, outcomes: ['failed', true], calls: ['POST', 'POST', 'PATCH'] },
  });
});

it('edits nothing that another worker has answered', async () => {
  const { outcomes, calls } = await tries(60_000, [400, 400, 400]);
  expect({ outcomes, calls }).toEqual({ outcomes: Array(3).fill('answered'), calls: Array(3).fill('POST') });
  const never = new Promise<string>(() => undefined);
  expect((await tries(0, [400, 500, 500], never)).outcomes[0]).toBe('answered');
});

it('keeps no channels of earlier interactions', () => {
  const ofChannel = (id: string) => {
    const options = [{ name: 'where', type: 7, value: id }];
    const resolved = { channels: { [id]: { id, type: 1, recipients: [user] } } };
    return example.interactionOf(data('ping', { data: { id: '8', name: 'ping', type: 1, options, resolved } }));
  };
  const [first, second] = ['10', '11'].map(ofChannel);
  expect([...(second?.client.channels.cache.keys() ?? [])]).toEqual(['11']);
  expect(first?.isChatInputCommand() && first.options.getChannel('where')?.id).toBe('10');
});
