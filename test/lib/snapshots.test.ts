// What a change does to the stacks, line by line, for the reviewer: production in full, and the lines in which staging differs.
// `vitest run -u` writes the snapshots again.
import { expect, it } from 'vitest';
import type { Environment } from '../../lib/settings.ts';
import { synthesized } from '../support/synthesized.ts';
import { difference, readable } from './readable.ts';

it('the stacks match the reviewed snapshots', async () => {
  const [production, staging] = (['production', 'staging'] as const).map(stacksOf);
  for (const stack of ['broker', 'ingestor'] as const) {
    const [full = new Map(), other = new Map()] = [production?.[stack], staging?.[stack]];
    await expect(text([...full.values()])).toMatchFileSnapshot(`./__snapshots__/production-${stack}.txt`);
    await expect(text(difference(full, other))).toMatchFileSnapshot(`./__snapshots__/staging-${stack}.txt`);
  }
});

function stacksOf(environment: Environment) {
  const { broker, ingestor } = synthesized(environment);
  // The ids of rules between security groups contain hashes of the stack's name, before and after the port.
  const neutral = (template: object) =>
    JSON.parse(
      JSON.stringify(template)
        .replaceAll(environment, 'ENVIRONMENT')
        .replaceAll(/(ENVIRONMENTbroker\w+?)[0-9A-F]{8}(443|5671)[0-9A-F]{8}(?=")/g, '$1$2'),
    );
  return { broker: readable(neutral(broker.toJSON())), ingestor: readable(neutral(ingestor.toJSON())) };
}

/** With an empty line after each resource of several lines. */
function text(blocks: readonly string[][]): string {
  return `${blocks.map((lines) => lines.join('\n') + (lines.length > 1 ? '\n' : '')).join('\n')}\n`;
}
