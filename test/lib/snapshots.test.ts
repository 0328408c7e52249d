// What a change does to what is deployed, line by line, for the one who reviews it. `vitest run -u` writes them again.
import { describe, expect, it } from 'vitest';
import { synthesized } from '../support/synthesized.ts';
import { readable } from './readable.ts';

describe.each(['staging', 'production'] as const)('%s', (environment) => {
  it('is what was reviewed last', async () => {
    const { broker, ingestor } = synthesized(environment);
    for (const [name, template] of Object.entries({ broker, ingestor })) {
      const file = `./__snapshots__/${environment}-${name}.txt`;
      await expect(readable(template.toJSON() as Parameters<typeof readable>[0])).toMatchFileSnapshot(file);
    }
  });
});
