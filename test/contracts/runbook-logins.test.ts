// The lines that the runbook quotes for leaked credentials are those that the service and the function write.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LOGIN_FUNCTION_OUTPUT } from '../../lib/rotation/rotation.ts';
import { USERS } from '../../service/contract/names.ts';

const text = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8');
const runbook = text('docs/runbook.md').replaceAll(/\s+/g, ' ');

it.each([
  ['the broker refused the login; it was read again', 'service/amqp/connection.ts'],
  ['connected to the broker', 'service/amqp/connection.ts'],
  ['no usable bot token: waiting for another one', 'service/gateway/bot-token.ts'],
  ['there is a new bot token', 'service/gateway/bot-token.ts'],
  ['expected no rotation under way', 'lib/rotation/rotate.lambda.ts'],
])('%s', (line, path) => {
  expect(runbook).toContain(`\`${line}\``);
  expect(text(path)).toContain(line);
});

it('names the command with every login, and the output', () => {
  for (const login of Object.values(USERS)) expect(runbook).toMatch(new RegExp(`logins -- revoke .{0,60}${login}`));
  expect(runbook).toContain(`\`${LOGIN_FUNCTION_OUTPUT}\``);
});
