// The contract with workers as documents: docs/asyncapi.json, its page and the JSON Schemas are generated from the sources,
// AsyncAPI's own parser accepts the document, and its examples match its schemas. Real messages match them too:
// test/service/every-dispatch.broker.test.ts.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Parser } from '@asyncapi/parser';
import { chromium } from 'playwright-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { asyncApi } from '../../local/contract/asyncapi.ts';
import { documents } from '../../local/contract.ts';
import { Command } from '../../service/commands/command.ts';
import { EXCHANGES, QUEUES, WORKER_QUEUES } from '../../service/contract/names.ts';
import { EVENTS } from '../../service/events/payload.ts';
import { ROUTES } from '../../service/events/routing.ts';
import { faultsOf } from '../support/contract-schemas.ts';

const DOCS = join(import.meta.dirname, '../../docs');
const made = documents();
const document = asyncApi();
const { messages } = document.components;
const examples = Object.entries(messages).flatMap(([name, { examples = [] }]) =>
  examples.map(({ name: example, ...rest }) => ({ name, example, ...rest })),
);

it.each(Object.keys(made))('docs/%s is current (otherwise: npm run contract)', (name) => {
  const committed = readFileSync(join(DOCS, name), 'utf8');
  // JSON is compared as a value: Biome formats the file.
  if (name.endsWith('.json')) expect(JSON.parse(committed)).toEqual(JSON.parse(made[name] ?? ''));
  else expect(committed).toBe(made[name]);
});

it('no other schema or page lies beside them', () => {
  expect(readdirSync(DOCS).filter((name) => /\.(schema\.json|html)$|^asyncapi/.test(name))).toEqual(Object.keys(made));
});

describe('docs/asyncapi.json', () => {
  const diagnosed = async (value: object) => (await new Parser().parse(JSON.stringify(value))).diagnostics;

  it("is accepted by AsyncAPI's parser without a diagnostic", async () => {
    expect(await diagnosed(document)).toEqual([]);
    expect(await diagnosed({ ...document, channels: {} })).not.toEqual([]);
  });

  it('has every queue that a worker can read, every event, and every command', () => {
    const { channels } = document;
    const bindings = JSON.stringify(Object.values(channels).map((channel) => channel.bindings));
    for (const name of [...Object.values(QUEUES), EXCHANGES.events, EXCHANGES.commands, EXCHANGES.deadLetter])
      expect(bindings).toContain(`"name":"${name}"`);
    const eventsOf = (channel: string) =>
      Object.keys(channels[channel]?.messages ?? {}).filter((name) => name in EVENTS);
    const routes = Object.values(ROUTES);
    for (const name of Object.values(WORKER_QUEUES))
      expect(eventsOf(name)).toEqual(routes.flatMap(({ family, queue }) => (queue === name ? [family] : [])));
    for (const { family } of routes) {
      expect(eventsOf(family)).toEqual([family]);
      expect(document.operations[family]?.action).toBe('send');
    }
    const commands = Command.options.map(({ shape }) => shape.command.value);
    expect(Object.keys(channels.commands?.messages ?? {})).toEqual(commands);
    // An expired command is dead-lettered unchanged.
    const dead = Object.keys(channels[QUEUES.deadLetters]?.messages ?? {});
    expect([...Object.keys(EVENTS), ...commands].filter((name) => !dead.includes(name))).toEqual([]);
  });

  it('has a login for every queue except `unrouted`, which only the administrator reads', () => {
    const logins = Object.values(document.components.securitySchemes) as { 'x-permissions': { read: string } }[];
    const isRead = (queue: string) => logins.some((login) => new RegExp(login['x-permissions'].read).test(queue));
    expect(Object.values(QUEUES).filter((queue) => !isRead(queue))).toEqual([QUEUES.unrouted]);
  });

  it('has an example of every event and every command, and of a refused one', () => {
    const shown = new Set(examples.map(({ name }) => name));
    expect(Object.keys(messages).filter((name) => !shown.has(name))).toEqual(['large-event']);
  });

  it.each(examples)(
    '$name, $example: matches the schemas, and the service accepts it',
    ({ name, headers, payload }) => {
      expect([...faultsOf(name, 'headers', headers), ...faultsOf(name, 'payload', payload)]).toEqual([]);
      if (name in EVENTS) expect(EVENTS[name as keyof typeof EVENTS].parse(payload)).toEqual(payload);
      else if (name !== 'refused-command') Command.parse(payload);
      // The schemas refuse something.
      if (headers) expect(faultsOf(name, 'headers', {})).not.toEqual([]);
      if (name !== 'refused-command')
        expect(faultsOf(name, 'payload', { ...payload, data: undefined })).not.toEqual([]);
    },
  );
});

describe('docs/contract.html', () => {
  const html = made['contract.html'] ?? '';

  it('escapes what it shows, and links only to ids that it has', () => {
    expect(html).not.toMatch(/<script|javascript:/);
    expect(html).toContain('&#34;eventType&#34;');
    for (const [, id] of html.matchAll(/href="#([^"]+)"/g)) expect(html).toContain(`id="${id}"`);
  });

  const CHROMIUM = '/usr/bin/chromium';
  it.skipIf(!existsSync(CHROMIUM))(
    'loads nothing, fits on a phone, and has a dark color scheme (skipped without /usr/bin/chromium)',
    async () => {
      const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
      onTestFinished(() => browser.close());
      const colors = new Set<unknown>();
      for (const colorScheme of ['light', 'dark'] as const) {
        const page = await browser.newPage({ viewport: { width: 390, height: 844 }, colorScheme });
        const requests: string[] = [];
        page.on('request', (request) => requests.push(request.url()));
        await page.setContent(html);
        await page.evaluate('for (const each of document.querySelectorAll("details")) each.open = true');
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
        expect(requests).toEqual([]);
        colors.add(await page.evaluate('getComputedStyle(document.querySelector("p")).color'));
      }
      expect(colors.size).toBe(2);
    },
  );
});
