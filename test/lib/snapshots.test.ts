// What a change does to what is deployed, line by line, for the reviewer: production in full, staging where it differs.
// `vitest run -u` writes them again.
import { expect, it } from 'vitest';
import type { Environment } from '../../lib/settings.ts';
import { synthesized } from '../support/synthesized.ts';
import { difference, readable } from './readable.ts';

it('the stacks are what was reviewed last', async () => {
  const [production, staging] = (['production', 'staging'] as const).map(stacksOf);
  for (const stack of ['broker', 'ingestor'] as const) {
    const [full = new Map(), other = new Map()] = [production?.[stack], staging?.[stack]];
    await expect(text([...full.values()])).toMatchFileSnapshot(`./__snapshots__/production-${stack}.txt`);
    await expect(text(difference(full, other))).toMatchFileSnapshot(`./__snapshots__/staging-${stack}.txt`);
  }
});

function stacksOf(environment: Environment) {
  const { broker, ingestor } = synthesized(environment);
  // The CDK hashes the stack's name into the ids of rules between security groups, around the port.
  const neutral = (template: object) =>
    JSON.parse(
      JSON.stringify(template)
        .replaceAll(environment, 'ENVIRONMENT')
        .replaceAll(/(ENVIRONMENTbroker\w+?)[0-9A-F]{8}(443|5671)[0-9A-F]{8}(?=")/g, '$1$2'),
    );
  return { broker: readable(neutral(broker.toJSON())), ingestor: readable(neutral(ingestor.toJSON())) };
}

/** Resources of one line stand together. */
function text(blocks: readonly string[][]): string {
  return `${blocks.map((lines) => lines.join('\n') + (lines.length > 1 ? '\n' : '')).join('\n')}\n`;
}
