// The page of real tasks on a real broker, in a real browser: every task shows the whole fleet, and what happens to it.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import amqplib from 'amqplib';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import type { IngestorProcess } from '../../../local/ingestor-process.ts';
import type { Stage } from '../../../local/stage.ts';
import { EXCHANGES, USERS } from '../../../service/contract/names.ts';
import { EVERY_TASK } from '../../../service/fleet-status.ts';
import { deploy } from '../../faults/tasks.ts';
import { eventually } from '../../support/log-lines.ts';
import { REPORT } from '../../support/report.ts';
import { startSharedStage } from '../../support/shared-stage.ts';
import { bodyOf, idOf, shows, taskWithRole } from '../../support/status-page.ts';

const CHROMIUM = '/usr/bin/chromium';
const SHARDS = 4;

let stage: Stage;
let standby: IngestorProcess;

beforeAll(async () => {
  stage = await startSharedStage({ shards: SHARDS, shardsPerTask: 2, tasks: 3, simulator: { maxConcurrency: 16 } });
  await stage.standing(3);
  standby = await taskWithRole(stage, 'standby');
  stage.simulator?.startTraffic(50);
});
afterAll(() => stage?.stop());

test('a standby shows the shards of the owners, their metrics, and itself', async () => {
  const [first, second] = await Promise.all([stage.owner(0), stage.owner(1)]);
  await shows(
    standby,
    'All is well: 4 shards connected, 2 groups owned, 1 task stands by.',
    ...[first, second].map(
      (owner, group) => `Group ${group} shards ${2 * group}–${2 * group + 1} · ${owner && idOf(owner)}`,
    ),
    /Events per second [1-9]/,
    /p50 p99 [1-9]/,
  );
});

describe.skipIf(!existsSync(CHROMIUM))(`in Chromium (skipped without ${CHROMIUM})`, () => {
  let browser: Browser;
  const noise: string[] = [];
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    expect(noise).toEqual([]);
  });

  async function open(options: Parameters<Browser['newPage']>[0] = {}, url = standby.url): Promise<Page> {
    const page = await browser.newPage(options);
    page.on('console', (message) => noise.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => noise.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(url)) noise.push(`asked ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  it('it updates itself without a reload, also through a forwarded port', async () => {
    let path: 'open' | 'silent' | 'refused' = 'open';
    const sockets = new Set<Socket>();
    const forward = createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      if (path === 'refused') socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n');
      if (path !== 'open') return;
      const onward = connect(Number(new URL(standby.url).port), '127.0.0.1');
      sockets.add(onward.on('error', () => undefined));
      socket.pipe(onward).pipe(socket);
    });
    await once(forward.listen(0, '127.0.0.1'), 'listening');
    const page = await open({}, `http://localhost:${(forward.address() as AddressInfo).port}`);
    const stamp = page.locator('header .dim');
    await page.evaluate('window.same = true');
    const before = await stamp.textContent();
    await eventually('another time is shown', async () => (await stamp.textContent()) !== before);
    expect(await page.evaluate('window.same')).toBe(true);
    expect(await page.title()).toMatch(/^All is well · local/);
    const lost = page.locator('#lost');
    expect(await lost.isVisible()).toBe(false);
    const quiet = noise.length;
    for (const end of ['silent', 'refused'] as const) {
      path = end;
      for (const socket of sockets) end === 'silent' ? socket.unpipe() : socket.destroy();
      await eventually(`${end}: it is marked`, () => lost.isVisible(), 30_000);
      if (end === 'refused') await eventually('a 502', () => noise.some((line) => line.includes('502')), 30_000);
      path = 'open';
      await eventually(`${end}: it goes on`, async () => !(await lost.isVisible()), 30_000);
    }
    // The browser logs what is refused.
    noise.splice(quiet);
    await page.close();
    forward.close();
  });

  it('without a script it loads itself again', async () => {
    const page = await open({ javaScriptEnabled: false });
    const stamp = page.locator('header .dim');
    const before = await stamp.textContent();
    await eventually('another time is shown', async () => (await stamp.textContent()) !== before);
  });

  it.each(['light', 'dark'] as const)(
    'a phone, %s: nothing is wider than its screen, and text is readable',
    async (colorScheme) => {
      const page = await open({ viewport: { width: 375, height: 800 }, colorScheme });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(375);
      const colours = (await page.evaluate(
        '(({ color, backgroundColor }) => [color, backgroundColor].map((each) => Number(/\\d+/.exec(each))))(getComputedStyle(document.body))',
      )) as number[];
      const [ink = 0, paper = 0] = colours;
      expect(colorScheme === 'dark' ? ink - paper : paper - ink).toBeGreaterThan(150);
    },
  );
});

test('what others write to the exchange is left out, logged, and harms nothing', async () => {
  const connection = await amqplib.connect(stage.url(USERS.ingestor));
  const channel = await connection.createConfirmChannel();
  const evil = { ...REPORT, task: 'evil-1-eeeeee', role: 'standby', group: null, shards: [] };
  const problems = [{ part: 'discord', text: '<img src=x onerror=alert(1)>' }];
  for (const body of [
    '{',
    'null',
    '[]',
    JSON.stringify({ ...evil, task: '<b>' }),
    JSON.stringify({ ...evil, problems }),
  ])
    channel.publish(EXCHANGES.status, EVERY_TASK, Buffer.from(body));
  channel.publish(EXCHANGES.status, EVERY_TASK, Buffer.alloc(100_000));
  for (let index = 0; index < 3_000; index += 1) channel.publish(EXCHANGES.status, EVERY_TASK, Buffer.from('{'));
  await channel.waitForConfirms();
  await shows(standby, /task eeeeee\)/);
  expect(await bodyOf(standby)).not.toContain('<img');
  expect(standby.output).toContain('a report for the status page cannot be read');
  expect((await standby.health())?.status).toBe('healthy');
  channel.publish(EXCHANGES.status, EVERY_TASK, Buffer.from(JSON.stringify({ ...evil, role: 'drained' })));
  await channel.waitForConfirms();
  await connection.close();
});

test('a deploy is one entry: tasks started, drained, and the hand-overs', async () => {
  const old = stage.living;
  await deploy(stage);
  const [young] = stage.living as [IngestorProcess];
  const drained = old.map((task) => new RegExp(`drained \\([^)]*${idOf(task)}`));
  const text = await shows(young, 'Deploy', ...drained, `→ ${idOf(await taskWithRole(stage, 'owner'))}`);
  expect(text).not.toMatch(/ no owner:/);
  stage.simulator?.stopTraffic();
  expect(await stage.settled()).toMatchObject({ lost: 0, gaps: 0 });
});
