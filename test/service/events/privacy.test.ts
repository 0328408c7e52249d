// What people write is not ours to hand on. Two kinds of proof: a marker in every place where Discord quotes a message,
// and a marker in a field of a new name at every depth of every dispatch, for the places that Discord has yet to invent.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GuildPresence } from '../../../service/events/guild-presence.ts';
import { toPayload } from '../../../service/events/to-payload.ts';
import * as dispatches from './dispatches.ts';

const context = { sessionId: 's', shardId: 0, sequence: 2, receivedAt: 3, guilds: new GuildPresence(0) };
const PRIVATE = dispatches.PRIVATE;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const copy = (value: unknown): Json => JSON.parse(JSON.stringify(value));

/** The dispatch with one more field in every object, except where the keys are ids. */
function widened(value: Json, key: string, path: string[] = []): Json {
  if (Array.isArray(value)) return value.map((each) => widened(each, key, path));
  if (value === null || typeof value !== 'object') return value;
  const fields = Object.entries(value).map(([name, each]) => [name, widened(each, key, [...path, name])]);
  const byId = path.at(-2) === 'resolved';
  return Object.fromEntries(byId ? fields : [...fields, [key, { content: [PRIVATE] }]]);
}

describe('the words of a message', () => {
  const quoting = Object.entries(dispatches.forwarded).filter(([, dispatch]) =>
    JSON.stringify(dispatch).includes(PRIVATE),
  );

  test('are in what Discord sends for messages, message commands, components and modals', () => {
    expect(quoting.map(([name]) => name).toSorted()).toEqual(
      [
        'messageCreate',
        'messageCommand',
        'button',
        'stringSelect',
        'mentionableSelect',
        'channelSelect',
        'modal',
      ].toSorted(),
    );
  });

  test.each(quoting)('are not in the event of %s', (_, dispatch) => {
    const outcome = toPayload(dispatch, context);
    expect(outcome.kind).toBe('event');
    expect(JSON.stringify(outcome)).not.toContain(PRIVATE);
  });

  test('are not in it wherever they stand in a field of the message', () => {
    const place = fc.constantFrom(
      ...[
        'content',
        'embeds',
        'attachments',
        'components',
        'poll',
        'message_snapshots',
        'referenced_message',
        'thread',
      ],
      ...['stickers', 'activity', 'application', 'interaction', 'nonce', 'reactions', 'call', 'role_subscription_data'],
      ...['mention_channels', 'resolved', 'shared_client_theme', 'interaction_metadata'],
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.constant(PRIVATE),
        fc.array(tie('tree'), { maxLength: 2 }),
        fc.dictionary(fc.oneof(place, fc.string()), tie('tree'), { maxKeys: 3 }),
      ),
    }));
    fc.assert(
      fc.property(fc.dictionary(place, tree), (fields) => {
        // What is no metadata of an interaction makes the dispatch malformed; here the dispatch is to be understood.
        const target = { ...dispatches.quotedMessage, ...fields, interaction_metadata: null };
        for (const dispatch of [
          dispatches.messageCreate(fields),
          { ...dispatches.messageCommand, d: { ...Object(dispatches.messageCommand.d), data: command(target) } },
          {
            ...dispatches.button,
            d: { ...Object(dispatches.button.d), message: target },
          },
        ]) {
          const outcome = toPayload(dispatch, context);
          expect(outcome.kind).toBe('event');
          expect(JSON.stringify(outcome)).not.toContain(PRIVATE);
        }
      }),
      { numRuns: 500 },
    );
  });

  function command(message: object): object {
    return { id: '1', type: 3, name: 'quote', target_id: '2', resolved: { messages: { 2: message } } };
  }
});

describe('a field of a new name', () => {
  test.each(Object.entries(dispatches.forwarded))('nowhere in %s gets through', (_, dispatch) => {
    fc.assert(
      fc.property(fc.stringMatching(/^new_[a-z]{3,12}$/), (key) => {
        const d = widened(copy(dispatch.d), key);
        expect(JSON.stringify(d)).toContain(key);
        const outcome = toPayload({ t: dispatch.t, d }, context);
        expect(outcome.kind).toBe('event');
        expect(JSON.stringify(outcome)).not.toContain(key);
        expect(JSON.stringify(outcome)).not.toContain(PRIVATE);
      }),
      { numRuns: 10 },
    );
  });
});
