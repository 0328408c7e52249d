// The outbox and the delivery tags together, as the publisher uses them, against a model of the broker's answers:
// whatever is acked or nacked in whatever order, by one tag or many, and however often everything is written again.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Confirms } from '../../../service/publisher/confirms.ts';
import { type Entry, Outbox } from '../../../service/publisher/outbox.ts';

function filled(count: number) {
  const outbox = new Outbox<number>();
  const settled: number[] = [];
  for (let message = 0; message < count; message += 1) outbox.add(message, 10, () => settled.push(message));
  return { outbox, settled };
}

/** Everything that is written now. */
function write<T>(outbox: Outbox<T>): Entry<T>[] {
  const entries: Entry<T>[] = [];
  for (let entry = outbox.next(); entry !== undefined; entry = outbox.next()) entries.push(entry);
  return entries;
}

const messages = <T>(entries: readonly Entry<T>[]): T[] => entries.map(({ message }) => message);

it('a confirm may come for an entry that waits again, when the list is cut too', () => {
  const { outbox, settled } = filled(3_000);
  const entries = write(outbox);
  outbox.rewind();
  for (const entry of entries.slice(0, 2_000)) outbox.confirm(entry);
  expect(settled).toHaveLength(2_000);
  outbox.add(3_000, 10, () => undefined);
  expect(messages(write(outbox))).toEqual(Array.from({ length: 1_001 }, (_, index) => 2_000 + index));
});

it('settles each message exactly once and keeps the order of what is unconfirmed, whatever the broker answers', () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ kind: fc.constant('add' as const), bytes: fc.integer({ min: 1, max: 99 }) }) },
    { weight: 20, arbitrary: fc.record({ kind: fc.constant('write' as const), most: fc.integer({ min: 1, max: 8 }) }) },
    {
      weight: 25,
      arbitrary: fc.record({
        kind: fc.constantFrom('ack' as const, 'nack' as const),
        pick: fc.nat(),
        multiple: fc.boolean(),
      }),
    },
    // A new channel: what was written to the old one is never answered.
    { weight: 5, arbitrary: fc.constant({ kind: 'new channel' as const }) },
    // After a refusal: on the same channel, when all is answered.
    { weight: 5, arbitrary: fc.constant({ kind: 'write again' as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'clear' as const }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const outbox = new Outbox<number>();
      /** Each message that is neither confirmed nor dropped, in order. */
      let unconfirmed: { readonly message: number; readonly bytes: number }[] = [];
      const settled = new Map<number, number>();
      const dropped = new Set<number>();
      let channel = { confirms: new Confirms<Entry<number>>(), written: [] as number[] };
      let added = 0;
      const take = (entries: readonly Entry<number>[]) => {
        for (const entry of entries) {
          unconfirmed = unconfirmed.filter(({ message }) => message !== entry.message);
          outbox.confirm(entry);
        }
      };
      for (const each of steps) {
        switch (each.kind) {
          case 'add': {
            const message = added;
            added += 1;
            unconfirmed.push({ message, bytes: each.bytes });
            outbox.add(message, each.bytes, () => settled.set(message, 1 + (settled.get(message) ?? 0)));
            break;
          }
          case 'write':
            for (let count = 0; count < each.most; count += 1) {
              const entry = outbox.next();
              if (entry === undefined) break;
              const [due] = unconfirmed.filter(({ message }) => !channel.written.includes(message));
              expect(entry.message).toBe(due?.message);
              channel.written.push(entry.message);
              channel.confirms.written(entry);
            }
            break;
          case 'ack':
          case 'nack': {
            const answered = channel.confirms.answered(1 + (each.pick % 60), each.multiple);
            if (each.kind === 'ack') take(answered);
            break;
          }
          case 'new channel':
            channel = { confirms: new Confirms(), written: [] };
            outbox.rewind();
            break;
          case 'write again':
            if (channel.confirms.size > 0) break;
            channel.written = [];
            outbox.rewind();
            break;
          case 'clear':
            expect(outbox.clear()).toBe(unconfirmed.length);
            for (const { message } of unconfirmed) dropped.add(message);
            unconfirmed = [];
        }
        expect(outbox.count).toBe(unconfirmed.length);
        expect(outbox.bytes).toBe(unconfirmed.reduce((sum, { bytes }) => sum + bytes, 0));
      }
      // In the end a broker that takes everything: all that was not dropped is settled, once, and nothing else is.
      outbox.rewind();
      const rest = write(outbox);
      expect(messages(rest)).toEqual(unconfirmed.map(({ message }) => message));
      take(rest);
      const expected = Array.from({ length: added }, (_, message) => message).filter(
        (message) => !dropped.has(message),
      );
      expect([...settled.keys()].sort((a, b) => a - b)).toEqual(expected);
      expect([...settled.values()].every((times) => times === 1)).toBe(true);
    }),
    { numRuns: 400 },
  );
});
