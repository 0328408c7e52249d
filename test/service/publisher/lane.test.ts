// A lane against a model of a broker and its queue: refusals, answers one by one or several at once, late, or lost with
// their channel, and messages that are replaced by their parts. Whatever happens, each message is settled once, by a confirm,
// and what the queue has is in order.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Lane, MOST_CLOSES, MOST_UNANSWERED } from '../../../service/publisher/lane.ts';
import type { Entry } from '../../../service/publisher/outbox.ts';

const BYTES = 10;
const isFourth = (message: number) => message % 4 === 3;
/** Of a message that is too large: the fractions behind it. */
const PARTS = [0.25, 0.5, 0.75];

/** A lane, the channel it is written to, and the queue behind that. */
class Model {
  readonly lane = new Lane<number>();
  readonly #isLarge: (message: number) => boolean;
  /** As the queue has them. */
  readonly queue: number[] = [];
  readonly settled: number[] = [];
  readonly dropped = new Set<number>();
  /** Written and not yet handled by the queue. */
  #inFlight: { readonly tag: number; readonly message: number }[] = [];
  /** Handled, and their answers not sent. */
  #unsent: { readonly tag: number; readonly acked: boolean }[] = [];
  #tag = 0;
  #added = 0;
  /** The message that is made smaller: those behind it wait. */
  #large: Entry<number> | undefined;
  /** As a quorum queue at its bound: until a fifth is gone. */
  refuses = false;

  constructor(isLarge: (message: number) => boolean = () => false) {
    this.#isLarge = isLarge;
  }

  add(count: number): void {
    for (let each = 0; each < count; each += 1) {
      const message = this.#added;
      this.#added += 1;
      this.lane.outbox.add(message, BYTES, message, () => this.settled.push(message));
    }
    this.write();
  }

  write(): void {
    while (this.#large === undefined) {
      const entry = this.lane.next();
      if (entry === undefined) return;
      if (this.#isLarge(entry.message)) {
        this.#large = entry;
        return;
      }
      this.#tag += 1;
      this.#inFlight.push({ tag: this.#tag, message: entry.message });
      this.lane.written(entry);
    }
  }

  makeSmaller(): void {
    const large = this.#large;
    if (large === undefined) return;
    this.#large = undefined;
    const parts = PARTS.map((part) => ({ message: large.message + part, bytes: BYTES / 2 }));
    expect(this.lane.outbox.replace(large, parts)).toBe(!this.dropped.has(large.message));
    this.write();
  }

  handle(count: number): void {
    for (const { tag, message } of this.#inFlight.splice(0, count)) {
      if (!this.refuses) this.queue.push(message);
      this.#unsent.push({ tag, acked: !this.refuses });
    }
  }

  /** RabbitMQ answers several at once only when all of them have the same answer, and none before them is unanswered. */
  answer(count: number, multiple: boolean, latestFirst: boolean): void {
    const answers = this.#unsent.splice(0, count);
    const [first] = answers;
    if (first === undefined) return;
    const same = answers.every(({ acked }) => acked === first.acked);
    const sent = multiple && same ? answers.slice(-1) : latestFirst ? answers.toReversed() : answers;
    for (const { tag, acked } of sent) {
      if (acked) {
        const confirmed = this.lane.acked(tag, multiple && same, tag);
        expect(confirmed.filter((message) => this.dropped.has(Math.floor(message)))).toEqual([]);
      } else this.lane.nacked(tag, multiple && same);
    }
    this.write();
  }

  resume(): void {
    if (!this.lane.isAnswered) return;
    this.lane.resume();
    this.write();
  }

  /** The queue may handle what is in flight all the same; nothing of it is answered. */
  loseChannel(): void {
    this.handle(this.#inFlight.length);
    this.#unsent = [];
    this.#tag = 0;
    this.lane.channelLost();
    this.write();
  }

  /** It takes messages again only when all are answered: what it refuses and takes within one window loses its order. */
  turn(refuses: boolean): void {
    if (refuses || this.lane.unanswered === 0) this.refuses = refuses;
  }

  drop(remainder: number): void {
    const before = this.lane.outbox.count;
    const isDropped = (message: number) => Math.floor(message) % 3 === remainder;
    const dropped = this.lane.outbox.drop(isDropped);
    expect(this.lane.outbox.count).toBe(before - dropped);
    for (const message of this.all)
      if (isDropped(message) && !this.settled.includes(message)) this.dropped.add(message);
  }

  /** The queue takes everything again. */
  finish(): void {
    this.handle(this.#inFlight.length);
    this.answer(this.#unsent.length, false, false);
    this.refuses = false;
    for (let round = 0; this.lane.outbox.count > 0; round += 1) {
      if (round > 2_000) throw new Error(`${this.lane.outbox.count} messages are never confirmed`);
      this.makeSmaller();
      this.handle(1_000);
      this.answer(1_000, true, false);
      this.resume();
      this.write();
    }
  }

  get all(): number[] {
    return Array.from({ length: this.#added }, (_, message) => message);
  }
}

const count = fc.integer({ min: 1, max: 12 });
type Step = readonly [weight: number, fc.Arbitrary<(model: Model) => void>];
const steps: readonly Step[] = [
  [20, count.map((each) => (model) => model.add(each))],
  [20, count.map((each) => (model) => model.handle(each))],
  [20, fc.tuple(count, fc.boolean(), fc.boolean()).map((how) => (model) => model.answer(...how))],
  [10, fc.boolean().map((refuses) => (model) => model.turn(refuses))],
  [10, fc.constant((model) => model.resume())],
  [10, fc.constant((model) => model.makeSmaller())],
  [4, fc.constant((model) => model.loseChannel())],
  [1, fc.nat(2).map((remainder) => (model) => model.drop(remainder))],
];
const step = fc.oneof(...steps.map(([weight, arbitrary]) => ({ weight, arbitrary })));

it('settles each message once, by a confirm, and delivers in order, whatever the broker answers', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const model = new Model(isFourth);
      for (const take of steps) {
        take(model);
        const { all, lane, settled, dropped, queue } = model;
        const left = all.filter((message) => !settled.includes(message) && !dropped.has(message));
        expect(Math.floor(lane.outbox.oldest?.message ?? -1)).toBe(left[0] ?? -1);
        expect(lane.unanswered).toBeLessThanOrEqual(MOST_UNANSWERED);
        for (const message of settled) expect(queue).toContain(isFourth(message) ? message + 0.75 : message);
      }
      model.finish();
      const { all, dropped, lane, queue, settled } = model;
      expect(lane.outbox).toMatchObject({ count: 0, bytes: 0, oldest: undefined });
      expect(settled.toSorted((a, b) => a - b)).toEqual(all.filter((message) => !dropped.has(message)));
      const first = [...new Set(queue)];
      expect(first).toEqual(first.toSorted((a, b) => a - b));
    }),
    { numRuns: 400 },
  );
});

it('a window begins with one message on each channel, and grows with what is confirmed up to its bound', () => {
  const model = new Model();
  model.add(2_000);
  const windows: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    windows.push(model.lane.unanswered);
    model.handle(1_000);
    model.answer(1_000, true, false);
  }
  expect(windows).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 192]);
  model.loseChannel();
  expect(model.lane.unanswered).toBe(1);
});

it('writes nothing after a refusal, however many are confirmed, and one message when it is resumed, after all are answered', () => {
  const lane = new Lane<number>();
  for (let message = 1; message <= 4; message += 1) lane.outbox.add(message, BYTES, 0, () => undefined);
  const write = () => {
    const entry = lane.next();
    if (entry) lane.written(entry);
    return entry?.message;
  };
  expect([write(), write()]).toEqual([1, undefined]);
  lane.acked(1, false, 0);
  expect([write(), write(), write()]).toEqual([2, 3, undefined]);
  expect(lane.nacked(2, false)).toEqual([2]);
  expect([lane.isAnswered, write()]).toEqual([false, undefined]);
  lane.acked(3, false, 0);
  expect([lane.isAnswered, write()]).toEqual([true, undefined]);
  lane.resume();
  expect([write(), write()]).toEqual([2, undefined]);
  lane.nacked(4, false);
  expect(lane).toMatchObject({ isAnswered: true, refusals: 2 });
});

it('gives up a message over which the channel is closed again and again while it alone is unanswered, and no other', () => {
  const lane = new Lane<number>();
  const settled: number[] = [];
  for (let message = 1; message <= 4; message += 1) lane.outbox.add(message, BYTES, 0, () => settled.push(message));
  /** The broker closes the channel over what it has, and another is opened. */
  const close = (): number | undefined => {
    for (let entry = lane.next(); entry !== undefined; entry = lane.next()) lane.written(entry);
    const given = lane.closedOver();
    lane.channelRefused();
    lane.channelLost();
    return given;
  };
  const closes = (times: number) => Array.from({ length: times }, close);
  const none = Array.from({ length: MOST_CLOSES - 1 }, () => undefined);
  expect(MOST_CLOSES).toBe(3);
  expect(closes(MOST_CLOSES - 1)).toEqual(none);
  // Another cause, which has passed; then it could be either of two.
  const confirm = () => {
    const entry = lane.next();
    if (entry) lane.written(entry);
    lane.acked(1, false, 0);
  };
  confirm();
  expect(closes(1)).toEqual([undefined]);
  expect(closes(MOST_CLOSES)).toEqual([...none, 2]);
  expect(lane).toMatchObject({ refusals: 1, outbox: { count: 2 } });
  expect(closes(MOST_CLOSES - 1)).toEqual(none);
  lane.outbox.drop((message) => message === 3);
  expect(closes(MOST_CLOSES)).toEqual([...none, 4]);
  expect(settled).toEqual([1, 2, 4]);
});
