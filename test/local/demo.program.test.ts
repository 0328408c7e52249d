// `npm run demo`, as in README: the whole product on this machine, with the example's worker.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { QUEUES } from '../../service/contract/names.ts';

const DEMO = fileURLToPath(new URL('../../local/demo.ts', import.meta.url));

test('the demo ends by itself with nothing lost, and its worker has answered', async () => {
  const args = [DEMO, '--seconds', '3', '--rate', '100'];
  const { DISCORD_BOT_TOKEN: _, ...env } = process.env;
  const [shown, json] = await Promise.all([
    promisify(execFile)(process.execPath, args, { env }),
    promisify(execFile)(process.execPath, [...args, '--json'], { env }),
  ]);
  expect(shown.stdout).toMatch(
    /frame → reply +p50 \d+\.\d ms +p99 \d+\.\d ms +answered by the worker \d+, not answered \d+/,
  );
  expect(shown.stderr).toMatch(/ 0 lost, .*; the tasks and the worker drained with exit codes 0, 0\n/);
  const { lost, replies, perQueue } = JSON.parse(json.stdout);
  const { read } = perQueue.find(({ queue }: { queue: string }) => queue === QUEUES.interactions);
  const number = expect.any(Number);
  expect(replies).toEqual({ answered: number, unanswered: number, p50: number, p99: number });
  expect(replies.answered).toBeGreaterThan(0);
  // The demo reads a copy of every interaction, also of those that the worker reads.
  expect({ lost, read }).toEqual({ lost: 0, read: replies.answered + replies.unanswered });
});
