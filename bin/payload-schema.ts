// Writes the contracts with workers as JSON Schema, for workers in other languages than TypeScript. A test fails when a
// committed file is out of date.

import { writeFileSync } from 'node:fs';
import { commandJsonSchema } from '../service/commands/command.ts';
import { payloadJsonSchema } from '../service/events/payload.ts';

const schemas = { 'discord-event-payload': payloadJsonSchema(), 'discord-command': commandJsonSchema() };
for (const [name, schema] of Object.entries(schemas))
  writeFileSync(new URL(`../docs/${name}.schema.json`, import.meta.url), `${JSON.stringify(schema, null, 2)}\n`);
