// What is private does not leave the ingestor: generated trees with a secret under every private name, at every depth, in
// every dispatch of discord-api-types; and the simulator's payloads with a marker in everything that people write.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_DEPTH, publicPart, removedFields } from '../../../service/events/privacy.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const SECRET = 'SECRET-d41d8cd9';
/** By Discord's documentation of the MessageContent intent, and where else it puts the same. */
const CONTENT = ['content', 'matched_content', 'embeds', 'attachments', 'components', 'poll', 'message_snapshots'];
const ORDINARY = ['id', 'member', 'author', 'channels', 'thread_metadata', 'new_field', '__proto__', 'constructor'];
const MESSAGES: readonly string[] = [GatewayDispatchEvents.MessageCreate, GatewayDispatchEvents.MessageUpdate];
const EVERYWHERE_ELSE = Object.values(GatewayDispatchEvents).filter(
  (each) => !MESSAGES.includes(each) && each !== GatewayDispatchEvents.InteractionCreate,
);

const scalar = fc.oneof(fc.integer(), fc.boolean(), fc.constant(null), fc.string({ maxLength: 5 }));

/** Objects and lists with a secret under each private name. */
const { tree, fields } = fc.letrec<{ tree: Json; fields: { [key: string]: Json }; secret: Json }>((tie) => ({
  tree: fc.oneof({ maxDepth: 6 }, scalar, fc.array(tie('tree'), { maxLength: 3 }), tie('fields')),
  fields: fc
    .tuple(
      fc.array(fc.tuple(fc.constantFrom(...ORDINARY), tie('tree')), { maxLength: 4 }),
      fc.array(fc.tuple(fc.constantFrom(...CONTENT), tie('secret')), { maxLength: 2 }),
    )
    .map(([ordinary, secret]) => Object.fromEntries([...ordinary, ...secret])),
  secret: fc.oneof(
    fc.constant<Json>(SECRET),
    fc.constant<Json>([{ type: 10, content: SECRET }]),
    fc.constant<Json>({ question: { text: SECRET } }),
    fc.constant<Json>([{ message: { anything: SECRET } }]),
  ),
}));

const removed = (dispatch: string) => Object.values(removedFields(dispatch)).flat();
const json = (value: unknown): Json => JSON.parse(JSON.stringify(value));
const part = (dispatch: string, d: object) =>
  json(publicPart(dispatch, json(d) as { [key: string]: Json }, false).data);

/** The rule, written another way. */
const without = (names: readonly string[], value: unknown): Json =>
  JSON.parse(JSON.stringify(value), (key, each: unknown) => (names.includes(key) ? undefined : each));

describe.each(EVERYWHERE_ELSE)('%s', (dispatch) => {
  test('has nothing that the MessageContent intent governs, at any depth, and everything else', () => {
    fc.assert(
      fc.property(fields, (d) => {
        const data = part(dispatch, d);
        expect(JSON.stringify(data)).not.toContain(SECRET);
        const own = Object.fromEntries(Object.entries(d).filter(([name]) => !removed(dispatch).includes(name)));
        expect(data).toEqual(without(CONTENT, own));
      }),
      { numRuns: 100 },
    );
  });
});

describe.each(MESSAGES)('%s', (dispatch) => {
  /** A message that quotes, forwards and answers, with trees in its public fields and secrets in every other. */
  const message: fc.Arbitrary<{ [key: string]: Json }> = fc
    .tuple(fields, tree, fc.constantFrom(...removed(dispatch), 'new_field', '__proto__', 'toString'))
    .map(([secret, nested, name]) => {
      const written = Object.fromEntries([
        ...Object.entries(secret).filter(([key]) => CONTENT.includes(key) && key !== 'message_snapshots'),
        [name, { deep: [SECRET] }],
      ]);
      const plain = { id: '1', type: 0, author: nested, mentions: [nested], ...written };
      const metadata = { id: '2', user: nested, [`${name}_too`]: SECRET };
      return {
        ...plain,
        interaction_metadata: { ...metadata, triggering_interaction_metadata: metadata },
        referenced_message: {
          ...plain,
          referenced_message: plain,
          message_snapshots: [{ message: plain, beside: SECRET }],
        },
        message_snapshots: [{ message: plain }, SECRET, { message: SECRET }],
      };
    });

  test('has no secret in itself, in what it quotes, forwards and answers', () => {
    fc.assert(
      fc.property(message, (d) => {
        const data = part(dispatch, d);
        expect(JSON.stringify(data)).not.toContain(SECRET);
        expect(data).toMatchObject({ id: '1', hasContent: d.content === SECRET });
        expect(data).toMatchObject({ author: without(CONTENT, d.author), mentions: [without(CONTENT, d.author)] });
        expect(data).toMatchObject({ referenced_message: { referenced_message: { id: '1' } } });
        expect(data).toMatchObject({ message_snapshots: [{ message: { id: '1' } }, {}, {}] });
        expect(data).toMatchObject({ interaction_metadata: { triggering_interaction_metadata: { id: '2' } } });
      }),
      { numRuns: 500 },
    );
  });

  test('has whether there were text and files, also in what it quotes', () => {
    const written = { content: 'x', attachments: [{ id: '1' }] };
    const blanked = { content: '', attachments: [] };
    expect(part(dispatch, { ...written, referenced_message: blanked })).toEqual({
      hasContent: true,
      hasAttachments: true,
      referenced_message: { hasContent: false, hasAttachments: false },
    });
    expect(part(dispatch, { referenced_message: null })).toEqual({
      hasContent: false,
      hasAttachments: false,
      referenced_message: null,
    });
  });

  test('removes an unknown field, and reports its name', () => {
    const d = { id: '1', new_text: SECRET, referenced_message: { newer: 1 }, interaction_metadata: { newest: 1 } };
    const { data, unknownFields } = publicPart(dispatch, { ...d, constructor: SECRET }, false);
    expect(unknownFields).toEqual(['new_text', 'newer', 'newest', 'constructor']);
    expect(Object.keys(data)).toEqual([
      'id',
      'referenced_message',
      'interaction_metadata',
      'hasContent',
      'hasAttachments',
    ]);
  });
});

test('INTERACTION_CREATE has the whole object without its token', () => {
  fc.assert(
    fc.property(fields, (d) => {
      expect(part('INTERACTION_CREATE', { ...d, token: SECRET })).toEqual(json(d));
    }),
  );
});

test.each(['GUILD_MEMBER_ADD', 'MESSAGE_CREATE', 'INTERACTION_CREATE'])(
  '%s: what nests too deep for JSON is cut',
  (dispatch) => {
    const nest = (levels: number, around: (inner: Json) => Json) => {
      let nested: Json = SECRET;
      for (let level = 0; level < levels; level += 1) nested = around(nested);
      return nested;
    };
    for (const around of [
      (inner: Json): Json => [inner],
      (inner: Json): Json => ({ id: inner }),
      (inner: Json): Json => ({ referenced_message: inner }),
      (inner: Json): Json => ({ message_snapshots: [{ message: inner }] }),
    ]) {
      const deep = nest(100_000, around);
      const fields = { author: deep, referenced_message: { author: deep }, data: deep };
      const { data } = publicPart(dispatch, { ...fields, ...Object(deep) }, false);
      expect(JSON.stringify(data)).not.toContain(SECRET);
    }
    const author = nest(MAX_DEPTH - 2, (inner) => ({ id: inner }));
    expect(part(dispatch, { author })).toEqual(expect.objectContaining({ author }));
  },
);
