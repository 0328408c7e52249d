// Two independent readings of Discord's documentation agree: the ingestor's, by which it requests intents and publishes, and the
// simulator's, by which it sends events and counts what is due.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import { chosenDispatches, wholeGuilds } from '../../local/discord/due.ts';
import { intentsFor as sentWith } from '../../local/discord/payloads/intents.ts';
import { GROUPS, intentsFor, parseEvents } from '../../service/events/choice.ts';
import { NO_OPT_INS } from '../support/dispatch-context.ts';

test.each([...parseEvents('all').dispatches])(
  '%s is sent with the requested intents, and no other intent is requested',
  (name) => {
    const asked = (directMessages: boolean) => {
      const intents = intentsFor(parseEvents(name), { ...NO_OPT_INS, directMessages });
      return intents.reduce((bits, each) => bits | GatewayIntentBits[each], 0);
    };
    const [inGuilds, inDirect] = [sentWith(name, 'guild'), sentWith(name, 'direct')];
    expect([inGuilds === 0, asked(false) & ~inGuilds]).toEqual([asked(false) === 0, 0]);
    expect(asked(true) & ~inGuilds).toBe(inDirect);
  },
);

test.each([...GROUPS.keys(), 'INVITE_CREATE, typing'])('EVENTS=%s chooses the same dispatches in both', (events) => {
  const { dispatches, wholeGuilds: whole } = parseEvents(events);
  expect([...chosenDispatches(events)].sort()).toEqual([...dispatches].sort());
  expect(wholeGuilds(events)).toBe(whole);
});
