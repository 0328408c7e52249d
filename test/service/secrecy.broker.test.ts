// What must not leak: the bot's token, the broker's password, the ARN of a secret, interaction tokens, and what people wrote, except to the
// bot in an interaction. It is looked for in the whole output at log level trace, with a lost connection and a rejected
// token; in the HTTP answers; and in every message of every queue. The simulator sends content, although the intent for
// it is not requested, so that there is something to leak.

import { randomBytes } from 'node:crypto';
import { GatewayIntentBits } from 'discord-api-types/v10';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dueKey, VARIANTS } from '../../local/discord/payloads/variants.ts';
import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { Stage } from '../../local/stage.ts';
import { ENV, PATHS, USERS } from '../../service/contract/names.ts';
import { Inbox } from '../support/inbox.ts';

const MARKER = `what-people-wrote-${randomBytes(6).toString('hex')}`;
const FIRST_TOKEN = `first.bot-token.${randomBytes(12).toString('hex')}`;
const SECOND_TOKEN = `second.bot-token.${randomBytes(12).toString('hex')}`;

let stage: Stage;
/** Those by default. */
const INTENTS = GatewayIntentBits.Guilds | GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildMessages;

let simulator: DiscordSimulator;
let secrets: SecretsManager;
let inbox: Inbox;
const interactionTokens: string[] = [];
const answers: string[] = [];

beforeAll(async () => {
  secrets = await startSecretsManager();
  stage = await Stage.start({
    tasks: 0,
    untilReady: false,
    simulator: { token: FIRST_TOKEN, marker: MARKER, blankContent: false },
    env: { [ENV.logLevel]: 'trace', ...secrets.environment },
  });
  if (stage.simulator === undefined) throw new Error('this test needs the simulator');
  simulator = stage.simulator;
  inbox = new Inbox(stage);
  const token = secrets.put('bot-token', FIRST_TOKEN);
  const task = await stage.startTask({ [ENV.discordBotToken]: '', [ENV.discordBotTokenSecretArn]: token });
  await stage.ready();

  for (const variant of VARIANTS.filter(({ intents }) => intents === 0 || (intents & INTENTS) !== 0)) {
    const { dispatch } = simulator.emit(variant.name);
    const { token } = dispatch.d as { token?: string };
    if (token !== undefined && dueKey(variant) !== null) interactionTokens.push(token);
  }
  simulator.emit('message.text', { change: (d) => ({ ...d, author: d.content }), routingKey: null });
  simulator.joinGuild();
  await inbox.upToNow();

  // Failures, whose errors may quote a secret.
  await stage.broker.restart();
  await stage.ready();
  const answer = async () => {
    for (const path of [PATHS.root, PATHS.health, PATHS.live, PATHS.metrics])
      answers.push(await (await fetch(`${task.url}${path}`)).text());
    answers.push(await (await fetch(`${task.url}/`, { headers: { accept: 'text/html' } })).text());
  };
  simulator.rotateToken(SECOND_TOKEN);
  await stage.until('the token is rejected', 60_000, () => task.output.includes('no usable bot token'));
  await answer();
  // The error of AWS has the ARN of the secret, and of the role.
  secrets.deny('bot-token');
  await stage.until('the secret cannot be read', 60_000, () => task.output.includes('not authorized'));
  await answer();
  secrets.allow('bot-token');
  secrets.put('bot-token', SECOND_TOKEN);
  await stage.ready();
  await inbox.upToNow();
  await task.terminate();
});
afterAll(async () => {
  await stage?.stop();
  await secrets?.stop();
});

/** By the name of what leaked, without repeating it. */
function leaks(text: string, secretsByName: Readonly<Record<string, readonly string[]>>): string[] {
  const forms = (secret: string) => [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  return Object.entries(secretsByName)
    .filter(([, values]) => values.flatMap(forms).some((value) => text.includes(value)))
    .map(([name]) => name);
}

const credentials = () => ({
  "the bot's token": [FIRST_TOKEN, SECOND_TOKEN],
  'an ARN': ['arn:aws'],
  "the broker's password": [new URL(stage.url(USERS.ingestor)).password],
});

const output = () => stage.tasks.map((task) => task.output).join('\n');

test.each<[string, () => string, readonly string[]]>([
  ['the output', output, ['the connection to the broker was lost', 'cannot read (logged once per type)']],
  [
    'the HTTP answers',
    () => answers.join('\n'),
    ['"status"', '</html>', 'ingestor_events_received_total', 'not authorized'],
  ],
])('%s: no credential, no interaction token and nothing that people wrote', (_, text, words) => {
  for (const each of words) expect(text()).toContain(each);
  expect(interactionTokens.length).toBeGreaterThan(10);
  const all = { ...credentials(), 'an interaction token': interactionTokens, 'what people wrote': [MARKER] };
  expect(leaks(text(), all)).toEqual([]);
});

test('messages have no credential, and the token of an interaction once, at the top of the body', () => {
  expect(inbox.all.length).toBeGreaterThan(25);
  const seen = new Set<unknown>();
  for (const { routingKey, body, message } of inbox.all) {
    const { interactionToken, ...rest } = body;
    if (routingKey.startsWith('interaction.')) seen.add(interactionToken);
    else expect(interactionToken, routingKey).toBeUndefined();
    const others = JSON.stringify([message.fields, message.properties, rest]);
    const tokens = [...interactionTokens, String(interactionToken)];
    expect(leaks(others, { ...credentials(), 'an interaction token': tokens }), routingKey).toEqual([]);
    expect(leaks(message.content.toString(), credentials()), routingKey).toEqual([]);
  }
  expect(interactionTokens.filter((token) => !seen.has(token))).toEqual([]);
});

test('messages have nothing that people wrote, except what an interaction hands to the bot', () => {
  for (const { routingKey, message } of inbox.all) {
    expect(JSON.stringify(message.properties).includes(MARKER), routingKey).toBe(false);
    if (!routingKey.startsWith('interaction.')) expect(message.content.includes(MARKER), routingKey).toBe(false);
  }
  const { content } = simulator.emit('message.text').dispatch.d as { content?: string };
  expect(content, 'Discord did send it').toContain(MARKER);
  const options = inbox.all.filter(({ message }) => message.content.includes(MARKER));
  expect(options.length, 'what was typed for the bot arrived').toBeGreaterThan(0);
});
