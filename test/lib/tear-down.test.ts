// The templates do what docs/deploy.md says about a tear-down of production and about adopting what it retains.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { secretName } from '../../lib/secrets.ts';
import { synthesized } from '../support/synthesized.ts';
import { type Template, templatesOf } from './dependencies.ts';

const document = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
const section = (heading: string) => document.split(new RegExp(`^${heading}$`, 'm'))[1]?.split(/^#{2,3} /m)[0] ?? '';

const templates = templatesOf(synthesized('production'));
const keptOf = ({ Resources }: Template) =>
  Object.entries(Resources).flatMap(([id, { Type: type, DeletionPolicy }]) =>
    DeletionPolicy === 'RetainExceptOnCreate' ? [{ id, type }] : [],
  );

describe('the list of retained resources', () => {
  const rows = [...section('## Tear-down').matchAll(/^\|[^|]+\| `(AWS::[\w:]+)` \|(.+)\|$/gm)].flatMap(
    ([, type, ids = '']) => [...ids.matchAll(/`(\w+)`/g)].map(([, id]) => `${type} ${id}`),
  );

  it('has every retained resource of both stacks, and no other', () => {
    const kept = [...keptOf(templates.broker), ...keptOf(templates.service)];
    expect(rows.toSorted()).toEqual(kept.map(({ id, type }) => `${type} ${id}`).toSorted());
  });

  it("has the broker's log groups, which production does not delete", () => {
    expect(section('## Tear-down')).toContain('/aws/amazonmq/broker/');
    for (const [id, { Type, Properties }] of Object.entries(templates.broker.Resources)) {
      if (Type === 'Custom::BrokerLogGroup') expect(Properties, id).not.toHaveProperty('Delete');
    }
  });
});

describe('the mapping for an import', { timeout: 300_000 }, () => {
  const json = /```json\n([\s\S]*?)```/.exec(section('### Adopt it again'))?.[1] ?? '';
  const mapping: Record<string, Record<string, string>> = JSON.parse(json);

  it('has every retained resource of the broker stack, with the identifiers that CloudFormation needs for its type', () => {
    const kept = keptOf(templates.broker);
    expect(Object.keys(mapping).toSorted()).toEqual(kept.map(({ id }) => id).toSorted());
    for (const { id, type } of kept) expect(Object.keys(mapping[id] ?? {}), id).toEqual(identifierOf(type));
  });

  it('identifies each secret by its name', () => {
    for (const [id, { Type, Properties }] of Object.entries(templates.broker.Resources)) {
      if (Type !== 'AWS::SecretsManager::Secret') continue;
      expect(mapping[id]?.Id, id).toBe(`ARN_OF_${Properties?.Name}`);
      expect(String(Properties?.Name)).toContain(secretName('production', '*').replace('*', ''));
    }
  });
});

interface ServiceSpec {
  lookup(...query: string[]): { only(): { primaryIdentifier?: readonly string[] } };
}
let spec: ServiceSpec | undefined;

/** From AWS's registry of resource types, which the CDK CLI's diff depends on. */
function identifierOf(type: string): readonly string[] {
  const diff = createRequire(createRequire(import.meta.url).resolve('@aws-cdk/cloudformation-diff'));
  spec ??= (diff('@aws-cdk/aws-service-spec') as { loadAwsServiceSpecSync(): ServiceSpec }).loadAwsServiceSpecSync();
  return spec.lookup('resource', 'cloudFormationType', 'equals', type).only().primaryIdentifier ?? [];
}
