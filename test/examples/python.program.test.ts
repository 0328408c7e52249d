// The worker of examples/python: the contract with workers is not TypeScript's.

import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { InteractionResponseType as Answer, type APIInteraction } from 'discord-api-types/v10';
import { expect, onTestFinished, test } from 'vitest';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { Stage } from '../../local/stage.ts';
import { QUEUES } from '../../service/contract/names.ts';
import { deadLetters } from '../support/commands.ts';
import { Inbox } from '../support/inbox.ts';

const PYTHON = '/usr/bin/python3';
const WORKER = fileURLToPath(new URL('../../examples/python/worker.py', import.meta.url));
const WITHIN_MS = 60_000;

function hasPika(): boolean {
  try {
    execFileSync(PYTHON, ['-c', 'import pika'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const title = 'a worker in Python answers each interaction once, and what it cannot answer is a dead letter';
const reason = `skipped: ${PYTHON} with pika is not installed`;

test.skipIf(!hasPika())(hasPika() ? title : `${title} (${reason})`, async () => {
  const stage = await Stage.start({ worker: [PYTHON, WORKER] });
  onTestFinished(() => stage.stop());
  const { simulator } = stage;
  if (simulator === undefined) throw new Error('this test needs the simulator');
  const inbox = new Inbox(stage);
  const answers = (token: string) => simulator.callbacks.sent(token);
  const answered = (token: string) =>
    stage.until('an answer', WITHIN_MS, () => stage.worker?.ended === true || answers(token).length > 0);

  const kinds = ['command.plain', 'command.everything', 'button.plain', 'modal.labels', 'autocomplete.plain'];
  const emitted = kinds.map((kind) => simulator.emit(kind).dispatch.d as APIInteraction);
  for (const { token } of emitted) await answered(token);
  expect(emitted.map(({ token }) => answers(token).map(({ what }) => what))).toEqual([
    ...Array(4).fill([Answer.ChannelMessageWithSource]),
    [Answer.ApplicationCommandAutocompleteResult],
  ]);
  const [{ token = '' } = {}] = emitted;
  expect(answers(token)).toMatchObject([{ data: { content: 'Hello!' } }]);

  const [first] = inbox.all.filter(({ body }) => body.interactionToken === token);
  if (first === undefined) throw new Error('expected the copy of an answered interaction');
  /** A copy of the first with these fields; the simulator waits for its answer. */
  const publish = async (fields: { interactionToken: string } & Record<string, unknown>) => {
    const data = { ...Object(first.body.data), id: first.body.interactionId };
    simulator.callbacks.open({ ...data, token: fields.interactionToken });
    const event = { ...first.body, timestamp: Date.now(), ...fields };
    await asAdministrator(stage.broker, (channel) => {
      channel.sendToQueue(QUEUES.interactions, Buffer.from(JSON.stringify(event)), first.message.properties);
    });
  };
  await publish({ interactionToken: 'repeat' });
  await publish({ interactionToken: 'too-old', eventId: 'too-old', timestamp: Date.now() - 3_000 });
  await publish({ interactionToken: 'refused-by-discord', eventId: 'refused', interactionId: '1' });
  await publish({ interactionToken: 'no-event', eventId: 'no-event', eventType: null });
  // Discord knows it as answered: another worker ended before its acknowledgement.
  await publish({ interactionToken: token, eventId: 'answered' });
  await publish({ interactionToken: 'last', eventId: 'last' });
  await answered('last');
  const letters = await deadLetters(stage, 3);
  expect(letters.map(({ body }) => JSON.parse(body).interactionToken)).toEqual([
    'too-old',
    'refused-by-discord',
    'no-event',
  ]);
  expect(['repeat', 'too-old'].flatMap(answers)).toEqual([]);
  expect(answers(token)).toHaveLength(1);
  const tries = stage.worker?.output.match(/try \d failed/g);
  expect(tries).toEqual(['try 1 failed', 'try 2 failed', 'try 3 failed']);

  const output = () => stage.worker?.output ?? '';
  const login = readFileSync(stage.loginFile, 'utf8');
  rmSync(stage.loginFile);
  await stage.broker.restart();
  await stage.until('the missing login is logged', WITHIN_MS, () => /no connection: FileNotFound/.test(output()));
  writeFileSync(stage.loginFile, login.replace(/@.*:\d+/, '@no-such-host.invalid:5672'));
  await stage.until('the unknown host is logged', WITHIN_MS, () => /no connection: .*gaierror/.test(output()));
  writeFileSync(stage.loginFile, login.replace(/:\d+\//, ':no-port/'));
  await stage.until('the wrong address is logged', WITHIN_MS, () => /no connection: .*ValueError/.test(output()));
  writeFileSync(stage.loginFile, login);
  await stage.ready();
  const again = simulator.emit('command.plain').dispatch.d as APIInteraction;
  await answered(again.token);
  expect(answers(again.token)).toHaveLength(1);
  expect(output()).not.toContain(new URL(login).password);
});
