// What the bot does: your code goes here. discord.js's own structures, without a gateway connection.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Interaction } from 'discord.js';
import { Client, ClientApplication, DiscordAPIError, Events, MessageFlags, Options } from 'discord.js';

export const COMMANDS = new Map<string, () => Promise<string>>([
  ['ping', async () => 'Pong!'],
  // Longer than the 3 s that Discord waits.
  ['slow', async () => await sleep(4_000, 'It took four seconds.')],
]);

/**
 * Starts the work, which is never started again.
 * @param deferAt Unix ms: work that takes longer is answered with "thinking …" first
 * @returns sends the result, and may be called again when Discord has failed
 */
export function begin(interaction: Interaction, deferAt: number): () => Promise<unknown> {
  if (interaction.isAutocomplete()) return () => interaction.respond([{ name: 'Ping', value: 'ping' }]);
  const command = interaction.isCommand() ? COMMANDS.get(interaction.commandName) : undefined;
  const work = command?.() ?? Promise.resolve('Thank you!');
  const flags = MessageFlags.Ephemeral;
  let mayBeDeferred = false;
  return async () => {
    const inTime = await Promise.race([work, sleep(Math.max(0, deferAt - Date.now()), undefined, { ref: false })]);
    if ((inTime === undefined || mayBeDeferred) && !interaction.deferred)
      try {
        await interaction.deferReply({ flags });
      } catch (error) {
        // Discord accepted the deferral, but its response was lost.
        interaction.deferred = mayBeDeferred && isAnswered(error);
        mayBeDeferred = true;
        if (!interaction.deferred) throw error;
      }
    const content = await work;
    if (interaction.deferred) await interaction.editReply(content);
    else await interaction.reply({ content, flags });
  };
}

const client = new Client({
  intents: [],
  rest: { api: process.env.DISCORD_API_URL ?? 'https://discord.com/api', retries: 0 },
  // Without limits it would keep every user that it sees, and never receive a user's changes.
  makeCache: Options.cacheWithLimits({ UserManager: 0, EntitlementManager: 0 }),
});
// READY would set it; entitlements are built with it.
Reflect.set(client, 'application', Reflect.construct(ClientApplication, [client, {}]));
let built: Interaction | undefined;
client.on(Events.InteractionCreate, (interaction) => {
  built = interaction;
});

/** Built by the handler that discord.js's own gateway connection calls. @param data Discord's object, with its token */
export function interactionOf(data: object): Interaction {
  built = undefined;
  // Options and resolved data fill it; for channels discord.js warns of a limit in makeCache.
  client.channels.cache.clear();
  Reflect.get(client, 'actions').InteractionCreate.handle(data);
  if (built === undefined) throw new Error('this version of discord.js does not know this kind of interaction');
  return built;
}

/** "Interaction has already been acknowledged": by a worker that ended before it had acknowledged the message. */
export const isAnswered = (error: unknown): boolean => error instanceof DiscordAPIError && error.code === 40_060;
