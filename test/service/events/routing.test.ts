import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { QUEUES } from '../../../service/contract/names.ts';
import { family, namedKey, ROUTES, ROUTING_KEY_FAMILIES } from '../../../service/events/routing.ts';

test('the table', () => {
  const rows = ROUTING_KEY_FAMILIES.map((row) => [
    row.dispatch,
    row.named ? `${row.family}.<name>` : row.family,
    row.priority,
    row.queue,
    ...(row.expirationMs === undefined ? [] : [row.expirationMs]),
  ]);
  expect(rows).toEqual([
    ['INTERACTION_CREATE', 'interaction.command.<name>', 10, QUEUES.interactions, 900_000],
    ['INTERACTION_CREATE', 'interaction.button', 8, QUEUES.interactions, 900_000],
    ['INTERACTION_CREATE', 'interaction.select', 8, QUEUES.interactions, 900_000],
    ['INTERACTION_CREATE', 'interaction.modal', 7, QUEUES.interactions, 900_000],
    ['INTERACTION_CREATE', 'interaction.autocomplete.<name>', 6, QUEUES.interactions, 3_000],
    ['INTERACTION_CREATE', 'interaction.unknown', 5, QUEUES.interactions, 900_000],
    ['GUILD_MEMBER_ADD', 'member.join', 5, QUEUES.guildEvents],
    ['GUILD_MEMBER_REMOVE', 'member.leave', 5, QUEUES.guildEvents],
    ['GUILD_MEMBER_UPDATE', 'member.update', 5, QUEUES.guildEvents],
    ['GUILD_CREATE', 'guild.join', 4, QUEUES.guildEvents],
    ['GUILD_DELETE', 'guild.leave', 4, QUEUES.guildEvents],
    ['MESSAGE_CREATE', 'message.create', 1, QUEUES.guildEvents],
    ['MESSAGE_REACTION_ADD', 'reaction.add', 1, QUEUES.guildEvents],
    [null, 'gateway.ready', 5, QUEUES.gatewayEvents],
    [null, 'gateway.gap', 5, QUEUES.gatewayEvents],
    [null, 'gateway.session-replaced', 5, QUEUES.gatewayEvents],
    [null, 'dispatch.<name>', 2, QUEUES.dispatches],
  ]);
});

test('the family of an event type is without the name of a command, and one word for all that is not in the table', () => {
  for (const row of ROUTING_KEY_FAMILIES) {
    expect(family(row.family)).toBe(row.family);
    expect(family(`${row.family}.ban`)).toBe(row.family);
  }
  expect([family('dispatch.typing_start'), family('dispatch')]).toEqual(['dispatch', 'dispatch']);
  for (const type of ['', 'interaction', 'interaction.other.x', 'member', '__proto__', 'constructor.name'])
    expect(family(type)).toBe('other');
});

describe('a name in a routing key', () => {
  test.each<[string, string]>([
    ...['ban', 'role-add', 'do_it', 'помощь', '帮助', 'เพลง', "d'accord"].map((name): [string, string] => [name, name]),
    ['Report to Mods', 'Report_to_Mods'],
    ['a.b*c#d\te\u0000f\u00a0g\u2028h', 'a_b_c_d_e_f_g_h'],
    ['a\ud83e', 'a\ufffd'],
    // Cut between characters.
    ['🦆'.repeat(200), '🦆'.repeat(58)],
    ['x'.repeat(1000), 'x'.repeat(255 - 'interaction.command.'.length)],
  ])('%j: %j', (name, word) => {
    expect(namedKey(ROUTES.command, name)).toBe(`interaction.command.${word}`);
  });

  test('is one word of what AMQP takes, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 400 }), (name) => {
        const key = namedKey(ROUTES.command, name);
        const bytes = Buffer.from(key);
        expect(bytes.length).toBeLessThanOrEqual(255);
        expect(bytes.toString()).toBe(key);
        expect(key).toMatch(/^interaction\.command\.[^.*#\s\p{Cc}]+$/u);
      }),
      { numRuns: 500 },
    );
  });
});
