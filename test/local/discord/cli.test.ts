// `npm run simulator` as a process: what it prints, what it refuses, and that Ctrl-C ends it.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const CLI = fileURLToPath(new URL('../../../local/discord/cli.ts', import.meta.url));

function start(...args: string[]): { process: ChildProcess; output: () => string; ended: Promise<number | null> } {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  child.stderr.on('data', (chunk) => {
    text += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  return { process: child, output: () => text, ended };
}

async function printed(output: () => string, pattern: RegExp): Promise<RegExpMatchArray> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    const found = pattern.exec(output());
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`expected ${pattern} to be printed, got: ${output()}`);
}

test('says where it listens and the token, answers there, and ends with 0 on Ctrl-C', async () => {
  const cli = start('--guilds', '7', '--rate', '100', '--token', 'my-token', '--max-concurrency', '4');
  const [, url] = await printed(cli.output, /DISCORD_API_URL=(\S+)/);
  await printed(cli.output, /DISCORD_BOT_TOKEN=my-token/);
  await printed(cli.output, /7 guilds, 100 events a second, seed 1/);
  const response = await fetch(`${url}/v10/gateway/bot`, { headers: { authorization: 'Bot my-token' } });
  expect(await response.json()).toMatchObject({ shards: 1, session_start_limit: { max_concurrency: 4 } });
  cli.process.kill('SIGINT');
  expect(await cli.ended).toBe(0);
  expect(cli.output()).toMatch(/shards connected 0 {2}sessions 0 {2}events \d+/);
});

test('--help names every option', async () => {
  const cli = start('--help');
  expect(await cli.ended).toBe(0);
  for (const option of ['--guilds', '--rate', '--seed', '--token', '--mix', '--faults', '--session-ttl'])
    expect(cli.output()).toContain(option);
});

test.each([
  [['--guilds', 'many'], /--guilds: expected a number, got 'many'/],
  [['--guilds', '1.5'], /guilds: expected a whole number/],
  [['--rate', '-5'], /rate/],
  [['--no-such'], /Unknown option '--no-such'/],
  [['--faults', 'earthquake'], /--faults: expected all or some of reconnect.*got 'earthquake'/],
  [['--mix', 'message.text'], /--mix: expected KIND=NUMBER/],
  [['--mix', 'message.nothing=1'], /there is no kind of event 'message.nothing'/],
])('%s is refused in one sentence, with exit code 2', async (args, sentence) => {
  const cli = start(...args);
  expect(await cli.ended).toBe(2);
  expect(cli.output()).toMatch(sentence);
  expect(cli.output()).not.toMatch(/\n\s+at /);
});

test('a port that is taken is said', async () => {
  const first = start('--rate', '0');
  const [, port = ''] = await printed(first.output, /DISCORD_API_URL=http:\/\/127\.0\.0\.1:(\d+)/);
  const second = start('--port', port);
  expect(await second.ended).toBe(2);
  expect(second.output()).toContain(`port ${port} is taken`);
});
