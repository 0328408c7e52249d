// Writes the contract with workers to docs/, from the service's tables and schemas and the topology: for programs as AsyncAPI
// and JSON Schema, for people as HTML. A test fails when a committed file is not what is made here.
// AsyncAPI in JSON, not YAML: every language reads it without a package, and so does this.

import { writeFileSync } from 'node:fs';
import { Command } from '../service/commands/command.ts';
import { DiscordEventPayload } from '../service/events/payload.ts';
import { asyncApi } from './contract/asyncapi.ts';
import { jsonSchema } from './contract/json-schema.ts';
import { page } from './contract/page.ts';

/** By the file's name. */
export function documents(): Readonly<Record<string, string>> {
  const document = asyncApi();
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  return {
    'asyncapi.json': json(document),
    'contract.html': page(document),
    'discord-command.schema.json': json(jsonSchema(Command, 'commands')),
    'discord-event-payload.schema.json': json(jsonSchema(DiscordEventPayload, 'events')),
  };
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(documents()))
    writeFileSync(new URL(`../docs/${name}`, import.meta.url), text);
}
