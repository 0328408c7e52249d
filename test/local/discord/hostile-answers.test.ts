import { expect, test } from 'vitest';
import { hostileAnswers } from '../../../local/discord/hostile-answers.ts';

const NO_CONNECTION = { shardId: 0, close: () => undefined, terminate: () => undefined };
const hello = () => ({ t: null, s: null, op: 10, d: { heartbeat_interval: 41_250, _trace: [] } });

/** The changed answers: their names, and one frame after each change. */
function outcomes(seed: number): readonly string[] {
  const answers = hostileAnswers(seed);
  return Array.from({ length: 200 }, () => {
    const { name, what, change } = answers.next().value;
    return `${name} ${what} ${name === 'REST' || name === 'Upgrade' ? '' : JSON.stringify(change(hello(), NO_CONNECTION))}`;
  });
}

test('the same seed gives the same hostile answers, and another seed gives others', () => {
  expect(outcomes(7)).toEqual(outcomes(7));
  expect(outcomes(7)).not.toEqual(outcomes(8));
});

test('a text is never replaced by another text, because a client cannot detect that', () => {
  const answers = hostileAnswers(1);
  for (let n = 0; n < 2_000; n += 1) {
    const { name, what, change } = answers.next().value;
    if (name !== 'READY' || !what.includes('a field')) continue;
    const { session_id: id } =
      (change({ d: { session_id: 'a' } }, NO_CONNECTION) as { d?: { session_id?: unknown } }).d ?? {};
    expect(typeof id === 'string' ? id : '').toMatch(/^a?$/);
  }
});
