// Writes the contract with workers as JSON Schema, for workers in other languages than TypeScript. A test fails when
// the committed file is out of date.

import { writeFileSync } from 'node:fs';
import { payloadJsonSchema } from '../service/events/payload.ts';

const file = new URL('../docs/discord-event-payload.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(payloadJsonSchema(), null, 2)}\n`);
