// What nobody may read, looked for in everything the service writes and says: the bot's token, the broker's password,
// interaction tokens, and what people wrote, except to the bot in an interaction. In its output at the most talkative level, while all goes well and while
// everything fails; in its HTTP answers; and in every message of every queue. Discord sends content here, although the
// intent for it is never asked for, so that there is something to leak.

import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VARIANTS } from '../../local/discord/payloads/variants.ts';
import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { Stage } from '../../local/stage.ts';
import { ENV, leaseQueue, PATHS, USERS, VHOST } from '../../service/contract/names.ts';
import { Inbox } from '../support/inbox.ts';

const MARKER = `what-people-wrote-${randomBytes(6).toString('hex')}`;
const FIRST_TOKEN = `first.bot-token.${randomBytes(12).toString('hex')}`;
const SECOND_TOKEN = `second.bot-token.${randomBytes(12).toString('hex')}`;
/** Needs encoding in an address and in JSON. */
const WRONG_PASSWORD = `p@ss"/w%rd-${randomBytes(12).toString('hex')}`;

let stage: Stage;
let simulator: DiscordSimulator;
let secrets: SecretsManager;
let inbox: Inbox;
const interactionTokens: string[] = [];
const answers: string[] = [];
let sessionRecord = '';

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

  for (const { name, routingKey } of VARIANTS.filter(({ weight }) => weight > 0)) {
    const { dispatch } = simulator.emit(name);
    const { token } = dispatch.d as { token?: string };
    if (token !== undefined && routingKey !== null) interactionTokens.push(token);
  }
  simulator.emit('message.text', { change: (d) => ({ ...d, author: d.content }), routingKey: null });
  simulator.joinGuild();
  await inbox.upToNow();

  // Everything that fails and may then talk too much, or quote what it failed at.
  await stage.broker.restart();
  await stage.ready();
  simulator.rotateToken(SECOND_TOKEN);
  await said(task, 'no usable bot token');
  secrets.put('bot-token', SECOND_TOKEN);
  for (const path of Object.values(PATHS)) answers.push(await (await fetch(`${task.url}${path}`)).text());
  answers.push(await (await fetch(`${task.url}/`, { headers: { accept: 'text/html' } })).text());
  await stage.ready();
  await inbox.upToNow();
  await task.terminate();

  const wrong = new URL(stage.url(USERS.ingestor));
  wrong.password = encodeURIComponent(WRONG_PASSWORD);
  const broken = secrets.put('broken-bot-token', `{"token": "${SECOND_TOKEN}"`);
  const refused = await stage.startTask({
    [ENV.rabbitmqUrl]: wrong.href,
    [ENV.discordBotToken]: '',
    [ENV.discordBotTokenSecretArn]: broken,
    [ENV.shardCount]: 'auto',
  });
  await said(refused, 'ACCESS_REFUSED');
  await said(refused, 'expected a JSON object');
  answers.push(await (await fetch(`${refused.url}${PATHS.health}`)).text());
  await refused.terminate();

  // The queue of the lease is read last, when nobody holds its message.
  const model = await connect(stage.broker.amqpUrl({ ...stage.broker, vhost: VHOST }));
  const channel = await model.createChannel();
  const stored = Promise.withResolvers<string>();
  await channel.consume(leaseQueue(0), (message) => {
    if (message?.properties.type === 'record')
      stored.resolve(`${JSON.stringify(message.properties)} ${message.content.toString()}`);
  });
  sessionRecord = await stored.promise;
  await model.close();
});
afterAll(async () => {
  await stage?.stop();
  await secrets?.stop();
});

/** Resolves when the task has written this. */
async function said(task: { readonly output: string }, words: string): Promise<void> {
  await stage.until(`the task says '${words}'`, 60_000, () => task.output.includes(words));
}

const forms = (secret: string) => [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];

/** By the name of what leaked, without repeating it. */
function leaks(text: string, secretsByName: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.entries(secretsByName)
    .filter(([, values]) => values.flatMap(forms).some((value) => text.includes(value)))
    .map(([name]) => name);
}

const ofTheOperator = () => ({
  "the bot's token": [FIRST_TOKEN, SECOND_TOKEN],
  "the broker's password": [new URL(stage.url(USERS.ingestor)).password, WRONG_PASSWORD],
});

describe('the whole output of the processes', () => {
  const output = () => stage.tasks.map(({ output }) => output).join('\n');

  test('is talkative, and has seen each of the failures', () => {
    expect(output().split('\n').length).toBeGreaterThan(30);
    for (const words of [
      'the connection to the broker was lost',
      'no usable bot token',
      'ACCESS_REFUSED',
      'cannot read (logged once per type)',
    ])
      expect(output()).toContain(words);
    expect(interactionTokens.length).toBeGreaterThan(15);
  });

  test('has no credential and no word that people wrote', () => {
    const private_ = { ...ofTheOperator(), 'an interaction token': interactionTokens, 'what people wrote': [MARKER] };
    expect(leaks(output(), private_)).toEqual([]);
  });

  test('nor has any of its HTTP answers', () => {
    expect(answers.join('\n')).toContain('"status"');
    const private_ = { ...ofTheOperator(), 'an interaction token': interactionTokens, 'what people wrote': [MARKER] };
    expect(leaks(answers.join('\n'), private_)).toEqual([]);
  });
});

describe('the messages in the queues', () => {
  const whole = ({ message }: Inbox['all'][number]) =>
    `${JSON.stringify(message.fields)} ${JSON.stringify(message.properties)} ${message.content.toString()}`;

  test("have none of the operator's credentials", () => {
    expect(inbox.all.length).toBeGreaterThan(40);
    for (const each of inbox.all) expect(leaks(whole(each), ofTheOperator()), each.routingKey).toEqual([]);
  });

  test('have the token of an interaction once, at the top of the body of its own message', () => {
    const seen = new Set<string>();
    for (const each of inbox.all) {
      const { interactionToken, ...rest } = each.body;
      if (each.routingKey.startsWith('interaction.')) seen.add(String(interactionToken));
      else expect(interactionToken, each.routingKey).toBeUndefined();
      const { fields, properties } = each.message;
      const elsewhere = JSON.stringify([fields, properties, rest]);
      expect(leaks(elsewhere, { 'an interaction token': [...interactionTokens, String(interactionToken)] })).toEqual(
        [],
      );
    }
    expect(interactionTokens.filter((token) => !seen.has(token))).toEqual([]);
  });

  test('have nothing that people wrote, but what an interaction hands to the bot', () => {
    for (const { routingKey, message } of inbox.all) {
      expect(JSON.stringify(message.properties).includes(MARKER), routingKey).toBe(false);
      if (!routingKey.startsWith('interaction.')) expect(message.content.includes(MARKER), routingKey).toBe(false);
    }
    const content = simulator.emit('message.text').dispatch.d as { content?: string };
    expect(content.content, 'Discord did send it').toContain(MARKER);
    const options = inbox.all.filter(({ message }) => message.content.includes(MARKER));
    expect(options.length, 'what was typed for the bot arrived').toBeGreaterThan(0);
  });

  test('have no credential in the session record', () => {
    expect(sessionRecord).toContain('"sessionId"');
    const private_ = { ...ofTheOperator(), 'an interaction token': interactionTokens, 'what people wrote': [MARKER] };
    expect(leaks(sessionRecord, private_)).toEqual([]);
  });
});
