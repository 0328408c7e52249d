// What is logged of a record that is faulty in many parts.

import { expect, it } from 'vitest';
import { logUnstored } from '../../../service/lease/faults.ts';
import { logLines } from '../../support/log-lines.ts';

it.each([
  [10, 10, []],
  [12, 11, [{ group: 3, more: 2 }]],
])('%d faults are %d lines: those after the tenth are only counted', (count, lines, last) => {
  const logged = logLines();
  const faults = Array.from({ length: count }, (_, lostShardId) => ({ lostShardId, reason: 'it is faulty' }));
  logUnstored(logged.log, 3, faults);
  expect(logged.lines).toHaveLength(lines);
  expect(logged.lines.slice(0, 10)).toMatchObject(
    faults.slice(0, 10).map(({ lostShardId }) => ({ shard: lostShardId })),
  );
  expect(logged.lines.slice(10)).toMatchObject(last);
});
