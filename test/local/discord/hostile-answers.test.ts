import { expect, test } from 'vitest';
import { hostileAnswers } from '../../../local/discord/hostile-answers.ts';

const NO_CONNECTION = { shardId: 0, close: () => undefined, terminate: () => undefined };
test('no hostile text stands where a text was, because a client cannot know that it is wrong', () => {
  const answers = hostileAnswers(1);
  for (let n = 0; n < 2_000; n += 1) {
    const { name, what, change } = answers.next().value;
    if (name !== 'READY' || !what.includes('a field')) continue;
    const { session_id: id } =
      (change({ d: { session_id: 'a' } }, NO_CONNECTION) as { d?: { session_id?: unknown } }).d ?? {};
    expect(typeof id === 'string' ? id : '').toMatch(/^a?$/);
  }
});
