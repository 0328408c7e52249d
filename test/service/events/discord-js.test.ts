// What a worker built on discord.js sees of an interaction: its own structure, made once from Discord's dispatch and once
// from our message (`{...data, token}`), is equal in every field. Both Clients are real, with discord.js's own handlers
// and caches; neither logs in.

import { Client, Events, type Interaction } from 'discord.js';
import { afterEach, expect, test } from 'vitest';
import { type Sample, samplePayloads } from '../../../local/discord/payloads/samples.ts';
import { type Dispatch, toPayload } from '../../../service/events/to-payload.ts';
import { GuildPresence } from '../../../service/session/guild-presence.ts';

const clients: Client[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
});

const samples = samplePayloads(1);
const named = (name: string): Sample => samples.find((each) => each.name === name) ?? expect.fail(`no ${name}`);

/** The interaction of a Client after READY that knows the guild. The dispatches come in as from its own gateway. */
function seen(dispatch: Dispatch): Interaction {
  const client = new Client({ intents: [] });
  clients.push(client);
  const handle = Reflect.get(client.ws, 'handlePacket').bind(client.ws);
  const take = ({ t, d }: Dispatch) =>
    handle({ t, d: JSON.parse(JSON.stringify(d)) }, { id: 0, status: 0, checkReady: () => {} });
  const guild = named('guild.of-ready').dispatch;
  const { d } = named('ready').dispatch;
  take({ t: 'READY', d: { ...d, guilds: [{ id: Object(guild.d).id, unavailable: true }] } });
  Reflect.get(client.ws, 'triggerClientReady').call(client.ws);
  take(guild);
  let interaction: Interaction | undefined;
  client.once(Events.InteractionCreate, (each) => {
    interaction = each;
  });
  take(dispatch);
  return interaction ?? expect.fail('discord.js made no interaction of it');
}

test.each(samples.filter(({ routingKey }) => routingKey?.startsWith('interaction.')))(
  '$name',
  ({ dispatch: { t, d } }) => {
    const context = { sessionId: 's', shardId: 0, sequence: 5, receivedAt: Date.now(), guilds: new GuildPresence(0) };
    const outcome = toPayload({ t, d }, context);
    if (outcome.kind !== 'event') throw new Error(`it became ${outcome.kind}: ${outcome.reason}`);
    const { data, interactionToken: token } = outcome.payload;
    const [direct, worker] = [seen({ t, d }), seen({ t, d: { ...data, token } })];
    expect(worker.constructor).toBe(direct.constructor);
    expect(worker).toEqual(direct);
    expect(worker.token).toBe(Object(d).token);
    expect(Object.keys(worker).length).toBeGreaterThan(15);
  },
);
