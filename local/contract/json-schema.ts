// The schemas of the service as JSON Schema, for workers in other languages than TypeScript. Events are open for fields that
// a later version adds; a command with an unknown field is refused.

import { z } from 'zod';

/** What of JSON Schema these schemas use. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly $ref?: string;
}
export type Schemas = Readonly<Record<string, Schema>>;

type Direction = 'events' | 'commands';

const settings = (direction: Direction) =>
  ({
    // Defaults of a command may be left out by its sender.
    io: direction === 'events' ? 'output' : 'input',
    override: ({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }) => {
      if (direction === 'events') delete jsonSchema.additionalProperties;
      // JavaScript's safe integers: no bound in other languages.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  }) as const;

/** One schema with all that it refers to, in JSON Schema 2020-12. */
export const jsonSchema = (schema: z.ZodType, direction: Direction): object =>
  z.toJSONSchema(schema, settings(direction));

/** Several schemas, and what they refer to, for `components.schemas` of AsyncAPI, which has draft 7. */
export function componentSchemas(schemas: Readonly<Record<string, z.ZodType>>, direction: Direction): Schemas {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const uri = (id: string) => `#/components/schemas/${id}`;
  const made = z.toJSONSchema(registry, { ...settings(direction), target: 'draft-7', uri }).schemas;
  const { __shared = {}, ...own } = made as Record<string, { definitions?: object }>;
  const all = JSON.stringify({ ...own, ...__shared.definitions }).replaceAll('__shared#/definitions/', '');
  return JSON.parse(all, (name, value) => (name === '$id' || name === '$schema' ? undefined : value));
}
